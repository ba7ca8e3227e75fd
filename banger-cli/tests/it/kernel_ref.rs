//! Images that come with a kernel: its files beside the image's, its modules in the file system.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use banger_testkit::{
    Codec, Entry, ImageBuilder, KernelBuilder, LayerBuilder, LayoutBuilder, PackageBuilder, Skip,
    assert_clean, assert_equal, first_difference, kernel_module, require, tools,
};
use serde_json::{Value, json};

use crate::interruption::instants;
use crate::support::{BACKENDS, Home, error_text, text};

const RELEASE: &str = "6.1.0-50-test";

/// A package with a kernel, `modules` among its modules.
fn package(modules: &[(&str, &str)]) -> PackageBuilder {
    let mut package = PackageBuilder::new("linux-image-test", "6.1.90-1")
        .file(
            &format!("boot/vmlinuz-{RELEASE}"),
            KernelBuilder::new(RELEASE).filler(50_000).bz_image(Codec::Lz4),
        )
        .file(&format!("boot/config-{RELEASE}"), "CONFIG_EXT4_FS=y\nCONFIG_MODULES=y\n");
    let base = format!("lib/modules/{RELEASE}");
    for (name, depends) in modules {
        package = package.file(&format!("{base}/kernel/{name}.ko"), kernel_module(name, depends, RELEASE));
    }
    package.file(&format!("{base}/modules.builtin"), "kernel/fs/ext4/ext4.ko\n")
}

const MODULES: [(&str, &str); 4] =
    [("virtio", ""), ("virtio_blk", "virtio"), ("vsock", ""), ("vmw_vsock_virtio_transport", "vsock,virtio")];

/// Imports the kernel of a package under this name.
pub(crate) fn import(home: &Home, name: &str, package: &PackageBuilder) -> Value {
    let deb = home.path(&format!("{name}.deb"));
    fs::write(&deb, package.deb(Codec::Gzip)).unwrap();
    home.json(&["kernel", "import", deb.to_str().unwrap(), "--name", name])
}

/// A home with the kernel `k`.
pub(crate) fn home_with_kernel() -> Home {
    let home = Home::new();
    import(&home, "k", &package(&MODULES));
    home
}

/// Writes a layout; `/lib` is a directory, a symlink to `usr/lib`, or missing.
fn write_layout(home: &Home, lib: &str) {
    let layer =
        LayerBuilder::new().dir("usr").dir("usr/lib").file("usr/lib/os-release", "ID=test\n").dir("sbin");
    let layer = match lib {
        "merged" => layer.symlink("lib", "usr/lib"),
        "real" => layer.dir("lib").dir("lib/modules").dir(format!("lib/modules/{RELEASE}")),
        _ => layer,
    };
    // A program of the kernel's processor.
    let program = KernelBuilder::new("x").filler(100).vmlinux();
    let layer = layer.entry(Entry::file("sbin/init", program).mode(0o755));
    let image = ImageBuilder::new().layer(layer.finish()).config("created", "2024-05-06T07:08:09Z");
    LayoutBuilder::of(&image).write(&home.path("layout"));
}

fn pull<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let always = ["image", "pull", "oci:layout:latest", "--name", "app", "--size", "48M"];
    always.iter().chain(more).copied().collect()
}

fn path_of(document: &Value, field: &str) -> PathBuf {
    PathBuf::from(document[field].as_str().unwrap_or_else(|| panic!("no {field}: {document}")))
}

fn cat(home: &Home, image: &Path, path: &str) -> String {
    text(&home.run(["rootfs", "cat", image.to_str().unwrap(), path]).stdout)
}

/// Copies `/lib/modules` out of an image; returns a root for modprobe.
fn extract(home: &Home, image: &Path, lib: &str) -> Result<PathBuf, Skip> {
    let root = home.path("extracted");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("lib")).unwrap();
    let request = format!("rdump {lib}/modules {}/lib", root.display());
    tools::run(tools::command("debugfs")?.args(["-R", &request]).arg(image));
    Ok(root)
}

fn modprobe(root: &Path, release: &str, name: &str) -> Result<String, Skip> {
    let root = root.to_str().unwrap();
    let output =
        tools::run(tools::command("modprobe")?.args(["-d", root, "-S", release, "--show-depends", name]));
    Ok(text(&output.stdout).replace(&format!("{root}/lib/modules/{release}/"), ""))
}

