//! The disk of a machine: a copy of an image in a directory that lives as long as the machine.

use std::fs;
use std::io;

use banger_boot::{MachineSettings, set_up_machine};
use banger_ext4::Ext4Editor;
use banger_kernel::VerityDisk;
use banger_tree::{Advice, Cancellation, Rootfs as _, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use super::error::VmError;
use super::processes::kill_all_with;
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::host_copy::HostCopy;
use crate::id::ImageId;
use crate::machine_settings::check_settings;
use crate::rootfs::{edit, in_file, open_to_edit, timestamp};
use crate::staging::{StagingDir, sweep_after};
use crate::store::{ClonedFrom, ImageLease, ImageName, ImageRecord, ImageStore, StoredImage};
use crate::time::now;

/// The directory of all machines, in the state directory.
const MACHINES: &str = "vms";
/// Suffix of the directory of one machine.
const SUFFIX: &str = ".vm";
/// Name of the disk in it.
const DISK: &str = "disk.ext4";

/// The disk of a machine. The file and its directory are removed on drop.
#[derive(Debug)]
pub struct VmDisk {
    dir: StagingDir,
    /// The image that is the disk itself, because a hash tree protects it.
    verified: Option<VerifiedImage>,
}

/// A managed image with a hash tree. The machine reads its files in their place.
#[derive(Debug)]
struct VerifiedImage {
    name: ImageName,
    path: Utf8PathBuf,
    verity: VerityDisk,
    _lease: ImageLease,
}

impl VmDisk {
    /// Returns the disk for a machine with `image`: a copy of its ext4 file, as [`copy_of`](Self::copy_of) makes it. An
    /// image with a dm-verity hash tree is the disk itself: the machine only reads it, and its changes are in memory.
    ///
    /// # Errors
    /// The image is being edited, the state directory cannot be written, or the caller asks to stop.
    pub fn of_image(image: &StoredImage, dirs: &Dirs, cancellation: &Cancellation) -> Result<Self, Error> {
        let Some(mut verity) = image.record.verity_beside(&image.path) else {
            return Self::copy_of(image, dirs, cancellation);
        };
        verity.tree = verity.tree.as_deref().map(absolute);
        let StoredImage { record, path, lease } = image;
        let (name, path) = (record.name.clone(), absolute(path));
        let verified = Some(VerifiedImage { name, path, verity, _lease: lease.clone() });
        Ok(Self { verified, ..Self::empty(dirs)? })
    }

    /// Copies the ext4 file of `image`, which stays as it is. The copy is sparse, and shares blocks where the host's
    /// file system supports reflinks. Removes what killed machines left, first.
    ///
    /// # Errors
    /// The image is being edited, the state directory cannot be written, or the caller asks to stop.
    pub fn copy_of(image: &StoredImage, dirs: &Dirs, cancellation: &Cancellation) -> Result<Self, Error> {
        let disk = Self::empty(dirs)?;
        let store = ImageStore::new(&dirs.state);
        store.export(image.record.id.as_str(), &disk.path(), false, cancellation)?;
        Ok(disk)
    }

    /// Makes the directory of a machine, without a disk. Removes what killed machines left, first.
    pub(crate) fn empty(dirs: &Dirs) -> Result<Self, Error> {
        // QEMU runs in the directory of its machine: other paths have to be absolute.
        let machines = absolute(&dirs.state.join(MACHINES));
        fs::create_dir_all(&machines).map_err(VmError::io("create", &machines))?;
        sweep_machines(&machines)?;
        loop {
            let path = machines.join(format!("{}{SUFFIX}", ImageId::random()));
            match StagingDir::create(path.clone()) {
                Ok(dir) => return Ok(Self { dir, verified: None }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(VmError::io("create", &path)(source).into()),
            }
        }
    }

    /// Returns the ext4 file.
    pub fn path(&self) -> Utf8PathBuf {
        match &self.verified {
            Some(image) => image.path.clone(),
            None => self.dir.path().join(DISK),
        }
    }

    /// Returns the hash tree by which the guest verifies the disk; `None` for a copy that the guest changes.
    pub fn verity(&self) -> Option<&VerityDisk> {
        self.verified.as_ref().map(|image| &image.verity)
    }

    /// Fails if the disk cannot be changed before the boot, or kept after it. `setting` with its value asks for that.
    ///
    /// # Errors
    /// The disk is an image with a dm-verity hash tree.
    pub fn check_changeable(&self, setting: Setting, value: &str) -> Result<(), ArgumentError> {
        let Some(VerifiedImage { name, .. }) = &self.verified else { return Ok(()) };
        let reason = format!("the image {name} has a dm-verity hash tree, so its disk stays as it is");
        let advice = Advice::new("use an image without a hash tree");
        Err(ArgumentError::new(setting, value, reason).with_advice(advice))
    }

    /// Copies a file or directory of the host to `destination`, a path or a directory of the disk, as
    /// [`Edit::put`](crate::rootfs::Edit::put) does. Missing directories are made.
    ///
    /// # Errors
    /// The source cannot be read, it does not fit, or a hash tree protects the disk.
    pub fn copy_in(
        &self,
        source: &Utf8Path,
        destination: &str,
        cancellation: &Cancellation,
    ) -> Result<(), Error> {
        self.check_changeable(Setting("copy"), source.as_str())?;
        let copy = HostCopy::new(source, destination);
        edit(self.path(), timestamp()?, cancellation, |edit| copy.put_into(edit))
    }

    /// Gives the machine its hostname, keys and environment.
    ///
    /// # Errors
    /// A value makes no sense, the file system has no room, or a hash tree protects the disk.
    pub fn set_up(&self, settings: &MachineSettings, cancellation: &Cancellation) -> Result<(), Error> {
        self.check_changeable(Setting("settings"), "")?;
        check_settings(settings)?;
        let path = self.path();
        let mut editor = open_to_edit(&path)?;
        editor.set_cancellation(cancellation);
        set_up_machine(&mut editor, settings, timestamp()?)?;
        editor.commit().map_err(in_file(&path))
    }

    /// Makes the disk a managed image of the name `name`, which must be free. It has the record and
    /// the kernel of `original`.
    ///
    /// # Errors
    /// The name is taken, the file system is damaged, a hash tree protects the disk, the state directory cannot be
    /// written, or the caller asks to stop. Then nothing is published.
    pub fn publish(
        self,
        name: ImageName,
        original: &StoredImage,
        dirs: &Dirs,
        cancellation: &Cancellation,
    ) -> Result<StoredImage, Error> {
        self.check_changeable(Setting("keep"), name.as_str())?;
        let path = self.path();
        let mut editor = Ext4Editor::open_to_edit(&path).map_err(in_file(&path))?;
        // This replays the journal of a guest that did not unmount the file system.
        editor.commit().map_err(in_file(&path))?;
        let report = editor.verify().map_err(in_file(&path))?;
        drop(editor);
        let store = ImageStore::new(&dirs.state);
        let staged = store.stage(cancellation)?;
        let target = staged.rootfs_path();
        fs::rename(&path, &target).map_err(VmError::io("move", &path))?;
        staged.place_kernel_of(&original.record, &original.path, cancellation)?;
        let cloned_from = Some(ClonedFrom::of(&original.record));
        let mut record =
            ImageRecord { name, created: now(), cloned_from, ran: true, ..original.record.clone() };
        record.set_sizes(&report);
        Ok(store.publish_new(staged, record, cancellation)?)
    }

    /// Returns the directory.
    pub(super) fn directory(&self) -> &Utf8Path {
        self.dir.path()
    }
}

/// Ends the machines of processes that were killed, and removes their disks. Does nothing if no machine ever ran
/// under `state`.
///
/// # Errors
/// A directory cannot be read or removed, or a process does not end.
pub fn sweep(state: &Utf8Path) -> Result<(), Error> {
    let machines = state.join(MACHINES);
    match machines.is_dir() {
        true => Ok(sweep_machines(&machines)?),
        false => Ok(()),
    }
}

fn sweep_machines(machines: &Utf8Path) -> Result<(), VmError> {
    let swept = sweep_after(machines, "", SUFFIX, |path| {
        // The name is random: no other process has it in its arguments.
        kill_all_with(&format!("/{}/", path.file_name().unwrap_or_default()))
    });
    swept.map_err(VmError::io("remove what is stale in", machines))
}

pub(super) fn absolute(path: &Utf8Path) -> Utf8PathBuf {
    // It fails where there is no working directory.
    camino::absolute_utf8(path).unwrap_or_else(|_| path.to_owned())
}
