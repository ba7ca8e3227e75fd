//! Bundles: a kernel comes out of one as it went in.

use std::collections::BTreeMap;
use std::fs;

use banger_kernel::{
    BundleFacts, BundledKernel, ConfigOrigin, Kernel, KernelArchitecture, KernelLimits, write_bundle,
};
use banger_testkit::{Compression, ImageBuilder, LayerBuilder, LayoutBuilder};
use banger_tree::Cancellation;
use camino::Utf8Path;

use crate::bundle_editor::{BundleEditor, import, pull, whole_kernel, write};
use crate::support::{Fixture, RELEASE, files, kernel};

/// The bytes of all files below a directory.
fn contents(dir: &Utf8Path) -> BTreeMap<String, Vec<u8>> {
    files(dir).into_iter().map(|name| (name.clone(), fs::read(dir.join(&name)).unwrap())).collect()
}

#[track_caller]
fn assert_same(kernel: &Kernel, other: &Kernel) {
    let facts =
        |kernel: &Kernel| (kernel.release.clone(), kernel.architecture, kernel.format, kernel.has_pvh_entry);
    assert_eq!(facts(kernel), facts(other));
    let (a, b) = (&kernel.files, &other.files);
    for (a, b) in [
        (Some(&a.image), Some(&b.image)),
        (a.bz_image.as_ref(), b.bz_image.as_ref()),
        (a.initrd.as_ref(), b.initrd.as_ref()),
        (a.config.as_ref(), b.config.as_ref()),
    ] {
        assert_eq!(a.map(|path| fs::read(path).unwrap()), b.map(|path| fs::read(path).unwrap()));
    }
    let modules = |kernel: &Kernel| kernel.files.modules.as_deref().map(contents);
    assert_eq!(modules(kernel), modules(other));
}

#[test]
fn a_kernel_comes_out_as_it_went_in() {
    let fixture = Fixture::new();
    let whole = whole_kernel(&fixture);
    let image = fixture.write("Image", kernel().arm64_image());
    let bare = fixture.import(&image).unwrap().kernel;
    let mut plain = whole.clone();
    plain.files.bz_image = None;
    for (name, kernel) in [("whole", &whole), ("plain", &plain)] {
        write(&fixture, name, &[kernel]);
        let imported =
            import(&fixture, &format!("oci:{}:latest", fixture.path(name)), &KernelLimits::default())
                .unwrap();
        assert_same(kernel, &imported.kernel);
        assert_eq!(imported.config_origin, Some(ConfigOrigin::File));
        assert_eq!((imported.modules, imported.made_dependencies), (3, false));
        let facts = imported.bundle.unwrap();
        assert_eq!(facts.licence, "GPL-2.0-only");
        assert_eq!(facts.source_url.as_deref(), Some("https://example.org/linux"));
        assert_eq!(facts.source_commit.as_deref(), Some("0123abc"));
        let scratch = imported.kernel.files.image.parent().unwrap().join("scratch");
        assert!(!scratch.exists());
    }
    // One for another processor, alone in its bundle.
    write(&fixture, "arm64", &[&bare]);
    let error = pull(&fixture, &format!("oci:{}", fixture.path("arm64"))).unwrap_err();
    assert_eq!(error.code(), 102, "{}", error.text());
}

#[test]
fn an_index_has_one_kernel_for_each_architecture() {
    let fixture = Fixture::new();
    let amd64 = whole_kernel(&fixture);
    let image = fixture.write("Image", kernel().arm64_image());
    let arm64 = fixture.import(&image).unwrap().kernel;
    let both = write(&fixture, "both", &[&arm64, &amd64]);
    let other_way = write(&fixture, "other-way", &[&amd64, &arm64]);
    assert_eq!(contents(&both), contents(&other_way), "the order does not matter");
    let imported = import(&fixture, &format!("oci:{both}"), &KernelLimits::default()).unwrap();
    assert_same(&amd64, &imported.kernel);
    let config = BundleEditor::open(&both).config;
    assert_eq!(
        config["command_lines"]["firecracker"],
        "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw"
    );
    assert_eq!(config["command_lines"].as_object().unwrap().len(), 4, "vz starts arm64 only");

    let dir = fixture.path("twice");
    fs::create_dir(&dir).unwrap();
    let twice = [&amd64, &amd64].map(|kernel| BundledKernel::new(kernel, BundleFacts::default()));
    let error = write_bundle(&twice, "latest", &dir, &Cancellation::new()).unwrap_err();
    assert_eq!(error.code(), 1006, "{error}");
    assert!(error.to_string().contains(KernelArchitecture::Amd64.name()), "{error}");
}

