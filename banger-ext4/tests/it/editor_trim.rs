//! Trimming: free blocks are holes, the rest is as it was.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use banger_ext4::Ext4Editor;
use banger_testkit::{Access, Mounted, assert_silent};
use banger_tree::Rootfs as _;
use camino::Utf8Path;

use crate::editor::{MAKERS, Place, make, path};
use crate::support::fixture::mode;
use crate::support::is_root;

const MIB: u64 = 1 << 20;

fn allocated(image: &Utf8Path) -> u64 {
    std::fs::metadata(image).unwrap().blocks() * 512
}

#[test]
fn free_blocks_and_the_log_are_holes_afterwards() {
    for maker in &MAKERS {
        let place = Place::new();
        let image = place.root.join("image");
        if let Err(skip) = make(maker, &image) {
            skip.report();
            continue;
        }
        let mut editor = Ext4Editor::open(&image).unwrap();
        editor.write_file(&path("/stays"), &mut &vec![7; 3 * MIB as usize][..], &mode(0o644)).unwrap();
        editor.commit().unwrap();
        drop(editor);
        if is_root() {
            // A kernel leaves what a file had in free blocks, and its log in the journal.
            let mounted = Mounted::new(image.as_std_path(), Access::ReadWrite).unwrap();
            let goes = mounted.path().join("goes");
            let mut file = std::fs::File::create(&goes).unwrap();
            file.write_all(&vec![9; 12 * MIB as usize]).unwrap();
            file.sync_all().unwrap();
            drop(file);
            std::fs::remove_file(goes).unwrap();
            mounted.unmount();
        }
        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        let before = allocated(&image);
        let trimmed = editor.trim().unwrap();
        drop(editor);
        let report = Ext4Editor::open(&image).unwrap().verify().unwrap();
        assert_eq!(report.problem_count, 0, "{maker:?}: {:?}", report.problems);
        assert!(trimmed >= report.free_bytes, "{maker:?}: {trimmed} of {}", report.free_bytes);
        if is_root() {
            assert!(allocated(&image) + 10 * MIB < before, "{maker:?}: {before} to {}", allocated(&image));
        }
        let in_use = report.size_bytes - report.free_bytes;
        assert!(allocated(&image) <= in_use + MIB, "{maker:?}: {} for {in_use}", allocated(&image));
        assert_silent(image.as_std_path()).unwrap();
        let after = Ext4Editor::open(&image).unwrap();
        assert_eq!(after.read(&path("/stays")).unwrap(), vec![7; 3 * MIB as usize]);
        assert!(after.stat(&path("/goes")).unwrap().is_none());
        drop(after);
        // Nothing more to do.
        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        assert_eq!(editor.trim().unwrap(), trimmed);
        drop(editor);
        assert_silent(image.as_std_path()).unwrap();
    }
}
