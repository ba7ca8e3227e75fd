//! Init as process 1 of a pid namespace: a machine that is a kernel's own bookkeeping, where
//! powering off ends the namespace and nothing else.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use banger_guest::config::{BootContract, Entrypoint, GuestConfig, paths};
use banger_guest::protocol::{
    ExitStatus, Operation, Outcome, Reply, Request, Wait, read_frame, write_message,
};
use banger_guest::protocol::{FrameKind, Message, Shutdown, ShutdownAction};
use banger_testkit::{Skip, require};
use tempfile::TempDir;

use crate::support::{BINARY, Killed, is_root, read, wait_until};

/// What the console shows after everything else, and nobody else writes.
const END: &str = "<end of the test>";

/// Makes the mounts that a kernel's `/dev/console` stands for, and becomes init. The programs of
/// the host are there read-only, for the entry points of the tests.
const ENTER: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$GUEST" "$GUEST"
for name in usr bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then cp -P "/$name" "$GUEST/$name"
    elif [ -d "/$name" ]; then mkdir -p "$GUEST/$name"; mount --bind -o ro "/$name" "$GUEST/$name"; fi
done
mkdir -p "$GUEST/dev" "$GUEST/banger"
mount -t tmpfs tmpfs "$GUEST/dev"
: >"$GUEST/dev/console"
: >"$GUEST/dev/null"
mkdir "$GUEST/dev/pts" "$GUEST/dev/shm"
mount --bind "$GUEST/console" "$GUEST/dev/console"
mount --bind /dev/null "$GUEST/dev/null"
for name in banger-init banger-vsock-agent; do
    : >"$GUEST/banger/$name"
    mount --bind "$BINARY" "$GUEST/banger/$name"
done
exec chroot "$GUEST" /banger/banger-init
"#;

struct Machine {
    directory: TempDir,
    /// What was written to the console, which is a fifo.
    shown: Arc<Mutex<String>>,
}

impl Machine {
    fn new(config: &GuestConfig) -> Result<Self, Skip> {
        if !is_root() {
            return Err(Skip::new("namespaces need root"));
        }
        if !Command::new("unshare").args(["-pfmnu", "true"]).status().is_ok_and(|status| status.success()) {
            return Err(Skip::new("no namespaces here"));
        }
        let machine = Self { directory: tempfile::tempdir().unwrap(), shown: Arc::default() };
        machine.write(paths::GUEST_CONFIG, &String::from_utf8(config.to_json()).unwrap());
        assert!(Command::new("mkfifo").arg(machine.path("/console")).status().unwrap().success());
        // Open for writing too: it does not end when a program does.
        let mut console = OpenOptions::new().read(true).write(true).open(machine.path("/console")).unwrap();
        let shown = Arc::clone(&machine.shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = console.read(&mut buffer) {
                let mut shown = shown.lock().unwrap();
                shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
                if shown.ends_with(END) {
                    break;
                }
            }
        });
        machine.write("/etc/machine-id", "");
        machine.write("/etc/hostname", "of-the-image\n");
        Ok(machine)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), content).unwrap();
    }

    fn console(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn start(&self) -> Killed {
        // The agent listens where the kernel of the host was told: on vsock, which no test talks to.
        // Nothing that is ignored here is by what init starts.
        let child = Command::new("env")
            .args(["--ignore-signal=HUP", "unshare", "-pfmnu", "--kill-child", "sh", "-c", ENTER])
            .env("GUEST", self.directory.path())
            .env("BINARY", BINARY)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Killed(child)
    }

    /// Runs to the end of the machine; what was on the console.
    fn run(&self) -> String {
        let mut machine = self.start();
        wait_for_end(&mut machine.0, || self.console());
        OpenOptions::new()
            .write(true)
            .open(self.path("/console"))
            .unwrap()
            .write_all(END.as_bytes())
            .unwrap();
        wait_until("everything is shown", || self.console().ends_with(END));
        self.console().strip_suffix(END).unwrap().to_owned()
    }
}

