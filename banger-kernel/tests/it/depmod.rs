//! The files that depmod makes, compared with those of the real one.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use banger_kernel::{KernelError, ModuleSet};
use banger_testkit::{Codec, Skip, kernel_module, require, tools};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};

use crate::real::unpacked;
use crate::support::{Fixture, RELEASE};

fn read(directory: &Utf8Path) -> Result<ModuleSet, KernelError> {
    ModuleSet::read(directory, &Cancellation::new())
}

/// Writes the files of a set as they are in a root file system; returns its root.
fn install(fixture: &Fixture, source: &Utf8Path, set: &ModuleSet, release: &str) -> Utf8PathBuf {
    let base = fixture.path("root/lib/modules").join(release);
    for path in &set.files {
        let place = base.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(source.join(path), place).unwrap();
    }
    for (name, bytes) in &set.indexes {
        fs::write(base.join(name), bytes).unwrap();
    }
    fixture.path("root")
}

/// What the real depmod makes of the same modules.
fn depmod(fixture: &Fixture, source: &Utf8Path, release: &str) -> Result<BTreeMap<String, Vec<u8>>, Skip> {
    let depmod = tools::tool("depmod")?;
    let base = fixture.path("depmod/lib/modules");
    fs::create_dir_all(&base).unwrap();
    let base = base.join(release);
    tools::run(Command::new("cp").args(["-a", source.as_str(), base.as_str()]));
    tools::run(Command::new(depmod).args(["-b", fixture.path("depmod").as_str(), release]));
    let files = fs::read_dir(&base).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    Ok(files
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect())
}

/// The keys of an index with their priorities and values, in order.
///
/// Versions of depmod put the nodes into different orders, which mean the same.
fn entries(index: &[u8]) -> Vec<(String, u32, String)> {
    fn text(index: &[u8], at: &mut usize) -> String {
        let length = index[*at..].iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(index[*at..*at + length].to_vec()).unwrap();
        *at += length + 1;
        text
    }
    fn number(index: &[u8], at: &mut usize) -> u32 {
        *at += 4;
        u32::from_be_bytes(index[*at - 4..*at].try_into().unwrap())
    }
    fn node(index: &[u8], place: u32, mut key: String, found: &mut Vec<(String, u32, String)>) {
        let mut at = usize::try_from(place & 0x0fff_ffff).unwrap();
        if place & 0x8000_0000 != 0 {
            key += &text(index, &mut at);
        }
        let mut children = Vec::new();
        if place & 0x2000_0000 != 0 {
            let (first, last) = (index[at], index[at + 1]);
            at += 2;
            children.extend((first..=last).map(|byte| (char::from(byte), number(index, &mut at))));
        }
        if place & 0x4000_0000 != 0 {
            for _ in 0..number(index, &mut at) {
                let priority = number(index, &mut at);
                found.push((key.clone(), priority, text(index, &mut at)));
            }
        }
        for (byte, place) in children.into_iter().filter(|(_, place)| *place != 0) {
            node(index, place, format!("{key}{byte}"), found);
        }
    }
    assert_eq!(index[..8], *b"\xb0\x07\xf4\x57\0\x02\0\x01");
    let mut found = Vec::new();
    node(index, number(index, &mut 8), String::new(), &mut found);
    found
}

/// Compares all indexes that both have. The order of lines is free in one of them.
#[track_caller]
fn assert_same_indexes(ours: &ModuleSet, theirs: &BTreeMap<String, Vec<u8>>) {
    let lines = |bytes: &[u8]| {
        let mut lines: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut compared = 0;
    for (name, bytes) in &ours.indexes {
        // Older ones do not make it.
        let Some(want) = theirs.get(*name) else {
            assert_eq!(*name, "modules.weakdep");
            continue;
        };
        compared += 1;
        match name.ends_with(".bin") {
            true => {
                assert_eq!(bytes.len(), want.len(), "{name}");
                assert_eq!(entries(bytes), entries(want), "{name}");
            }
            false if *name == "modules.symbols" => assert_eq!(lines(bytes), lines(want)),
            false => assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(want), "{name}"),
        }
    }
    assert!(compared >= 10, "{compared}");
}

fn modprobe(root: &Utf8Path, release: &str, name: &str) -> Result<String, Skip> {
    let modprobe = tools::tool("modprobe")?;
    let output = Command::new(modprobe)
        .args(["-d", root.as_str(), "-S", release, "--show-depends", name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout).unwrap().replace(&format!("{root}/lib/modules/{release}/"), ""))
}

