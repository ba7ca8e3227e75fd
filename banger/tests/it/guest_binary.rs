//! Guest binaries that the caller has in memory.

use std::fs;

use banger::{
    Cancellation, Dirs, Error, ErrorKind, EventHandler, GuestBinary, GuestOptions, GuestPath, InitMode,
    InjectRequest, PullRequest, PulledFile, Rootfs as _,
};
use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
use camino::Utf8Path;

/// The place of the binary in a guest.
const AGENT: &str = "/usr/local/bin/banger-vsock-agent";

/// The header of a static executable for amd64, and `rest`.
fn elf(rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    [&bytes, rest].concat()
}

fn agent_in(image: &Utf8Path) -> Vec<u8> {
    banger::rootfs::open(image).unwrap().read(&GuestPath::parse(AGENT).unwrap()).unwrap()
}

#[test]
fn a_binary_in_memory_is_as_good_as_one_in_a_directory_and_part_of_the_build() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap();
    let layer = LayerBuilder::new().dir("etc").dir("sbin").file("etc/hostname", "vm\n").finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(path.join("layout").as_std_path());
    let dirs = Dirs::new(path.join("state"), path.join("cache"));
    let mut request = PullRequest::new(format!("oci:{path}/layout").parse().unwrap());
    request.pull.platform = Some("linux/amd64".parse().unwrap());
    let pull = |guest: GuestOptions| -> Result<PulledFile, Error> {
        let request = request.clone().with_guest(guest);
        banger::pull(&request, &dirs, &EventHandler::none(), &Cancellation::new())
    };
    let in_memory = |bytes: Vec<u8>| {
        GuestOptions::default().with_init(InitMode::Banger).with_binary(GuestBinary::new(bytes))
    };

    let first = pull(in_memory(elf(b"one"))).unwrap();
    assert!(!first.unchanged);
    assert_eq!(agent_in(&first.path), elf(b"one"));
    assert!(pull(in_memory(elf(b"one"))).unwrap().unchanged, "the same bytes");
    fs::create_dir(path.join("guests")).unwrap();
    fs::write(path.join("guests/banger-guest-amd64"), elf(b"one")).unwrap();
    let in_dir = GuestOptions::default().with_init(InitMode::Banger).with_dir(path.join("guests"));
    assert!(pull(in_dir).unwrap().unchanged, "the same bytes, in a file");
    let second = pull(in_memory(elf(b"two"))).unwrap();
    assert!(!second.unchanged);
    assert_ne!(second.record.build.guest, first.record.build.guest);
    assert_eq!(agent_in(&second.path), elf(b"two"));

    let mut foreign = elf(b"");
    foreign[18] = 183;
    let error = pull(in_memory(foreign)).unwrap_err();
    assert_eq!((error.code(), error.kind()), (812, ErrorKind::Unsupported));
    assert!(error.message().contains("it is for another processor"), "{error}");

    let file = path.join("file.ext4");
    fs::copy(&first.path, &file).unwrap();
    let inject =
        InjectRequest::default().with_architecture("amd64".to_owned()).with_guest(in_memory(elf(b"three")));
    banger::inject_file(&file, &inject, &Cancellation::new()).unwrap();
    assert_eq!(agent_in(&file), elf(b"three"));
}
