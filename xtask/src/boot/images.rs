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

/// Nothing but one program for processors of 32 bits, the init, which prints `line` and ends: a layout in `dir`.
pub(crate) fn write_program_of_32_bits(dir: &Path, line: &str) {
    let program = Entry::file("sbin/init", elf_of_32_bits(line)).mode(0o755);
    let layer =
        ["dev", "proc", "sys", "run", "sbin"].into_iter().fold(LayerBuilder::new(), LayerBuilder::dir);
    let layer = layer.entry(program).finish();
    let image = ImageBuilder::new().platform("linux", "386", None).layer(layer);
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image, TAG);
    layout.write(dir);
}

/// The smallest ELF file that prints a line by `int 0x80`.
fn elf_of_32_bits(line: &str) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const CODE: u32 = 84;
    let text = format!("{line}\n");
    let at = (BASE + CODE + 31).to_le_bytes();
    let length = u32::try_from(text.len()).expect("a line is short").to_le_bytes();
    // mov eax, 4; mov ebx, 1; mov ecx, at; mov edx, length; int 0x80; mov eax, 1; xor ebx, ebx; int 0x80
    let code = [
        &b"\xb8\x04\0\0\0\xbb\x01\0\0\0\xb9"[..],
        &at,
        b"\xba",
        &length,
        b"\xcd\x80\xb8\x01\0\0\0\x31\xdb\xcd\x80",
        text.as_bytes(),
    ]
    .concat();
    let size = CODE + u32::try_from(code.len()).expect("the code is short");
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    [
        &b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0"[..],
        &words(&[1, BASE + CODE, 52, 0, 0]),
        b"\x34\0\x20\0\x01\0\0\0\0\0\0\0",
        // One segment, readable and executable.
        &words(&[1, 0, BASE, BASE, size, size, 5, 0x1000]),
        &code,
    ]
    .concat()
}

fn write(dir: &Path, layer: LayerBuilder, config: Value) {
    let image = ImageBuilder::new().config("config", config).layer(layer.finish());
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image, TAG);
    layout.write(dir);
}
