//! The commands on ext4 files as users of coreutils type them: outcomes are those of coreutils in a
//! directory, and what the journal cannot hold at once takes several commits.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use banger_testkit::{
    Access, Ignore, Mounted, Skip, Snapshot, assert_same_tree, assert_silent, require, snapshot, tools,
};

use crate::support::{Home, text};

/// Runs a command line: words, the first one the verb; `IMG` stands for the image.
fn run(home: &Home, image: &Path, line: &str) -> Output {
    let words = line.split_whitespace().map(|word| match word {
        "IMG" => image.to_str().unwrap().to_owned(),
        word => word.trim_matches('\'').replace('~', " "),
    });
    let mut command = home.banger(["rootfs"]);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"input");
    child.wait_with_output().unwrap()
}

#[track_caller]
fn ok(home: &Home, image: &Path, line: &str) -> String {
    let output = run(home, image, line);
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn refused(home: &Home, image: &Path, line: &str, words: &[&str]) {
    let before = fs::read(image).unwrap();
    let output = run(home, image, line);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{line}: {word:?} is not in {stderr}");
    }
    assert!(fs::read(image).unwrap() == before, "{line} changed the image");
}

fn make_model(home: &Home) -> Result<PathBuf, Skip> {
    let (model, source) = (home.path("model"), home.path("SRC"));
    for dir in ["gid", "acl", "min", "both", "etc", "t/a/b", "n", "full/x", "empty"] {
        fs::create_dir_all(model.join(dir)).unwrap();
    }
    for (file, mode) in
        [("etc/f", 0o644), ("etc/g", 0o755), ("t/a/f", 0o644), ("t/a/b/g", 0o755), ("n/f", 0o600)]
    {
        fs::write(model.join(file), file).unwrap();
        fs::set_permissions(model.join(file), Permissions::from_mode(mode)).unwrap();
    }
    symlink("etc", model.join("link")).unwrap();
    symlink("a", model.join("t/link")).unwrap();
    symlink("nowhere", model.join("dead")).unwrap();
    let mut commands = tools::command("sh")?;
    tools::command("setfacl")?;
    tools::run(
        commands
            .args([
                "-ec",
                "chown :50 gid; chmod 2775 gid
                 setfacl -d -m u:5:rwx,g:6:rx,m:rwx acl
                 setfacl -d -m u::rwx,g::rx,o::- min
                 touch -h -d @1234567890 etc/f etc/g link
                 chown :60 both; chmod 2770 both; setfacl -d -m u:7:rw,o::x both",
            ])
            .current_dir(&model),
    );
    fs::create_dir_all(source.join("dir/sub")).unwrap();
    fs::write(source.join("file"), "new\n").unwrap();
    fs::write(source.join("tool"), "tool").unwrap();
    fs::set_permissions(source.join("tool"), Permissions::from_mode(0o750)).unwrap();
    fs::write(source.join("dir/one"), "1").unwrap();
    fs::write(source.join("dir/sub/two"), "2").unwrap();
    symlink("one", source.join("dir/sym")).unwrap();
    Ok(model)
}

fn make_images(home: &Home, model: &Path) -> Result<Vec<PathBuf>, Skip> {
    let mut images = Vec::new();
    for backend in crate::support::BACKENDS {
        let image = home.path(&format!("out/{backend}.ext4"));
        home.run([
            "rootfs",
            "build",
            model.to_str().unwrap(),
            image.to_str().unwrap(),
            "--size=64M",
            "--backend",
            backend,
        ]);
        images.push(image);
    }
    let image = home.path("out/mkfs.ext4");
    tools::run(tools::command("mkfs.ext4")?.args(["-q", "-d"]).arg(model).arg(&image).arg("64M"));
    images.push(image);
    Ok(images)
}

/// What a tree is but for its times, which are those of the edits.
fn timeless(root: &Path) -> Snapshot {
    let mut tree = snapshot(root);
    for entry in tree.values_mut() {
        entry.mtime = (0, 0);
    }
    tree
}

/// Command lines for the image, and what does the same in a directory with a umask of 022.
const INHERITED: [(&str, &str); 11] = [
    ("put IMG SRC/file SRC/tool /D", "cp SRC/file SRC/tool D"),
    ("put IMG -r SRC/dir /D", "cp -r SRC/dir D"),
    ("put IMG - /D/stdin", "printf input > D/stdin"),
    ("put IMG SRC/file /D/m --mode 640", "install -m 640 SRC/file D/m"),
    ("mkdir IMG /D/d", "mkdir D/d"),
    ("mkdir IMG -p /D/p/q/r", "mkdir -p D/p/q/r"),
    ("mkdir IMG -m 700 /D/m700", "mkdir -m 700 D/m700"),
    ("mkdir IMG -m 775 /D/m775", "mkdir -m 775 D/m775"),
    ("mkdir IMG -m go-w /D/go-w", "mkdir -m go-w D/go-w"),
    ("mkdir IMG -m u=rwx,go= /D/only", "mkdir -m u=rwx,go= D/only"),
    ("ln IMG -s x /D/sym", "ln -s x D/sym"),
];

