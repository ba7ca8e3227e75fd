//! Loop mounts, copied at several instants while programs write to them: what is read is what e2fsck makes of a
//! copy, and an edit leaves no complaint. `BANGER_LOAD` says how many instants of each mount (3).

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use banger_testkit::{copy_sparse, require, tools};
use camino::Utf8Path;

use crate::editor::Place;
use crate::editor_dirty_formats::check_dirty;
use crate::support::{is_root, skip};

/// Options of mke2fs, and of the mount.
const MOUNTS: [(&[&str], &str); 6] = [
    (&[], ""),
    (&["-O", "^metadata_csum,^64bit", "-b", "1024"], ""),
    (&["-b", "1024", "-J", "size=1"], ",data=journal"),
    (&["-t", "ext3"], ",data=writeback"),
    (&["-O", "^metadata_csum"], ",data=writeback,journal_async_commit"),
    (&["-O", "inline_data,orphan_file", "-I", "512"], ",journal_checksum"),
];

/// Files come, grow, move and go, with a commit now and then.
const LOAD: &str = "
    at=0
    while :; do
        at=$((at + 1)); dir=d$((at % 7)); mkdir -p $dir
        seq $((at * 37 % 4000)) > $dir/f$((at % 23)); ln -sf $dir/f$at $dir/link$((at % 5))
        mv -f $dir/f$((at % 23)) d$((at % 3))/moved 2>/dev/null || true
        [ $((at % 5)) -ne 0 ] || rm -rf d$((at % 11))
        [ $((at % 9)) -ne 0 ] || sync -f .
    done";

/// A program with children that ends with it, also when a check panics.
struct Load(Child);

impl Load {
    fn signal(&self, name: &str) {
        // All of its processes: they are one group.
        let group = format!("-{}", self.0.id());
        tools::run(Command::new("kill").args(["-s", name, "--", &group]));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

struct Mount<'a>(&'a Utf8Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let script = "umount \"$1\" || { sleep 1; umount \"$1\"; } || umount -l \"$1\"";
        let _ = Command::new("sh").args(["-c", script, "sh"]).arg(self.0).status();
    }
}

#[test]
fn mounts_that_are_copied_under_load_read_as_e2fsck_leaves_them() {
    if !is_root() {
        return skip("only root can mount");
    }
    require!(tools::tool("mke2fs").map(drop));
    let instants: usize = std::env::var("BANGER_LOAD").map_or(3, |text| text.parse().expect("a number"));
    let place = Place::in_memory();
    let (image, point, copy) = (place.root.join("live"), place.root.join("mnt"), place.root.join("copy"));
    std::fs::create_dir(&point).unwrap();
    let (mut copies, mut replayable) = (0, 0);
    for (mkfs, mount) in MOUNTS {
        let _ = std::fs::remove_file(&image);
        let mut mke2fs = tools::newer_e2fsprogs("mke2fs").map(Command::new).unwrap();
        if !mkfs.contains(&"-t") {
            mke2fs.args(["-t", "ext4"]);
        }
        tools::run(mke2fs.args(["-q", "-F"]).args(mkfs).arg(&image).arg("24M"));
        let options = format!("loop,commit=300{mount}");
        tools::run(Command::new("mount").args(["-o", &options]).arg(&image).arg(&point));
        let mounted = Mount(&point);
        let mut shell = Command::new("bash");
        shell.args(["-c", LOAD]).current_dir(&point).process_group(0).stderr(Stdio::null());
        let load = Load(shell.spawn().unwrap());
        for instant in 0..instants {
            std::thread::sleep(Duration::from_millis(120 + 37 * (instant as u64 % 7)));
            // A copy is of one instant only if nothing is written meanwhile.
            load.signal("STOP");
            copy_sparse(image.as_std_path(), copy.as_std_path());
            load.signal("CONT");
            copies += 1;
            let label = format!("{mkfs:?} {mount}, instant {instant}");
            replayable += usize::from(check_dirty(&place, &copy, &label, true));
        }
        drop(load);
        drop(mounted);
    }
    eprintln!("{copies} copies, {replayable} of which e2fsck replays without a question");
    // A copy that the kernel wrote into meanwhile is none of one instant.
    assert!(replayable * 10 >= copies * 8, "{replayable} of {copies}");
}
