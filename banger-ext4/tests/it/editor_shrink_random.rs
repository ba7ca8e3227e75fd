//! Random images, made smaller and larger several times: e2fsck has no complaint, and the content stays.
//! `BANGER_SHRINK` says how many images (50), `BANGER_SEED` which.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_ext4::Ext4Editor;
use banger_testkit::{e2fscks, listing, require, tools};
use banger_tree::{Rootfs, RootfsError};

use crate::editor::{Numbers, Place, enrich, step};
use crate::editor_features::assert_same;
use crate::editor_matrix::{BLOCK_SIZES, FEATURES};
use crate::editor_shrink::{check, load};
use crate::support::is_root;
use crate::support::judge::try_mounted;

const MIB: u64 = 1 << 20;
/// Changes of the size of each image.
const CHANGES: usize = 6;

/// What was done with one image.
#[derive(Default)]
struct Done {
    shrunk: usize,
    grown: usize,
    mounted: usize,
    refused: Vec<String>,
}

/// Options of mke2fs for the geometry, as the numbers have it.
fn geometry(numbers: &mut Numbers) -> Vec<String> {
    let block_size = BLOCK_SIZES[numbers.below(BLOCK_SIZES.len())];
    let mut options = vec!["-b".to_owned(), block_size.to_owned()];
    if numbers.below(2) == 0 {
        options.extend(["-N".to_owned(), (300 + numbers.below(2000)).to_string()]);
    }
    if block_size == "1024" && numbers.below(2) == 0 {
        options.extend(["-g".to_owned(), ["1024", "2048", "4096"][numbers.below(3)].to_owned()]);
    }
    options
}

fn resize_at_random(place: &Place, seed: u64) -> Done {
    let mut numbers = Numbers(seed);
    let image = place.root.join(format!("image-{seed}"));
    let features = FEATURES[numbers.below(FEATURES.len())];
    let size = format!("{}M", 20 + numbers.below(60));
    let geometry = geometry(&mut numbers);
    let label = format!("seed {seed}: {features:?} {geometry:?} {size}");
    let mut mke2fs = tools::command("mke2fs").unwrap();
    mke2fs.args(["-q", "-F", "-t", "ext4"]).args(features).args(&geometry).arg(&image).arg(size);
    tools::run(&mut mke2fs);
    let mut done = Done::default();
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    enrich(&mut [&mut editor], 1024);
    let (percent, kept) = (30 + numbers.below(60) as u64, 10 + numbers.below(60));
    load(&mut editor, &mut numbers, percent, kept);
    drop(editor);
    for change in 0..CHANGES {
        let label = format!("{label}, change {change}");
        // Not `open_to_edit`: the loop device of a mount may stay for a moment.
        let mut editor = Ext4Editor::open(&image).unwrap();
        for _ in 0..numbers.below(8) {
            step(&mut numbers, &mut [&mut editor]);
        }
        let has_journal = editor.features().iter().any(|feature| feature == "has_journal");
        match editor.commit() {
            Ok(()) => {}
            // A full file system without a journal.
            Err(RootfsError::Limit { .. } | RootfsError::NoSpace { .. }) if !has_journal => {
                editor.reopen().unwrap();
            }
            Err(error) => panic!("{label}: {error}"),
        }
        let want = listing(&editor).unwrap();
        let size_bytes = editor.size_bytes();
        let least = match editor.minimum_size_bytes() {
            Ok(least) => least,
            Err(error) => {
                assert!(error.to_string().contains("meta_bg"), "{label}: {error}");
                done.refused.push(error.to_string());
                break;
            }
        };
        assert!(least <= size_bytes, "{label}: {least} of {size_bytes}");
        let is_up = numbers.below(3) == 0;
        let wanted = match (is_up, numbers.below(3)) {
            (true, _) => size_bytes + numbers.below(40) as u64 * MIB + numbers.below(5000) as u64,
            (false, 0) => least,
            (false, _) => least + (size_bytes - least) * numbers.below(1000) as u64 / 1000,
        };
        let new = match editor.resize(wanted) {
            Ok(new) => new,
            Err(RootfsError::Size { reason, .. }) if is_up => {
                done.refused.push(reason);
                size_bytes
            }
            Err(error) => panic!("{label}: {error} from {size_bytes}, at least {least}"),
        };
        assert!(new <= wanted || new == size_bytes, "{label}: {new} of {wanted}");
        *if new < size_bytes { &mut done.shrunk } else { &mut done.grown } += usize::from(new != size_bytes);
        drop(editor);
        check(&image, new, &want, &label);
        if is_root() && change % 3 == 2 {
            let editor = Ext4Editor::open(&image).unwrap();
            done.mounted += usize::from(try_mounted(&image, |root| assert_same(root, &editor)));
        }
    }
    std::fs::remove_file(&image).unwrap();
    done
}

#[test]
fn random_images_keep_their_content_in_other_sizes() {
    require!(e2fscks());
    let number =
        |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let (images, seed) = (number("BANGER_SHRINK", 50), number("BANGER_SEED", 42));
    eprintln!("BANGER_SEED={seed} BANGER_SHRINK={images}");
    let place = Place::in_memory();
    let (next, all) = (AtomicUsize::new(0), Mutex::new((Done::default(), Vec::new())));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if at >= images {
                        break;
                    }
                    let seed = seed + at;
                    let work = || resize_at_random(&place, seed);
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                    let mut all = all.lock().unwrap();
                    match outcome {
                        Ok(done) => {
                            all.0.shrunk += done.shrunk;
                            all.0.grown += done.grown;
                            all.0.mounted += done.mounted;
                            all.0.refused.extend(done.refused);
                        }
                        Err(_) => all.1.push(seed),
                    }
                }
            });
        }
    });
    let (done, failures) = all.into_inner().unwrap();
    let Done { shrunk, grown, mounted, refused } = done;
    eprintln!("{images} images: {shrunk} times smaller, {grown} times larger, {mounted} mounts; {refused:?}");
    assert!(failures.is_empty(), "seeds {failures:?}");
    assert!(shrunk as u64 >= images && grown as u64 * 2 >= images, "{shrunk} and {grown} changes");
}