/// The same, one after the other.
const STEPS: [(&str, &str); 46] = [
    ("put IMG -r SRC/dir /", "cp -r SRC/dir ."),
    ("put IMG -r SRC/dir /copy", "cp -r SRC/dir copy"),
    ("put IMG -r SRC/dir/ /copy2/", "cp -r SRC/dir/ copy2"),
    ("put IMG -r SRC/dir /copy", "cp -r SRC/dir copy"),
    ("put IMG -rT SRC/dir /copy", "rm copy/sym; cp -rT SRC/dir copy"),
    ("put IMG -f SRC/file /etc/f", "cp -f SRC/file etc/f"),
    ("put IMG -n SRC/file /etc/g", "cp -n SRC/file etc/g"),
    ("put IMG -t /etc SRC/file SRC/tool", "cp -t etc SRC/file SRC/tool"),
    ("put IMG SRC/file /link/", "cp SRC/file link/"),
    ("mkdir IMG /made/", "mkdir made/"),
    ("mkdir IMG -p /made /made/x/ /link", "mkdir -p made made/x/ link"),
    ("ln IMG -s etc/f /s1", "ln -s etc/f s1"),
    ("ln IMG -sf etc/g /s1", "ln -sf etc/g s1"),
    ("ln IMG -s etc /cur", "ln -s etc cur"),
    ("ln IMG -sf n /cur", "ln -sf n cur"),
    ("ln IMG -sfn n /cur", "ln -sfn n cur"),
    ("ln IMG -sfT t /cur", "ln -sfT t cur"),
    ("ln IMG -f /etc/f /etc/g", "ln -f etc/f etc/g"),
    ("ln IMG -t /made /etc/f /n/f", "mkdir -p made; ln -t made etc/f; true"),
    ("ln IMG -s -t /made /a /b", "ln -s -t made /a /b"),
    ("mv IMG -n /etc/f /etc/file", "mv -n etc/f etc/file || true"),
    ("mv IMG -f /etc/tool /etc/file", "mv -f etc/tool etc/file"),
    ("mv IMG /etc/f /etc/tool", "mv etc/f etc/tool"),
    ("mv IMG /made/ /moved/", "mv made/ moved/"),
    ("mv IMG -t /empty /copy2 /moved", "mv -t empty copy2 moved"),
    ("mv IMG -T /empty /emptied", "mv -T empty emptied"),
    ("mv IMG /dead /dead2", "mv dead dead2"),
    ("rm IMG -f /no/such /nothing", "rm -f no/such nothing"),
    ("rm IMG -f", "rm -f"),
    ("rm IMG -rf /copy /nothing", "rm -rf copy nothing"),
    ("rm IMG -fr /emptied/copy2", "rm -fr emptied/copy2"),
    ("mkdir IMG /gone", "mkdir gone"),
    ("rm IMG -d /gone", "rm -d gone"),
    ("rm IMG -r /t/link", "rm -r t/link"),
    ("rm IMG /dead2", "rm dead2"),
    ("chmod IMG -R u=rwX,go= /t", "chmod -R u=rwX,go= t"),
    ("chmod IMG -x /t/a/b/g", "chmod a-x t/a/b/g"),
    ("chmod IMG +x /t/a/f /n/f", "chmod a+x t/a/f n/f"),
    ("chmod IMG 4755 /n/f", "chmod 4755 n/f"),
    ("chmod IMG 750 /link", "chmod 750 link"),
    ("chmod IMG -R g+s /gid", "chmod -R g+s gid"),
    ("chown IMG -R 5:6 /t", "chown -R 5:6 t"),
    ("chown IMG -h 9 /link", "chown -h 9 link"),
    ("chown IMG -R 11 /link", "chown -R 11 link"),
    ("chown IMG -R 12 /link/", "chown -R 12 link/"),
    ("chown IMG :13 /n/f", "chown :13 n/f"),
];

