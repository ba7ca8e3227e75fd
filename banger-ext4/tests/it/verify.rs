//! Walks through whole file systems find what e2fsck finds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use banger_ext4::{Ext4Editor, VerifyReport};
use banger_testkit::{assert_silent, copy_sparse, e2fsck_check, require, tools};
use banger_tree::{Rootfs, RootfsError};
use camino::Utf8Path;

use crate::editor::{MAKERS, Maker, Numbers, Place, make, path};
use crate::support::fixture::mode;

/// Puts everything into an image that a walk comes by.
fn fill(image: &Utf8Path) {
    let mut editor = Ext4Editor::open(image).unwrap();
    let names: Vec<String> = (0..400).map(|number| format!("/large/{number:040}")).collect();
    for dir in ["/large", "/etc", "/etc/deep"] {
        editor.create_dir(&path(dir), &mode(0o755)).unwrap();
    }
    for name in &names {
        editor.write_file(&path(name), &mut &b""[..], &mode(0o644)).unwrap();
    }
    // Every other block is a hole: an extent tree with blocks of its own.
    let mut striped = vec![0; 4096 * 800];
    striped.chunks_mut(8192).for_each(|chunk| chunk[..4096].fill(7));
    editor.write_file(&path("/etc/striped"), &mut &striped[..], &mode(0o600)).unwrap();
    let mut attributes = mode(0o644);
    attributes.xattrs.insert("user.long", [b'x'; 300]);
    editor.write_file(&path("/etc/attributes"), &mut &b"1"[..], &attributes).unwrap();
    editor.symlink(&path("/etc/short"), b"striped", &mode(0o777)).unwrap();
    editor.symlink(&path("/etc/long"), &[b'l'; 200], &mode(0o777)).unwrap();
    editor.hard_link(&path("/etc/striped"), &path("/etc/deep/linked")).unwrap();
    editor.commit().unwrap();
}