fn wait_for_end(child: &mut Child, console: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the machine does not stop: {}", console());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn entrypoint(script: &str) -> GuestConfig {
    GuestConfig::new(BootContract::Banger).with_entrypoint(Some(Entrypoint::default().with_argv(vec![
        "/bin/sh".into(),
        "-c".into(),
        script.into(),
    ])))
}

#[test]
fn entry_points_have_what_their_image_says() {
    let mut config = entrypoint("pwd; id -u; id -g; id -G; echo $A $B $HOME; echo $PATH; hostname; exit 7");
    let entrypoint = config.entrypoint.as_mut().unwrap();
    entrypoint.user = Some("app".into());
    entrypoint.working_dir = Some("/srv/made".into());
    entrypoint.env = vec!["A=b".into(), "B=c=d".into(), "PATH=/bin:/usr/bin".into()];
    let machine = require!(Machine::new(&config));
    machine.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:3001:3002::/home/app:/bin/sh\n");
    machine.write("/etc/group", "more:x:3003:app\n");
    let console = machine.run();
    let expected = "/srv/made\n3001\n3002\n3002 3003\nb c=d /home/app\n/bin:/usr/bin\nof-the-image\n";
    assert!(console.contains(expected), "{console}");
    assert!(console.ends_with("banger-init: entrypoint exited with status 7\n"), "{console}");
    let id = read(&machine.path("/etc/machine-id"));
    assert!(id.len() == 33 && id.trim().bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}");
}

#[test]
fn the_guest_has_its_file_systems() {
    let script = "for at in /proc /sys /dev /dev/pts /dev/shm /run; do \
                  grep -q \" $at \" /proc/mounts && echo has $at; done; \
                  ls -l /dev/fd /dev/stdin; cat /sys/class/net/lo/flags; [ -w /run ] && echo writable";
    let machine = require!(Machine::new(&entrypoint(script)));
    let console = machine.run();
    for expected in [
        "has /proc\n",
        "has /sys\n",
        "has /dev\n",
        "has /dev/pts\n",
        "has /dev/shm\n",
        "has /run\n",
        "writable\n",
    ] {
        assert!(console.contains(expected), "{expected} in {console}");
    }
    assert!(console.contains("0x9\n"), "lo is up: {console}");
}

#[test]
fn orphans_are_reaped_and_ended() {
    let script = "for n in 1 2 3; do (sleep 0.1 & ) ; done; sleep 1; \
                  ps -e -o stat= | grep -c Z; trap '' TERM; (trap '' TERM; sleep 100) & exit 0";
    let machine = require!(Machine::new(&entrypoint(script)));
    let begun = Instant::now();
    let console = machine.run();
    assert!(console.contains("\n0\n"), "no zombies: {console}");
    assert!(console.ends_with("entrypoint exited with status 0\n"), "{console}");
    assert!(begun.elapsed() < Duration::from_secs(30), "who does not end when told is killed");
}

#[test]
fn deaths_by_signals_and_programs_that_are_not_there_are_told() {
    let machine = require!(Machine::new(&entrypoint("kill -9 $$")));
    let console = machine.run();
    assert!(console.ends_with("banger-init: entrypoint was killed by signal 9\n"), "{console}");

    let mut config = entrypoint("");
    config.entrypoint.as_mut().unwrap().argv = vec!["/no/such/program".into()];
    let machine = require!(Machine::new(&config));
    let mut running = machine.start();
    wait_until("it says so", || {
        machine.console().contains("cannot start the entrypoint: /no/such/program: ")
    });
    assert!(running.0.try_wait().unwrap().is_none(), "the machine stays up, for the agent");
}

/// Process 1 of the namespace, as the host numbers it.
fn init_of(machine: &Killed) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", machine.0.id());
    let mut pid = None;
    wait_until("the namespace has its process 1", || {
        pid = std::fs::read_to_string(&children).ok().and_then(|pids| pids.trim().parse().ok());
        pid.is_some_and(|pid: u32| {
            std::fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|exe| exe.ends_with("banger-init") || exe.ends_with("banger-guest"))
        })
    });
    pid.unwrap()
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").arg(signal).arg(pid.to_string()).status().unwrap().success());
}

