//! Files that the commands write on the host: their modes, their places, and what is left of them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_testkit::{
    ImageBuilder, LayerBuilder, LayoutBuilder, assert_clean, first_difference, require, tools,
};

use crate::support::{BACKENDS, Home, send_signal, text};

const SIZE: [&str; 2] = ["--size", "32M"];

/// A home with a tree, its tar, a layout, and the managed image `app`.
fn home_with_image() -> Home {
    let home = Home::new();
    fs::create_dir_all(home.path("tree/etc")).unwrap();
    fs::write(home.path("tree/etc/hostname"), "vm\n").unwrap();
    let layer = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").finish();
    fs::write(home.path("tree.tar"), &layer).unwrap();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&home.path("layout"));
    home.run(["image", "pull", "oci:layout", "--name", "app", "--no-inject", "--size", "32M"]);
    home
}

/// The command under a umask.
fn under_umask(home: &Home, umask: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    home.environment(&mut command);
    command.args(["-c", "umask $0; exec \"$@\"", umask, env!("CARGO_BIN_EXE_banger")]).args(arguments);
    command
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn outputs_are_never_more_open_than_umask_source_and_replaced_file() {
    let home = home_with_image();
    let file = home.path("out/x.ext4");
    let image = home.json(&["image", "show", "app"])["path"].as_str().unwrap().to_owned();
    let build = &["rootfs", "build", "tree", "out/x.ext4"][..];
    let tar = &["rootfs", "build", "tree.tar", "out/x.ext4"][..];
    let pull = &["image", "pull", "oci:layout", "-o", "out/x.ext4", "--no-inject"][..];
    let export = &["image", "export", "app", "out/x.ext4"][..];
    // Command, umask, mode of its source, mode of the replaced file, mode that comes out.
    let cases = [
        (build, "022", 0o755, None, 0o644),
        (build, "002", 0o775, None, 0o664),
        (build, "077", 0o755, None, 0o600),
        (build, "022", 0o700, None, 0o600),
        (build, "022", 0o750, None, 0o640),
        (build, "022", 0o755, Some(0o600), 0o600),
        (build, "022", 0o755, Some(0o640), 0o640),
        (build, "077", 0o755, Some(0o644), 0o644),
        (build, "022", 0o700, Some(0o644), 0o600),
        (tar, "022", 0o644, None, 0o644),
        (tar, "022", 0o600, None, 0o600),
        (tar, "022", 0o444, None, 0o644),
        (pull, "022", 0o755, None, 0o644),
        (pull, "022", 0o700, None, 0o600),
        (pull, "022", 0o755, Some(0o600), 0o600),
        (export, "022", 0o600, None, 0o600),
        (export, "022", 0o600, Some(0o644), 0o600),
        (export, "022", 0o644, None, 0o644),
        (export, "022", 0o644, Some(0o600), 0o600),
    ];
    for (command, umask, source_mode, replaced, want) in cases {
        let source = match command[1] {
            "build" => home.path(command[2]),
            "pull" => home.path("layout"),
            _ => image.clone().into(),
        };
        set_mode(&source, source_mode);
        let _ = fs::remove_file(&file);
        if let Some(replaced) = replaced {
            fs::write(&file, "old").unwrap();
            set_mode(&file, replaced);
        }
        let sized: &[&str] = if command[1] == "export" { &[] } else { &SIZE };
        let arguments = [command, sized, &["--force"]].concat();
        tools::run(&mut under_umask(&home, umask, &arguments));
        assert_eq!(mode(&file), want, "{command:?} {umask} {source_mode:o} {replaced:?}");
    }
}

#[test]
fn managed_images_are_their_users_alone() {
    for backend in BACKENDS {
        let home = home_with_image();
        let pull = ["image", "pull", "oci:layout", "--name", "second", "--no-inject", "--backend", backend];
        tools::run(&mut under_umask(&home, "000", &[&pull[..], &SIZE].concat()));
        tools::run(&mut under_umask(&home, "000", &["image", "clone", "second", "copy"]));
        tools::run(&mut under_umask(&home, "000", &["image", "rename", "copy", "renamed"]));
        for name in ["second", "renamed"] {
            let path = home.json(&["image", "show", name])["path"].as_str().unwrap().to_owned();
            let path = Path::new(&path);
            let directory = path.parent().unwrap();
            let found = [path, &directory.join("image.json"), directory].map(mode);
            assert_eq!(found, [0o600, 0o600, 0o700], "{backend} {name}");
        }
        let (state, images) = (home.path("state/banger"), home.path("state/banger/images"));
        assert_eq!([mode(&state), mode(&images)], [0o700; 2]);
        // As an older version left it.
        set_mode(&images, 0o755);
        home.run(["image", "clone", "second", "third"]);
        assert_eq!(mode(&images), 0o700);
    }
}

#[test]
fn no_way_leads_into_the_directories_of_devices_and_the_kernel() {
    let home = home_with_image();
    let links = [
        ("out/devices", "/dev"),
        ("out/stream", "/dev/stdout"),
        ("out/twice", "stream"),
        ("out/dangling", "/dev/banger-test"),
        ("out/self", "/proc/self/fd"),
        ("out/kernel", "/sys"),
    ];
    for (link, target) in links {
        symlink(target, home.path(link)).unwrap();
    }
    let before = home.leftovers();
    let stdout_link = fs::read_link("/dev/stdout").unwrap();
    let up = "../".repeat(20);
    for target in [
        "/dev/stdout",
        "/dev/fd/1",
        "/proc/self/fd/1",
        "/dev/banger-test",
        "out/devices/banger-test",
        "out/devices/stdout",
        "out/stream",
        "out/twice",
        "out/dangling",
        "out/self/1",
        "out/kernel/banger-test",
        &format!("{up}dev/banger-test"),
        &format!("out/{up}dev/stdout"),
    ] {
        for command in [
            &["rootfs", "build", "tree", target, "--force"][..],
            &["image", "export", "app", target, "--force"],
            &["image", "pull", "oci:layout", "--output", target, "--force"],
            &["guest", "cp", "--socket", "unix:none", ":/etc/motd", target],
            &["man", target],
        ] {
            // Standard output is a file, which a rename could replace.
            let output = fs::File::create(home.path("stdout")).unwrap();
            let output = home.banger(command).stdout(output).output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
            assert!(stderr.contains("leads into /"), "{command:?}: {stderr}");
        }
    }
    assert_eq!(fs::read_link("/dev/stdout").unwrap(), stdout_link);
    assert!(!Path::new("/dev/banger-test").exists());
    assert_eq!(home.leftovers(), before);
}

#[test]
fn of_two_runs_one_wins_and_the_file_is_whole() {
    let home = home_with_image();
    let file = home.path("out/x.ext4");
    let build = &["rootfs", "build", "tree", "out/x.ext4", "--size", "32M"][..];
    let export = &["image", "export", "app", "out/x.ext4"][..];
    for force in [&[][..], &["--force"]] {
        let _ = fs::remove_file(&file);
        let runs: Vec<_> = [build, export, build, export]
            .iter()
            .map(|arguments| {
                let mut command = home.banger([arguments, force].concat());
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        let good = runs.into_iter().map(|mut run| run.wait().unwrap().success()).filter(|good| *good).count();
        assert_eq!(good, if force.is_empty() { 1 } else { 4 });
        require!(assert_clean(&file));
        assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 1);
    }
}

#[test]
fn a_source_is_not_replaced_by_what_is_made_of_it() {
    let home = home_with_image();
    let image = home.json(&["image", "show", "app"])["path"].as_str().unwrap().to_owned();
    tools::run(
        require!(tools::command("tar"))
            .arg("-C")
            .arg(home.path("layout"))
            .arg("-cf")
            .arg(home.path("oci.tar"))
            .arg("."),
    );
    for (name, source) in [("image", image.as_str()), ("archive", "oci.tar"), ("tar", "tree.tar")] {
        let source = home.path("").join(source);
        symlink(&source, home.path(&format!("out/{name}-symlink"))).unwrap();
        fs::hard_link(&source, home.path(&format!("out/{name}-link"))).unwrap();
    }
    let before = home.leftovers();
    for command in [
        ["image", "export", "app", &image].as_slice(),
        &["image", "export", "app", "out/image-symlink"],
        &["image", "export", "app", "out/image-link"],
        &["image", "pull", "oci-archive:oci.tar", "-o", "oci.tar"],
        &["image", "pull", "oci-archive:oci.tar", "-o", "out/archive-symlink"],
        &["image", "pull", "oci-archive:oci.tar", "-o", "out/archive-link"],
        &["image", "pull", "oci:layout", "-o", "layout/index.json"],
        &["rootfs", "build", "tree.tar", "tree.tar"],
        &["rootfs", "build", "tree.tar", "out/tar-symlink"],
        &["rootfs", "build", "tree.tar", "out/tar-link"],
        &["rootfs", "build", "tree", "tree/etc/new"],
    ] {
        let output = home.banger(command).arg("--force").output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
        assert!(stderr.contains("somewhere else"), "{command:?}: {stderr}");
    }
    assert_eq!(home.leftovers(), before);
    home.run(["image", "verify", "app"]);
}

#[test]
fn odd_places_work_or_say_why_not() {
    let home = home_with_image();
    let build =
        |target: &str| home.banger(["rootfs", "build", "tree", target, "--size", "32M"]).output().unwrap();
    let long = format!("out/{}", "n".repeat(255));
    assert!(build(&long).status.success());
    require!(assert_clean(&home.path(&long)));
    fs::remove_file(home.path(&long)).unwrap();
    let too_long = format!("out/{}", "n".repeat(256));
    for (target, words) in [
        (too_long.as_str(), "name too long"),
        ("out/none/x", "make its directory"),
        ("tree.tar/x", "Not a directory"),
    ] {
        let output = build(target);
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr).to_lowercase();
        assert!(stderr.contains(&words.to_lowercase()), "{target}: {stderr}");
    }
    // A symlink is replaced itself, and what it led to stays.
    fs::write(home.path("mine"), "mine").unwrap();
    symlink("../mine", home.path("out/link")).unwrap();
    home.run(["image", "export", "app", "out/link", "--force"]);
    assert!(fs::symlink_metadata(home.path("out/link")).unwrap().is_file());
    assert_eq!(fs::read(home.path("mine")).unwrap(), b"mine");
    fs::remove_file(home.path("out/link")).unwrap();

    // Somebody who may not write there.
    let mut nobody = require!(home.banger_as_nobody());
    set_mode(&home.path("out"), 0o755);
    let output = nobody.args(["rootfs", "build", "tree", "out/x.ext4"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("out/x.ext4") && stderr.contains("choose a directory"), "{stderr}");
    // Who may write, and not list.
    set_mode(&home.path("out"), 0o733);
    let mut nobody = home.banger_as_nobody().unwrap();
    set_mode(&home.path("out"), 0o733);
    let output = nobody.args(["rootfs", "build", "tree", "out/x.ext4", "--size", "32M"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 1);
}

#[test]
fn a_full_disk_and_a_limit_on_sizes_leave_nothing() {
    let home = home_with_image();
    let noise: Vec<u8> =
        (0..3_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(home.path("tree/noise"), noise).unwrap();
    for backend in BACKENDS {
        let mut limited = require!(tools::command("prlimit"));
        home.environment(&mut limited);
        limited.args([
            "--fsize=4000000",
            env!("CARGO_BIN_EXE_banger"),
            "rootfs",
            "build",
            "tree",
            "out/x.ext4",
        ]);
        let before = home.leftovers();
        let output = limited.args(["--backend", backend]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{backend}: {} {stderr}", output.status);
        assert!(stderr.contains("error: "), "{backend}: {stderr}");
        assert_eq!(home.leftovers(), before, "{backend}");
    }
    let mut limited = require!(tools::command("prlimit"));
    home.environment(&mut limited);
    limited.args(["--fsize=4000000", env!("CARGO_BIN_EXE_banger"), "image", "export", "app", "out/x.ext4"]);
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("ulimit -f"), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains(".staging"), "{}", text(&output.stderr));

    require!(tools::root("a small disk"));
    let disk = home.path("out/disk");
    fs::create_dir(&disk).unwrap();
    tools::run(require!(tools::command("mount")).args(["-t", "tmpfs", "-o", "size=8M", "none"]).arg(&disk));
    let outputs: Vec<_> = BACKENDS
        .map(|backend| ["rootfs", "build", "tree", "out/disk/x.ext4", "--backend", backend])
        .iter()
        .map(|arguments| home.banger(arguments).output().unwrap())
        .collect();
    let left = fs::read_dir(&disk).unwrap().count();
    // Another file system works as well.
    let small = home.banger(["image", "export", "app", "out/disk/app.ext4"]).output().unwrap();
    let difference = small.status.success().then(|| {
        let image = home.json(&["image", "show", "app"])["path"].as_str().unwrap().to_owned();
        first_difference(Path::new(&image), &disk.join("app.ext4"))
    });
    tools::run(Command::new("umount").arg(&disk));
    for output in outputs {
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr).to_lowercase();
        assert!(stderr.contains("space") && stderr.contains("free some"), "{stderr}");
    }
    assert_eq!(left, 0);
    assert_eq!(difference, Some(None), "{}", text(&small.stderr));
}

#[test]
fn the_first_interrupt_ends_a_build_from_a_silent_pipe() {
    let home = Home::new();
    let fifo = home.path("fifo");
    tools::run(require!(tools::command("mkfifo")).arg(&fifo));
    for (source, has_writer, signal) in
        [("fifo", false, "INT"), ("fifo", true, "TERM"), ("-", true, "INT"), ("/dev/stdin", true, "TERM")]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut build = home.banger(["rootfs", "build", source, "out/x.ext4"]);
        let mut child = build.stdin(reader).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while fs::read_dir(home.path("out")).unwrap().count() == 0 {
            assert!(started.elapsed() < Duration::from_secs(60), "{source}: it does not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Opening it for both waits for nobody.
        let held = has_writer.then(|| fs::File::options().read(true).write(true).open(&fifo).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        let signalled = Instant::now();
        send_signal(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{source} {signal}");
        assert!(signalled.elapsed() < Duration::from_secs(5), "{source}: {:?}", signalled.elapsed());
        assert_eq!(home.leftovers(), [""; 0], "{source} {signal}");
        drop((held, writer));
    }
    // A writer that is late is waited for.
    let child = home.banger(["rootfs", "build", "fifo", "out/x.ext4", "--size", "16M"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    fs::write(&fifo, LayerBuilder::new().file("a", "1").finish()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(text(&home.run(["rootfs", "cat", "out/x.ext4", "/a"]).stdout), "1");
}