#[test]
fn outcomes_are_those_of_coreutils() {
    require!(tools::root("owners and mounts"));
    let home = Home::new();
    let model = require!(make_model(&home));
    let images = require!(make_images(&home, &model));
    let dirs = ["gid", "acl", "min", "both", "n"];
    let inherited = dirs.iter().flat_map(|dir| {
        let at = move |line: &str| line.replace("D/", &format!("{dir}/")).replace(" D", &format!(" {dir}"));
        INHERITED.iter().map(move |(line, script)| (line.replace("/D", &format!("/{dir}")), at(script)))
    });
    let steps = STEPS.iter().map(|(line, script)| ((*line).to_owned(), (*script).to_owned()));
    for (line, script) in inherited.chain(steps) {
        if line == "ln IMG -t /made /etc/f /n/f" {
            // Names that are taken: checked below.
            continue;
        }
        let script = script.replace("SRC/", "../SRC/");
        let mut shell = Command::new("sh");
        tools::run(shell.args(["-ec", &format!("umask 022; {script}")]).current_dir(&model));
        for image in &images {
            assert_eq!(ok(&home, image, &line), "", "{line}");
        }
    }
    let expected = timeless(&model);
    for image in &images {
        require!(assert_silent(image));
        let mounted = require!(Mounted::new(image, Access::ReadOnly));
        assert_same_tree(&expected, &timeless(mounted.path()), Ignore::MKFS);
    }
}

#[test]
fn what_coreutils_refuse_is_refused() {
    require!(tools::root("owners"));
    let home = Home::new();
    let model = require!(make_model(&home));
    let image = require!(make_images(&home, &model)).swap_remove(0);
    ok(&home, &image, "ln IMG /etc/f /etc/hard");
    for (line, words) in [
        ("rm IMG /link/", &["/link is not a directory", "slash"][..]),
        ("rm IMG -r /link/", &["/link is not a directory", "slash"]),
        ("rm IMG /etc/f/", &["/etc/f is not a directory"]),
        ("rm IMG -r /etc/.", &["ends with . or .."]),
        ("rm IMG -rf /etc/..", &["root directory"]),
        ("rm IMG -rf /", &["root directory"]),
        ("rm IMG -d /full", &["/full is a directory", "--recursive"]),
        ("rm IMG -r /n /etc/f /nothing", &["/nothing does not exist"]),
        ("rm IMG", &["PATH"]),
        ("mv IMG /etc/f /new/", &["/new does not exist"]),
        ("mv IMG /etc/f/ /new", &["/etc/f is not a directory"]),
        ("mv IMG -T /n /full", &["/full exists already"]),
        ("mv IMG /etc/f", &["/etc/f is the only path"]),
        ("mv IMG /etc/f /etc/hard", &["another name of the same file"]),
        ("mv IMG /t /t/a/t", &["cannot move below itself"]),
        ("mv IMG -T /etc/f /etc/g /n", &["only one path can get the name /n"]),
        ("ln IMG -s x /new/", &["/new does not exist"]),
        ("ln IMG -s x", &["x is the only path"]),
        ("ln IMG /dead2 /x", &["/dead2 does not exist"]),
        ("put IMG SRC/file", &["SRC/file is the only path"]),
        ("put IMG -t /nothing SRC/file", &["/nothing does not exist"]),
        ("put IMG -T SRC/file /n", &["/n is a directory"]),
        ("cat IMG /etc/f/", &["/etc/f is not a directory"]),
        ("stat IMG /etc/f/", &["/etc/f is not a directory"]),
        ("chmod IMG 600 /etc/f/", &["/etc/f is not a directory"]),
        ("chown IMG 1 /etc/f/", &["/etc/f is not a directory"]),
        ("chmod IMG 600 /dead", &["/nowhere does not exist"]),
        ("stat IMG -c %Q /etc", &["--format %Q", "%Q is not known", "%a"]),
        ("mkdir IMG /etc", &["/etc exists already"]),
    ] {
        refused(&home, &image, line, words);
    }
}

