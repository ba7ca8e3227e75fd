//! `banger image commit`: what a machine installed is in the container image of its disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use banger_testkit::{Image, TAG, tools};

use crate::boot::bench::Bench;
use crate::boot::commands::{User, path};
use crate::boot::guest::{Guest, ensure_that};
use crate::boot::qemu::MachineOptions;

const PACKAGE: &str = "boot-test-greeting";
const FILE: &str = "usr/share/boot-test/greeting";
const TEXT: &str = "hello from a package\n";
/// What dpkg tells of a package that is installed.
const INSTALLED: &str = "Status: install ok installed";

/// A package installed in a machine that loses its power: its disk, committed, is a container with the package, and
/// boots with it.
pub(crate) fn package(bench: &Bench) -> anyhow::Result<()> {
    let user = User::new(bench, "commit")?;
    let base = Image::DebianMinbase.layout().map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    user.succeeds(&["image", "pull", &format!("oci:{}:{TAG}", base.display()), "--name", "base"])?;
    let disk = install(bench, &user)?;
    let layout = user.file("layout");
    let target = format!("oci:{}:{TAG}", path(&layout)?);
    let committed = user.succeeds(&[
        "--json",
        "image",
        "commit",
        &path(&disk)?,
        "--base",
        "base",
        &target,
        "--message",
        "a greeting",
    ])?;
    let committed: serde_json::Value = serde_json::from_str(&committed)?;
    ensure_that!(committed["base_layers"].as_u64() >= Some(1), "{committed}");
    // What dpkg wrote is little beside the base.
    ensure_that!(committed["layer"]["size_bytes"].as_u64() < Some(4 << 20), "{committed}");
    in_containers(&user, &layout)?;
    user.succeeds(&["image", "pull", &target, "--name", "again"])?;
    let again = user.succeeds(&["vm", "run", "again", "--", "sh", "-c", &questions()])?;
    ensure_that!(again.contains(INSTALLED) && again.contains(TEXT), "{again}");
    user.has_no_machine()
}

/// What a guest or a container is asked.
fn questions() -> String {
    format!("dpkg -s {PACKAGE} && cat /{FILE}")
}

/// Installs a package in a machine on a copy of the base, and cuts its power. Returns the disk.
fn install(bench: &Bench, user: &User) -> anyhow::Result<PathBuf> {
    let (disk, package) = (user.file("disk.ext4"), package_file(user)?);
    user.succeeds(&["image", "export", "base", &path(&disk)?])?;
    user.succeeds(&["rootfs", "put", &path(&disk)?, &path(&package)?, "/root/package.deb"])?;
    // dpkg has the machine for itself.
    let append = vec!["banger.first-boot=off".to_owned()];
    let mut machine =
        bench.start("commit", &MachineOptions { append, ..MachineOptions::with_disk(&disk) })?;
    let guest = Guest::wait(&machine)?;
    guest.shell(
        "dpkg -i /root/package.deb && rm /root/package.deb && rm /usr/share/common-licenses/GPL-1 && sync",
    )?;
    machine.cut_power();
    let dumpe2fs = tools::command("dumpe2fs").map_err(|skip| anyhow::anyhow!("{}", skip.reason()));
    let features = said(dumpe2fs?.arg("-h").arg(&disk))?;
    ensure_that!(features.contains("needs_recovery"), "the disk was unmounted: {features}");
    Ok(disk)
}

/// Makes a package with one file.
fn package_file(user: &User) -> anyhow::Result<PathBuf> {
    let (tree, package) = (user.file("package"), user.file("package.deb"));
    let file = tree.join(FILE);
    std::fs::create_dir_all(tree.join("DEBIAN"))?;
    std::fs::create_dir_all(file.parent().context("it has a directory")?)?;
    let control = format!(
        "Package: {PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: boot-test <boot@test.invalid>\n\
         Description: a file\n"
    );
    std::fs::write(tree.join("DEBIAN/control"), control)?;
    std::fs::write(&file, TEXT)?;
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).args([&tree, &package]);
    tools::try_run(&mut build).map_err(|report| anyhow::anyhow!("{report}"))?;
    Ok(package)
}

/// Container tools find the package in the image.
fn in_containers(user: &User, layout: &Path) -> anyhow::Result<()> {
    let tree = match banger_testkit::umoci_unpack(layout, TAG) {
        Ok(tree) => tree,
        Err(skip) => {
            skip.report();
            return Ok(());
        }
    };
    let root = tree.path();
    ensure_that!(std::fs::read_to_string(root.join(FILE))? == TEXT, "the file of the package");
    ensure_that!(!root.join("usr/share/common-licenses/GPL-1").exists(), "a removed file is there");
    let said = said(Command::new("chroot").arg(&root).args(["sh", "-c", &questions()]))?;
    ensure_that!(said.contains(INSTALLED) && said.contains(TEXT), "{said}");
    match tools::tool("buildah") {
        Ok(buildah) => in_buildah(&buildah, user, layout),
        Err(skip) => {
            skip.report();
            Ok(())
        }
    }
}

/// Runs the image with buildah, in a storage of its own.
fn in_buildah(buildah: &Path, user: &User, layout: &Path) -> anyhow::Result<()> {
    let storage = user.file("buildah");
    let command = || -> anyhow::Result<Command> {
        let mut command = Command::new(buildah);
        command.args(["--storage-driver", "vfs", "--root", &path(&storage.join("root"))?]);
        command.args(["--runroot", &path(&storage.join("run"))?]);
        Ok(command)
    };
    // buildah takes the path for a name, which has no capital letters.
    let (dir, name) = (layout.parent().context("it has a parent")?, layout.file_name().unwrap_or_default());
    let reference = format!("oci:{}:{TAG}", name.to_string_lossy());
    let container = said(command()?.current_dir(dir).args(["from", &reference]))?;
    let mut run = command()?;
    run.args(["run", "--isolation", "chroot", container.trim(), "--", "sh", "-c", &questions()]);
    let answer = said(&mut run)?;
    ensure_that!(answer.contains(INSTALLED) && answer.contains(TEXT), "{answer}");
    said(command()?.args(["rm", container.trim()])).map(drop)
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = tools::try_run(command).map_err(|report| anyhow::anyhow!("{report}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
