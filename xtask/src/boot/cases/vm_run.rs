//! `banger vm run`: from an image to the output of a program, and nothing left.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use banger_testkit::{Image, TAG};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::boot::bench::Bench;
use crate::boot::commands::{User, path, wait_for_end};
use crate::boot::guest::ensure_that;
use crate::boot::images;
use crate::boot::network::free_port;

/// The reference of a made image.
fn reference(image: Image) -> anyhow::Result<String> {
    let layout = image.layout().map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    Ok(format!("oci:{}:{TAG}", layout.display()))
}

/// Every kind of image: the program's output and status come back, and nothing is left.
pub(crate) fn images(bench: &Bench) -> anyhow::Result<()> {
    let user = User::new(bench, "vm-run")?;
    let debian = reference(Image::DebianMinbase)?;
    let text = user.succeeds(&["vm", "run", &debian, "--", "cat", "/etc/os-release"])?;
    ensure_that!(text.contains("ID=debian\n"), "{text}");
    for (status, script) in [(0, "exit 0"), (3, "exit 3"), (137, "kill -9 $$")] {
        user.ends_with(status, &["vm", "run", &debian, "--", "sh", "-c", script])?;
    }
    let busybox = user.file("busybox.layout");
    images::write_busybox(&busybox, false)?;
    let scratch = user.file("scratch.layout");
    images::write_static_program(&scratch, json!({"Entrypoint": ["/busybox", "sleep"], "Cmd": ["1"]}))?;
    let alpine = match banger_testkit::third_party("alpine-3.20.oci.tar") {
        Ok(archive) => format!("oci-archive:{}:3.20", archive.display()),
        Err(skip) => {
            skip.report();
            let layout = user.file("alpine.layout");
            images::write_like_alpine(&layout)?;
            format!("oci:{}:{TAG}", layout.display())
        }
    };
    let [busybox, scratch] = [busybox, scratch].map(|layout| format!("oci:{}:{TAG}", layout.display()));
    let shell = ["sh", "-c", "echo $((40 + 2)); exit 3"];
    let [openrc, systemd] = [reference(Image::DebianOpenrc)?, reference(Image::DebianSystemd)?];
    for (reference, program) in [
        (busybox, shell.to_vec()),
        (scratch, vec!["/busybox", "sh", "-c", "echo $((40 + 2)); exit 3"]),
        (alpine, shell.to_vec()),
        (openrc, shell.to_vec()),
        (systemd, shell.to_vec()),
    ] {
        let arguments: Vec<&str> = ["vm", "run", &reference, "--"].into_iter().chain(program).collect();
        let (out, _) = user.ends_with(3, &arguments).with_context(|| reference.clone())?;
        ensure_that!(out == "42\n", "{reference}: {out:?}");
        user.has_no_machine()?;
    }
    Ok(())
}

/// Options: files, variables, user, directory, hostname, ports, standard input, a kept disk, the console.
pub(crate) fn options(bench: &Bench) -> anyhow::Result<()> {
    let user = User::new(bench, "vm-run-options")?;
    let layout = user.file("busybox.layout");
    images::write_busybox(&layout, false)?;
    let image = format!("oci:{}:{TAG}", layout.display());
    let site = user.file("site");
    std::fs::create_dir(&site)?;
    std::fs::write(site.join("index"), "hello\n")?;
    let copy = format!("{}:/srv/", path(&site)?);
    let script = "cat /srv/site/index; echo $A; hostname; pwd; id -u; cat; df /";
    let arguments = [
        "vm",
        "run",
        &image,
        "--copy",
        &copy,
        "--env",
        "A=b c",
        "--name",
        "box",
        "--user",
        "7:7",
        "--workdir",
        "/srv",
        "--size",
        "2G",
        "--stdin",
        "--keep",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut child = user.start(&arguments)?;
    child.stdin.take().context("stdin is a pipe")?.write_all(b"typed\n")?;
    let output = child.wait_with_output()?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure_that!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    ensure_that!(out.starts_with("hello\nb c\nbox\n/srv\n7\ntyped\n"), "{out}");
    let kept = user.succeeds(&["--json", "image", "show", "box"])?;
    let kept: serde_json::Value = serde_json::from_str(&kept)?;
    ensure_that!(kept["size_bytes"].as_u64() > Some(1 << 30), "{kept}");
    user.succeeds(&["image", "verify", "box"])?;
    user.has_no_machine()?;
    // The document of a program.
    let document =
        user.succeeds(&["--json", "vm", "run", &image, "--", "sh", "-c", "echo out; echo err >&2"])?;
    let document: serde_json::Value = serde_json::from_str(&document)?;
    ensure_that!(document["stdout"] == "out\n" && document["stderr"] == "err\n", "{document}");
    published_port(&user, &image)?;
    console(&user, &image)
}

/// A port of this host leads to a program in the guest.
fn published_port(user: &User, image: &str) -> anyhow::Result<()> {
    let port = free_port()?;
    let publish = format!("{port}:80");
    let program = "while true; do echo served | busybox nc -l -p 80; done";
    let mut child = user.start(&["vm", "run", image, "--publish", &publish, "--", "sh", "-c", program])?;
    let started = Instant::now();
    let mut text = String::new();
    while text != "served\n" && started.elapsed() < Duration::from_secs(60) {
        text.clear();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            // QEMU accepts before the guest does.
            let _ = stream.read_to_string(&mut text);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    signal(&child, Signal::SIGTERM)?;
    let status = wait_for_end(&mut child)?;
    ensure_that!(text == "served\n", "the port said {text:?}");
    ensure_that!(status.code() == Some(130), "{status}");
    user.has_no_machine()
}

/// Without a program, standard input and output are the console.
fn console(user: &User, image: &str) -> anyhow::Result<()> {
    let mut child = user.start(&["vm", "run", image])?;
    let mut input = child.stdin.take().context("stdin is a pipe")?;
    let mut output = child.stdout.take().context("stdout is a pipe")?;
    let (sender, said) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            let _ = sender.send(buffer[..length].to_vec());
        }
    });
    let mut text = String::new();
    let mut wait_for = |what: &str| {
        while !text.contains(what) {
            let bytes =
                said.recv_timeout(Duration::from_secs(60)).with_context(|| format!("no {what}: {text}"))?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        anyhow::Ok(())
    };
    wait_for("# ")?;
    input.write_all(b"echo con$((1 + 1))sole\n")?;
    wait_for("con2sole")?;
    input.write_all(b"poweroff\n")?;
    let status = wait_for_end(&mut child)?;
    drop(input);
    let _ = reader.join();
    ensure_that!(status.success(), "{status}: {text}");
    user.has_no_machine()
}

fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
}

/// However it ends, no process and no disk is left after the next command.
pub(crate) fn ends(bench: &Bench) -> anyhow::Result<()> {
    let user = User::new(bench, "vm-run-ends")?;
    let layout = user.file("busybox.layout");
    images::write_busybox(&layout, false)?;
    let image = format!("oci:{}:{TAG}", layout.display());
    user.succeeds(&["image", "pull", &image, "--name", "small"])?;
    let sleep = ["vm", "run", "small", "--", "sh", "-c", "trap '' INT; echo up; sleep 600"];
    // Before the guest is up.
    for signal_number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut child = user.start(&sleep)?;
        user.wait_for_machine()?;
        signal(&child, signal_number)?;
        let status = wait_for_end(&mut child)?;
        ensure_that!(status.code() == Some(130), "{signal_number}: {status}");
        user.has_no_machine()?;
    }
    // While a program runs: the first SIGINT is the program's, which ignores it.
    let mut child = user.start(&sleep)?;
    wait_for_line(&mut child)?;
    signal(&child, Signal::SIGINT)?;
    std::thread::sleep(Duration::from_millis(500));
    ensure_that!(child.try_wait()?.is_none(), "one SIGINT ended it");
    signal(&child, Signal::SIGINT)?;
    ensure_that!(wait_for_end(&mut child)?.code() == Some(130), "the second SIGINT");
    user.has_no_machine()?;
    // QEMU is killed.
    let mut child = user.start(&sleep)?;
    wait_for_line(&mut child)?;
    kill(Pid::from_raw(user.wait_for_machine()?), Signal::SIGKILL)?;
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure_that!(output.status.code() == Some(1) && error.contains("the machine ended"), "{error}");
    user.has_no_machine()?;
    // banger is killed: its machine ends with the next command, whichever it is.
    let mut child = user.start(&sleep)?;
    wait_for_line(&mut child)?;
    child.kill()?;
    child.wait()?;
    ensure_that!(user.machines()?.1.len() == 1, "the machine went by itself");
    user.succeeds(&["image", "list"])?;
    user.has_no_machine()?;
    // A machine of another command goes on.
    let mut child = user.start(&sleep)?;
    wait_for_line(&mut child)?;
    user.succeeds(&["image", "list"])?;
    ensure_that!(user.machines()?.1.len() == 1, "a list ended the machine of another command");
    signal(&child, Signal::SIGTERM)?;
    wait_for_end(&mut child)?;
    let (_, error) = user.ends_with(1, &["vm", "run", "small", "--timeout", "1", "--", "sleep", "600"])?;
    ensure_that!(error.contains("stopped after 1 s"), "{error}");
    user.has_no_machine()?;
    failures(&user)
}

/// What cannot run says why, and leaves nothing.
fn failures(user: &User) -> anyhow::Result<()> {
    for (arguments, text) in [
        (&["vm", "run", "small", "--", "/no/such"][..], "/no/such"),
        (&["vm", "run", "oci:/nowhere", "--", "true"], "/nowhere"),
        (&["vm", "run", "small", "--kernel", "other", "--", "true"], "other"),
        (&["vm", "run", "small", "--memory", "1M", "--boot-timeout", "20s", "--", "true"], ""),
        (&["vm", "run", "small", "--size", "1M", "--", "true"], "1"),
        (&["vm", "run", "small", "--copy", "/no/such:/srv", "--", "true"], "/no/such"),
    ] {
        let (_, error) = user.ends_with(1, arguments)?;
        ensure_that!(error.contains("error: ") && error.contains(text), "{arguments:?}: {error}");
        user.has_no_machine()?;
    }
    user.succeeds(&["image", "pull", "--no-inject", "--name", "plain", &plain(user)])?;
    let (_, error) = user.ends_with(1, &["vm", "run", "plain", "--", "true"])?;
    ensure_that!(error.contains("no agent"), "{error}");
    // Without QEMU.
    let output = user.command(&["vm", "run", "small", "--", "true"]).env("PATH", "/nowhere").output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure_that!(output.status.code() == Some(1) && error.contains("qemu-system"), "{error}");
    user.has_no_machine()
}

fn plain(user: &User) -> String {
    format!("oci:{}:{TAG}", user.file("busybox.layout").display())
}

/// Waits until a command has written a line.
fn wait_for_line(child: &mut Child) -> anyhow::Result<()> {
    let output = child.stdout.as_mut().context("stdout is a pipe")?;
    let mut byte = [0];
    while output.read(&mut byte)? == 1 {
        if byte[0] == b'\n' {
            return Ok(());
        }
    }
    let mut error = String::new();
    if let Some(stream) = &mut child.stderr {
        let _ = stream.read_to_string(&mut error);
    }
    bail!("it ended without a line: {error}")
}
