//! The made images: there, readable by other tools, and with what they are for.

use std::collections::BTreeMap;

use banger_testkit::{
    Access, Ignore, Image, Mounted, Registry, TAG, assert_clean, assert_same_tree, assert_silent,
    debian_layers, reference_tree, require, snapshot, third_party, tools,
};
use banger_tree::FileType;
use serde_json::Value;

#[test]
fn every_image_can_be_pushed_as_it_is() {
    let registry = require!(Registry::start());
    for image in Image::ALL {
        let layout = require!(image.layout());
        require!(registry.push(&layout, TAG, image.name(), "1"));
        let index: Value =
            serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        assert!(registry.blob_path(digest).is_file(), "{}", image.name());
    }
}

#[test]
fn twins_differ_in_compression_only() {
    let layers = |image: Image| -> Result<(Vec<Value>, Value), banger_testkit::Skip> {
        let layout = image.layout()?;
        let json = |path: &str| -> Value {
            serde_json::from_slice(&std::fs::read(layout.join(path)).unwrap()).unwrap()
        };
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
            json(&format!("blobs/{digest}"))
        };
        let manifest = blob(&json("index.json")["manifests"][0]);
        let diff_ids = blob(&manifest["config"])["rootfs"]["diff_ids"].clone();
        Ok((manifest["layers"].as_array().unwrap().clone(), diff_ids))
    };
    for image in Image::ALL {
        let (found, diff_ids) = require!(layers(image));
        let (twins, twin_diff_ids) = require!(layers(image.gzip_twin()));
        assert_eq!(diff_ids, twin_diff_ids);
        let suffix = if image == image.gzip_twin() { "+gzip" } else { "+zstd" };
        for layer in &found {
            let media_type = layer["mediaType"].as_str().unwrap();
            assert!(media_type.ends_with(suffix), "{}: {media_type}", image.name());
        }
        let expected = match image.gzip_twin() {
            Image::DebianMinbase => 1,
            Image::DebianSystemd => 2,
            _ => 8,
        };
        assert_eq!((found.len(), twins.len()), (expected, expected));
    }
}

#[test]
fn debian_layers_has_what_it_promises() {
    require!(debian_layers());
    let tree = snapshot(&require!(reference_tree(Image::DebianLayers)));
    let entry = |path: &str| &tree[path.as_bytes()];
    // Hidden by whiteouts and opaque markers, and what stands in their place.
    for gone in [
        "srv/gone",
        "srv/app/cache",
        "srv/recreated/old",
        "srv/opaque/hidden",
        "srv/opaque/sub",
        "odd/links/two",
        "odd/links/below/three",
        "usr/share/doc",
        "usr/local/bin/elevated",
    ] {
        assert!(!tree.contains_key(gone.as_bytes()), "{gone}");
    }
    for kept in ["srv/recreated/new", "srv/opaque/a-before", "srv/opaque/after", "srv/app/kept"] {
        assert_eq!(entry(kept).kind, FileType::Regular, "{kept}");
    }
    assert_eq!(entry("lib").kind, FileType::Symlink);
    assert_eq!(entry("usr/lib/banger/conf").kind, FileType::Regular);
    assert_eq!(entry("srv/kept-by-link").first_name.as_deref(), Some(&b"srv/app/kept"[..]));
    assert_eq!(entry("odd/links/dangling-again").links, 2);
    assert_eq!(entry("odd/devices/large").device, Some((300, 70_000)));
    assert_eq!(entry("odd/times/before-1970").mtime, (-310_478_400, 123_456_789));
    assert_eq!(entry("odd/owners/4294967294").uid, 4_294_967_294);
    assert_eq!(entry("odd/modes/7777").mode, 0o7777);
    assert!(tree.contains_key(&b"odd/names/caf\xe9"[..]));
    let mut namespaces = BTreeMap::new();
    for name in tree.values().flat_map(|entry| entry.xattrs.keys()) {
        *namespaces.entry(String::from_utf8_lossy(name).into_owned()).or_insert(0) += 1;
    }
    for name in [
        "security.capability",
        "system.posix_acl_access",
        "system.posix_acl_default",
        "trusted.banger",
        "trusted.on.symlink",
        "user.bytes",
        "user.origin",
    ] {
        assert!(namespaces.contains_key(name), "{name}: {namespaces:?}");
    }
}

#[test]
fn third_party_images_can_be_pushed() {
    let registry = require!(Registry::start());
    for (file, tag) in [("busybox.oci.tar", "1.38"), ("alpine-3.20.oci.tar", "3.20")] {
        let path = require!(third_party(file));
        let source = format!("oci-archive:{}:{tag}", path.display());
        require!(registry.push_from(&source, "third/party", tag));
        let mut skopeo = require!(tools::command("skopeo"));
        skopeo
            .args(["inspect", "--tls-verify=false", "--no-creds"])
            .arg(format!("docker://{}", registry.reference("third/party", tag)));
        tools::run(&mut skopeo);
    }
}

#[test]
fn the_judges_accept_what_mkfs_makes_of_a_real_tree() {
    let tree = require!(reference_tree(Image::DebianMinbase));
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image.ext4");
    let mut mkfs = require!(tools::command("mkfs.ext4"));
    mkfs.arg("-q").arg("-d").arg(&tree).arg(&image).arg("512M");
    tools::run(&mut mkfs);
    require!(assert_silent(&image));
    let mounted = require!(Mounted::new(&image, Access::ReadOnly));
    assert_same_tree(&snapshot(&tree), &snapshot(mounted.path()), Ignore::MKFS);
    mounted.unmount();
    // mkfs leaves large directories without an index; once they have it, nothing
    // is left to change.
    let mut rehash = require!(tools::command("e2fsck"));
    rehash.arg("-fyD").arg(&image);
    let status = rehash.output().unwrap().status;
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    require!(assert_clean(&image));
}