/// What a walk finds, also that the image cannot be opened.
fn problems(image: &Utf8Path) -> Vec<String> {
    match Ext4Editor::open(image).and_then(|editor| editor.verify()) {
        Ok(VerifyReport { problems, problem_count, .. }) => {
            assert!(problem_count >= problems.len() as u64 && problems.len() <= 100);
            problems
        }
        Err(error @ (RootfsError::Corrupt { .. } | RootfsError::Unsupported { .. })) => {
            vec![error.to_string()]
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn nothing_is_wrong_with_sound_images() {
    for maker in &MAKERS {
        let place = Place::new();
        let image = place.root.join("image.ext4");
        require!(make(maker, &image));
        fill(&image);
        assert_eq!(problems(&image), [""; 0], "{maker:?}");
        let report = Ext4Editor::open(&image).unwrap().verify().unwrap();
        assert!(report.used_inodes > 400 && report.free_bytes < report.size_bytes, "{report:?}");
        let mut dumpe2fs = require!(tools::command("dumpe2fs"));
        let told = tools::run(dumpe2fs.arg("-h").arg(&image));
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let free = told.lines().find_map(|line| line.strip_prefix("Free inodes:")).unwrap();
        assert_eq!(free.trim(), (report.inodes - report.used_inodes).to_string());
    }
}

/// Damage with right checksums, as a program makes it that has an error.
#[test]
fn what_debugfs_breaks_is_found() {
    let place = Place::new();
    let (sound, image) = (place.root.join("sound.ext4"), place.root.join("image.ext4"));
    require!(make(&Maker::Native, &sound));
    fill(&sound);
    let inode_of = |name: &str| Ext4Editor::open(&sound).unwrap().stat(&path(name)).unwrap().unwrap().inode;
    let (striped, deep) = (inode_of("/etc/striped"), inode_of("/etc/deep"));
    for (script, want) in [
        ("clri /etc/striped".to_owned(), vec![format!("inode {striped} is not in use")]),
        ("unlink /etc/long".to_owned(), vec!["is in use, but no name leads to it".to_owned()]),
        (
            "unlink /etc/deep".to_owned(),
            vec![format!("inode {deep} is in use"), "not below the root".to_owned()],
        ),
        ("link /etc/short /etc/more".to_owned(), vec!["1 links, and 2 names".to_owned()]),
        ("sif /etc/striped links_count 7".to_owned(), vec!["7 links, and 2 names".to_owned()]),
        ("sif /etc links_count 9".to_owned(), vec!["9 links, and should have 3".to_owned()]),
        (format!("freei <{striped}>"), vec![format!("leads to inode {striped}, which is not in use")]),
        (format!("freeb {}", blocks_of(&sound, "/etc")[0]), vec!["in use and marked free".to_owned()]),
        ("setb 16000 7".to_owned(), vec!["7 blocks that are marked in use and used by nothing".to_owned()]),
        ("ssv free_blocks_count 5".to_owned(), vec!["the superblock counts 5 free blocks".to_owned()]),
        ("set_bg 0 free_inodes_count 3".to_owned(), vec!["group 0".to_owned()]),
        ("sif /etc/long mode 0100644".to_owned(), vec!["has another type".to_owned()]),
    ] {
        copy_sparse(sound.as_std_path(), image.as_std_path());
        let mut debugfs = require!(tools::command("debugfs"));
        tools::run(debugfs.args(["-w", "-R", &script]).arg(&image));
        let found = problems(&image);
        for want in want {
            assert!(
                found.iter().any(|problem| problem.contains(&want)),
                "{script}: {want:?} is not in {found:#?}"
            );
        }
        let e2fsck = require!(tools::tool("e2fsck"));
        assert!(e2fsck_check(&e2fsck, image.as_std_path()).is_err(), "{script} is no damage to e2fsck");
    }
}

/// One bit turned, anywhere in what is no hole: what e2fsck complains about the walk does too.
#[test]
fn turned_bits_are_found() {
    let cases: usize = std::env::var("BANGER_CASES").map_or(150, |cases| cases.parse().unwrap());
    let e2fsck = require!(tools::tool("e2fsck"));
    let place = Place::new();
    let (sound, image) = (place.root.join("sound.ext4"), place.root.join("image.ext4"));
    require!(make(&Maker::Native, &sound));
    fill(&sound);
    // Blocks of metadata, by what debugfs says of where they are.
    let blocks = metadata_blocks(&sound);
    let mut numbers = Numbers(23);
    let mut complaints = 0;
    for case in 0..cases {
        copy_sparse(sound.as_std_path(), image.as_std_path());
        let block = blocks[case % blocks.len()];
        let file = File::options().read(true).write(true).open(&image).unwrap();
        let mut bytes = vec![0; 4096];
        file.read_exact_at(&mut bytes, block * 4096).unwrap();
        // Half of them where there is something to break.
        let used: Vec<usize> = (0..4096).filter(|at| bytes[*at] != 0).collect();
        let at = match used.is_empty() || case % 2 == 0 {
            true => numbers.below(4096),
            false => used[numbers.below(used.len())],
        };
        bytes[at] ^= 1 << numbers.below(8);
        file.write_all_at(&bytes, block * 4096).unwrap();
        drop(file);
        let found = problems(&image);
        if let Err(complaint) = e2fsck_check(&e2fsck, image.as_std_path()) {
            complaints += 1;
            assert!(!found.is_empty(), "byte {at} of block {block}: nothing found, but {complaint}");
        }
    }
    assert!(complaints * 3 > cases, "{complaints} of {cases}");
}

fn ask(image: &Utf8Path, request: &str) -> String {
    let output = Command::new("debugfs").args(["-R", request]).arg(image).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn blocks_of(image: &Utf8Path, name: &str) -> Vec<u64> {
    let blocks = ask(image, &format!("blocks {name}"));
    blocks.split_whitespace().map(|block| block.parse().unwrap()).collect()
}

/// Blocks 0 and 1, bitmaps, inodes, directories, extents, xattrs.
fn metadata_blocks(image: &Utf8Path) -> Vec<u64> {
    let ask = |request: &str| ask(image, request);
    let mut blocks = vec![0, 1];
    for request in ["imap /etc", "imap /etc/striped", "imap /large"] {
        let text = ask(request);
        let block = text.split("located at block ").nth(1).unwrap().split(',').next().unwrap();
        blocks.push(block.parse().unwrap());
    }
    for name in ["/etc", "/etc/deep", "/large", "/"] {
        blocks.extend(blocks_of(image, name));
    }
    let stats = ask("stats -h") + &ask("stats");
    for line in stats.lines().filter(|line| line.contains(" bitmap at ")) {
        for part in line.split(" bitmap at ").skip(1) {
            blocks.push(part.split([',', ' ']).next().unwrap().parse().unwrap());
        }
    }
    let stat = ask("stat /etc/attributes");
    blocks.push(stat.split("File ACL: ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap());
    let striped = ask("stat /etc/striped");
    let index = striped.split("(ETB0):").nth(1).expect("it has blocks of extents");
    blocks.push(index.split([',', '\n']).next().unwrap().trim().parse().unwrap());
    blocks.sort_unstable();
    blocks.dedup();
    assert!(blocks.len() > 10 && blocks.iter().all(|block| *block < 16384), "{blocks:?}");
    blocks
}

/// A kernel that makes a file longer without a write leaves its content in the inode.
#[test]
fn a_file_may_be_longer_than_its_content_in_the_inode() {
    require!(tools::tool("debugfs").map(drop));
    let place = Place::in_memory();
    let (image, content) = (place.root.join("inline"), place.root.join("content"));
    std::fs::write(&content, [7; 100]).unwrap();
    let mut mke2fs = tools::command("mke2fs").unwrap();
    tools::run(mke2fs.args(["-q", "-F", "-t", "ext4", "-O", "inline_data"]).arg(&image).arg("8M"));
    for command in [&format!("write {content} file"), "sif file size 7000"] {
        tools::run(tools::command("debugfs").unwrap().args(["-w", "-R", command]).arg(&image));
    }
    assert_silent(image.as_std_path()).unwrap();
    let editor = Ext4Editor::open(&image).unwrap();
    assert_eq!(editor.verify().unwrap().problems, [""; 0]);
    let bytes = editor.read(&path("/file")).unwrap();
    assert!(bytes.len() == 7000 && bytes[..100] == [7; 100] && bytes[100..] == [0; 6900]);
}
