//! Trees against veritysetup.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use banger_testkit::{require, tools};
use camino::{Utf8Path, Utf8PathBuf};

use super::superblock::{BLOCK, BLOCK_BYTES, SALT_BYTES, VeritySuperblock};
use super::tree::{HashTree, Level, TreeError, levels, tree_blocks};
use super::*;
use banger_tree::Cancellation;
use uuid::Uuid;

/// How a file of the tests is filled.
#[derive(Clone, Copy, Debug)]
enum Fill {
    Noise,
    Zeros,
    Hole,
    /// Noise in each block whose number has this rest modulo 300.
    Islands(u64),
}

const CASES: [(u64, Fill); 14] = [
    (1, Fill::Noise),
    (1, Fill::Hole),
    (2, Fill::Noise),
    (127, Fill::Noise),
    (128, Fill::Noise),
    (128, Fill::Zeros),
    (129, Fill::Noise),
    (257, Fill::Islands(256)),
    (1000, Fill::Islands(7)),
    (4096, Fill::Hole),
    (16_384, Fill::Islands(299)),
    (16_385, Fill::Islands(0)),
    (16_385, Fill::Noise),
    (40_000, Fill::Islands(1)),
];

fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[5]
    })
}

fn make(path: &Utf8Path, blocks: u64, fill: Fill) -> File {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(blocks * BLOCK_BYTES).unwrap();
    let written = (0..blocks).filter(|number| match fill {
        Fill::Noise | Fill::Zeros => true,
        Fill::Hole => false,
        Fill::Islands(rest) => number % 300 == rest,
    });
    let block: Vec<u8> = noise(blocks).take(BLOCK).collect();
    for number in written {
        let mut block = block.clone();
        match fill {
            Fill::Zeros => block.fill(0),
            _ => block[..8].copy_from_slice(&number.to_le_bytes()),
        }
        file.write_all_at(&block, number * BLOCK_BYTES).unwrap();
    }
    file
}

fn superblock(data_blocks: u64) -> VeritySuperblock {
    let mut salt = [0; SALT_BYTES];
    salt.iter_mut().zip(noise(data_blocks + 1)).for_each(|(byte, noise)| *byte = noise);
    VeritySuperblock { uuid: Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677), salt, data_blocks }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn directory() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    (dir, path)
}

#[test]
fn trees_are_those_of_veritysetup() {
    let veritysetup = || tools::command("veritysetup");
    require!(veritysetup());
    for (blocks, fill) in CASES {
        for is_appended in [false, true] {
            let (_dir, dir) = directory();
            let data = make(&dir.join("data"), blocks, fill);
            let expected = make(&dir.join("expected"), blocks, fill);
            let superblock = superblock(blocks);
            let cancellation = Cancellation::new();
            let (tree, tree_file, offset) = match is_appended {
                true => (&data, dir.join("data"), blocks * BLOCK_BYTES),
                false => (&make(&dir.join("tree"), 0, Fill::Hole), dir.join("tree"), 0),
            };
            let work = HashTree { data: &data, tree, offset, superblock, cancellation: &cancellation };
            let root_hash = hex(&work.write().unwrap());
            let mut command = veritysetup().unwrap();
            command.args(["format", "--salt", &hex(&superblock.salt), "--uuid"]);
            command.arg(superblock.uuid.to_string()).arg(format!("--hash-offset={offset}"));
            command.arg(format!("--data-blocks={blocks}"));
            let expected_tree = match is_appended {
                true => dir.join("expected"),
                false => dir.join("expected-tree"),
            };
            let output = tools::run(command.args([dir.join("expected"), expected_tree.clone()]));
            let text = String::from_utf8(output.stdout).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap();
            assert_eq!(line.trim(), root_hash, "{blocks} {fill:?}");
            let (found, wanted) = (std::fs::read(&tree_file).unwrap(), std::fs::read(expected_tree).unwrap());
            assert!(found == wanted, "{blocks} {fill:?} {is_appended}");
            assert_eq!(found.len() as u64, offset + tree_blocks(blocks) * BLOCK_BYTES);
            let mut command = veritysetup().unwrap();
            command.arg("verify").arg(format!("--hash-offset={offset}"));
            tools::run(command.args([dir.join("data").as_str(), tree_file.as_str(), &root_hash]));
            drop(expected);
        }
    }
}

#[test]
fn holes_and_zeros_have_the_same_tree() {
    let cancellation = Cancellation::new();
    let hash = |fill| {
        let (_dir, dir) = directory();
        let (data, tree) = (make(&dir.join("data"), 1000, fill), make(&dir.join("tree"), 0, Fill::Hole));
        let superblock = superblock(1000);
        let work = HashTree { data: &data, tree: &tree, offset: 0, superblock, cancellation: &cancellation };
        (work.write().unwrap(), std::fs::read(dir.join("tree")).unwrap())
    };
    assert!(hash(Fill::Hole) == hash(Fill::Zeros));
    assert!(hash(Fill::Hole).0 != hash(Fill::Islands(0)).0);
}

#[test]
fn levels_follow_the_number_of_blocks() {
    let level = |first_block, blocks| Level { first_block, blocks };
    for (blocks, expected) in [
        (1, vec![]),
        (2, vec![level(1, 1)]),
        (128, vec![level(1, 1)]),
        (129, vec![level(2, 2), level(1, 1)]),
        (16_384, vec![level(2, 128), level(1, 1)]),
        (16_385, vec![level(4, 129), level(2, 2), level(1, 1)]),
    ] {
        assert_eq!(levels(blocks), expected, "{blocks}");
    }
}

#[test]
fn a_stop_ends_the_work() {
    let (_dir, dir) = directory();
    let (data, tree) = (make(&dir.join("data"), 300, Fill::Noise), make(&dir.join("tree"), 0, Fill::Hole));
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let work = HashTree {
        data: &data,
        tree: &tree,
        offset: 0,
        superblock: superblock(300),
        cancellation: &cancellation,
    };
    assert!(matches!(work.write(), Err(TreeError::Cancelled)));
}

#[test]
fn superblocks_of_other_trees_are_refused() {
    let sound = superblock(7);
    assert_eq!(VeritySuperblock::parse(&sound.to_block()), Ok(sound));
    for at in [0, 8, 12, 33, 65, 69, 80, 82, 130, 4000] {
        let mut block = sound.to_block();
        block[at] ^= 0x10;
        assert!(VeritySuperblock::parse(&block).is_err(), "{at}");
    }
}

#[test]
fn places_have_names() {
    for place in VerityPlace::ALL {
        assert_eq!(place.name().parse(), Ok(place));
    }
    assert_eq!("above".parse::<VerityPlace>().unwrap_err().to_string(), "\"above\" is not beside or append");
}
