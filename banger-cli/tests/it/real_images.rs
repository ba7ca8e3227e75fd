//! Real images out of a real registry, compared with what umoci makes of them.

use banger_testkit::{Image, Registry, TAG, reference_tree, require, third_party, tools, umoci_unpack};

use crate::support::{BACKENDS, Home, assert_image};

fn pulls_like_umoci_unpacks(image: Image) {
    let layout = require!(image.layout());
    let registry = require!(Registry::start());
    require!(registry.push(&layout, TAG, image.name(), "1"));
    let expected = require!(reference_tree(image));
    for backend in BACKENDS {
        let home = Home::new();
        let file = home.path("out/rootfs.ext4");
        let reference = registry.reference(image.name(), "1");
        let file_name = file.to_str().unwrap();
        home.run(["image", "pull", &reference, "--no-inject", "--backend", backend, "--output", file_name]);
        require!(assert_image(&file, &expected));
        assert_eq!(home.leftovers(), ["out/rootfs.ext4"], "{backend}");
    }
}

macro_rules! images {
    ($($test:ident => $image:ident,)*) => {$(
        #[test]
        fn $test() {
            pulls_like_umoci_unpacks(Image::$image);
        }
    )*};
}

images! {
    debian_minbase => DebianMinbase,
    debian_minbase_zstd => DebianMinbaseZstd,
    debian_systemd => DebianSystemd,
    debian_systemd_zstd => DebianSystemdZstd,
    debian_layers => DebianLayers,
    debian_layers_zstd => DebianLayersZstd,
}

/// Images that other people's tools made, from archives.
#[test]
fn third_party_archives() {
    for (file, transport, tag) in [
        ("busybox.oci.tar", "oci-archive", "1.38"),
        ("alpine-3.20.oci.tar", "oci-archive", "3.20"),
        ("alpine-3.11.docker.tar.gz", "docker-archive", ""),
    ] {
        let archive = require!(third_party(file));
        let home = Home::new();
        let mut source = format!("{transport}:{}", archive.display());
        if !tag.is_empty() {
            source = format!("{source}:{tag}");
        }
        let layout = home.path("layout");
        // Debian's skopeo does not read compressed archives.
        let mut plain = source.clone();
        if file.ends_with(".gz") {
            let tar = home.path("plain.tar");
            let unpacked = tools::run(require!(tools::command("gzip")).arg("-dc").arg(&archive));
            std::fs::write(&tar, unpacked.stdout).unwrap();
            plain = format!("{transport}:{}", tar.display());
        }
        let mut skopeo = require!(tools::command("skopeo"));
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--override-arch=amd64", "--override-os=linux"]);
        tools::run(skopeo.arg(&plain).arg(format!("oci:{}:x", layout.display())));
        let expected = require!(umoci_unpack(&layout, "x"));
        for backend in BACKENDS {
            let out = home.path(&format!("out/{backend}.ext4"));
            let out_name = out.to_str().unwrap();
            let platform = "linux/amd64";
            home.run([
                "image",
                "pull",
                &source,
                "--no-inject",
                "--platform",
                platform,
                "--backend",
                backend,
                "--output",
                out_name,
            ]);
            require!(assert_image(&out, &expected.path()));
        }
    }
}
