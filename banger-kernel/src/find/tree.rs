//! Directories and ext4 images: looks at the kernels in them, and reads the files of the newest one only.

use banger_tree::{Cost, FileType, GuestPath, PathError};

use super::collector::Collector;
use super::image_layout::read_kernel_image;
use super::kernel_tree::{KernelTree, TreeMember};
use super::place::{Place, place_of};
use super::release::compare_releases;
use crate::error::KernelError;
use crate::image::{HEAD_BYTES, release_in_head};
use crate::read::Entries as _;
use crate::run::ImportRun;

/// Deepest directory of modules.
const MAX_DEPTH: usize = 64;

/// Gives the collector the files of the newest kernel in a tree, or those of the kernel `wanted`.
pub(crate) fn read_tree(
    run: &ImportRun<'_>,
    tree: &dyn KernelTree,
    wanted: Option<&str>,
    collector: &mut Collector<'_>,
) -> Result<(), KernelError> {
    let walk = TreeWalk { run, tree };
    let modules = walk.module_directories()?;
    let mut paths = walk.files_of(&parse(run, "/boot")?)?;
    paths.extend(walk.files_of(&GuestPath::root())?);
    for (_, directory) in &modules {
        for name in ["vmlinuz", "config"] {
            let path = join(run, directory, name.as_bytes())?;
            if walk.has_file(directory, name)? {
                paths.push(path);
            }
        }
    }
    let mut newest: Option<(Option<String>, GuestPath)> = None;
    for path in &paths {
        let Some(Place::Kernel { label, .. }) = place_of(path) else { continue };
        let release = release_in_head(&walk.head(path)?).or(label.map(str::to_owned));
        if wanted.is_some() && release.as_deref() != wanted {
            continue;
        }
        let is_newer = match &newest {
            None => true,
            Some((Some(best), _)) => {
                release.as_deref().is_some_and(|release| compare_releases(release, best).is_gt())
            }
            Some((None, _)) => release.is_some(),
        };
        if is_newer {
            newest = Some((release, path.clone()));
        }
    }
    let Some((release, kernel)) = newest else {
        return if wanted.is_none() { read_kernel_image(run, tree, collector) } else { Ok(()) };
    };
    collector.file(kernel.as_bytes(), &mut TreeMember { run, tree, path: &kernel })?;
    for path in &paths {
        if matches!(place_of(path), Some(Place::Config { .. })) {
            collector.file(path.as_bytes(), &mut TreeMember { run, tree, path })?;
        }
    }
    for (name, directory) in &modules {
        // Where the release is not known yet, the modules of each may belong to the kernel.
        if release.as_deref().is_none_or(|release| release == name) {
            walk.modules(directory, 0, collector)?;
        }
    }
    Ok(())
}

/// Gives the collector the modules below `directory`.
pub(crate) fn read_modules(
    run: &ImportRun<'_>,
    tree: &dyn KernelTree,
    directory: &GuestPath,
    collector: &mut Collector<'_>,
) -> Result<(), KernelError> {
    TreeWalk { run, tree }.modules(directory, 0, collector)
}

struct TreeWalk<'a> {
    run: &'a ImportRun<'a>,
    tree: &'a dyn KernelTree,
}

impl TreeWalk<'_> {
    /// Returns the directories of modules by release. `/lib` may lead to `/usr/lib`.
    fn module_directories(&self) -> Result<Vec<(String, GuestPath)>, KernelError> {
        let mut found: Vec<(String, GuestPath)> = Vec::new();
        for base in ["/usr/lib/modules", "/lib/modules"] {
            let base = parse(self.run, base)?;
            for (name, kind) in self.tree.read_dir(&base)? {
                self.run.charge(Cost::Entries, 1)?;
                let Ok(release) = String::from_utf8(name) else { continue };
                let is_new = !found.iter().any(|(known, _)| *known == release);
                if kind == FileType::Directory && is_new {
                    let directory = join(self.run, &base, release.as_bytes())?;
                    found.push((release, directory));
                }
            }
        }
        Ok(found)
    }

    fn files_of(&self, directory: &GuestPath) -> Result<Vec<GuestPath>, KernelError> {
        let mut files = Vec::new();
        for (name, kind) in self.tree.read_dir(directory)? {
            self.run.charge(Cost::Entries, 1)?;
            if kind == FileType::Regular {
                files.push(join(self.run, directory, &name)?);
            }
        }
        Ok(files)
    }

    fn has_file(&self, directory: &GuestPath, name: &str) -> Result<bool, KernelError> {
        let entries = self.tree.read_dir(directory)?;
        Ok(entries.iter().any(|(found, kind)| found == name.as_bytes() && *kind == FileType::Regular))
    }

    fn head(&self, path: &GuestPath) -> Result<Vec<u8>, KernelError> {
        let mut head = vec![0; HEAD_BYTES];
        let mut length = 0;
        while length < head.len() {
            match self.tree.read_at(path, length as u64, &mut head[length..])? {
                0 => break,
                more => length += more,
            }
        }
        head.truncate(length);
        Ok(head)
    }

    /// Gives the collector everything below a directory of modules.
    fn modules(
        &self,
        directory: &GuestPath,
        depth: usize,
        collector: &mut Collector<'_>,
    ) -> Result<(), KernelError> {
        if depth > MAX_DEPTH {
            return Err(self
                .run
                .damaged(format!("{directory} is nested deeper than {MAX_DEPTH} directories")));
        }
        for (name, kind) in self.tree.read_dir(directory)? {
            self.run.check()?;
            self.run.charge(Cost::Entries, 1)?;
            let path = join(self.run, directory, &name)?;
            match kind {
                // Links to the sources, which a machine may have.
                FileType::Directory if depth == 0 && matches!(&*name, b"build" | b"source") => {}
                FileType::Directory => self.modules(&path, depth + 1, collector)?,
                // Not a second time: the configuration and the kernel.
                FileType::Regular if matches!(place_of(&path), Some(Place::Module { .. })) => {
                    let mut member = TreeMember { run: self.run, tree: self.tree, path: &path };
                    collector.file(path.as_bytes(), &mut member)?;
                }
                FileType::Symlink => collector.link(path.as_bytes(), false)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse(run: &ImportRun<'_>, path: &str) -> Result<GuestPath, KernelError> {
    GuestPath::parse(path).map_err(|error| bad_path(run, &error))
}

fn join(run: &ImportRun<'_>, directory: &GuestPath, name: &[u8]) -> Result<GuestPath, KernelError> {
    directory.join(name).map_err(|error| bad_path(run, &error))
}

fn bad_path(run: &ImportRun<'_>, error: &PathError) -> KernelError {
    run.damaged(error.to_string())
}
