//! The library under test, and C programs that are linked with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use banger_testkit::{
    Compression, ImageBuilder, Layer, LayerBuilder, LayoutBuilder, ScriptedAgent, Skip, TAG,
};
use tempfile::TempDir;

use crate::agent::obliging;

/// The workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace")
}

/// Runs a command, and panics with its output where it fails.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Returns the directory with `libbanger.so` and `libbanger.a`. Cargo does not build them for tests, as no Rust
/// program links them.
pub(crate) fn library_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let own = std::env::current_exe().expect("a test has a path");
        let dir = own.parent().and_then(Path::parent).expect("tests are in PROFILE/deps").to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // With the features that everything was built with: nothing is compiled again.
        let features = std::env::var("BANGER_TEST_FEATURES").ok();
        let what = match &features {
            Some(features) => vec!["--workspace", "--features", features],
            None => vec!["--package", "banger-ffi"],
        };
        run(Command::new(cargo)
            .args(["build", "--quiet", "--locked"])
            .args(what)
            .arg("--target-dir")
            .arg(dir.parent().expect("a profile has a target directory"))
            .current_dir(root()));
        // The name that programs load it by.
        let link = dir.join("libbanger.so.0");
        if !link.exists() {
            let made = std::os::unix::fs::symlink("libbanger.so", &link);
            assert!(made.is_ok() || link.exists(), "{made:?}");
        }
        dir
    })
}

/// A language that the header is written for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    C99,
    Cpp17,
}

const STRICT: [&str; 6] =
    ["-Wall", "-Wextra", "-Werror", "-pedantic", "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE"];

/// Compiles the C file `source` into `program`, without linking options.
pub(crate) fn compiler(language: Language, source: &Path, program: &Path) -> Command {
    let mut command = match language {
        Language::C99 => Command::new("cc"),
        Language::Cpp17 => Command::new("c++"),
    };
    match language {
        Language::C99 => command.args(["-std=c99", "-xc"]),
        Language::Cpp17 => command.args(["-std=c++17", "-xc++"]),
    };
    command.args(STRICT).arg("-g").arg("-I").arg(root().join("include"));
    command.arg("-I").arg(root().join("banger-ffi/tests/c"));
    command.arg(source).args(["-xnone", "-o"]).arg(program);
    command
}

/// Compiles `source` and links it with the shared library.
pub(crate) fn compile(language: Language, source: &Path, program: &Path, more: &[&str]) {
    let mut command = compiler(language, source, program);
    let dir = library_dir();
    command.arg("-L").arg(dir).arg(format!("-Wl,-rpath,{}", dir.display()));
    run(command.args(more).args(["-lbanger", "-lpthread"]));
}

/// What C programs work with: a directory with an image to pull and a source to build from, and a guest.
pub(crate) struct Workplace {
    pub(crate) dir: TempDir,
    pub(crate) reference: String,
    guest: ScriptedAgent,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let noise: Vec<u8> =
            (0..2_u64 << 20).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect();
        let base = LayerBuilder::new().dir("etc").file("etc/os-release", b"ID=test\n").file("noise", &noise);
        let top = LayerBuilder::new().file("etc/hostname", b"test\n");
        let image =
            ImageBuilder::new().layer_as(Layer::new(base.finish(), Compression::Zstd)).layer(top.finish());
        let layout = dir.path().join("layout");
        LayoutBuilder::of(&image).write(&layout);
        let source = dir.path().join("source");
        std::fs::create_dir(&source).expect("it is new");
        std::fs::write(source.join("hello"), "hello\n").expect("it is new");
        let reference = format!("oci:{}:{TAG}", layout.display());
        Self { dir, reference, guest: ScriptedAgent::new(obliging) }
    }

    /// Returns a path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program of examples/c with the libraries of a directory, and checks the record that it prints.
    pub(crate) fn run_example(&self, program: &Path, libraries: &Path) {
        let mut command = Command::new(program);
        command.arg(&self.reference).arg(self.path("vm1.ext4"));
        command.args(["vm1", "ssh-ed25519 AAAA user", "10.0.0.2/24", "10.0.0.1"]);
        for (name, directory) in [("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")] {
            command.env(name, self.path(directory));
        }
        let output = command.env("LD_LIBRARY_PATH", libraries).output().expect("it was just made");
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.starts_with("error 810:") {
            Skip::new("the library has no guest binary").report();
            return;
        }
        assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
        let record: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("the record is printed");
        assert_eq!(record["unchanged"], false, "{record}");
    }

    /// Runs a program with the reference and the directory; `before` is what it runs under.
    pub(crate) fn run(&self, before: &[&str], program: &Path) -> Output {
        let mut words = before.iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("there is the program"));
        command.env("LSAN_OPTIONS", "exitcode=23");
        command.env("BANGER_TEST_GUEST", format!("unix:{}", self.guest.path().display()));
        run(command.args(words).arg(&self.reference).arg(self.dir.path()))
    }
}
