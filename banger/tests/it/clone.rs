//! Clones of images: each is another machine, complete or absent.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use banger::guest::NetworkConfig;
use banger::rootfs::NewSize;
use banger::{
    Attributes, Cancellation, CloneRequest, CloneTarget, ClonedImage, Dirs, Error, Ext4Editor, HostCopy,
    Identity, ImageStore, MachineSettings, Rootfs, clone_image, parse_uuid,
};
use banger_testkit::{Access, Mounted, Skip, assert_silent, require, tools};
use banger_tree::{MemoryStore, Tree, TreeRootfs};
use camino::{Utf8Path, Utf8PathBuf};
use uuid::Uuid;

use crate::commit::{Place, tar_of};
use crate::commit_edits::path;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ user@host";
const MIB: u64 = 1 << 20;
/// What a clone may add to the blocks of its image, in units of 512 bytes.
const ADDED_BLOCKS: u64 = 256;

/// The files of a machine that ran, and their content.
const FILES: [(&str, &str); 9] = [
    ("/etc/hostname", "base\n"),
    ("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\tbase\n"),
    ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("/etc/ssh/ssh_host_ed25519_key", "secret"),
    ("/etc/ssh/ssh_host_ed25519_key.pub", "public"),
    ("/etc/ssh/sshd_config", "Port 22\n"),
    ("/etc/banger-network.conf", "address=10.0.0.2/24\nhostname=base\n"),
    ("/var/lib/systemd/random-seed", "seed"),
    ("/srv/large", "content"),
];

/// An image with these files, pulled as `base`; its `/etc/fstab` has the UUID of the file system.
fn base() -> Place {
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
    for directory in
        ["/etc", "/etc/ssh", "/root", "/srv", "/var", "/var/lib", "/var/lib/systemd", "/usr", "/usr/bin"]
    {
        rootfs.create_dir(&path(directory), &Attributes::with_mode(0o755)).unwrap();
    }
    for (file, content) in FILES {
        rootfs.write_file(&path(file), &mut content.as_bytes(), &Attributes::with_mode(0o644)).unwrap();
    }
    let place = Place::new(vec![tar_of(&rootfs)]);
    let stored = ImageStore::new(&place.dirs.state).open("base", &Cancellation::new()).unwrap();
    let mut editor = Ext4Editor::open_to_edit(&stored.path).unwrap();
    let fstab = format!("UUID={} / ext4 rw 0 1\n", Uuid::from_bytes(editor.uuid()));
    editor.write_file(&path("/etc/fstab"), &mut fstab.as_bytes(), &Attributes::with_mode(0o644)).unwrap();
    editor.commit().unwrap();
    place
}

fn to_file(place: &Place, name: &str) -> CloneRequest {
    CloneRequest::new("base", CloneTarget::File { path: place.root.join(name), replace: false })
}

fn to_image(name: &str) -> CloneRequest {
    CloneRequest::new("base", CloneTarget::Image(name.parse().unwrap()))
}

fn made(request: &CloneRequest, dirs: &Dirs) -> Result<ClonedImage, Error> {
    clone_image(request, dirs, &Cancellation::new())
}

fn text(rootfs: &dyn Rootfs, file: &str) -> String {
    String::from_utf8(rootfs.read(&path(file)).unwrap()).unwrap()
}

fn is_there(rootfs: &dyn Rootfs, file: &str) -> bool {
    rootfs.stat(&path(file)).unwrap().is_some()
}

