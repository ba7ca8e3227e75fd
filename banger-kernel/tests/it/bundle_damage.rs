//! Wrong bundles: every part missing, cut, or contrary to another.

use std::fs;

use banger_kernel::KernelLimits;
use banger_testkit::{Codec, Entry, KernelBuilder, LayerBuilder, kernel_module};

use crate::bundle_editor::{BundleEditor, import, whole_kernel, write};
use crate::support::{Fixture, RELEASE, kernel};

/// Layers, by the words in their media types and in the configuration.
const KINDS: [(&str, &str); 5] = [
    ("vmlinux", "vmlinux"),
    ("bzimage", "bzImage"),
    ("initrd", "initrd"),
    ("kconfig", "config"),
    ("modules", "modules"),
];

struct Damage {
    fixture: Fixture,
    good: BundleEditor,
    number: std::cell::Cell<u32>,
}

impl Damage {
    fn new() -> Self {
        let fixture = Fixture::new();
        let dir = write(&fixture, "good", &[&whole_kernel(&fixture)]);
        Self { fixture, good: BundleEditor::open(&dir), number: std::cell::Cell::default() }
    }

    /// Imports the good bundle after a change; returns code and message of the error.
    #[track_caller]
    fn fails(&self, name: &str, change: impl FnOnce(&mut BundleEditor)) -> (u32, String) {
        let mut bundle = self.good.clone();
        change(&mut bundle);
        let (layout, _) = bundle.layout();
        self.fails_in(name, &layout)
    }

    #[track_caller]
    fn fails_in(&self, name: &str, layout: &banger_testkit::LayoutBuilder) -> (u32, String) {
        self.number.set(self.number.get() + 1);
        let dir = self.fixture.path(&format!("bad-{}", self.number.get()));
        layout.write(dir.as_std_path());
        let before = fs::read_dir(self.fixture.path("")).unwrap().count();
        let failed = import(&self.fixture, &format!("oci:{dir}"), &KernelLimits::default());
        fs::remove_dir_all(&dir).unwrap();
        let Err(error) = failed else { panic!("{name} was imported") };
        // The cache and the directory of the import, at most.
        assert!(fs::read_dir(self.fixture.path("")).unwrap().count() <= before + 1, "{name}");
        let message = error.text();
        assert!(!message.contains('\n'), "{name}: {message}");
        (error.code(), message)
    }
}

#[track_caller]
fn check(name: &str, (code, message): (u32, String), want: u32, says: &str) {
    assert!(code == want && message.contains(says), "{name}: {code} {message}");
}

#[test]
fn every_layer_is_needed_whole() {
    let damage = Damage::new();
    for (kind, file) in KINDS {
        let missing = damage.fails(kind, |bundle| drop(bundle.layers.remove(bundle.at(kind))));
        check(kind, missing, 1003, &format!("the layer with {file} is missing"));
        let unlisted = damage.fails(kind, |bundle| {
            bundle.config["files"].as_array_mut().unwrap().retain(|entry| entry["file"] != file);
        });
        check(kind, unlisted, 1003, &format!("does not list {file}"));
        let twice = damage.fails(kind, |bundle| bundle.layers.push(bundle.layers[bundle.at(kind)].clone()));
        check(kind, twice, 1003, &format!("two layers with {file}"));
        let listed_twice = damage.fails(kind, |bundle| {
            let entry = bundle.entry(file).clone();
            bundle.config["files"].as_array_mut().unwrap().push(entry);
        });
        check(kind, listed_twice, 1003, &format!("lists {file} twice"));
        let digest = damage.fails(kind, |bundle| {
            bundle.entry(file)["digest"] = banger_testkit::sha256_digest(b"other").into();
        });
        check(kind, digest, 1003, &format!("its {file}: its digest is sha256:"));
        for more in [-1_i64, 1] {
            let size = damage.fails(kind, |bundle| {
                let size = bundle.entry(file)["size_bytes"].as_i64().unwrap();
                bundle.entry(file)["size_bytes"] = (size + more).into();
            });
            check(kind, size, 1003, if more < 0 { "more than the stated" } else { "bytes, not" });
        }
        // The blob itself: missing, cut, changed.
        let (mut layout, layers) = damage.good.layout();
        let digest = layers[damage.good.at(kind)]["digest"].as_str().unwrap();
        let bytes = damage.good.layers[damage.good.at(kind)].1.clone();
        layout.blob_as(digest, bytes[..bytes.len() - 1].to_vec());
        check(kind, damage.fails_in(kind, &layout), 110, digest);
        let mut changed = bytes;
        *changed.last_mut().unwrap() ^= 1;
        layout.blob_as(digest, changed);
        check(kind, damage.fails_in(kind, &layout), 110, digest);
        layout.remove_blob(digest);
        check(kind, damage.fails_in(kind, &layout), 116, digest);
    }
}

