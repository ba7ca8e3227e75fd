//! Interrupts of commands on ext4 files: they end soon and leave the image as it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger::Ext4Editor;
use banger_testkit::{assert_equal, assert_silent, require, tools};
use camino::Utf8Path;

use crate::support::{Home, send_signal, text};

/// How long a command may go on after an interrupt: two seconds, and as many on a machine that is busy.
const STOP_MAX: Duration = Duration::from_secs(4);

/// Interrupts a command after a while; returns whether it was still at work.
#[track_caller]
fn interrupt(mut child: Child, after: Duration) -> bool {
    std::thread::sleep(after);
    let signalled = Instant::now();
    if child.try_wait().unwrap().is_none() {
        send_signal(&child, "INT");
    }
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if signalled.elapsed() > STOP_MAX {
            child.kill().unwrap();
            panic!("it went on for {:?}", signalled.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = child.wait_with_output().unwrap();
    // What only looks ends by the signal itself.
    let is_signal = status.signal() == Some(2);
    assert!(is_signal || matches!(status.code(), Some(0 | 1 | 130)), "{status}: {}", text(&output.stderr));
    let is_told = text(&output.stderr).contains("interrupted");
    assert!(is_told || status.code() != Some(130), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    status.code() == Some(130)
}

fn start(home: &Home, image: &Path, arguments: &[&str], input: Stdio) -> Child {
    let mut command: Command = home.banger(["rootfs", arguments[0]]);
    command.arg(image).args(&arguments[1..]).stdin(input);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Symlinks with long targets, each of which leads through the one before, twice.
#[test]
fn a_command_stops_on_an_image_made_to_be_slow() {
    let home = Home::new();
    let model = home.path("model");
    fs::create_dir_all(model.join("d")).unwrap();
    fs::create_dir_all(model.join("usr/lib/systemd")).unwrap();
    let steps = "d/../".repeat(810);
    symlink(".", model.join("l0")).unwrap();
    for number in 1..39 {
        symlink(format!("{steps}l{}", number - 1), model.join(format!("l{number}"))).unwrap();
    }
    symlink(format!("{steps}l38/usr/lib"), model.join("etc")).unwrap();
    let image = home.path("out/slow.ext4");
    let mut mkfs = require!(tools::command("mkfs.ext4"));
    tools::run(mkfs.args(["-q", "-b", "4096", "-d"]).arg(&model).arg(&image).arg("64M"));
    let many: Vec<String> = (0..2000).map(|number| format!("/etc/{number}/x")).collect();
    let mut put = vec!["rm", "-rf"];
    put.extend(many.iter().map(String::as_str));
    for arguments in [&["inject"][..], &put, &["chmod", "-R", "700", "/etc/x"], &["stat", "/etc/x"]] {
        // One that ends before it is interrupted may change the image.
        let before = home.path("out/before.ext4");
        banger_testkit::copy_sparse(&image, &before);
        let stopped = interrupt(start(&home, &image, arguments, Stdio::null()), Duration::from_millis(300));
        if stopped {
            // The bytes of new files go to free blocks at once: what is in use stays.
            let open = |path: &Path| Ext4Editor::open(Utf8Path::from_path(path).unwrap()).unwrap();
            assert_equal(&open(&before), &open(&image));
            require!(assert_silent(&image));
        }
    }
    require!(assert_silent(&image));
}

#[test]
fn a_command_stops_where_it_waits_for_input() {
    let home = Home::new();
    let image = home.path("out/image.ext4");
    let mut mkfs = require!(tools::command("mkfs.ext4"));
    tools::run(mkfs.arg("-q").arg(&image).arg("64M"));
    let before = fs::read(&image).unwrap();
    let fifo = home.path("fifo");
    tools::run(require!(tools::command("mkfifo")).arg(&fifo));
    let after = Duration::from_millis(500);
    let mut child = start(&home, &image, &["put", "-", "/x"], Stdio::piped());
    let input = child.stdin.take().unwrap();
    assert!(interrupt(child, after), "nothing was written to its input");
    drop(input);
    // Without a writer, and with one who writes nothing.
    assert!(interrupt(start(&home, &image, &["put", "fifo", "/x"], Stdio::null()), after));
    let child = start(&home, &image, &["put", "fifo", "/x"], Stdio::null());
    let writer = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    assert!(interrupt(child, after));
    drop(writer);
    assert!(fs::read(&image).unwrap() == before);
    // And it reads what comes late.
    let child = start(&home, &image, &["put", "fifo", "/late"], Stdio::null());
    std::thread::sleep(after);
    fs::write(&fifo, "late").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(text(&home.run(["rootfs", "cat", image.to_str().unwrap(), "/late"]).stdout), "late");
}

#[test]
fn an_edit_in_steps_stops_between_them() {
    let home = Home::new();
    let model = home.path("model");
    for number in 0..12_000 {
        let dir = model.join(format!("big/{}", number / 500));
        if number % 500 == 0 {
            fs::create_dir_all(&dir).unwrap();
        }
        fs::write(dir.join(number.to_string()), "").unwrap();
    }
    let image = home.path("out/image.ext4");
    let mut mkfs = require!(tools::command("mkfs.ext4"));
    mkfs.args(["-q", "-b", "1024", "-J", "size=1", "-N", "20000", "-d"]);
    tools::run(mkfs.arg(&model).arg(&image).arg("64M"));
    for after in [20, 60, 120, 250, 500] {
        interrupt(start(&home, &image, &["rm", "-rf", "/big"], Stdio::null()), Duration::from_millis(after));
        require!(assert_silent(&image));
    }
    home.run(["rootfs", "rm", image.to_str().unwrap(), "-rf", "/big"]);
    require!(assert_silent(&image));
}
