//! `banger rootfs df | du | find | diff | verify`, compared with the kernel's and GNU's answers.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_testkit::{Access, Mounted, Skip, require, tools};
use serde_json::{Value, json};

use crate::support::{Home, text};

fn image(home: &Home, options: &[&str], name: &str) -> Result<PathBuf, Skip> {
    let model = home.path("model");
    if !model.exists() {
        fs::create_dir_all(model.join("etc/deep/deeper")).unwrap();
        fs::create_dir(model.join("var")).unwrap();
        for (name, length) in
            [("etc/a.conf", 10), ("etc/b.conf", 70_000), ("etc/deep/c", 5000), ("etc/deep/deeper/d", 0)]
        {
            fs::write(model.join(name), vec![b'x'; length]).unwrap();
        }
        fs::hard_link(model.join("etc/b.conf"), model.join("var/linked")).unwrap();
        symlink("etc", model.join("link")).unwrap();
        symlink("x".repeat(300), model.join("long-link")).unwrap();
        fs::set_permissions(model.join("etc/deep/c"), fs::Permissions::from_mode(0o4711)).unwrap();
        let sparse = fs::File::create(model.join("var/sparse")).unwrap();
        sparse.set_len(10 << 20).unwrap();
        fs::File::open(model.join("etc/a.conf"))
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400))
            .unwrap();
    }
    let image = home.path(&format!("out/{name}.ext4"));
    let mut mkfs = tools::command("mkfs.ext4")?;
    tools::run(mkfs.args(["-q", "-F", "-d"]).arg(&model).args(options).arg(&image).arg("64M"));
    Ok(image)
}

const KINDS: [(&str, &[&str]); 4] = [
    ("plain", &[]),
    ("1k", &["-b", "1024", "-I", "128"]),
    ("ext2", &["-t", "ext2"]),
    ("reserved", &["-m", "10", "-N", "64", "-O", "^metadata_csum,^64bit,bigalloc"]),
];

#[test]
fn df_and_du_have_the_numbers_of_the_kernel() {
    let home = Home::new();
    for (name, options) in KINDS {
        let file = require!(image(&home, options, name));
        let path = file.to_str().unwrap();
        let df = home.json(&["rootfs", "df", path]);
        let du = |arguments: &[&str]| home.json(&[&["rootfs", "du", path], arguments].concat());
        let all = du(&["-a"]);
        let summary = du(&["-s", "/etc", "/var"]);
        assert_eq!(summary["paths"].as_array().unwrap().len(), 2);
        let mounted = require!(Mounted::new(&file, Access::ReadOnly));
        let stat =
            Command::new("stat").args(["-f", "-c", "%S %b %f %c %d"]).arg(mounted.path()).output().unwrap();
        let numbers: Vec<u64> =
            text(&stat.stdout).split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [block, blocks, free, inodes, free_inodes] = numbers[..] else { panic!("{numbers:?}") };
        let number = |name: &str| df[name].as_u64().unwrap();
        assert_eq!(
            [
                number("block_bytes"),
                number("size_bytes"),
                number("free_bytes"),
                number("inodes"),
                number("free_inodes")
            ],
            [block, blocks * block, free * block, inodes, free_inodes],
            "{name}: {df}"
        );
        assert_eq!(number("used_bytes") + number("free_bytes"), number("size_bytes"));
        if name == "reserved" {
            assert!(number("reserved_bytes") > 5 << 20, "{df}");
        }
        // Lines as du prints them, by path.
        let lines = |arguments: &[&str]| {
            let output = Command::new("du").args(arguments).current_dir(mounted.path()).output().unwrap();
            let line = |line: &str| {
                let (size, path) = line.split_once('\t').unwrap();
                let path = if path == "." { "/".to_owned() } else { path.trim_start_matches('.').to_owned() };
                (path, size.parse::<u64>().unwrap())
            };
            text(&output.stdout).lines().map(line).collect::<BTreeMap<_, _>>()
        };
        let ours = |document: &Value| {
            let rows = document["paths"].as_array().unwrap().iter();
            rows.map(|row| {
                (row["path"].as_str().unwrap().to_owned(), row["allocated_bytes"].as_u64().unwrap())
            })
            .collect::<BTreeMap<_, _>>()
        };
        // In which directory a file with two links counts depends on the order of the names.
        let theirs = lines(&["-a", "--block-size=1"]);
        let ours_all = ours(&all);
        assert_eq!(ours_all["/"], theirs["/"], "{name}");
        assert_eq!(ours_all["/etc/deep"], theirs["/etc/deep"], "{name}");
        assert_eq!((ours_all["/var/sparse"], ours_all["/long-link"] > 0), (0, true), "{name}");
        assert_eq!(
            summary["total_bytes"].as_u64().unwrap(),
            lines(&["-sc", "--block-size=1", "etc", "var"])["total"]
        );
    }
    let text_of = |arguments: &[&str]| text(&home.run(arguments).stdout);
    assert!(text_of(&["rootfs", "df", "out/plain.ext4", "-h"]).contains("inodes"));
    let summary = text_of(&["rootfs", "du", "out/plain.ext4", "-s", "/etc/a.conf"]);
    assert_eq!(summary, "1024  /etc/a.conf\n");
}

