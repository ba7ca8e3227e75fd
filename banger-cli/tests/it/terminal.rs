//! Whatever a guest, a registry, an image or a file name says, nothing of it tells a terminal anything.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};

use banger_guest::protocol::{
    Accepted, Addresses, CopyTarget, ErrorCode, ExitStatus, FirstBoot, FirstBootState, FrameKind, Grown,
    Health, Info, KernelInfo, Message as _, NetworkSet, Operation, OsInfo, Outcome, Refusal, Reply, Request,
    read_frame, write_frame, write_message,
};
use banger_testkit::{require, tools};

use crate::support::{Home, text};

/// The beginning of what would set the title of a terminal.
const TITLE: &str = "\u{1b}]0;EVIL\u{7}";

/// Everything that no terminal is to get: C0, DEL, C1, sequences made of them, both directions of text, what
/// ends a line and what is not seen.
pub(crate) fn nasty() -> String {
    let controls: String = (0..=0x1f).chain(0x7f..=0x9f).filter_map(char::from_u32).collect();
    format!(
        "{TITLE}\u{1b}[31m\u{9b}31m\u{9d}0;EVIL\u{9c}\u{202e}\u{2066}\u{2069}\u{200f}\u{61c}\u{2028}FORGED\
         \u{2029}FORGED\u{200b}\u{feff}\u{ad}\u{e0041}\r\nFORGED\nerror: FORGED\u{8}{controls}ü"
    )
}

/// As much of it as fits into an argument or the name of a file.
pub(crate) fn nasty_name() -> String {
    format!("{TITLE}\u{1b}[31m\u{9b}31m\u{202e}\u{2028}FORGED\u{200b}\u{e0041}\r\nFORGED\u{8}\u{7f}ü")
}

/// Whether a character may not get to a terminal. On purpose not the definition that the command uses.
fn is_forbidden(character: char) -> bool {
    matches!(character, '\0'..='\u{9}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' |
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' |
        '\u{e0000}'..='\u{e007f}')
}

/// Checks what a command has written.
#[track_caller]
pub(crate) fn assert_harmless(what: &dyn std::fmt::Debug, output: &Output) {
    for (stream, bytes) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{what:?}: {stream}: {error}"));
        let found = text.chars().find(|character| is_forbidden(*character));
        assert_eq!(found, None, "{what:?}: {stream}: {text:?}");
        for line in text.lines() {
            assert!(
                !line.starts_with("FORGED") && !line.starts_with("error: FORGED"),
                "{what:?}: {stream}: {text}"
            );
        }
    }
    assert!(!text(&output.stderr).contains("panicked"), "{what:?}: {}", text(&output.stderr));
}

/// Runs a command as text, as a document and with progress as JSON; each has to be harmless. Returns what
/// it wrote as text.
#[track_caller]
pub(crate) fn run_harmlessly(home: &Home, arguments: &[&std::ffi::OsStr]) -> Output {
    let run = |more: &[&str]| {
        let mut command = home.banger(more);
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_harmless(&(more, arguments), &output);
        output
    };
    let output = run(&[]);
    let document = run(&["--json"]);
    if !document.stdout.is_empty() {
        let read: Result<serde_json::Value, _> = serde_json::from_slice(&document.stdout);
        assert!(read.is_ok(), "{arguments:?}: {}", text(&document.stdout));
    }
    run(&["--progress", "json"]);
    output
}

#[track_caller]
pub(crate) fn run_words_harmlessly(home: &Home, arguments: &[&str]) -> Output {
    run_harmlessly(home, &arguments.iter().map(|word| (*word).as_ref()).collect::<Vec<_>>())
}

fn info() -> Info {
    Info::default()
        .with_agent_version(nasty())
        .with_contract(None)
        .with_init(nasty())
        .with_first_boot(
            FirstBoot::default()
                .with_state(FirstBootState::Failed)
                .with_attempt(1)
                .with_stage(Some(nasty()))
                .with_last_error(Some(nasty()))
                .with_log_tail(nasty()),
        )
        .with_kernel(
            KernelInfo::default()
                .with_release(nasty())
                .with_version(nasty())
                .with_machine(nasty())
                .with_command_line(nasty()),
        )
        .with_os(Some(
            OsInfo::default().with_id(nasty()).with_version_id(Some(nasty())).with_pretty_name(Some(nasty())),
        ))
        .with_hostname(nasty())
        .with_machine_id(Some(nasty()))
        .with_boot_id(Some(nasty()))
        .with_interfaces(vec![
            Addresses::default()
                .with_interface(nasty())
                .with_mac(Some(nasty()))
                .with_up(true)
                .with_addresses(vec![nasty(), nasty()]),
        ])
        .with_entrypoint(None)
        .with_uptime_ms(u64::MAX)
}

