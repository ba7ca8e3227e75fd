//! The agent and a guest whose files are not what they should be: larger than its memory, without an end,
//! or no files at all.

use std::io::{BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_guest::config::paths;
use banger_guest::protocol::{
    CopyOut, ErrorCode, Exec, FirstBootState, Info, MAX_PAYLOAD_BYTES, Operation, Outcome,
};

use crate::support::{Agent, assert_code, is_root, sh};

/// What the agent may take, in KiB, as against hostile peers.
const MEMORY_LIMIT_KIB: u64 = 32 * 1024;

fn info(agent: &Agent) -> Info {
    match agent.connect().call(Operation::Info) {
        Outcome::Info(info) => *info,
        other => panic!("{other:?}"),
    }
}

/// Writes a file of `before`, so many copies of `middle`, and `after`.
fn write_large(path: &Path, before: &str, (middle, count): (&str, usize), after: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    file.write_all(before.as_bytes()).unwrap();
    for _ in 0..count {
        file.write_all(middle.as_bytes()).unwrap();
    }
    file.write_all(after.as_bytes()).unwrap();
}

/// 64 bytes.
const PASSWD_LINE: &str = "somebody:x:4242:4242:somebody with a rather long name:/home/s:/\n";

#[test]
fn accounts_of_sixty_megabytes_cost_a_line() {
    let agent = Agent::start();
    let last = "last:x:0:0::/srv/last:/bin/sh\n";
    write_large(&agent.path("/etc/passwd"), "root:x:0:0::/root:/bin/sh\n", (PASSWD_LINE, 950_000), last);
    let members = ("group:x:4242:somebody,somebody,somebody,somebody,somebody,some\n", 950_000);
    write_large(&agent.path("/etc/group"), "root:x:0:\n", members, "");
    assert!(std::fs::metadata(agent.path("/etc/passwd")).unwrap().len() > 60_000_000);
    for (user, home) in [("root", "/root\n"), ("last", "/srv/last\n")] {
        if !is_root() {
            break;
        }
        let exec = sh("echo $HOME").with_user(Some(user.to_owned()));
        let ran = agent.connect().exec(exec, b"");
        assert_eq!((ran.status(), ran.text()), (0, home.to_owned()));
    }
    let exec = Operation::Exec(sh("true").with_user(Some("missing".to_owned())));
    let failure = agent.connect().error(exec);
    assert_code(&failure, ErrorCode::NotFound);
    // Beyond the limit nobody is said to be missing.
    let passwd = std::fs::OpenOptions::new().append(true).open(agent.path("/etc/passwd")).unwrap();
    passwd.set_len(200 << 20).unwrap();
    let exec = Operation::Exec(sh("true").with_user(Some("missing".to_owned())));
    let failure = agent.connect().error(exec);
    assert_code(&failure, ErrorCode::Failed);
    assert!(failure.message.contains("/etc/passwd"), "{}", failure.message);
    agent.assert_up();
    assert!(agent.status("VmHWM") < MEMORY_LIMIT_KIB, "{} KiB", agent.status("VmHWM"));
}

/// Every file that `info` reads, fifty megabytes of it, with characters that take six bytes in JSON.
#[test]
fn info_tells_what_fits() {
    let agent = Agent::start();
    let much = ("\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}", 6_500_000);
    let path = |path: &str| agent.path(path);
    write_large(&path("/etc/os-release"), "ID=odd\nVERSION_ID=1\nPRETTY_NAME=\"", much, "\"\nID=later\n");
    write_large(&path("/etc/machine-id"), "0123", much, "");
    write_large(&path("/proc/cmdline"), "quiet ", much, "");
    write_large(&path("/proc/1/comm"), "init", much, "");
    write_large(&path("/proc/sys/kernel/random/boot_id"), "boot", much, "");
    write_large(&path("/run/banger/entrypoint.json"), "{\"state\":\"starting\"}", (" ", 50_000_000), "");
    write_large(&path(paths::GUEST_CONFIG), "{", (" ", 50_000_000), "}");
    write_large(&path(paths::FIRST_BOOT_LOG), "", much, "");
    write_large(&path(paths::FIRST_BOOT_PENDING), "{\"last_error\":\"", ("x", 50_000_000), "\"}");
    let told = info(&agent);
    let os = told.os.expect("its id is there");
    assert_eq!((os.id.as_str(), os.version_id.as_deref(), os.pretty_name), ("odd", Some("1"), None));
    assert_eq!(told.first_boot.state, FirstBootState::Pending, "a marker of any size still asks for one");
    assert_eq!((told.contract, told.entrypoint), (None, None));
    for text in [told.machine_id.as_deref().unwrap(), &told.kernel.command_line, &told.init] {
        assert!(text.chars().count() <= 2049 && text.ends_with('…'), "{} characters", text.chars().count());
    }
    // As long as the marker may be, and all of it hidden characters.
    let long = format!("{{\"stage\":\"{0}\",\"last_error\":\"{0}\"}}", "\\u0001".repeat(5000));
    agent.write(paths::FIRST_BOOT_PENDING, &long);
    let told = info(&agent);
    assert_eq!(told.first_boot.state, FirstBootState::Failed);
    assert!(told.first_boot.last_error.unwrap().starts_with("\u{1}\u{1}"));
    agent.assert_up();
    assert!(agent.status("VmHWM") < MEMORY_LIMIT_KIB, "{} KiB", agent.status("VmHWM"));
}

/// A FIFO would wait for its writer, a device has no end.
#[test]
fn what_is_no_file_is_as_if_it_were_not_there() {
    for odd in ["fifo", "/dev/zero", "directory", "/proc/kmsg", "loop"] {
        let agent = Agent::start();
        for file in [
            "/etc/passwd",
            "/etc/group",
            "/etc/os-release",
            "/usr/lib/os-release",
            "/etc/machine-id",
            "/proc/cmdline",
            "/proc/1/comm",
            "/run/banger/entrypoint.json",
            paths::GUEST_CONFIG,
            paths::FIRST_BOOT_LOG,
            paths::FIRST_BOOT_PENDING,
        ] {
            let path = agent.path(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match odd {
                "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                "directory" => std::fs::create_dir(&path).unwrap(),
                "loop" => symlink(path.file_name().unwrap(), &path).unwrap(),
                device => symlink(device, &path).unwrap(),
            }
        }
        let begun = Instant::now();
        let told = info(&agent);
        assert_eq!((told.os, told.machine_id, told.entrypoint), (None, None, None), "{odd}");
        assert_eq!(told.first_boot.log_tail, "", "{odd}");
        if is_root() {
            assert_eq!(agent.connect().exec(sh("exit 3"), b"").status(), 3, "{odd}");
        }
        agent.assert_up();
        assert!(begun.elapsed() < Duration::from_secs(20), "{odd}: {:?}", begun.elapsed());
        assert!(agent.status("VmHWM") < MEMORY_LIMIT_KIB, "{odd}: {} KiB", agent.status("VmHWM"));
    }
}

#[test]
fn only_regular_files_are_copied_out() {
    let agent = Agent::start();
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in
        [fifo.to_str().unwrap(), "/dev/zero", "/dev/null", "/proc", directory.path().to_str().unwrap()]
    {
        let failure = agent.connect().error(Operation::CopyOut(CopyOut::new(path)));
        assert_code(&failure, ErrorCode::Invalid);
        assert!(failure.message.contains("regular"), "{path}: {}", failure.message);
    }
}

/// What a request repeats is not longer than a reply can be.
#[test]
fn an_error_about_a_long_name_is_told() {
    let agent = Agent::start();
    let long = "\u{1}".repeat(20_000);
    assert!(serde_json::to_string(&long).unwrap().len() < MAX_PAYLOAD_BYTES as usize);
    let failure = agent.connect().error(Operation::CopyOut(CopyOut::new(format!("/{long}"))));
    assert!(failure.message.chars().count() < 3000, "{} characters", failure.message.chars().count());
    let failure = agent.connect().error(Operation::Exec(Exec::default().with_argv(vec![long.clone()])));
    assert!(failure.message.starts_with('\u{1}') && failure.message.ends_with('…'));
    // An operation that nobody knows, in a request as long as a frame.
    let mut client = agent.connect();
    let json = format!("{{\"id\":1,\"op\":{}}}", serde_json::to_string(&long).unwrap());
    client.data(banger_guest::protocol::FrameKind::Request, json.as_bytes());
    let failure = client.last_words().expect("it says why");
    assert_code(&failure, ErrorCode::Malformed);
    agent.assert_up();
}

/// As many arguments and variables as a request holds.
#[test]
fn a_program_gets_as_much_as_a_request_holds() {
    let agent = Agent::start();
    let mut exec = sh("env | grep -c ^V");
    exec.env = (0..5000).map(|number| (format!("V{number}"), String::new())).collect();
    let ran = agent.connect().exec(exec, b"");
    assert_eq!((ran.status(), ran.text().as_str()), (0, "5000\n"));
    let mut exec = sh("echo $#");
    exec.argv.extend(std::iter::repeat_n("a".to_owned(), 30_000));
    let ran = agent.connect().exec(exec, b"");
    assert_eq!((ran.status(), ran.text().as_str()), (0, "29999\n"));
    agent.assert_up();
    assert!(agent.status("VmHWM") < MEMORY_LIMIT_KIB, "{} KiB", agent.status("VmHWM"));
}
