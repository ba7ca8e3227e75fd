//! Twenty sets of features, each with three sizes of blocks, each with twenty edits: e2fsck has no complaint, and
//! the kernel shows what the model has. `BANGER_MATRIX` says how often, each time with other edits (1).

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_ext4::Ext4Editor;
use banger_testkit::{assert_equal, e2fsck_check, e2fscks, listing, require, tools};
use banger_tree::{GuestPath, MemoryStore, Rootfs, Tree, TreeRootfs};

use crate::editor::{Numbers, Place, enrich, step};
use crate::editor_features::assert_same;
use crate::support::compare::compare_root;
use crate::support::is_root;
use crate::support::judge::try_mounted;
use crate::support::view::compare_view;

/// Options of mke2fs but the size of blocks.
pub(crate) const FEATURES: [&[&str]; 20] = [
    &[],
    &["-O", "^metadata_csum"],
    &["-O", "^metadata_csum,^64bit,uninit_bg"],
    &["-O", "^metadata_csum,^64bit,^flex_bg,^uninit_bg", "-I", "512"],
    &["-O", "^extent,^64bit"],
    &["-O", "^extent,^64bit,^metadata_csum,^dir_index", "-I", "128"],
    &["-O", "none,has_journal,ext_attr,filetype,resize_inode,dir_index,sparse_super,large_file", "-I", "128"],
    &["-O", "none,ext_attr,filetype,resize_inode,dir_index,sparse_super,large_file"],
    &["-O", "none,ext_attr,sparse_super", "-I", "128"],
    &["-O", "^has_journal"],
    &["-O", "^has_journal,inline_data,^metadata_csum"],
    &["-O", "inline_data", "-I", "1024"],
    &["-O", "meta_bg,^resize_inode"],
    &["-O", "sparse_super2,^resize_inode"],
    &["-O", "^filetype,^has_journal"],
    &["-O", "large_dir,project,verity"],
    &["-O", "ea_inode,encrypt,metadata_csum_seed"],
    &["-O", "fast_commit,^dir_nlink,^huge_file"],
    &["-O", "mmp,^sparse_super,^resize_inode"],
    &["-O", "^64bit,^flex_bg,^has_journal", "-N", "256"],
];
pub(crate) const BLOCK_SIZES: [&str; 3] = ["1024", "2048", "4096"];
/// Edits of each image, in this many commits.
const EDITS: usize = 20;
const COMMITS: usize = 2;

struct Case {
    label: String,
    options: Vec<&'static str>,
    seed: u64,
}

/// Who could read an image besides e2fsck.
#[derive(Clone, Copy, Debug)]
struct Readers {
    kernel: bool,
    /// `ext4-view`, which knows neither all features nor file systems without extents.
    view: bool,
}

/// Edits one image of a case, and lets all judge it.
fn judge(place: &Place, case: &Case, fscks: &[std::path::PathBuf]) -> Readers {
    let label = &case.label;
    let image = place.root.join(label.replace(['/', ' '], "_"));
    let mut mke2fs = tools::command("mke2fs").unwrap();
    mke2fs.args(["-q", "-F", "-t", "ext4"]).args(&case.options).arg(&image).arg("24M");
    tools::run(&mut mke2fs);
    let mut numbers = Numbers(case.seed);
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let root = Ext4Editor::open(&image).unwrap().stat(&GuestPath::root()).unwrap().unwrap();
    *tree.attributes_mut(tree.root()) = root.attributes;
    // Their times end in 2038, and have no nanoseconds.
    let has_all_times = !case.options.contains(&"128");
    let mut model = TreeRootfs::new(&mut tree, &mut store);
    for commit in 0..COMMITS {
        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        if commit == 0 {
            enrich(&mut [&mut model, &mut editor], 1024);
        }
        (0..EDITS / COMMITS).for_each(|_| step(&mut numbers, &mut [&mut model, &mut editor]));
        editor.commit().unwrap_or_else(|error| panic!("{label}: {error}"));
    }
    for fsck in fscks {
        if let Err(complaint) = e2fsck_check(fsck, image.as_std_path()) {
            panic!("{label}: {}: {complaint}", fsck.display());
        }
    }
    let editor = Ext4Editor::open(&image).unwrap();
    assert_eq!(editor.verify().unwrap().problems, [""; 0], "{label}");
    if has_all_times {
        assert_equal(&model, &editor);
    } else {
        assert_eq!(listing(&model).unwrap().len(), listing(&editor).unwrap().len(), "{label}");
    }
    let viewed = compare_view(image.as_std_path(), &tree, &store, has_all_times);
    let kernel = is_root()
        && try_mounted(&image, |root| match has_all_times {
            true => {
                let differences = compare_root(root, &tree, &store);
                assert!(differences.is_empty(), "{label}: {}", differences.join("\n"));
            }
            false => assert_same(root, &editor),
        });
    std::fs::remove_file(&image).unwrap();
    Readers { kernel, view: viewed.is_ok() }
}

#[test]
fn sixty_sets_of_features_with_twenty_edits_each() {
    let fscks = require!(e2fscks());
    let rounds: u64 = std::env::var("BANGER_MATRIX").map_or(1, |text| text.parse().expect("a number"));
    let seed: u64 = std::env::var("BANGER_SEED").map_or(42, |text| text.parse().expect("a number"));
    eprintln!("BANGER_SEED={seed} BANGER_MATRIX={rounds}");
    let mut cases = Vec::new();
    for round in 0..rounds {
        for features in FEATURES {
            for block_size in BLOCK_SIZES {
                let options = [features, &["-b", block_size]].concat();
                let label = format!("{round} {}", options.join(" "));
                cases.push(Case { label, options, seed: seed + cases.len() as u64 });
            }
        }
    }
    let place = Place::in_memory();
    let next = AtomicUsize::new(0);
    let (mounted, viewed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let work = || judge(&place, case, &fscks);
                    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                        Ok(readers) => {
                            mounted.fetch_add(usize::from(readers.kernel), Ordering::Relaxed);
                            viewed.fetch_add(usize::from(readers.view), Ordering::Relaxed);
                        }
                        Err(_) => failures.lock().unwrap().push(&case.label),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
    let (mounted, viewed) = (mounted.into_inner(), viewed.into_inner());
    eprintln!("{} images, of which the kernel mounted {mounted}, and ext4-view read {viewed}", cases.len());
    assert!(viewed * 2 >= cases.len(), "{viewed} of {}", cases.len());
    assert!(!is_root() || mounted * 10 >= cases.len() * 9, "{mounted} of {}", cases.len());
}