/// The answer to an operation, with everything in it that can be text.
fn answer(operation: &Operation) -> Outcome {
    match operation {
        Operation::Health => Outcome::Health(
            Health::default().with_agent_version(nasty()).with_protocol(255).with_uptime_ms(u64::MAX),
        ),
        Operation::Info => Outcome::Info(Box::new(info())),
        Operation::SetNetwork(_) => Outcome::SetNetwork(NetworkSet::default().with_interface(nasty())),
        Operation::Grow => Outcome::Grow(Grown::default().with_before_bytes(u64::MAX).with_after_bytes(0)),
        Operation::Wait(_) => Outcome::Wait(ExitStatus::Killed { signal: i32::MAX }),
        Operation::Exec(_) => Outcome::Exec(ExitStatus::Exited { status: i32::MIN }),
        _ => Outcome::Shutdown,
    }
}

fn reply(stream: &mut UnixStream, id: u64, outcome: Outcome) -> Option<()> {
    write_message(stream, FrameKind::Reply, &Reply::new(id, outcome)).ok()
}

/// A frame with JSON that is no message, which a parser repeats in its error.
fn no_message(stream: &mut UnixStream, kind: FrameKind, json: &serde_json::Value) -> Option<()> {
    write_frame(stream, kind, json.to_string().as_bytes()).ok()
}

type Script = fn(&mut UnixStream, Request) -> Option<()>;

/// How an agent can answer.
const SCRIPTS: [(&str, Script); 8] = [
    ("answers", |stream, request| reply(stream, request.id, answer(&request.operation))),
    ("refuses", |stream, request| {
        reply(stream, request.id, Outcome::Error(Refusal::new(ErrorCode::Failed, nasty())))
    }),
    ("refuses after it began", |stream, request| {
        let target = CopyTarget::default()
            .with_size_bytes(1)
            .with_mode(0o777)
            .with_uid(0)
            .with_gid(0)
            .with_mtime_seconds(0);
        let accepted = match request.operation {
            Operation::CopyIn(_) => Accepted::CopyIn,
            Operation::CopyOut(_) => Accepted::CopyOut(target),
            _ => Accepted::Exec { pid: u32::MAX },
        };
        write_message(stream, FrameKind::Accepted, &accepted).ok()?;
        reply(stream, request.id, Outcome::Error(Refusal::new(ErrorCode::NoSpace, nasty())))
    }),
    ("a result that nobody knows", |stream, request| {
        no_message(
            stream,
            FrameKind::Reply,
            &serde_json::json!({"id": request.id, "result": nasty(), "value": {}}),
        )
    }),
    ("an acceptance that nobody knows", |stream, _| {
        no_message(stream, FrameKind::Accepted, &serde_json::json!({"op": nasty(), "args": nasty()}))
    }),
    ("fields of other types", |stream, request| {
        let value = serde_json::json!({"agent_version": 1, "uptime_ms": nasty(), "interface": [nasty()]});
        let json = serde_json::json!({"id": request.id, "result": "health", "value": value});
        no_message(stream, FrameKind::Reply, &json)
    }),
    ("bytes that are no text", |stream, _| {
        write_frame(stream, FrameKind::Reply, b"{\"id\":1,\"result\":\"\x1b]0;EVIL\x07\xff\xfe\x9b\"}").ok()
    }),
    ("no frame", |stream, _| stream.write_all(format!("{TITLE}HTTP/1.1 400").as_bytes()).ok()),
];

fn commands() -> Vec<Vec<&'static str>> {
    vec![
        vec!["health"],
        vec!["info"],
        vec!["set-network", "--address", "10.0.0.2/24"],
        vec!["grow"],
        vec!["wait", "--timeout", "1"],
        vec!["shutdown"],
        vec!["shutdown", "--reboot"],
        vec!["exec", "true"],
        vec!["cp", "file", ":/x"],
        vec!["cp", ":/x", "out/x"],
        vec!["cp", ":/x", "-"],
    ]
}

#[test]
fn what_a_guest_says_is_harmless() {
    let home = Home::new();
    std::fs::write(home.path("file"), "x").unwrap();
    for (how, script) in SCRIPTS {
        let socket = home.path("agent");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let request = Request::from_frame(&read_frame(&mut stream).ok()??).ok()?;
                    script(&mut stream, request)
                });
            }
        });
        let mut said = String::new();
        for command in commands() {
            let mut arguments = vec!["guest", command[0], "--socket", "unix:agent"];
            arguments.extend(&command[1..]);
            let output = run_words_harmlessly(&home, &arguments);
            said += &(text(&output.stdout) + &text(&output.stderr));
        }
        // The answers did come: what is foreign in them is there, as text.
        let repeats = !["fields of other types", "bytes that are no text", "no frame"].contains(&how);
        assert_eq!(said.contains(r"\x1b]0;EVIL\x07"), repeats, "{how}: {said}");
    }
}