/// Returns the names in a directory of the host.
fn names_in(directory: &Utf8Path) -> BTreeSet<String> {
    let names = fs::read_dir(directory).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_smallest_clone_has_what_was_put_into_it() {
    let place = base();
    fs::write(place.root.join("app"), vec![7; 3 << 20]).unwrap();
    let request = to_file(&place, "small.ext4")
        .with_size(Some(NewSize::Min))
        .with_copies(vec![HostCopy::new(place.root.join("app"), "/opt/app/run")]);
    let clone = made(&request, &place.dirs).unwrap();
    assert_silent(clone.path.as_std_path()).unwrap();
    assert_eq!(fs::metadata(&clone.path).unwrap().len(), clone.record.size_bytes);
    assert!(clone.record.free_bytes < 64 * 4096, "{:?}", clone.record);
    let editor = Ext4Editor::open(&clone.path).unwrap();
    assert_eq!(editor.read(&path("/opt/app/run")).unwrap(), vec![7; 3 << 20]);
}

#[test]
fn a_clone_is_another_machine() {
    let place = base();
    fs::write(place.root.join("app"), "program").unwrap();
    let settings = MachineSettings::default()
        .with_hostname(Some("vm7".to_owned()))
        .with_ssh_keys(vec![KEY.to_owned()])
        .with_env(vec![("PORT".to_owned(), "80".to_owned())]);
    let request = |request: CloneRequest| {
        request
            .with_settings(settings.clone())
            .with_size(Some(NewSize::More(64 * MIB)))
            .with_copies(vec![HostCopy::new(place.root.join("app"), "/opt/app/run")])
    };
    let file = made(&request(to_file(&place, "vm7.ext4")), &place.dirs).unwrap();
    let image = made(&request(to_image("vm7")), &place.dirs).unwrap();
    assert!(file.lease.is_none() && image.lease.is_some());
    assert_eq!((file.record.name.as_str(), image.record.name.as_str()), ("base", "vm7"));
    for clone in [&file, &image] {
        assert_silent(clone.path.as_std_path()).unwrap();
        let editor = Ext4Editor::open(&clone.path).unwrap();
        let uuid = Uuid::from_bytes(editor.uuid());
        assert_eq!(clone.record.uuid, Some(uuid));
        assert_eq!(text(&editor, "/etc/fstab"), format!("UUID={uuid} / ext4 rw 0 1\n"));
        assert_eq!(text(&editor, "/etc/hostname"), "vm7\n");
        assert_eq!(text(&editor, "/etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1\tvm7\n");
        assert_eq!(text(&editor, "/etc/banger-network.conf"), "address=10.0.0.2/24\nhostname=vm7\n");
        assert_eq!(text(&editor, "/etc/machine-id"), "");
        assert_eq!(text(&editor, "/root/.ssh/authorized_keys"), format!("{KEY}\n"));
        assert_eq!(text(&editor, "/etc/environment"), "PORT=80\n");
        assert_eq!(text(&editor, "/opt/app/run"), "program");
        assert_eq!(text(&editor, "/srv/large"), "content");
        assert!(!is_there(&editor, "/etc/ssh/ssh_host_ed25519_key"));
        assert!(!is_there(&editor, "/etc/ssh/ssh_host_ed25519_key.pub"));
        assert!(is_there(&editor, "/etc/ssh/sshd_config"));
        assert!(!is_there(&editor, "/var/lib/systemd/random-seed"));
        assert_eq!(clone.record.size_bytes, 128 * MIB);
        assert_eq!(clone.record.size_bytes, fs::metadata(&clone.path).unwrap().len());
        let report = editor.verify().unwrap();
        assert_eq!(clone.record.free_bytes, report.free_bytes);
        assert_eq!(clone.record.used_inodes, report.used_inodes);
        assert!(clone.record.config.env.contains(&"PORT=80".to_owned()));
        assert_eq!(clone.record.cloned_from.as_ref().unwrap().name.as_str(), "base");
        assert_eq!(clone.warnings.len(), 1, "no agent makes new keys: {:?}", clone.warnings);
    }
    let store = ImageStore::new(&place.dirs.state);
    assert!(store.verify("vm7", &Cancellation::new()).unwrap().is_sound());
    // The original stays as it was.
    let base = store.open("base", &Cancellation::new()).unwrap();
    assert_eq!(text(&Ext4Editor::open(&base.path).unwrap(), "/etc/hostname"), "base\n");
}

#[test]
fn a_clone_that_keeps_its_identity_is_a_copy() {
    let place = base();
    let original = ImageStore::new(&place.dirs.state).open("base", &Cancellation::new()).unwrap();
    let copy = made(&to_file(&place, "copy.ext4").with_identity(Identity::Keep), &place.dirs).unwrap();
    assert!(fs::read(&original.path).unwrap() == fs::read(&copy.path).unwrap());
    assert!(!copy.record.ran);
    // What is asked for is changed, and nothing else.
    let uuid = parse_uuid("01234567-89ab-cdef-0123-456789abcdef").unwrap();
    let network = NetworkConfig::default().with_addresses(vec!["10.0.0.9/24".parse().unwrap()]);
    let request = to_file(&place, "other.ext4")
        .with_identity(Identity::Keep)
        .with_uuid(Some(uuid))
        .with_network(Some(network));
    let other = made(&request, &place.dirs).unwrap();
    let editor = Ext4Editor::open(&other.path).unwrap();
    assert_eq!(editor.uuid(), *uuid.as_bytes());
    assert_eq!(text(&editor, "/etc/banger-network.conf"), "address=10.0.0.9/24\n");
    assert_eq!(text(&editor, "/etc/machine-id"), FILES[2].1);
    assert!(is_there(&editor, "/etc/ssh/ssh_host_ed25519_key"));
    assert!(other.record.ran, "it has more than its layers");
}

#[test]
fn a_clone_that_fails_leaves_nothing() {
    let place = base();
    let images = place.dirs.state.join("images");
    let before = (names_in(&place.root), names_in(&images));
    let named = |hostname: &str| MachineSettings::default().with_hostname(Some(hostname.to_owned()));
    let keys = |text: &str| MachineSettings::default().with_ssh_keys(vec![text.to_owned()]);
    let cases: [(&str, &dyn Fn(CloneRequest) -> CloneRequest); 6] = [
        ("hostname", &|request| request.with_settings(named("a b"))),
        ("private key", &|request| request.with_settings(keys("-----BEGIN OPENSSH PRIVATE KEY-----"))),
        ("no-such-file", &|request| {
            request.with_copies(vec![HostCopy::new(place.root.join("no-such-file"), "/srv/x")])
        }),
        ("its content needs at least", &|request| request.with_size(Some(NewSize::Bytes(MIB)))),
        ("network", &|request| {
            request.with_network(Some(NetworkConfig::default().with_interface(Some("a/b".to_owned()))))
        }),
        ("nobody", &|mut request| {
            request.image = "nobody".to_owned();
            request
        }),
    ];
    for (word, change) in cases {
        for request in [to_file(&place, "new.ext4"), to_image("new")] {
            let error = made(&change(request), &place.dirs).unwrap_err();
            assert!(error.message().contains(word), "{word}: {error}");
        }
    }
    let cancelled = Cancellation::new();
    cancelled.cancel();
    for request in [to_file(&place, "new.ext4"), to_image("new")] {
        assert!(matches!(clone_image(&request, &place.dirs, &cancelled), Err(Error::Cancelled)));
    }
    assert!(made(&to_image("base"), &place.dirs).unwrap_err().message().contains("base"));
    fs::write(place.root.join("there"), "old").unwrap();
    made(&to_file(&place, "there"), &place.dirs).unwrap_err();
    assert_eq!(fs::read_to_string(place.root.join("there")).unwrap(), "old");
    fs::remove_file(place.root.join("there")).unwrap();
    assert_eq!((names_in(&place.root), names_in(&images)), before);
}

/// A file system of the host with reflinks, unmounted at the end.
struct Reflinks {
    path: Utf8PathBuf,
}

impl Reflinks {
    fn new(place: &Place) -> Result<Self, Skip> {
        tools::root("mounting XFS")?;
        let (file, path) = (place.root.join("xfs"), place.root.join("mounted"));
        fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
        tools::run(
            tools::command("mkfs.xfs")?.args(["-q", "-m", "reflink=1", "-d", "cowextsize=1"]).arg(&file),
        );
        fs::create_dir(&path).unwrap();
        tools::try_run(Command::new("mount").args(["-t", "xfs", "-o", "loop"]).arg(&file).arg(&path))
            .map_err(|_| Skip::new("this machine cannot mount XFS"))?;
        Ok(Self { path })
    }
}

impl Drop for Reflinks {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

#[test]
fn a_hundred_clones_share_their_blocks_and_no_identity() {
    let place = base();
    let reflinks = require!(Reflinks::new(&place));
    let dirs = Dirs::new(reflinks.path.join("state"), place.dirs.cache.clone());
    fs::create_dir(&dirs.state).unwrap();
    tools::run(
        Command::new("cp")
            .args(["-a", "--sparse=always"])
            .arg(place.dirs.state.join("images"))
            .arg(&dirs.state),
    );
    let used = || {
        tools::run(Command::new("sync").arg("-f").arg(&reflinks.path));
        let stat = rustix::fs::statvfs(reflinks.path.as_std_path()).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    };
    let original = ImageStore::new(&dirs.state).open("base", &Cancellation::new()).unwrap();
    let blocks = |file: &Utf8Path| fs::metadata(file).unwrap().blocks();
    let before = used();
    let mut uuids = BTreeSet::new();
    let mut clones = Vec::new();
    for number in 0..100 {
        let clone = made(&to_image(&format!("vm{number}")), &dirs).unwrap();
        assert!(uuids.insert(Ext4Editor::open(&clone.path).unwrap().uuid()));
        // Blocks of 512 bytes. What it adds: tables of inodes and bitmaps that were holes.
        let added = blocks(&clone.path).saturating_sub(blocks(&original.path));
        assert!(added <= ADDED_BLOCKS, "{added} blocks more");
        clones.push(clone);
    }
    // Changed blocks, the record and the inodes of the host.
    let each = (used() - before) / 100;
    eprintln!("{each} bytes each");
    assert!(each < 256 << 10, "{each} bytes each");
    assert_silent(clones[7].path.as_std_path()).unwrap();
    // One kernel has both.
    let one = require!(Mounted::new(clones[0].path.as_std_path(), Access::ReadWrite));
    let two = require!(Mounted::new(clones[1].path.as_std_path(), Access::ReadWrite));
    for mounted in [&one, &two] {
        assert_eq!(fs::read_to_string(mounted.path().join("srv/large")).unwrap(), "content");
        fs::write(mounted.path().join("srv/new"), "by the kernel").unwrap();
    }
    one.unmount();
    two.unmount();
    drop(clones);
}
