//! Debian's cloud kernel, which `scripts/make-boot-tools` unpacks.

use std::fs;
use std::process::Command;

use banger_kernel::{ConfigOrigin, KernelArchitecture, KernelFormat};
use banger_testkit::{Skip, require, tools};
use camino::Utf8PathBuf;

use crate::support::Fixture;

/// Returns the directory with the unpacked kernel.
pub(crate) fn unpacked() -> Result<Utf8PathBuf, Skip> {
    let dir = tools::cache_dir().join("boot/kernel");
    match dir.join("vmlinuz").is_file() {
        true => Ok(Utf8PathBuf::from_path_buf(dir).expect("the cache has a plain name")),
        false => Err(Skip::new("no kernel in the test cache: run scripts/make-boot-tools once")),
    }
}

#[test]
fn debians_cloud_kernel() {
    let kernel = require!(unpacked());
    let fixture = Fixture::new();
    let imported = fixture.import(&kernel).unwrap();
    let (facts, files) = (&imported.kernel, &imported.kernel.files);
    assert!(facts.release.ends_with("-cloud-amd64"), "{}", facts.release);
    assert_eq!((facts.architecture, facts.format), (KernelArchitecture::Amd64, KernelFormat::Vmlinux));
    assert!(facts.has_pvh_entry);
    assert_eq!(imported.config_origin, Some(ConfigOrigin::File));
    assert!(fs::read_to_string(files.config.as_ref().unwrap()).unwrap().contains("CONFIG_EXT4_FS=y"));
    assert!(imported.modules > 500, "{}", imported.modules);
    assert_eq!(imported.warnings, [""; 0]);
    let modules = files.modules.as_ref().unwrap();
    let dependencies = fs::read_to_string(modules.join("modules.dep")).unwrap();
    assert_eq!(dependencies.lines().count() as u64, imported.modules);
    let block = dependencies.lines().find(|line| line.starts_with("kernel/drivers/block/virtio_blk.ko:"));
    let block = block.unwrap();
    assert!(block.contains("virtio_ring.ko") && block.contains("virtio/virtio.ko"), "{block}");
    same_dependencies(&facts.release, modules, &dependencies);
}

/// Compares with what depmod says of the same modules, as sets.
fn same_dependencies(release: &str, modules: &Utf8PathBuf, ours: &str) {
    let depmod = require!(tools::tool("depmod"));
    let fixture = Fixture::new();
    let base = fixture.path("lib/modules");
    fs::create_dir_all(&base).unwrap();
    tools::run(Command::new("cp").args(["-a", modules.as_str(), base.join(release).as_str()]));
    tools::run(Command::new(depmod).args(["-b", fixture.path("").as_str(), release]));
    let theirs = fs::read_to_string(base.join(release).join("modules.dep")).unwrap();
    let sets = |text: &str| {
        let mut lines: Vec<(String, Vec<String>)> = text
            .lines()
            .map(|line| {
                let (module, needs) = line.split_once(':').unwrap();
                let mut needs: Vec<String> = needs.split_whitespace().map(str::to_owned).collect();
                needs.sort();
                (module.to_owned(), needs)
            })
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sets(&theirs), sets(ours));
}

/// The script `extract-vmlinux` of the kernel's own sources finds the payload in this way.
#[test]
fn the_vmlinux_is_what_other_tools_unpack() {
    let kernel = require!(unpacked());
    let fixture = Fixture::new();
    let imported = fixture.import(&kernel.join("vmlinuz")).unwrap();
    let image = fs::read(kernel.join("vmlinuz")).unwrap();
    let u32_at = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let payload = &image[(usize::from(image[0x1f1]) + 1) * 512 + u32_at(0x248)..][..u32_at(0x24c)];
    let name = match payload {
        [0x1f, 0x8b, ..] => "gzip",
        [0xfd, b'7', b'z', ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        other => panic!("an unknown compression: {:x?}", &other[..8]),
    };
    let trailer = if name == "gzip" { 0 } else { 4 };
    let file = fixture.write("payload", &payload[..payload.len() - trailer]);
    let tool = require!(tools::tool(name));
    let file = fs::File::open(file).unwrap();
    let output = Command::new(tool).arg("-dc").stdin(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == fs::read(&imported.kernel.files.image).unwrap());
}
