//! Questions on a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};

use banger_testkit::{Answer, ScriptedServer, require, tools};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::Home;

/// A terminal, and the command that asks on it.
struct Terminal {
    controller: File,
    /// Keeps the terminal open after the command has ended.
    own: File,
    child: Child,
    shown: String,
}

impl Terminal {
    /// Starts `banger login` without a password.
    fn log_in(setsid: Command, home: &Home, host: &str) -> Self {
        let line = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&line).unwrap();
        unlockpt(&line).unwrap();
        let name = ptsname(&line, Vec::new()).unwrap().into_string().unwrap();
        let own = File::options().read(true).write(true).open(name).unwrap();
        let mut command = setsid;
        home.environment(&mut command);
        command.args(["--ctty", env!("CARGO_BIN_EXE_banger"), "login", host, "--username", "me"]);
        let copy = || own.try_clone().unwrap();
        let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
        let mut terminal = Self { controller: File::from(line), own, child, shown: String::new() };
        terminal.wait_for("password: ");
        assert!(!terminal.has_echo());
        terminal
    }

    fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.shown.contains(text) {
            let count = self.controller.read(&mut buffer).unwrap();
            self.shown.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }

    fn has_echo(&self) -> bool {
        tcgetattr(&self.own).unwrap().local_modes.contains(LocalModes::ECHO)
    }
}

#[test]
fn a_password_is_not_shown() {
    let server = ScriptedServer::start(|asked| match asked.header("authorization") {
        // me:secret in base64.
        Some("Basic bWU6c2VjcmV0") => Answer::new(200, "{}"),
        _ => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
    });
    let home = Home::new();
    let mut terminal = Terminal::log_in(require!(tools::command("setsid")), &home, &server.host());
    terminal.controller.write_all(b"secret\n").unwrap();
    terminal.wait_for("logged in to");
    assert!(terminal.child.wait().unwrap().success());
    assert!(terminal.has_echo());
    assert!(!terminal.shown.contains("secret"), "{}", terminal.shown);
}

#[test]
fn a_terminal_has_its_echo_after_a_signal() {
    let home = Home::new();
    // ^C and ^\, as a terminal sends them, and the signal of `kill`.
    for (key, signal) in [(Some(3), 2), (Some(28), 3), (None, 15)] {
        let mut terminal = Terminal::log_in(require!(tools::command("setsid")), &home, "127.0.0.1:1");
        match key {
            Some(key) => terminal.controller.write_all(&[key]).unwrap(),
            None => {
                let pid = terminal.child.id().to_string();
                assert!(Command::new("kill").arg(pid).status().unwrap().success());
            }
        }
        assert_eq!(terminal.child.wait().unwrap().signal(), Some(signal));
        assert!(terminal.has_echo(), "after signal {signal}");
    }
}