#[test]
fn signals_reach_the_entry_point() {
    let script = "trap 'echo got HUP' HUP; trap 'echo told to end; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let machine = require!(Machine::new(&entrypoint(script)));
    let mut running = machine.start();
    wait_until("it is ready", || machine.console().contains("ready\n"));
    let init = init_of(&running);
    kill("-HUP", init);
    wait_until("it has the signal", || machine.console().contains("got HUP\n"));
    kill("-TERM", init);
    wait_for_end(&mut running.0, || machine.console());
    assert!(machine.console().contains("told to end\n"), "{}", machine.console());
}

#[test]
fn a_shell_is_on_the_console_where_there_is_no_entry_point_or_it_is_asked_for() {
    for beside in [false, true] {
        let mut config = GuestConfig::new(BootContract::Banger);
        if beside {
            config = entrypoint("read a && echo it reads; echo it runs; while :; do sleep 0.1; done");
            config.console_shell = true;
        }
        let machine = require!(Machine::new(&config));
        machine.write("/etc/passwd", "root:x:0:0::/root:/login-shell\n");
        let executable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        machine.write("/login-shell", "#!/bin/sh\necho \"shell in $PWD as $USER\"\n");
        std::fs::set_permissions(machine.path("/login-shell"), executable).unwrap();
        let mut running = machine.start();
        // It comes back when it ends.
        wait_until("the second shell", || machine.console().matches("shell in / as root\n").count() >= 2);
        wait_until("the entry point", || !beside || machine.console().contains("it runs\n"));
        assert!(!machine.console().contains("it reads"), "the console's input is the shell's");
        kill("-USR2", init_of(&running));
        wait_for_end(&mut running.0, || machine.console());
    }
}

#[test]
fn another_init_takes_over() {
    let mut config = GuestConfig::new(BootContract::S6);
    config.handover = Some("/image-init".into());
    let machine = require!(Machine::new(&config));
    machine.write(
        "/image-init",
        "#!/bin/sh\necho \"I am $$\"; [ -d /proc/self ] && echo with proc; grep SigBlk /proc/self/status\n",
    );
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(machine.path("/image-init"), PermissionsExt::from_mode(0o755)).unwrap();
    let console = machine.run();
    assert!(
        console.contains("handing over to /image-init\nI am 1\nwith proc\nSigBlk:\t0000000000000000\n"),
        "{console}"
    );
}

#[test]
fn the_agent_tells_the_exit_code_and_stops_the_machine() {
    let script = "echo ready; while [ ! -e /go ]; do sleep 0.05; done; exit 9";
    for shut_down in [false, true] {
        let machine = require!(Machine::new(&entrypoint(script)));
        let mut running = machine.start();
        wait_until("it is ready", || machine.console().contains("ready\n"));
        // A second agent, on a socket, as `exec` in the namespaces of the first.
        let init = init_of(&running).to_string();
        let agent = Command::new("nsenter")
            .args([
                "-t",
                &init,
                "-p",
                "-m",
                "-n",
                "-r",
                "/banger/banger-vsock-agent",
                "--listen",
                "unix:/agent",
            ])
            .stderr(Stdio::null())
            .spawn();
        let _agent = Killed(require!(agent.map_err(|error| Skip::new(format!("nsenter: {error}")))));
        let socket = machine.path("/agent");
        wait_until("the agent listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let operation = if shut_down {
            Operation::Shutdown(Shutdown::new(ShutdownAction::PowerOff))
        } else {
            Operation::Wait(Wait::default())
        };
        write_message(&mut stream, FrameKind::Request, &Request::new(1, operation)).unwrap();
        std::fs::write(machine.path("/go"), "").unwrap();
        let reply = Reply::from_frame(&read_frame(&mut stream).unwrap().unwrap()).unwrap();
        let expected =
            if shut_down { Outcome::Shutdown } else { Outcome::Wait(ExitStatus::Exited { status: 9 }) };
        assert_eq!(reply.outcome, expected);
        drop(stream);
        wait_for_end(&mut running.0, || machine.console());
    }
}
