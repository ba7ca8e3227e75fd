//! `banger kernel check`, `banger image boot-plan` and `banger doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use banger_testkit::{
    Codec, Entry, ImageBuilder, KernelBuilder, LayerBuilder, LayoutBuilder, PackageBuilder, kernel_module,
};
use serde_json::{Value, json};

use crate::support::{Home, error_text, text};

const RELEASE: &str = "6.1.0-50-test";

/// What a kernel has built in that starts images by virtio over PCI.
const CONFIG: &str = "CONFIG_VIRTIO_BLK=m
CONFIG_PCI=y
CONFIG_VIRTIO_PCI=m
CONFIG_EXT4_FS=m
CONFIG_BLK_DEV_INITRD=y
CONFIG_DEVTMPFS=y
CONFIG_BINFMT_ELF=y
CONFIG_PROC_FS=y
CONFIG_SYSFS=y
CONFIG_TMPFS=y
CONFIG_UNIX=y
CONFIG_SERIAL_8250_CONSOLE=y
";

/// Imports a kernel with `config`, and with the drivers of a disk as modules.
fn import(home: &Home, name: &str, config: &str) {
    let mut package = PackageBuilder::new("linux-image-test", "6.1.90-1")
        .file(&format!("boot/vmlinuz-{RELEASE}"), KernelBuilder::new(RELEASE).bz_image(Codec::Gzip))
        .file(&format!("boot/config-{RELEASE}"), config);
    for driver in ["virtio_blk", "virtio_pci", "ext4"] {
        let module = kernel_module(driver, "", RELEASE);
        package = package.file(&format!("lib/modules/{RELEASE}/kernel/{driver}.ko"), module);
    }
    let deb = format!("{name}.deb");
    fs::write(home.path(&deb), package.deb(Codec::Gzip)).unwrap();
    home.run(["kernel", "import", &deb, "--name", name]);
}

/// A program for amd64, as far as anybody looks at it.
fn program() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    elf.resize(64, 0);
    elf
}

/// Pulls an image with a shell and, with `init`, with systemd.
fn pull(home: &Home, name: &str, has_systemd: bool) {
    let mut layer = LayerBuilder::new()
        .dir("bin")
        .dir("sbin")
        .dir("lib")
        .dir("lib/systemd")
        .entry(Entry::file("bin/sh", program()).mode(0o755));
    if has_systemd {
        layer = layer
            .entry(Entry::file("lib/systemd/systemd", program()).mode(0o755))
            .entry(Entry::symlink("sbin/init", "/lib/systemd/systemd"));
    }
    LayoutBuilder::of(&ImageBuilder::new().layer(layer.finish())).write(&home.path(name));
    let reference = format!("oci:{name}:latest");
    home.run(["image", "pull", &reference, "--no-inject", "--size", "16M", "--name", name]);
}

/// The findings of a check that are not "ok", as `outcome subject`.
fn complaints(check: &Value) -> Vec<String> {
    let findings = check["findings"].as_array().unwrap().iter();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let bad = findings.filter(|finding| finding["outcome"] != "ok").map(|finding| {
        let names = finding["names"].as_array().map(|names| names.iter().map(word).collect::<Vec<_>>());
        let subject = names.map_or_else(|| word(&finding["subject"]), |names| names.join("|"));
        format!("{} {subject}", finding["outcome"].as_str().unwrap())
    });
    bad.collect()
}