/// Names in a directory, in order.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_kernel_goes_beside_the_image_and_its_modules_into_it() {
    let home = home_with_kernel();
    write_layout(&home, "merged");
    let kernel = home.json(&["kernel", "show", "k"]);
    for backend in BACKENDS {
        let arguments = pull(&["--kernel-ref", "k", "--backend", backend]);
        let pulled = home.json(&arguments);
        for field in ["id", "name", "release", "architecture", "format", "pvh", "digest", "image", "modules"]
        {
            assert_eq!(pulled["kernel"][field], kernel[field], "{field}");
        }
        assert_eq!(pulled["build"]["kernel"], kernel["digest"]);
        let (image, kernel_path) = (path_of(&pulled, "path"), path_of(&pulled, "kernel_path"));
        require!(assert_clean(&image));
        // The same files as in the store, and no other bytes on the disk.
        let stored = path_of(&kernel, "path");
        assert_eq!(names(&kernel_path), ["bzImage", "config", "modules", "vmlinux"]);
        for file in ["bzImage", "config", "vmlinux", "modules/kernel/virtio.ko", "modules/modules.dep"] {
            let (ours, theirs) = (fs::metadata(kernel_path.join(file)), fs::metadata(stored.join(file)));
            assert_eq!(ours.unwrap().ino(), theirs.unwrap().ino(), "{file}");
        }
        let file = image.to_str().unwrap();
        assert_eq!(home.json(&["rootfs", "stat", file, "/lib"])["entries"][0]["target"], "usr/lib");
        let base = format!("/usr/lib/modules/{RELEASE}");
        assert_eq!(
            cat(&home, &image, &format!("{base}/modules.dep")),
            "kernel/virtio.ko:\nkernel/virtio_blk.ko: kernel/virtio.ko\n\
             kernel/vmw_vsock_virtio_transport.ko: kernel/vsock.ko kernel/virtio.ko\nkernel/vsock.ko:\n"
        );
        let load = cat(&home, &image, "/etc/modules-load.d/banger-vsock.conf");
        assert_eq!(load, "vmw_vsock_virtio_transport\n");
        for path in ["kernel", "kernel/virtio.ko", "modules.alias.bin"] {
            let stat = home.json(&["rootfs", "stat", file, &format!("{base}/{path}")]);
            assert_eq!(stat["entries"][0]["modified"], "2024-05-06T07:08:09Z", "{path}");
        }
        let root = require!(extract(&home, &image, "/usr/lib"));
        let depends = require!(modprobe(&root, RELEASE, "virtio_blk"));
        assert_eq!(depends, "insmod kernel/virtio.ko \ninsmod kernel/virtio_blk.ko \n");

        // The same request is done already, and the same bytes when it is done again.
        let again = home.json(&arguments);
        assert_eq!((&again["unchanged"], &again["id"]), (&true.into(), &pulled["id"]));
        let copy = home.path("out/copy.ext4");
        fs::copy(&image, &copy).unwrap();
        let forced = home.json(&[&arguments[..], &["--force"]].concat());
        assert_eq!(first_difference(&copy, &path_of(&forced, "path")), None);
        let shown = text(&home.run(["image", "show", "app"]).stdout);
        assert!(shown.contains(&format!("k: Linux {RELEASE} for amd64\n")), "{shown}");
        assert!(text(&home.run(["image", "list"]).stdout).contains(RELEASE));
    }
}

#[test]
fn both_backends_make_the_same_content() {
    let home = home_with_kernel();
    write_layout(&home, "merged");
    let [native, e2fsprogs] = BACKENDS.map(|backend| {
        let file = home.path(&format!("out/{backend}.ext4"));
        let name = file.to_str().unwrap();
        home.run([
            "image",
            "pull",
            "oci:layout:latest",
            "--size",
            "48M",
            "--kernel-ref",
            "k",
            "--backend",
            backend,
            "-o",
            name,
        ]);
        banger::Ext4Editor::open(name.into()).unwrap()
    });
    assert_equal(&native, &e2fsprogs);
}

