//! `banger image build`: a package, a file and a variable in a new image, and nothing of the build.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use banger_ext4::Ext4Editor;
use banger_testkit::{Image, TAG};
use banger_tree::{GuestPath, Rootfs as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::boot::bench::Bench;
use crate::boot::commands::{User, path, wait_for_end};
use crate::boot::disk;
use crate::boot::guest::ensure_that;
use crate::boot::images;
use crate::boot::repository::Repository;

/// How the guest reaches this host.
const HOST: &str = "10.0.2.2";

/// A package of a repository, a file and a variable; then the same from the cache.
pub(crate) fn build(bench: &Bench) -> anyhow::Result<()> {
    let user = User::new(bench, "image-build")?;
    let layout = Image::DebianMinbase.layout().map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    user.succeeds(&["image", "pull", &format!("oci:{}:{TAG}", layout.display()), "--name", "base"])?;
    let repository = Repository::start(bench.packages())?;
    let sources = user.file("sources.list");
    std::fs::write(&sources, format!("deb [trusted=yes] http://{HOST}:{}/ ./\n", repository.port()))?;
    let copy = format!("{}:/etc/apt/sources.list", path(&sources)?);
    let install = "rm -rf /etc/apt/sources.list.d && apt-get update && \
                   DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openssh-server && \
                   test -s /etc/ssh/ssh_host_ed25519_key && echo $GREETING > /etc/greeting && \
                   echo secret > /root/.bash_history && echo log >> /var/log/build.log && \
                   dd if=/dev/urandom of=/var/big bs=1M count=64 2>/dev/null && sync && rm /var/big";
    let arguments = [
        "image",
        "build",
        "--from-image",
        "base",
        "--name",
        "built",
        "--copy",
        &copy,
        "--env",
        "GREETING=hello there",
        "--run",
        install,
    ];
    user.succeeds(&arguments)?;
    user.has_no_machine()?;
    let built = rootfs(&user, "built")?;
    check(&built)?;
    let base = rootfs(&user, "base")?;
    // The same content as a pulled image.
    let script = "rm -rf /etc/apt/sources.list.d; echo pulled";
    let [base_bytes, built_bytes] = [&base, &built].map(|path| allocated(path));
    let (base_bytes, built_bytes) = (base_bytes?, built_bytes?);
    let installed = content(&built)?.saturating_sub(content(&base)?);
    ensure_that!(
        built_bytes * 10 <= (base_bytes + installed) * 11,
        "{built_bytes} bytes on disk; {base_bytes} of the base, {installed} of the package"
    );
    // The second time nothing runs.
    let fetched = repository.packages_served();
    let output = user.run(&arguments)?;
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure_that!(output.status.success() && notes.contains("built is up to date"), "{notes}");
    ensure_that!(repository.packages_served() == fetched, "the package was fetched again");
    // Under another name, and with one more step: only that one runs.
    let mut other = arguments.to_vec();
    other[5] = "other";
    let output = user.run(&other)?;
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure_that!(output.status.success() && notes.contains("all steps from the cache"), "{notes}");
    check(&rootfs(&user, "other")?)?;
    other.extend(["--run", script]);
    let output = user.run(&other)?;
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure_that!(output.status.success() && notes.contains("1 program run"), "{notes}");
    ensure_that!(repository.packages_served() == fetched, "the package was fetched again");
    // It boots, and has the variable.
    let text =
        user.succeeds(&["vm", "run", "built", "--", "sh", "-c", "echo $GREETING; cat /etc/greeting"])?;
    ensure_that!(text == "hello there\nhello there\n", "{text}");
    user.has_no_machine()
}

/// What the new image has, and what it must not have.
fn check(file: &Path) -> anyhow::Result<()> {
    disk::check(file)?;
    let path = camino::Utf8Path::from_path(file).context("the path is UTF-8")?;
    let rootfs = Ext4Editor::open(path)?;
    let read = |path: &str| -> anyhow::Result<Option<Vec<u8>>> {
        let path = GuestPath::parse(path)?;
        Ok(rootfs.stat(&path)?.map(|_| rootfs.read(&path)).transpose()?)
    };
    ensure_that!(read("/etc/greeting")?.as_deref() == Some(b"hello there\n"), "/etc/greeting");
    ensure_that!(read("/usr/sbin/sshd")?.is_some(), "no sshd");
    ensure_that!(read("/etc/machine-id")?.as_deref() == Some(b""), "machine-id");
    for path in ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key.pub", "/root/.bash_history"] {
        ensure_that!(read(path)?.is_none(), "{path} is there");
    }
    for path in ["/var/log/build.log", "/var/log/dpkg.log", "/var/log/apt/history.log"] {
        ensure_that!(read(path)?.is_none_or(|bytes| bytes.is_empty()), "{path} has a text");
    }
    for directory in ["/var/lib/apt/lists", "/var/cache/apt/archives"] {
        let entries = rootfs.read_dir(&GuestPath::parse(directory)?)?;
        let left: Vec<_> =
            entries.iter().filter(|entry| entry.name != b"partial" && entry.name != b"lock").collect();
        ensure_that!(left.is_empty(), "{directory}: {left:?}");
    }
    ensure_that!(read("/var/lib/banger/first-boot-pending")?.is_some(), "no first boot is pending");
    Ok(())
}