#[test]
fn a_check_finds_what_the_kernel_lacks() {
    let home = Home::new();
    pull(&home, "plain", false);
    import(&home, "good", CONFIG);
    // The only kernel is taken.
    let check = home.json(&["kernel", "check", "plain"]);
    assert_eq!(
        (&check["version"], &check["outcome"], &check["vmm"]),
        (&1.into(), &"warning".into(), &"qemu".into())
    );
    assert_eq!((&check["image"]["name"], &check["kernel"]["name"]), (&"plain".into(), &"good".into()));
    assert_eq!(check["kernel"]["release"], RELEASE);
    let warnings = ["VIRTIO_VSOCKETS", "VIRTIO_NET", "HW_RANDOM_VIRTIO", "modules"];
    assert_eq!(complaints(&check), warnings.map(|name| format!("warning {name}")));
    let table = text(&home.run(["kernel", "check", "plain", "good"]).stdout);
    assert!(table.starts_with("OUTCOME  SUBJECT"), "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("warning  VIRTIO_VSOCKETS"), "{table}");

    // Firecracker attaches the disk by MMIO, and Docker needs more.
    let arguments =
        ["kernel", "check", "plain", "good", "--vmm", "firecracker", "--for", "docker", "--for", "k3s"];
    let output = home.banger(arguments.iter().chain(&["--json"])).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let check: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((&check["outcome"], &check["profiles"]), (&"error".into(), &json!(["docker", "k3s"])));
    let found = complaints(&check);
    for want in ["error VIRTIO_MMIO", "error OVERLAY_FS", "error VXLAN"] {
        assert!(found.iter().any(|line| line == want), "{found:?}");
    }
    let is_sorted = found.iter().map(|line| !line.starts_with("error")).is_sorted();
    assert!(is_sorted, "{found:?}");
    let output = home.banger(arguments).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), String::new()));
    assert!(text(&output.stdout).contains("\nerror "), "{}", text(&output.stdout));

    // An image with systemd, and an ext4 file of it.
    pull(&home, "systemd", true);
    home.run(["image", "export", "systemd", "disk.ext4"]);
    for image in ["systemd", "disk.ext4", "./disk.ext4"] {
        let output = home.banger(["kernel", "check", image, "--json"]).output().unwrap();
        let check: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(complaints(&check).contains(&"error EPOLL".to_owned()), "{image}: {check}");
    }
    let output = home.banger(["kernel", "check", "plain", "--for", "systemd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));

    // Without any source nothing is sure.
    home.run(["kernel", "rm", "good"]);
    fs::write(home.path("vmlinuz"), KernelBuilder::new(RELEASE).bz_image(Codec::Gzip)).unwrap();
    home.run(["kernel", "import", "vmlinuz", "--name", "bare"]);
    let check = home.json(&["kernel", "check", "plain"]);
    assert_eq!(check["outcome"], "unknown");
    assert!(complaints(&check).contains(&"unknown EXT4_FS".to_owned()), "{check}");
    // It has no modules, so there is no initrd to ask about.
    assert!(!check.to_string().contains("BLK_DEV_INITRD"), "{check}");
}

#[test]
fn modules_and_init_of_an_ext4_file_count() {
    let home = Home::new();
    import(&home, "good", CONFIG);
    let tree = home.path("tree");
    let releases = tree.join("usr/lib/modules/5.10.0-other");
    fs::create_dir_all(&releases).unwrap();
    std::os::unix::fs::symlink("usr/lib", tree.join("lib")).unwrap();
    home.run(["rootfs", "build", "tree", "disk.ext4", "--size", "16M"]);
    let output = home.banger(["kernel", "check", "disk.ext4", "--json"]).output().unwrap();
    let check: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = complaints(&check);
    assert_eq!(found[0], "error init", "{found:?}");
    assert!(found.contains(&"unknown architecture".to_owned()), "{found:?}");
    assert!(check.to_string().contains("modules of 5.10.0-other"), "{check}");
    fs::rename(&releases, tree.join("usr/lib/modules").join(RELEASE)).unwrap();
    fs::create_dir(tree.join("bin")).unwrap();
    fs::write(tree.join("bin/sh"), program()).unwrap();
    fs::set_permissions(tree.join("bin/sh"), fs::Permissions::from_mode(0o755)).unwrap();
    home.run(["rootfs", "build", "tree", "again.ext4", "--size", "16M"]);
    let check = home.json(&["kernel", "check", "again.ext4"]);
    let warnings = ["VIRTIO_VSOCKETS", "VIRTIO_NET", "HW_RANDOM_VIRTIO"];
    assert_eq!(complaints(&check), warnings.map(|name| format!("warning {name}")));
}

#[test]
fn a_missing_or_ambiguous_kernel_is_told() {
    let home = Home::new();
    pull(&home, "plain", false);
    let failed = |arguments: &[&str]| -> Value {
        let output = home.banger(arguments.iter().chain(&["--json"])).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let error = failed(&["kernel", "check", "plain"]);
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&1070.into(), &"not-found".into()));
    assert!(error_text(&error).contains("import one with `banger kernel import`"), "{error}");
    import(&home, "one", CONFIG);
    import(&home, "two", "CONFIG_EXT4_FS=y\n");
    let error = failed(&["kernel", "check", "plain"]);
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&1071.into(), &"argument".into()));
    assert!(error_text(&error).contains("one, two; give the name of one behind the image"), "{error}");
    let error = failed(&["image", "boot-plan", "plain"]);
    assert!(error_text(&error).contains("name one with --kernel-ref"), "{error}");
    let error = failed(&["image", "boot-plan", "plain", "--kernel-ref", "three"]);
    assert_eq!(error["error"]["code"], 400);
    let error = failed(&["image", "boot-plan", "./none.ext4", "--kernel-ref", "one"]);
    assert!(error_text(&error).contains("does not exist"), "{error}");
    let error = failed(&["image", "boot-plan", "plain", "--kernel-ref", "one", "--vmm", "vz"]);
    assert_eq!(error["error"]["code"], 1120);
    let error = failed(&[
        "image",
        "boot-plan",
        "plain",
        "--kernel-ref",
        "one",
        "--vmm",
        "firecracker",
        "--cpus",
        "3",
    ]);
    assert_eq!(error["error"]["code"], 1121);
}