#[test]
fn indexes_of_debians_cloud_kernel() {
    let kernel = require!(unpacked());
    let fixture = Fixture::new();
    let imported = fixture.import(&kernel).unwrap().kernel;
    let modules = imported.files.modules.unwrap();
    let set = read(&modules).unwrap();
    assert!(set.has("virtio_blk") && set.has("vmw_vsock_virtio_transport") && !set.has("ext4x"));
    let theirs = require!(depmod(&fixture, &modules, &imported.release));
    assert_same_indexes(&set, &theirs);
    let root = install(&fixture, &modules, &set, &imported.release);
    let depends = require!(modprobe(&root, &imported.release, "virtio_blk"));
    assert_eq!(
        depends,
        "insmod kernel/drivers/virtio/virtio.ko \ninsmod kernel/drivers/virtio/virtio_ring.ko \n\
         insmod kernel/drivers/block/virtio_blk.ko \n"
    );
    // By an alias, through `modules.alias.bin`; and one that is built in.
    let by_alias = require!(modprobe(&root, &imported.release, "virtio:d00000002v00001AF4"));
    assert_eq!(by_alias, depends);
    assert_eq!(require!(modprobe(&root, &imported.release, "fs-ext4")), "builtin ext4\n");
}

#[test]
fn indexes_of_made_up_modules() {
    let fixture = Fixture::new();
    let dir = fixture.path("modules");
    let module = |name: &str, depends: &str| kernel_module(name, depends, RELEASE);
    fixture.write("modules/kernel/a.ko", module("a", "b-c"));
    fixture.write("modules/kernel/b-c.ko.xz", Codec::Xz.apply(&module("b_c", "d")));
    fixture.write("modules/kernel/d.ko.zst", Codec::Zstd.apply(&module("d", "missing")));
    fixture.write("modules/updates/d.ko", module("d", ""));
    fixture.write("modules/modules.order", "kernel/b-c.ko\nkernel/a.ko\nkernel/gone.ko\n");
    fixture.write("modules/modules.builtin", "kernel/fs/ext4/ext4.ko\n");
    fixture.write("modules/modules.builtin.modinfo", "ext4.license=GPL\0ext4.alias=fs-ext4\0");
    fixture.write("modules/modules.dep", "of another machine\n");
    let set = read(&dir).unwrap();
    assert_eq!(set.names, ["a", "b_c", "d"]);
    let files: Vec<&str> = set.files.iter().map(|path| path.as_str()).collect();
    assert_eq!(
        files,
        [
            "kernel/a.ko",
            "kernel/b-c.ko.xz",
            "kernel/d.ko.zst",
            "modules.builtin",
            "modules.builtin.modinfo",
            "modules.order",
            "updates/d.ko",
        ]
    );
    let index = |name: &str| &set.indexes.iter().find(|(other, _)| *other == name).unwrap().1;
    assert_eq!(
        String::from_utf8_lossy(index("modules.dep")),
        "kernel/b-c.ko.xz: updates/d.ko\nkernel/a.ko: kernel/b-c.ko.xz updates/d.ko\nupdates/d.ko:\n"
    );
    assert_eq!(read(&dir).unwrap(), set, "the same modules make the same bytes");
    let root = install(&fixture, &dir, &set, RELEASE);
    let shown = require!(modprobe(&root, RELEASE, "a"));
    assert_eq!(shown, "insmod updates/d.ko \ninsmod kernel/b-c.ko.xz \ninsmod kernel/a.ko \n");
    assert_eq!(require!(modprobe(&root, RELEASE, "fs-ext4")), "builtin ext4\n");
}

#[test]
fn damaged_modules_and_stops() {
    let fixture = Fixture::new();
    fixture.write("modules/kernel/a.ko", "not a module");
    let error = read(&fixture.path("modules")).unwrap_err();
    assert_eq!(error.to_string(), "kernel/a.ko is damaged: it is not a kernel module");
    let stopped = Cancellation::new();
    stopped.cancel();
    let error = ModuleSet::read(&fixture.path("modules"), &stopped).unwrap_err();
    assert!(matches!(error, KernelError::Cancelled), "{error}");
    // No byte of a module makes the parser panic.
    let whole = kernel_module("a", "b", RELEASE);
    for at in 0..whole.len().min(64) {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        fixture.write("modules/kernel/a.ko", changed);
        let _ = read(&fixture.path("modules"));
    }
}