#[test]
fn modules_go_through_any_lib_and_into_images_without_agents() {
    let home = home_with_kernel();
    for (lib, inject) in [("merged", false), ("real", true), ("real", false), ("none", true), ("none", false)]
    {
        write_layout(&home, lib);
        let mut arguments = pull(&["--kernel-ref", "k", "--force"]);
        arguments.extend((!inject).then_some("--no-inject"));
        let image = path_of(&home.json(&arguments), "path");
        require!(assert_clean(&image));
        let place = if lib == "merged" { "/usr/lib" } else { "/lib" };
        let listed =
            home.json(&["rootfs", "ls", image.to_str().unwrap(), &format!("{place}/modules/{RELEASE}")]);
        let entries = listed["directories"][0]["entries"].as_array().unwrap().iter();
        let entries: Vec<&str> =
            entries.map(|entry| entry["path"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
        assert_eq!(
            entries,
            [
                "kernel",
                "modules.alias",
                "modules.alias.bin",
                "modules.builtin",
                "modules.builtin.bin",
                "modules.dep",
                "modules.dep.bin",
                "modules.devname",
                "modules.softdep",
                "modules.symbols",
                "modules.symbols.bin",
                "modules.weakdep",
            ],
            "{lib}"
        );
        let load =
            home.banger(["rootfs", "cat", image.to_str().unwrap(), "/etc/modules-load.d/banger-vsock.conf"]);
        let mut load = load;
        assert_eq!(load.output().unwrap().status.success(), inject, "{lib}");
    }
}

#[test]
fn a_kernel_without_modules_leaves_the_file_system_alone() {
    let home = Home::new();
    write_layout(&home, "merged");
    let plain = path_of(&home.json(&pull(&[])), "path");
    let copy = home.path("out/plain.ext4");
    fs::copy(&plain, &copy).unwrap();
    let image = home.path("Image");
    fs::write(&image, KernelBuilder::new("6.1.0").vmlinux()).unwrap();
    home.run(["kernel", "import", image.to_str().unwrap(), "--name", "plain"]);
    let pulled = home.json(&pull(&["--kernel-ref", "plain"]));
    assert_eq!(pulled["unchanged"], false);
    assert_eq!(first_difference(&copy, &path_of(&pulled, "path")), None);
    assert_eq!(names(&path_of(&pulled, "kernel_path")), ["vmlinux"]);
    // Without the kernel it is another build again.
    let pulled = home.json(&pull(&[]));
    assert_eq!(
        (&pulled["unchanged"], &pulled["kernel"], &pulled["kernel_path"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
}

#[test]
fn the_image_needs_the_kernel_store_no_more() {
    let home = home_with_kernel();
    write_layout(&home, "merged");
    let pulled = home.json(&pull(&["--kernel-ref", "k"]));
    home.run(["kernel", "rm", "k"]);
    home.run(["image", "verify", "app"]);
    let cloned = home.json(&["image", "clone", "app", "copy"]);
    assert_eq!(cloned["kernel"], pulled["kernel"]);
    assert_ne!(cloned["kernel_path"], pulled["kernel_path"]);
    home.run(["image", "rm", "app"]);
    home.run(["image", "verify", "copy"]);
    let kernel = path_of(&cloned, "kernel_path");
    assert_eq!(names(&kernel), ["bzImage", "config", "modules", "vmlinux"]);
    let file = home.path("out/exported.ext4");
    let exported = home.json(&["image", "export", "copy", file.to_str().unwrap()]);
    assert_eq!(exported["kernel_path"], Value::Null, "only the ext4 file is copied");
    fs::remove_file(&file).unwrap();

    // Damage of each kind is found and named.
    let vmlinux = kernel.join("vmlinux");
    let mut bytes = fs::read(&vmlinux).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::remove_file(&vmlinux).unwrap();
    fs::write(&vmlinux, bytes).unwrap();
    fs::remove_file(kernel.join("config")).unwrap();
    fs::remove_file(kernel.join("modules/kernel/virtio.ko")).unwrap();
    let output = home.banger(["image", "verify", "copy", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems: Vec<&str> = document["images"][0]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("vmlinux of the kernel has the digest sha256:"), "{problems:?}");
    assert_eq!(problems[1], "config of the kernel is missing");
    assert!(problems[2].starts_with("modules of the kernel has the digest sha256:"), "{problems:?}");
    home.run(["image", "rm", "copy"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn a_record_cannot_name_files_elsewhere() {
    let home = home_with_kernel();
    write_layout(&home, "merged");
    let pulled = home.json(&pull(&["--kernel-ref", "k"]));
    let record = path_of(&pulled, "path").with_file_name("image.json");
    let json = fs::read_to_string(&record).unwrap();
    fs::write(&record, json.replace("\"file\": \"vmlinux\"", "\"file\": \"../rootfs.ext4\"")).unwrap();
    let output = home.banger(["image", "show", "app"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let listing = home.json(&["image", "list"]);
    assert_eq!(listing["damaged"][0]["id"], pulled["id"]);
}

#[test]
fn a_file_of_the_caller_gets_the_modules_only() {
    let home = home_with_kernel();
    write_layout(&home, "merged");
    let file = home.path("out/x.ext4");
    let name = file.to_str().unwrap();
    let arguments = ["image", "pull", "oci:layout:latest", "--size", "48M", "--kernel-ref", "k", "-o", name];
    let pulled = home.json(&arguments);
    assert_eq!((&pulled["kernel"]["name"], &pulled["kernel_path"]), (&json!("k"), &Value::Null));
    assert_eq!(names(file.parent().unwrap()), ["x.ext4"]);
    let managed = path_of(&home.json(&pull(&["--kernel-ref", "k"])), "path");
    assert_eq!(first_difference(&managed, &file), None);
}

#[test]
fn a_kernel_that_does_not_fit_is_warned_of() {
    let home = Home::new();
    write_layout(&home, "merged");
    let image = home.path("Image");
    fs::write(&image, KernelBuilder::new("6.1.0").arm64_image()).unwrap();
    home.run(["kernel", "import", image.to_str().unwrap(), "--name", "arm"]);
    let output = home.run(pull(&["--kernel-ref", "arm", "--json"]));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    let warnings: Vec<&str> =
        record["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect();
    let want = "the image does not boot with this kernel: the kernel is for arm64 and the image for amd64";
    assert!(warnings.contains(&want), "{warnings:?}");
    assert!(text(&output.stderr).contains(want), "{}", text(&output.stderr));
}

#[test]
fn a_missing_kernel_and_a_full_file_system_are_errors() {
    let home = home_with_kernel();
    write_layout(&home, "merged");
    let output = home.banger(pull(&["--kernel-ref", "nothing", "--json"])).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["error"]["code"], &document["error"]["kind"]), (&json!(400), &json!("not-found")));
    assert_eq!(
        error_text(&document),
        "no kernel is called \"nothing\"; `banger kernel list` shows those there are"
    );

    let module = [("large", "")];
    let mut large = package(&module);
    let noise: Vec<u8> =
        (0..3_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    large = large.file(&format!("lib/modules/{RELEASE}/modules.noise"), noise);
    import(&home, "large", &large);
    let arguments = [
        "image",
        "pull",
        "oci:layout:latest",
        "--name",
        "app",
        "--size",
        "8M",
        "--kernel-ref",
        "large",
        "--json",
    ];
    let output = home.banger(arguments).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["kind"], "no-space", "{document}");
    // The default size counts the modules.
    let pulled = home.json(&["image", "pull", "oci:layout:latest", "--name", "app", "--kernel-ref", "large"]);
    let used = pulled["size_bytes"].as_u64().unwrap() - pulled["free_bytes"].as_u64().unwrap();
    assert!(used > 12_000_000, "{used}");
    home.run(["image", "rm", "app"]);
    home.run(["kernel", "rm", "k", "large"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn killed_at_random_instants_nothing_is_half_made() {
    let home = home_with_kernel();
    write_layout(&home, "merged");
    let arguments = pull(&["--kernel-ref", "k"]);
    let started = Instant::now();
    home.run(&arguments);
    let duration = started.elapsed();
    for instant in instants(20) {
        let _ = home.banger(["image", "rm", "app"]).output();
        let mut child = home.banger(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(duration.mul_f64(instant));
        child.kill().unwrap();
        child.wait().unwrap();
        for image in home.json(&["image", "list"])["images"].as_array().unwrap() {
            assert_eq!(image["kernel"]["name"], "k");
            home.run(["image", "verify", "app"]);
        }
    }
    home.run([&arguments[..], &["--force"]].concat());
    home.run(["image", "rm", "app"]);
    home.run(["kernel", "rm", "k"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn debians_cloud_kernel_in_an_image() {
    let source = tools::cache_dir().join("boot/kernel");
    if !source.join("vmlinuz").is_file() {
        let _: () = require!(Err(Skip::new("no kernel in the test cache: run scripts/make-boot-tools once")));
    }
    let home = Home::new();
    write_layout(&home, "merged");
    let kernel = home.json(&["kernel", "import", source.to_str().unwrap(), "--name", "cloud"]);
    let release = kernel["release"].as_str().unwrap();
    let pulled = home.json(&["image", "pull", "oci:layout:latest", "--name", "app", "--kernel-ref", "cloud"]);
    let warnings = pulled["warnings"].to_string();
    assert!(!warnings.contains("this kernel"), "{warnings}");
    let image = path_of(&pulled, "path");
    require!(assert_clean(&image));
    let root = require!(extract(&home, &image, "/usr/lib"));
    let depends = require!(modprobe(&root, release, "virtio_blk"));
    assert_eq!(
        depends,
        "insmod kernel/drivers/virtio/virtio.ko \ninsmod kernel/drivers/virtio/virtio_ring.ko \n\
         insmod kernel/drivers/block/virtio_blk.ko \n"
    );
    let info = tools::run(
        Command::new(require!(tools::tool("modinfo")))
            .args(["-b", root.to_str().unwrap(), "-k", release, "-F", "name"])
            .arg("vmw_vsock_virtio_transport"),
    );
    assert_eq!(text(&info.stdout), "vmw_vsock_virtio_transport\n");
    let indexed = fs::read(root.join(format!("lib/modules/{release}/modules.dep"))).unwrap();
    assert_eq!(indexed.iter().filter(|byte| **byte == b'\n').count() as u64, kernel["modules"]["modules"]);
}