#[test]
fn the_same_kernel_gives_the_same_bytes() {
    let fixture = Fixture::new();
    let kernel = whole_kernel(&fixture);
    let first = write(&fixture, "first", &[&kernel]);
    // Times, modes and the order of a directory do not matter.
    let modules = kernel.files.modules.as_ref().unwrap();
    let copy = fixture.path("copy");
    for (name, content) in contents(modules).into_iter().rev() {
        fixture.write(&format!("copy/{name}"), content);
    }
    let mut again = kernel.clone();
    again.files.modules = Some(copy);
    let second = write(&fixture, "second", &[&again]);
    assert_eq!(contents(&first), contents(&second));
    // Another source gives another manifest, and the same layers.
    let dir = fixture.path("third");
    fs::create_dir(&dir).unwrap();
    let bundled = [BundledKernel::new(&kernel, BundleFacts::default().with_licence("MIT"))];
    write_bundle(&bundled, "latest", &dir, &Cancellation::new()).unwrap();
    assert_eq!(BundleEditor::open(&first).layers, BundleEditor::open(&dir).layers);
    assert_ne!(contents(&first), contents(&dir));
}

#[test]
fn layers_may_be_compressed_otherwise_and_stand_in_any_order() {
    let fixture = Fixture::new();
    let kernel = whole_kernel(&fixture);
    let good = BundleEditor::open(&write(&fixture, "good", &[&kernel]));
    let mut other = good.clone();
    for kind in ["vmlinux", "modules"] {
        let (at, plain) = (other.at(kind), other.plain(kind));
        let (media_type, bytes) = &mut other.layers[at];
        *media_type = media_type.replace("+zstd", if kind == "vmlinux" { "+gzip" } else { "" });
        *bytes = if kind == "vmlinux" { banger_testkit::gzip(&plain) } else { plain };
    }
    other.layers.reverse();
    other.config["files"].as_array_mut().unwrap().rotate_left(2);
    other.config["later"] = "a field of a later version".into();
    let (layout, _) = other.layout();
    layout.write(fixture.path("other").as_std_path());
    let archive = fixture.write("other.tar.zst", Compression::Zstd.apply(&layout.archive()));
    for reference in [format!("oci:{}:latest", fixture.path("other")), format!("oci-archive:{archive}")] {
        let imported = import(&fixture, &reference, &KernelLimits::default()).unwrap();
        assert_same(&kernel, &imported.kernel);
    }
}

#[test]
fn images_and_other_artifacts_are_not_bundles() {
    let fixture = Fixture::new();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", "1").finish());
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image, "image");
    layout.add_tagged(&image.clone().manifest("artifactType", "application/vnd.example.v1"), "other");
    layout.write(fixture.path("layout").as_std_path());
    for tag in ["image", "other"] {
        let error = pull(&fixture, &format!("oci:{}:{tag}", fixture.path("layout"))).unwrap_err();
        assert_eq!(error.text(), "no bundle", "{tag}");
    }
    // A bundle beside an image under one index.
    let bundle = BundleEditor::open(&write(&fixture, "bundle", &[&whole_kernel(&fixture)]));
    let (mut layout, _) = bundle.layout();
    let top: serde_json::Value = serde_json::from_slice(&layout.files()["index.json"]).unwrap();
    let bundle = top["manifests"][0].clone();
    let image = layout.add(&image);
    let mixed = layout.index(banger_testkit::OCI_INDEX, &[image, bundle]);
    layout.tag(mixed, "mixed");
    layout.write(fixture.path("mixed").as_std_path());
    let reference = format!("oci:{}:mixed", fixture.path("mixed"));
    let imported = import(&fixture, &reference, &KernelLimits::default()).unwrap();
    assert_eq!(imported.kernel.release, RELEASE);
}