#[test]
fn a_plan_is_what_the_monitor_reads() {
    let home = Home::new();
    pull(&home, "plain", false);
    import(&home, "good", CONFIG);
    let image = home.json(&["image", "show", "plain"])["path"].as_str().unwrap().to_owned();

    // The command of QEMU, as a shell reads it.
    let plan =
        text(&home.run(["image", "boot-plan", "plain", "--accel", "tcg", "--append", "a=it's"]).stdout);
    assert_eq!(plan.lines().count(), 1, "{plan}");
    let words = banger_testkit::tools::run(
        std::process::Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {plan}")),
    );
    let words = text(&words.stdout);
    let words: Vec<&str> = words.lines().collect();
    let after = |option: &str| words[words.iter().position(|word| *word == option).unwrap() + 1];
    assert_eq!((words[0], after("-accel")), ("qemu-system-x86_64", "tcg,thread=multi"));
    assert!(after("-append").ends_with(" a=it's"), "{plan}");
    assert_eq!(after("-drive"), format!("if=none,id=rootfs,format=raw,file={image}"));
    assert!(after("-kernel").ends_with("/bzImage"), "{plan}");
    // The small initramfs has the modules; a second plan makes no second one.
    let initrd = after("-initrd").to_owned();
    let archive = fs::read(&initrd).unwrap();
    for driver in ["virtio_blk", "virtio_pci", "ext4"] {
        let name = format!("-{driver}.ko");
        assert!(archive.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{driver}");
    }
    let again = home.json(&["image", "boot-plan", "plain"]);
    assert_eq!(again["plan"]["initrd"], initrd);
    assert_eq!(again["command"].as_array().unwrap()[0], "qemu-system-x86_64");
    assert_eq!(fs::read_dir(home.path("cache/banger/initramfs")).unwrap().count(), 1);

    // Firecracker's file, with an ext4 file of the user and everything else.
    home.run(["image", "export", "plain", "disk.ext4"]);
    fs::write(home.path("initrd"), b"070701").unwrap();
    let arguments = [
        "image",
        "boot-plan",
        "disk.ext4",
        "--vmm",
        "firecracker",
        "--initrd",
        "initrd",
        "--cpus",
        "2",
        "--memory",
        "1G",
        "--root",
        "UUID=1-2",
        "--read-only",
        "--vsock",
        "v.sock",
        "--tap",
        "tap0",
        "--mac",
        "06:00:00:00:00:01",
        "--address",
        "10.0.0.2/24",
        "--gateway",
        "10.0.0.1",
        "--dns",
        "9.9.9.9",
        "--append",
        "quiet",
        "--append",
        "--",
        "--output",
        "vm.json",
    ];
    assert_eq!(text(&home.run(arguments).stdout), "vm.json\n");
    let plan: Value = serde_json::from_slice(&fs::read(home.path("vm.json")).unwrap()).unwrap();
    let at = |name: &str| home.path(name).to_str().unwrap().to_owned();
    assert_eq!(plan["boot-source"]["initrd_path"], at("initrd"));
    assert_eq!(plan["drives"][0]["path_on_host"], at("disk.ext4"));
    assert_eq!(plan["drives"][0]["is_read_only"], true);
    assert_eq!(plan["machine-config"], json!({"vcpu_count": 2, "mem_size_mib": 1024}));
    assert_eq!(plan["vsock"]["uds_path"], at("v.sock"));
    assert_eq!(plan["network-interfaces"][0]["guest_mac"], "06:00:00:00:00:01");
    let line = plan["boot-source"]["boot_args"].as_str().unwrap();
    assert!(line.contains("root=UUID=1-2 ro banger.net.address=10.0.0.2/24"), "{line}");
    assert!(line.ends_with("quiet --"), "{line}");
    // What is there stays, without --force.
    let output = home.banger(arguments).output().unwrap();
    assert!(text(&output.stderr).contains("vm.json exists already"), "{}", text(&output.stderr));
    home.run(arguments.iter().chain(&["--force"]));

    for (vmm, part) in
        [("cloud-hypervisor", "cloud-hypervisor --kernel "), ("libkrun", "\"krun_set_kernel\"")]
    {
        let plan =
            text(&home.run(["image", "boot-plan", "plain", "--vmm", vmm, "--initrd", "initrd"]).stdout);
        assert!(plan.contains(part), "{plan}");
    }
    for (disk, part) in [("nvme", "nvme,drive=rootfs"), ("virtio-mmio", "virtio-blk-device,drive=rootfs")] {
        // The kernel has no driver for the others.
        let output = home.banger(["image", "boot-plan", "plain", "--disk", disk]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{part}");
        let plan =
            text(&home.run(["image", "boot-plan", "plain", "--disk", disk, "--initrd", "initrd"]).stdout);
        assert!(plan.contains(part), "{plan}");
    }
}

#[test]
fn the_host_is_examined() {
    let home = Home::new();
    let report = home.json(&["doctor"]);
    assert_eq!((&report["version"], &report["usable"]), (&1.into(), &true.into()));
    let items = report["items"].as_array().unwrap();
    let item = |name: &str| items.iter().find(|item| item["name"] == name).unwrap();
    assert_eq!(item("kernels")["status"], "missing");
    assert_eq!(item("state directory")["status"], "ok");
    for item in items {
        assert!(item["needed_for"].as_str().is_some_and(|text| !text.is_empty()), "{item}");
        let is_mended = item["status"] == "ok" || item["advice"].is_string() || item["status"] == "unusable";
        assert!(is_mended, "{item}");
    }
    let shown = text(&home.run(["doctor"]).stdout);
    assert!(shown.contains("missing   kernels              no kernel is imported\n"), "{shown}");
    // It left nothing.
    assert_eq!(home.leftovers(), [""; 0]);
    import(&home, "good", CONFIG);
    let shown = text(&home.run(["doctor"]).stdout);
    assert!(shown.contains("ok        kernels              good\n"), "{shown}");
    // This kernel never says a word.
    assert!(!shown.contains("and QEMU starts a kernel with it"), "{shown}");
    // A directory that cannot be used.
    fs::write(home.path("file"), "").unwrap();
    let output = home.banger(["doctor", "--state-dir", "file/state", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["usable"], &report["items"][0]["status"]), (&false.into(), &"unusable".into()));
}