#[test]
fn what_a_program_writes_is_harmless_in_a_document() {
    let home = Home::new();
    let listener = UnixListener::bind(home.path("agent")).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let served = (|| {
                let request = Request::from_frame(&read_frame(&mut stream).ok()??).ok()?;
                write_message(&mut stream, FrameKind::Accepted, &Accepted::Exec { pid: 1 }).ok()?;
                write_frame(&mut stream, FrameKind::Output, nasty().as_bytes()).ok()?;
                write_frame(&mut stream, FrameKind::ErrorOutput, b"\x9b\xff\x1b[0m").ok()?;
                reply(&mut stream, request.id, answer(&request.operation))
            })();
            assert!(served.is_some());
        }
    });
    let exec = ["guest", "exec", "--socket", "unix:agent", "--json", "--", "x"];
    let output = home.banger(exec).output().unwrap();
    assert_harmless(&exec, &output);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["stdout"], nasty(), "a program gets it as it is");
    // Without a document it is what the user asked for, to the byte.
    let output = home.banger(exec.iter().filter(|word| **word != "--json")).output().unwrap();
    assert_eq!(output.stdout, nasty().as_bytes());
    assert_eq!(output.stderr, b"\x9b\xff\x1b[0m");
}

#[test]
fn what_a_vmm_says_is_harmless() {
    let home = Home::new();
    let listener = UnixListener::bind(home.path("vmm")).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            let _ = stream.write_all(b"NO \x1b]0;EVIL\x07\x9b\xc2\x9b\xff\r\n");
        }
    });
    for command in commands() {
        std::fs::write(home.path("file"), "x").unwrap();
        let mut arguments = vec!["guest", command[0], "--socket", "vmm"];
        arguments.extend(&command[1..]);
        let output = run_words_harmlessly(&home, &arguments);
        assert!(text(&output.stderr).contains("EVIL"), "{}", text(&output.stderr));
    }
}

/// Names of files and other words that a script passes on from somebody else.
#[test]
fn what_is_on_the_command_line_is_harmless() {
    let home = Home::new();
    let name = nasty_name();
    let no_text = std::ffi::OsStr::from_bytes(b"\xff\x9b\x1b]0;EVIL\x07\nFORGED");
    for word in [name.as_ref(), no_text] {
        let before: [&[&str]; 22] = [
            &[],
            &["image"],
            &["image", "pull"],
            &["image", "pull", "--platform"],
            &["image", "pull", "debian", "--size"],
            &["image", "pull", "debian", "--init"],
            &["image", "pull", "oci:nothing", "--name"],
            &["image", "show"],
            &["image", "rm"],
            &["image", "verify"],
            &["image", "cache", "prune", "--older-than"],
            &["image", "list", "--state-dir"],
            &["image", "show", "x", "--state-dir"],
            &["rootfs", "ls"],
            &["rootfs", "stat", "nothing"],
            &["rootfs", "build", "nothing"],
            &["rootfs", "build"],
            &["rootfs", "put", "nothing", "/x", "--owner"],
            &["guest", "health", "--socket"],
            &["guest", "exec", "--socket", "unix:none", "--env"],
            &["guest", "cp", "--socket", "unix:none", ":/x"],
            &["completions"],
        ];
        for words in before {
            let mut arguments: Vec<&std::ffi::OsStr> = words.iter().map(|word| (*word).as_ref()).collect();
            arguments.push(word);
            run_harmlessly(&home, &arguments);
        }
        for words in
            [&["image", "rename"][..], &["image", "export"], &["rootfs", "chmod"], &["rootfs", "resize"]]
        {
            let mut arguments: Vec<&std::ffi::OsStr> = words.iter().map(|word| (*word).as_ref()).collect();
            arguments.extend([word, word]);
            run_harmlessly(&home, &arguments);
        }
    }
}

/// Bars are drawn with sequences of their own; what they show of others is text.
#[test]
fn what_bars_show_is_harmless() {
    let mut script = require!(tools::command("script"));
    let home = Home::new();
    let image = banger_testkit::ImageBuilder::new()
        .layer(banger_testkit::LayerBuilder::new().file("etc/hostname", "vm\n").finish());
    let name = nasty_name().replace(':', "");
    let layout = home.path(&format!("l{name}"));
    banger_testkit::LayoutBuilder::of(&image).write(&layout);
    let line = format!(
        "{} image pull \"$REFERENCE\" --output out/x.ext4 --size 64M --no-inject --progress bar --force",
        env!("CARGO_BIN_EXE_banger")
    );
    home.environment(&mut script);
    let output =
        run_in_terminal(script.env("REFERENCE", format!("oci:l{name}:latest")).env("TERM", "xterm"), &line);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown:?}");
    assert!(shown.contains("resolving") && shown.contains(r"\x1b]0;EVIL"), "bars were drawn: {shown:?}");
    for bad in ["\u{1b}]0;EVIL", "\u{9b}31m", "\u{202e}", "\u{2028}", "\nFORGED", "\u{8}"] {
        assert!(!shown.contains(bad), "{bad:?} in {shown:?}");
    }
}

fn run_in_terminal(script: &mut Command, line: &str) -> Output {
    script.args(["-qec", line, "/dev/null"]).stdin(Stdio::null()).output().unwrap()
}