#[test]
fn stat_and_ls_print_what_coreutils_print() {
    require!(tools::root("owners"));
    let home = Home::new();
    let model = require!(make_model(&home));
    let images = require!(make_images(&home, &model));
    tools::run(Command::new("sh").args(["-ec", "chown -R 4242:4243 n t"]).current_dir(&model));
    let format = "%a|%A|%f|%F|%g|%h|%n|%N|%u|%Y|%y|%10u|%-8h|%010a|%%";
    for image in &images {
        ok(&home, image, "chown IMG -R 4242:4243 /n /t");
        for path in ["/etc/f", "/etc/g", "/link", "/dead", "/gid", "/t/a/b/g"] {
            // Other tools see the model's times, and for the image the edits'.
            let format =
                if path == "/etc/f" || path == "/link" { format } else { "%a|%A|%f|%F|%g|%h|%n|%N|%u" };
            let mut stat = require!(tools::command("stat"));
            stat.args(["-c", &format.replace("%n", path).replace("%N", "")]).env("TZ", "UTC");
            let expected = tools::run(stat.arg(model.join(&path[1..]))).stdout;
            let line = format!("stat IMG -c {} {path}", format.replace("%N", "").replace(' ', "~"));
            assert_eq!(ok(&home, image, &line), text(&expected), "{path}");
        }
        assert_eq!(ok(&home, image, "stat IMG -c %N /link /etc/f"), "'/link' -> 'etc'\n'/etc/f'\n");
        assert_eq!(ok(&home, image, r"stat IMG --printf %s\t%n\n /etc/f"), "5\t/etc/f\n");
        assert_eq!(ok(&home, image, "stat IMG -Lc %F /link"), "directory\n");
        assert_eq!(ok(&home, image, "stat IMG -c %F /link/"), "directory\n");

        let names = ok(&home, image, "ls IMG -1 /t/a");
        assert_eq!(names, "b\nf\n");
        assert_eq!(ok(&home, image, "ls IMG -a /t/a"), ".\n..\nb\nf\n");
        assert_eq!(ok(&home, image, "ls IMG -A -r /t/a"), "f\nb\n");
        assert_eq!(ok(&home, image, "ls IMG -F /t"), "a/\nlink@\n");
        assert_eq!(ok(&home, image, "ls IMG -d /link /etc/"), "/link\n/etc\n");
        let long = ok(&home, image, "ls IMG -la -1 -h -n /t/a");
        let lines: Vec<&str> = long.lines().collect();
        assert_eq!(lines.len(), 4, "{long}");
        assert!(lines[0].starts_with("drwx") && lines[0].ends_with(" ."), "{long}");
        assert!(lines[3].contains("4242") && lines[3].ends_with(" f"), "{long}");
        assert!(ok(&home, image, "ls IMG -n /t/a").contains("4242"));
        assert!(ok(&home, image, "ls IMG -i /t/a").lines().all(|line| line.as_bytes()[0].is_ascii_digit()));
        assert!(ok(&home, image, "ls IMG -laR /").contains("\n/t/a/b:\n"));
        ok(&home, image, "put IMG SRC/file /etc/larger");
        assert!(
            ok(&home, image, "ls IMG -S /etc").starts_with("f\n")
                || ok(&home, image, "ls IMG -S /etc").starts_with("g\n")
        );
        assert!(ok(&home, image, "ls IMG -t /etc").starts_with("larger\n"));
        assert!(ok(&home, image, "ls IMG --help").contains("Usage: banger rootfs ls"));
        assert!(ok(&home, image, "chown IMG --help").contains("--no-dereference"));
    }
}

/// A tree with more inodes than the blocks of the smallest journal hold.
#[test]
fn what_the_journal_cannot_hold_takes_several_commits() {
    let home = Home::new();
    let model = home.path("model");
    fs::create_dir_all(model.join("etc")).unwrap();
    for number in 0..20_000 {
        let dir = model.join(format!("big/{}/{}", number / 5000, number / 200));
        if number % 200 == 0 {
            fs::create_dir_all(&dir).unwrap();
        }
        fs::write(dir.join(number.to_string()), "").unwrap();
    }
    let image = home.path("out/mkfs.ext4");
    let mut mkfs = require!(tools::command("mkfs.ext4"));
    mkfs.args(["-q", "-J", "size=4", "-N", "60000", "-d"]);
    tools::run(mkfs.arg(&model).arg(&image).arg("128M"));
    for line in ["chmod IMG -R go-rwx /big", "chown IMG -R 7:8 /big", "put IMG -r model/big /again"] {
        ok(&home, &image, line);
        require!(assert_silent(&image));
    }
    assert_eq!(ok(&home, &image, "stat IMG -c %a:%u:%g /big/3/99/19999"), "600:7:8\n");
    assert_eq!(ok(&home, &image, "ls IMG /again/3/99").lines().count(), 200);
    // What is wrong is seen before the first commit.
    refused(&home, &image, "rm IMG -r /big /nothing", &["/nothing does not exist"]);
    ok(&home, &image, "rm IMG -rf /big /again");
    require!(assert_silent(&image));
    assert_eq!(ok(&home, &image, "ls IMG /"), "etc\nlost+found\n");
    let free = |image: &Path| {
        let output = tools::run(tools::command("dumpe2fs").unwrap().arg("-h").arg(image));
        let text = text(&output.stdout);
        text.lines().filter(|line| line.starts_with("Free ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let small = home.path("out/small.ext4");
    fs::remove_dir_all(model.join("big")).unwrap();
    let mut mkfs = require!(tools::command("mkfs.ext4"));
    mkfs.args(["-q", "-J", "size=4", "-N", "60000", "-d"]);
    tools::run(mkfs.arg(&model).arg(&small).arg("128M"));
    assert_eq!(free(&image)[1], free(&small)[1], "inodes");
}
