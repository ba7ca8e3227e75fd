//! Images that cases write themselves, around busybox alone.

use std::path::Path;

use anyhow::Context as _;
use banger_testkit::{Entry, ImageBuilder, LayerBuilder, LayoutBuilder, TAG, tools};
use serde_json::{Value, json};

/// The program that the machine's busybox is, statically linked.
pub(crate) fn busybox() -> anyhow::Result<Vec<u8>> {
    let path = tools::tool("busybox").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// Applets that the busybox image has links for.
const APPLETS: [&str; 22] = [
    "cat", "df", "echo", "getty", "grep", "hostname", "id", "ifconfig", "kill", "ls", "mount", "poweroff",
    "ps", "pwd", "reboot", "sh", "sleep", "stat", "sync", "test", "umount", "uname",
];

/// busybox with its links, as a layout in `dir`; with `init`, busybox is the init too.
pub(crate) fn write_busybox(dir: &Path, init: bool) -> anyhow::Result<()> {
    let inittab = init.then_some("::sysinit:/bin/mount -t proc proc /proc\nttyS0::respawn:-/bin/sh\n");
    write(dir, busybox_layer(inittab)?, json!({"Cmd": ["sh"]}));
    Ok(())
}

/// busybox as the init, with lines as in Alpine's inittab, as a layout in `dir`.
pub(crate) fn write_like_alpine(dir: &Path) -> anyhow::Result<()> {
    let inittab = "::sysinit:/sbin/openrc sysinit\n::wait:/sbin/openrc default\n\
                   tty1::respawn:/bin/getty 38400 tty1\n::ctrlaltdel:/bin/reboot\n::shutdown:/sbin/openrc shutdown\n";
    let layer = busybox_layer(Some(inittab))?.entry(Entry::file("etc/hostname", "localhost\n"));
    write(dir, layer, json!({"Cmd": ["/bin/sh"]}));
    Ok(())
}

fn busybox_layer(inittab: Option<&str>) -> anyhow::Result<LayerBuilder> {
    let mut layer = LayerBuilder::new()
        .dir("bin")
        .dir("sbin")
        .dir("etc")
        .entry(Entry::file("bin/busybox", busybox()?).mode(0o755))
        .entry(Entry::file("etc/passwd", "root:x:0:0:root:/:/bin/sh\n"));
    for applet in APPLETS {
        layer = layer.entry(Entry::symlink(format!("bin/{applet}"), "busybox"));
    }
    if let Some(inittab) = inittab {
        layer = layer
            .entry(Entry::symlink("sbin/init", "/bin/busybox"))
            .entry(Entry::file("etc/inittab", inittab));
    }
    Ok(layer)
}

/// Nothing but one static program, `/busybox`, and a configuration that runs it: a layout in `dir`.
pub(crate) fn write_static_program(dir: &Path, config: Value) -> anyhow::Result<()> {
    let layer =
        LayerBuilder::new().dir("srv").dir("srv/work").entry(Entry::file("busybox", busybox()?).mode(0o755));
    write(dir, layer, config);
    Ok(())
}

fn write(dir: &Path, layer: LayerBuilder, config: Value) {
    let image = ImageBuilder::new().config("config", config).layer(layer.finish());
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image, TAG);
    layout.write(dir);
}