#[test]
fn find_finds_what_find_finds() {
    let home = Home::new();
    let file = require!(image(&home, &[], "find"));
    let mounted = require!(Mounted::new(&file, Access::ReadOnly));
    let find = |arguments: &[&str]| {
        let output = home.run([&["rootfs", "find", "out/find.ext4"], arguments].concat());
        let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for (ours, theirs) in [
        (&["/"][..], &["."][..]),
        (&["/etc", "--name", "*.conf"], &["./etc", "-name", "*.conf"]),
        (&["--path-glob", "*/deep*/?"], &[".", "-path", "*/deep*/?"]),
        (&["--type", "f", "--type", "l"], &[".", "-type", "f,l"]),
        (&["--type", "f", "--size", "+4999"], &[".", "-type", "f", "-size", "+4999c"]),
        (&["--type", "f", "--size", "-11"], &[".", "-type", "f", "-size", "-11c"]),
        (&["--size", "70000"], &[".", "-size", "70000c"]),
        (&["--perm", "4711"], &[".", "-perm", "4711"]),
        (&["--perm", "-4001", "--type", "f"], &[".", "-perm", "-4001", "-type", "f"]),
        (&["--perm", "/6000"], &[".", "-perm", "/6000"]),
        (&["--newer", "1970-01-02"], &[".", "-newermt", "1970-01-02 00:00:00Z"]),
        (&["--newer", "@86399"], &[".", "-newermt", "@86399"]),
        (
            &["--uid", "0", "--gid", "0", "--max-depth", "1"],
            &[".", "-maxdepth", "1", "-uid", "0", "-gid", "0"],
        ),
    ] {
        let output = Command::new("find").args(theirs).current_dir(mounted.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let path =
            |line: &str| if line == "." { "/".to_owned() } else { line.trim_start_matches('.').to_owned() };
        let mut expected: Vec<String> = text(&output.stdout).lines().map(path).collect();
        expected.sort();
        assert_eq!(find(ours), expected, "{ours:?}");
    }
    let output = home.run(["rootfs", "find", "out/find.ext4", "/etc/deep", "-0", "--type", "f"]).stdout;
    assert_eq!(output, b"/etc/deep/c\0/etc/deep/deeper/d\0");
    let document = home.json(&["rootfs", "find", "out/find.ext4", "--name", "c"]);
    assert_eq!(
        (&document["entries"][0]["path"], &document["entries"][0]["mode"]),
        (&json!("/etc/deep/c"), &json!("4711"))
    );
    for (arguments, code) in [
        (&["--name", "["][..], 1346),
        (&["--newer", "x"], 1347),
        (&["--perm", "8"], 720),
        (&["/nothing"], 700),
    ] {
        let command = [&["rootfs", "find", "out/find.ext4", "--json"], arguments].concat();
        let output = home.banger(command).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["error"]["code"], code, "{arguments:?}");
    }
}

#[test]
fn diff_names_paths_and_what_changed() {
    let home = Home::new();
    let file = require!(image(&home, &[], "before"));
    fs::copy(&file, home.path("out/after.ext4")).unwrap();
    let run = |arguments: &[&str]| {
        let command = [&["rootfs", "diff", "out/before.ext4", "out/after.ext4"], arguments].concat();
        let output = home.banger(command).output().unwrap();
        (output.status.code(), text(&output.stdout))
    };
    assert_eq!(run(&["--exit-code"]), (Some(0), String::new()));
    home.run(["rootfs", "rm", "-r", "out/after.ext4", "/etc/deep"]);
    home.run(["rootfs", "chmod", "out/after.ext4", "600", "/etc/a.conf"]);
    home.run(["rootfs", "mkdir", "out/after.ext4", "/var/new"]);
    let expected = "~ /etc (modified)\n~ /etc/a.conf (mode)\n- /etc/deep\n- /etc/deep/c\n- /etc/deep/deeper\n\
                    - /etc/deep/deeper/d\n~ /var (modified)\n+ /var/new\n";
    assert_eq!(run(&[]), (Some(0), expected.to_owned()));
    assert_eq!(run(&["--exit-code"]).0, Some(1));
    let document: Value = serde_json::from_str(&run(&["--json"]).1).unwrap();
    assert_eq!(
        document["differences"][1],
        json!({ "path": "/etc/a.conf", "kind": "changed", "changes": ["mode"] })
    );
    assert_eq!(document["differences"][2], json!({ "path": "/etc/deep", "kind": "removed" }));
    assert_eq!(document["other"], "out/after.ext4");
}

#[test]
fn verify_tells_damage_by_its_status() {
    let home = Home::new();
    let file = require!(image(&home, &[], "sound"));
    let verify = || home.banger(["rootfs", "verify", "out/sound.ext4", "--json"]).output().unwrap();
    let sound = verify();
    let document: Value = serde_json::from_slice(&sound.stdout).unwrap();
    assert_eq!(
        (sound.status.code(), &document["problems"], &document["problem_count"]),
        (Some(0), &json!([]), &json!(0))
    );
    damage(&file, 2 * 4096 + 100);
    let damaged = verify();
    let document: Value = serde_json::from_slice(&damaged.stdout).unwrap();
    assert_eq!(damaged.status.code(), Some(1));
    assert!(document["problem_count"].as_u64().unwrap() > 0, "{document}");
    assert!(text(&damaged.stderr).contains("error: out/sound.ext4: "), "{}", text(&damaged.stderr));
}

#[test]
fn repair_tells_what_it_did_by_its_status() {
    let home = Home::new();
    let file = require!(image(&home, &["-b", "1024"], "counted"));
    let repair = || {
        let output = home.banger(["rootfs", "repair", "out/counted.ext4", "--json"]).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), document)
    };
    let (status, document) = repair();
    assert_eq!((status, &document["repair_count"]), (Some(0), &json!(0)));
    // The number of free inodes in the descriptor of group 0.
    damage(&file, 2048 + 0x0e);
    let (status, document) = repair();
    assert_eq!((status, &document["problem_count"]), (Some(0), &json!(0)), "{document}");
    assert_eq!(
        document["repair_count"].as_u64().unwrap() as usize,
        document["repairs"].as_array().unwrap().len()
    );
    require!(banger_testkit::assert_silent(&file));
    // The mode of the root directory, inode 2, and a counter.
    let table = home.json(&["rootfs", "stat", "out/counted.ext4", "/"]);
    assert_eq!(table["entries"][0]["inode"], 2);
    let mut block = [0; 4];
    std::os::unix::fs::FileExt::read_exact_at(&fs::File::open(&file).unwrap(), &mut block, 2048 + 8).unwrap();
    damage(&file, u64::from(u32::from_le_bytes(block)) * 1024 + 256);
    damage(&file, 2048 + 0x0e);
    let before = fs::read(&file).unwrap();
    let (status, document) = repair();
    assert_eq!(status, Some(1), "{document}");
    assert!(fs::read(&file).unwrap() == before);
}

/// Changes a byte.
fn damage(file: &Path, offset: u64) {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
}