fn rootfs(user: &User, name: &str) -> anyhow::Result<PathBuf> {
    let record: serde_json::Value =
        serde_json::from_str(&user.succeeds(&["--json", "image", "show", name])?)?;
    Ok(record["path"].as_str().context("a path")?.into())
}

/// Bytes of a file on the host's disk.
fn allocated(file: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(file)?.blocks() * 512)
}

/// Bytes in use in the file system.
fn content(file: &Path) -> anyhow::Result<u64> {
    let report =
        Ext4Editor::open(camino::Utf8Path::from_path(file).context("the path is UTF-8")?)?.verify()?;
    Ok(report.size_bytes - report.free_bytes)
}

/// A step that fails, and interruptions at random instants: no image, no machine, no half of one.
pub(crate) fn failures(bench: &Bench) -> anyhow::Result<()> {
    let user = User::new(bench, "image-build-failures")?;
    let layout = user.file("busybox.layout");
    images::write_busybox(&layout, false)?;
    user.succeeds(&["image", "pull", &format!("oci:{}:{TAG}", layout.display()), "--name", "base"])?;
    let step = "echo first-line; echo last-line >&2; exit 7";
    let failing = ["image", "build", "--from-image", "base", "--name", "new", "--run", "true", "--run", step];
    let (_, error) = user.ends_with(1, &failing)?;
    for text in ["step 2", "status 7", "first-line", "last-line"] {
        ensure_that!(error.contains(text), "no {text} in {error}");
    }
    nothing_is_left(&user, &[])?;
    // The step before the failing one is not done again.
    let (_, error) = user.ends_with(1, &failing)?;
    ensure_that!(error.contains("step 1/2: run true (done before)"), "{error}");
    for (arguments, text) in [
        (&["--copy", "/no/such:/srv"][..], "/no/such"),
        (&["--script", "/no/such"], "/no/such"),
        (&["--run", "true", "--size", "1M"], "1"),
        (&["--env", "=x"], "NAME=VALUE"),
    ] {
        let build = ["image", "build", "--from-image", "base", "--name", "new"];
        let output = user.run(&[&build[..], arguments].concat())?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure_that!(!output.status.success() && error.contains(text), "{arguments:?}: {error}");
        nothing_is_left(&user, &[])?;
    }
    interruptions(&user)
}

fn interruptions(user: &User) -> anyhow::Result<()> {
    // Twenty by hand; each takes as long as it lives.
    let times: u64 =
        std::env::var("BANGER_INTERRUPTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let mut state = banger_testkit::seed() | 1;
    let mut finished = 0;
    for round in 0..times {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let delay = Duration::from_millis(state % 6000);
        let name = format!("new-{round}");
        let mut child = user.start(&[
            "image",
            "build",
            "--from-image",
            "base",
            "--name",
            &name,
            "--no-cache",
            "--run",
            "echo a > /a",
            "--run",
            "echo b > /b",
        ])?;
        std::thread::sleep(delay);
        if round % 2 == 0 {
            kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
        } else {
            child.kill()?;
        }
        let status = wait_for_end(&mut child)?;
        let is_there = user.run(&["image", "show", &name])?.status.success();
        ensure_that!(is_there == status.success() || round % 2 == 1, "round {round}: {status}");
        if is_there {
            finished += 1;
            user.succeeds(&["image", "verify", &name])?;
            user.succeeds(&["image", "rm", &name])?;
        }
        // The next command, which sweeps.
        user.succeeds(&["image", "list"])?;
        nothing_is_left(user, &[]).with_context(|| format!("round {round}, after {delay:?}"))?;
    }
    println!("image-build-failures: {times} interruptions, {finished} builds were faster");
    Ok(())
}

/// Only the base and `others` are there, and no machine.
fn nothing_is_left(user: &User, others: &[&str]) -> anyhow::Result<()> {
    user.has_no_machine()?;
    let list: serde_json::Value = serde_json::from_str(&user.succeeds(&["--json", "image", "list"])?)?;
    let images = list["images"].as_array().context("images")?;
    ensure_that!(images.len() == 1 + others.len(), "{list}");
    Ok(())
}
