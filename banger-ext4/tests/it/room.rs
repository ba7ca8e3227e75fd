//! Inodes for later growth, and what the budget says to directories.

use banger_ext4::{Ext4Backend, Ext4Error, ImageSize, NativeBackend};
use banger_testkit::{assert_clean, require};
use banger_tree::{Attributes, Budget, Cost, Inode, InodeId, LayerIndex, NodeKind, Setting, Tree};

use crate::e2fsprogs::{Workplace, options};

fn directory(tree: &mut Tree, parent: InodeId, name: &str) -> InodeId {
    let inode = Inode::new(NodeKind::empty_directory(), Attributes::with_mode(0o755));
    tree.insert(parent, name.as_bytes(), inode).unwrap()
}

/// A tree of `count` FIFOs, a thousand in a directory.
fn fifos(count: u32) -> Tree {
    let mut tree = Tree::new();
    for part in 0..count.div_ceil(1000) {
        let root = tree.root();
        let dir = directory(&mut tree, root, &format!("d{part}"));
        for number in part * 1000..count.min((part + 1) * 1000) {
            let inode = Inode::new(NodeKind::Fifo, Attributes::with_mode(0o644));
            tree.insert(dir, number.to_string().as_bytes(), inode).unwrap();
        }
    }
    tree
}

#[test]
fn t15_a_quarter_more_inodes_than_entries_or_the_default() {
    let place = Workplace::new();
    let e2fsprogs = place.backend();
    let backends: [&dyn Ext4Backend; 2] = [&NativeBackend, &e2fsprogs];
    // 64 MiB have 4096 inodes by default.
    for (count, least) in [(3200, 4096), (3400, 4250), (4080, 5100)] {
        for backend in backends {
            let image = place.image(&format!("{}-{count}", backend.name()));
            let options = options().with_size(ImageSize::Bytes(64 << 20));
            let report = backend.create(&image, &options).unwrap().build_ext4(&fifos(count)).unwrap();
            let name = backend.name();
            assert!((least..least + 600).contains(&report.inodes), "{name}, {count}: {}", report.inodes);
            assert!(report.used_inodes >= count + 11, "{name}, {count}: {}", report.used_inodes);
            require!(assert_clean(image.as_std_path()));
        }
    }
}

#[test]
fn t15_the_default_size_leaves_room_beside_65500_files() {
    let place = Workplace::new();
    let image = place.image("image");
    let options = options().with_size(ImageSize::DEFAULT);
    let mut builder = NativeBackend.create(&image, &options).unwrap();
    // Content that the larger tables have to make way for.
    let id = builder.begin(LayerIndex(0), 1 << 20).unwrap();
    builder.append(id, &[1; 1 << 20]).unwrap();
    builder.finish(id).unwrap();
    let mut tree = fifos(65_500);
    let kind = NodeKind::Regular { size_bytes: 1 << 20, content: Some(id) };
    tree.insert(tree.root(), b"file", Inode::new(kind, Attributes::with_mode(0o644))).unwrap();
    let report = builder.build_ext4(&tree).unwrap();
    assert!(report.inodes - report.used_inodes > 65_500 / 5, "{report:?}");
    require!(assert_clean(image.as_std_path()));
}

#[test]
fn b29_directories_are_charged_before_they_are_written() {
    let place = Workplace::new();
    let e2fsprogs = place.backend();
    let backends: [&dyn Ext4Backend; 2] = [&NativeBackend, &e2fsprogs];
    let mut tree = Tree::new();
    let mut dir = tree.root();
    for _ in 0..50 {
        dir = directory(&mut tree, dir, "d");
    }
    let needed = 51 * (4096 + 256);
    for backend in backends {
        for (limit, good) in [(needed, true), (needed - 1, false)] {
            let budget = Budget::default().with_limit(Cost::ImageBytes, limit);
            let options = options().with_budget(budget);
            let image = place.image(&format!("{}-{good}", backend.name()));
            let built = backend.create(&image, &options).unwrap().build_ext4(&tree);
            match built {
                Ok(_) => assert!(good),
                Err(Ext4Error::OverBudget(over)) if !good => {
                    assert_eq!(over.setting(), Some(Setting("max_content_bytes")));
                    assert!(!image.exists());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
