//! What `rootfs build` and `image pull` say of files that are something else.

use std::fs;
use std::path::Path;
use std::process::Command;

use banger_testkit::{Image, ImageBuilder, LayerBuilder, LayoutBuilder, Skip, gzip, require, tools, zstd};
use serde_json::json;

use crate::support::{Home, text};

/// Fills a new file of 24 MiB with what a tool makes of it.
fn make(home: &Home, name: &str, program: &str, arguments: &[&str]) -> Result<(), Skip> {
    let path = home.path(name);
    let file = fs::File::create(&path).unwrap();
    file.set_len(24 << 20).unwrap();
    tools::run(in_home(home, program)?.args(arguments).arg(&path));
    Ok(())
}

fn in_home(home: &Home, program: &str) -> Result<Command, Skip> {
    let mut command = tools::command(program)?;
    command.current_dir(home.path(""));
    Ok(command)
}

fn shell(home: &Home, needs: &str, script: &str) -> Result<(), Skip> {
    tools::tool(needs)?;
    tools::run(in_home(home, "sh")?.args(["-ec", script]));
    Ok(())
}

/// The message of `arguments`, which must fail and leave nothing.
#[track_caller]
fn refusal(home: &Home, arguments: &[&str]) -> String {
    let output = home.banger(arguments).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    assert_eq!(home.leftovers(), [""; 0], "{arguments:?}");
    stderr
}

fn home_with_files() -> Result<Home, Skip> {
    let home = Home::new();
    fs::create_dir_all(home.path("tree/etc")).unwrap();
    fs::write(home.path("tree/etc/hostname"), "vm\n").unwrap();
    for kind in ["ext2", "ext3", "ext4"] {
        make(&home, kind, "mke2fs", &["-q", "-F", "-t", kind, "-d", "tree"])?;
    }
    for (name, format) in
        [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vhd", "vpc")]
    {
        shell(&home, "qemu-img", &format!("qemu-img create -q -f {format} {name} 16M"))?;
    }
    shell(&home, "qemu-img", "qemu-img create -q -f vpc -o subformat=fixed fixed-vhd 16M")?;
    shell(&home, "mksquashfs", "mksquashfs tree squashfs -quiet -no-progress")?;
    shell(&home, "mkfs.erofs", "mkfs.erofs erofs tree")?;
    shell(&home, "xorriso", "xorriso -as mkisofs -quiet -o iso tree")?;
    shell(&home, "mkfs.btrfs", "truncate -s 120M btrfs; mkfs.btrfs -q btrfs")?;
    shell(&home, "mkfs.xfs", "truncate -s 320M xfs; mkfs.xfs -q xfs")?;
    shell(&home, "mkfs.vfat", "truncate -s 16M fat; mkfs.vfat fat")?;
    shell(
        &home,
        "sfdisk",
        "truncate -s 16M mbr gpt; echo ',,L' | sfdisk -q -X dos mbr; echo ',,L' | sfdisk -q -X gpt gpt",
    )?;
    for format in ["newc", "odc", "bin", "crc"] {
        shell(&home, "cpio", &format!("cd tree; find . | cpio --quiet -o -H {format} >../cpio-{format}"))?;
    }
    shell(&home, "zip", "zip -qr archive.zip tree; mv archive.zip zip")?;
    Ok(home)
}

#[test]
fn a_source_that_is_no_tar_is_named_with_what_takes_it() {
    let home = require!(home_with_files());
    let cases = [
        ("ext2", "an ext2 file system", "mount"),
        ("ext3", "an ext3 file system", "mount"),
        ("ext4", "an ext4 file system", "banger rootfs ls ext4`"),
        ("qcow2", "a qcow2 disk image", "qemu-img convert"),
        ("vmdk", "a VMDK disk image", "qemu-img convert"),
        ("vdi", "a VDI disk image", "qemu-img convert"),
        ("vhd", "a VHD disk image", "qemu-img convert"),
        ("fixed-vhd", "a VHD disk image", "qemu-img convert"),
        ("vhdx", "a VHDX disk image", "qemu-img convert"),
        ("squashfs", "a squashfs file system", "unsquashfs"),
        ("erofs", "an EROFS file system", "fsck.erofs"),
        ("iso", "an ISO 9660 file system", "mount"),
        ("btrfs", "a Btrfs file system", "mount"),
        ("xfs", "an XFS file system", "mount"),
        ("fat", "a FAT file system", "mount"),
        ("mbr", "a partition table (MBR)", "losetup"),
        ("gpt", "a partition table (GPT)", "losetup"),
        ("cpio-newc", "a cpio archive", "cpio -idm"),
        ("cpio-crc", "a cpio archive", "cpio -idm"),
        ("cpio-odc", "a cpio archive", "cpio -idm"),
        ("cpio-bin", "a cpio archive", "cpio -idm"),
        ("zip", "a zip archive", "unzip"),
    ];
    for (name, format, command) in cases {
        let said = refusal(&home, &["rootfs", "build", name, "out/x.ext4"]);
        assert!(said.contains(format) && said.contains(command), "{name}: {said}");
        for scheme in ["docker-archive", "oci-archive"] {
            // The end of a file is looked at only where the file itself is to be built from.
            if name != "fixed-vhd" {
                let said =
                    refusal(&home, &["image", "pull", &format!("{scheme}:{name}"), "-o", "out/x.ext4"]);
                assert!(said.contains(format), "{scheme}:{name}: {said}");
            }
        }
    }
    // Also where it has to be unpacked first, or comes through a pipe.
    for (name, format) in
        [("ext4", "an ext4 file system"), ("btrfs", "a Btrfs"), ("cpio-newc", "a cpio archive")]
    {
        let plain = fs::read(home.path(name)).unwrap();
        fs::write(home.path("packed.gz"), gzip(&plain)).unwrap();
        fs::write(home.path("packed.zst"), zstd(&plain)).unwrap();
        for (packed, how) in [("packed.gz", "gzip"), ("packed.zst", "zstd")] {
            let said = refusal(&home, &["rootfs", "build", packed, "out/x.ext4"]);
            assert!(said.contains(format) && said.contains(how), "{name} {packed}: {said}");
        }
        let mut build = home.banger(["rootfs", "build", "-", "out/x.ext4"]);
        let mut cat = Command::new("cat");
        let mut cat = cat.arg(home.path(name)).stdout(std::process::Stdio::piped()).spawn().unwrap();
        build.stdin(cat.stdout.take().unwrap());
        let output = build.output().unwrap();
        // The command has the end of the pipe that `cat` waits for.
        drop(build);
        cat.wait().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(format), "{name}: {}", text(&output.stderr));
    }
    assert_eq!(home.leftovers(), [""; 0]);
}