#[test]
fn a_configuration_fits_its_kernel() {
    let damage = Damage::new();
    let set = |field: &'static str, value: serde_json::Value| {
        move |bundle: &mut BundleEditor| bundle.config[field] = value
    };
    for (field, value, code, says) in [
        ("release", "6.1.0-51-test".into(), 1006, "release 6.1.0-51-test, and the kernel has 6.1.0-50-test"),
        ("release", "../6.1".into(), 1003, "a release that no kernel can have"),
        ("release", 5.into(), 1003, "cannot be read"),
        ("architecture", "arm64".into(), 121, "its configuration says linux/arm64"),
        ("architecture", "riscv64".into(), 121, "its configuration says linux/riscv64"),
        ("pvh", false.into(), 1006, "PVH entry point no, and the kernel has yes"),
        ("format", "image".into(), 1003, "it has no Image"),
        ("modules", false.into(), 1003, "says other things about modules"),
        ("version", 2.into(), 1004, "version 2"),
        ("files", "none".into(), 1003, "cannot be read"),
        ("licence", serde_json::Value::Null, 1003, "cannot be read"),
        ("source_url", "x".repeat(300 << 10).into(), 1003, "more than"),
    ] {
        check(field, damage.fails(field, set(field, value)), code, says);
    }
    // Modules of another release, and a bzImage with another kernel.
    let other = kernel_module("a", "", "6.1.0-51-test");
    let tar = LayerBuilder::new().file("kernel/a.ko", other).finish();
    let modules = damage.fails("modules", |bundle| bundle.replace("modules", "modules", &tar));
    check("modules", modules, 1006, "6.1.0-51-test");
    for (name, bytes, code, says) in [
        ("a larger kernel", kernel().filler(30_000).bz_image(Codec::Gzip), 1003, "more than the stated"),
        (
            "another kernel",
            kernel().filler(100).bz_image(Codec::Gzip),
            1006,
            "another kernel than its vmlinux",
        ),
        ("another release", KernelBuilder::new("6.2").bz_image(Codec::Gzip), 1006, "kernel"),
        ("a vmlinux", kernel().vmlinux(), 1003, "its bzImage has another format"),
        ("text", b"no kernel".to_vec(), 1004, "it is not a bzImage"),
    ] {
        let bz_image = damage.fails(name, |bundle| bundle.replace("bzimage", "bzImage", &bytes));
        check(name, bz_image, code, says);
    }
    let config = damage.fails("config", |bundle| bundle.replace("kconfig", "config", b"hello"));
    check("config", config, 1004, "not the configuration of a kernel");
    let foreign =
        damage.fails("foreign", |bundle| bundle.layers.push(("text/plain".to_owned(), b"x".to_vec())));
    check("foreign", foreign, 1004, "text/plain");
    let damaged = damage.fails("zstd", |bundle| {
        let at = bundle.at("vmlinux");
        bundle.layers[at].1 = b"\x28\xb5\x2f\xfd nonsense".to_vec();
    });
    check("zstd", damaged, 1003, "damaged");
}

#[test]
fn modules_stay_in_their_directory() {
    let damage = Damage::new();
    let tar = |entry: Entry| LayerBuilder::new().file("modules.order", "").entry(entry).finish();
    let cut = {
        let whole = tar(Entry::file("kernel/a.ko", kernel_module("a", "", RELEASE)));
        whole[..1200].to_vec()
    };
    for (name, bytes, says) in [
        ("a parent", tar(Entry::file("../evil.ko", "x")), "../evil.ko, which leads to another place"),
        ("a parent inside", tar(Entry::file("kernel/../../evil.ko", "x")), "which leads to another place"),
        ("an absolute path", tar(Entry::file("/etc/passwd", "x")), "which leads to another place"),
        ("an empty part", tar(Entry::file("kernel//a.ko", "x")), "which leads to another place"),
        ("another file", tar(Entry::file("vmlinuz", "x")), "vmlinuz, which is not a file of modules"),
        ("the sources", tar(Entry::file("build/a.ko", "x")), "which is not a file of modules"),
        ("a symlink", tar(Entry::symlink("kernel/a.ko", "/etc/passwd")), "kernel/a.ko, which is a link"),
        ("a hard link", tar(Entry::hardlink("kernel/a.ko", "modules.order")), "kernel/a.ko, which is a link"),
        ("a file twice", tar(Entry::file("modules.order", "x")), "twice"),
        ("an empty tar", Vec::new(), "the tar in it is empty"),
        ("a cut tar", cut, "damaged"),
    ] {
        let failed = damage.fails(name, |bundle| bundle.replace("modules", "modules", &bytes));
        check(name, failed, 1003, says);
    }
}

#[test]
fn sizes_are_limited() {
    let damage = Damage::new();
    for (kind, file) in KINDS {
        let huge = damage.fails(kind, |bundle| bundle.entry(file)["size_bytes"] = (1_u64 << 50).into());
        check(kind, huge, 1007, &format!("{file} in the bundle has more than"));
    }
    // A layer that unpacks to more than it says, and one that says so.
    let zeros = vec![0; 64 << 20];
    let bomb = damage.fails("bomb", |bundle| {
        let at = bundle.at("vmlinux");
        bundle.layers[at].1 = Codec::Zstd.apply(&zeros);
    });
    check("bomb", bomb, 1003, "more than the stated");
    let (layout, _) = damage.good.layout();
    layout.write(damage.fixture.path("limits").as_std_path());
    let reference = format!("oci:{}", damage.fixture.path("limits"));
    for limits in [
        KernelLimits::default().with_max_kernel_bytes(10_000),
        KernelLimits::default().with_max_content_bytes(30_000),
        KernelLimits::default().with_max_tar_bytes(30_000),
        KernelLimits::default().with_max_entries(3),
    ] {
        let error = import(&damage.fixture, &reference, &limits).unwrap_err();
        assert_eq!(error.code(), 1007, "{}", error.text());
    }
}
