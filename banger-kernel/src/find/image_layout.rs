//! Images that hold nothing but a kernel, as other projects lay them out.
//!
//! LinuxKit has `/kernel`, and the modules in `/kernel.tar`; krata has `/kernel/image`. ignite and flintlock use the
//! places of a root file system.

use std::io::{self, Read};

use banger_tree::{FileType, GuestPath};

use super::collector::Collector;
use super::kernel_tree::{KernelTree, TreeMember};
use crate::error::KernelError;
use crate::read::read_tar_stream;
use crate::run::ImportRun;

/// The places of one layout.
struct KernelImage {
    kernel: &'static str,
    config: &'static str,
    /// A tar with `lib/modules`.
    modules_tar: Option<&'static str>,
    /// Modules in a format that banger does not read.
    foreign_modules: Option<&'static str>,
}

const LAYOUTS: [KernelImage; 2] = [
    KernelImage {
        kernel: "/kernel",
        config: "/kernel_config",
        modules_tar: Some("/kernel.tar"),
        foreign_modules: None,
    },
    KernelImage {
        kernel: "/kernel/image",
        config: "/kernel/config.gz",
        modules_tar: None,
        foreign_modules: Some("/kernel/addons.squashfs"),
    },
];

/// Gives the collector the files of an image that holds nothing but a kernel, if the tree is one.
pub(super) fn read_kernel_image(
    run: &ImportRun<'_>,
    tree: &dyn KernelTree,
    collector: &mut Collector<'_>,
) -> Result<(), KernelError> {
    let file = |path: &str| find_file(run, tree, path);
    for layout in LAYOUTS {
        let Some(kernel) = file(layout.kernel)? else { continue };
        collector.only_kernel(&kernel, &mut TreeMember { run, tree, path: &kernel })?;
        if let Some(path) = file(layout.config)? {
            collector.only_config(&path, &mut TreeMember { run, tree, path: &path })?;
        }
        if let Some(path) = layout.modules_tar.map(file).transpose()?.flatten() {
            let reader = TreeReader { run, tree, path: &path, offset: 0, failure: None };
            read_modules_tar(run, reader, collector)?;
        }
        if let Some(path) = layout.foreign_modules.map(file).transpose()?.flatten() {
            collector.warn(format!("left out the modules in {path}, which are in a squashfs"));
        }
        return Ok(());
    }
    Ok(())
}

/// Returns the path of a regular file, if it is there.
fn find_file(
    run: &ImportRun<'_>,
    tree: &dyn KernelTree,
    path: &str,
) -> Result<Option<GuestPath>, KernelError> {
    let parsed = |path: &str| GuestPath::parse(path).map_err(|error| run.damaged(error.to_string()));
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let entries = tree.read_dir(&parsed(if directory.is_empty() { "/" } else { directory })?)?;
    let is_there = entries.iter().any(|(found, kind)| found == name.as_bytes() && *kind == FileType::Regular);
    is_there.then(|| parsed(path)).transpose()
}

fn read_modules_tar(
    run: &ImportRun<'_>,
    mut reader: TreeReader<'_>,
    collector: &mut Collector<'_>,
) -> Result<(), KernelError> {
    let read = read_tar_stream(run, run.metered(&mut reader), collector);
    // The error of the tree says more.
    match reader.failure.take() {
        Some(failure) => Err(failure),
        None => read,
    }
}

/// Reads a file of a tree.
struct TreeReader<'a> {
    run: &'a ImportRun<'a>,
    tree: &'a dyn KernelTree,
    path: &'a GuestPath,
    offset: u64,
    failure: Option<KernelError>,
}

impl Read for TreeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.tree.read_at(self.path, self.offset, buffer) {
            Ok(length) => {
                self.offset += length as u64;
                self.run.read_more(length as u64);
                Ok(length)
            }
            Err(failure) => {
                let shown = io::Error::other(failure.to_string());
                self.failure = Some(failure);
                Err(shown)
            }
        }
    }
}