/// Writes a docker archive of `layer` as `docker save` orders its files.
fn docker_archive(layer: &[u8], path: &Path) {
    let manifest = json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar"]}]).to_string();
    let tar = LayerBuilder::new()
        .file("c.json", r#"{"architecture": "amd64", "os": "linux"}"#)
        .dir("a")
        .file("a/layer.tar", layer)
        .file("manifest.json", manifest);
    fs::write(path, tar.finish()).unwrap();
}

#[test]
fn a_container_image_is_told_from_a_root_file_system() {
    let home = Home::new();
    let layer = LayerBuilder::new().file("etc/hostname", "vm\n").finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer.clone())).write(&home.path("layout"));
    docker_archive(&layer, &home.path("saved.tar"));
    let saved = fs::read(home.path("saved.tar")).unwrap();
    fs::write(home.path("saved.tar.gz"), gzip(&saved)).unwrap();
    require!(shell(
        &home,
        "tar",
        "tar -C layout -cf oci.tar .; mkdir saved; tar -C saved -xf saved.tar; mkdir skopeo; \
        echo 'Directory Transport Version: 1.1' >skopeo/version; echo '{}' >skopeo/manifest.json"
    ));
    for (source, command) in [
        ("layout", "`banger image pull oci:layout`"),
        ("oci.tar", "`banger image pull oci-archive:oci.tar`"),
        ("saved.tar", "`banger image pull docker-archive:saved.tar`"),
        ("saved.tar.gz", "`banger image pull docker-archive:saved.tar.gz`"),
        ("saved", "docker-archive:image.tar"),
        ("skopeo", "`skopeo copy dir:skopeo"),
    ] {
        let said = refusal(&home, &["rootfs", "build", source, "out/x.ext4"]);
        assert!(said.contains("a container image") && said.contains(command), "{source}: {said}");
    }
    // The reverse: what `docker export` writes.
    fs::write(home.path("export.tar"), &layer).unwrap();
    let said = refusal(&home, &["image", "pull", "docker-archive:export.tar", "-o", "out/x.ext4"]);
    assert!(said.contains("`banger rootfs build`"), "{said}");

    // A root file system that has files of these names, and a tar that has an image in it.
    let marked =
        LayerBuilder::new().file("etc/hostname", "vm\n").file("manifest.json", r#"["Config", "Layers"]"#);
    let disk = LayerBuilder::new().file("disk", vec![0; 510]).file("manifest.json", r#"{"name": "app"}"#);
    for tar in [marked, disk] {
        fs::write(home.path("root.tar"), tar.finish()).unwrap();
        home.run(["rootfs", "build", "root.tar", "out/x.ext4", "--force", "--size", "16M"]);
    }
}

#[test]
fn the_name_of_an_image_is_told_from_that_of_a_file() {
    let home = Home::new();
    for name in ["debian:bookworm", "debian", "ghcr.io/o/r:1", "oci:layout", "docker://debian"] {
        let said = refusal(&home, &["rootfs", "build", name, "out/x.ext4"]);
        assert!(said.contains(&format!("`banger image pull {name}`")), "{said}");
    }
    for name in ["./debian:bookworm", "/no/such/tree", "tree.tar", "out/no-such-tree"] {
        let said = refusal(&home, &["rootfs", "build", name, "out/x.ext4"]);
        assert!(said.contains("No such file") && !said.contains("image pull"), "{said}");
    }
}

/// A real tar stays a tar, whatever compresses it.
#[test]
fn a_real_root_file_system_is_none_of_these() {
    let source = require!(banger_testkit::reference_tree(Image::DebianMinbase));
    let home = Home::new();
    tools::run(require!(in_home(&home, "tar")).arg("-C").arg(source).args(["-czf", "root.tar.gz", "."]));
    home.run(["rootfs", "build", "root.tar.gz", "out/x.ext4"]);
}
