//! A home of its own for every test, and the command run in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use banger_testkit::{Access, Ignore, Mounted, Skip, assert_clean, assert_same_tree, snapshot, tools};
use serde_json::Value;
use tempfile::TempDir;

/// The backends that every image is built with.
pub(crate) const BACKENDS: [&str; 2] = ["native", "e2fsprogs"];

/// Sends the signal `name`, such as `INT`, to a child that was not waited for yet.
pub(crate) fn send_signal(child: &Child, name: &str) {
    tools::run(Command::new("kill").args([format!("-{name}"), child.id().to_string()]));
}

/// State, cache and temporary directories that no other test sees.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("banger-home-").tempdir().unwrap();
        for name in ["state", "cache", "tmp", "out"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command with nothing of the caller's environment but its `PATH`.
    pub(crate) fn banger<I: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_banger"));
        self.environment(&mut command);
        command.args(arguments);
        command
    }

    pub(crate) fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.dir.path());
    }

    /// The command run by a user who owns nothing and may read what everybody may: through
    /// `setpriv`, so only root can run it. The directories of this home are his to write to.
    pub(crate) fn banger_as_nobody(&self) -> Result<Command, Skip> {
        tools::root("running as somebody else")?;
        let mut command = tools::command("setpriv")?;
        for name in ["", "state", "cache", "tmp", "out"] {
            std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        // He may not get to where the binary is.
        let binary = self.path("banger");
        std::fs::copy(env!("CARGO_BIN_EXE_banger"), &binary).unwrap();
        self.environment(&mut command);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(binary);
        Ok(command)
    }

    /// Runs the command and expects it to succeed.
    #[track_caller]
    pub(crate) fn run<I: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Output {
        let output = self.banger(arguments).output().unwrap();
        assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
        output
    }

    /// Runs the command with `--json` and returns its document.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments.iter().chain(&["--json"]));
        serde_json::from_slice(&output.stdout).expect("one JSON document on standard output")
    }

    /// Everything below state and temporary directory, without what only locks.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for name in ["state", "tmp", "out"] {
            walk(&self.path(name), &mut found);
        }
        let root = self.dir.path();
        found
            .iter()
            .map(|path| path.strip_prefix(root).unwrap().display().to_string())
            .filter(|path| {
                let kept = ["", "/images", "/images/.lock", "/kernels", "/kernels/.lock"];
                !kept.iter().any(|name| path.strip_prefix("state/banger") == Some(name))
            })
            .collect()
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), found);
        }
    }
}

/// What a person reads of the error of a `--json` document: message and advice.
#[track_caller]
pub(crate) fn error_text(document: &Value) -> String {
    let error = &document["error"];
    let message = error["message"].as_str().unwrap_or_else(|| panic!("it succeeded: {document}"));
    match error["advice"].as_str() {
        Some(advice) => format!("{message}; {advice}"),
        None => message.to_owned(),
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks an image with e2fsck and through the kernel against the tree at `expected`.
#[track_caller]
pub(crate) fn assert_image(image: &Path, expected: &Path) -> Result<(), Skip> {
    assert_clean(image)?;
    let mounted = Mounted::new(image, Access::ReadOnly)?;
    assert_same_tree(&snapshot(expected), &snapshot(mounted.path()), Ignore::MKFS);
    Ok(())
}
