//! The build.

use std::time::Duration;

use banger_tree::Cancellation;

use super::cache::BuildCache;
use super::clean::{describe, finish};
use super::error::ImageBuildError;
use super::keys::BuildKeys;
use super::programs::{self, StepContext};
use super::request::{BuiltImage, ImageBuildRequest};
use super::step::BuildStep;
use crate::boot::{BootImage, BootKernel};
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::rootfs::{NewSize, resize};
use crate::store::{BuiltFrom, ImageRecord, ImageStore, StoreError, StoredImage, VERITY_FILE};
use crate::verity::{check_managed, write_tree};
use crate::vm::{Machine, VmDisk, VmError, VmRequest, choose_kernel};

/// How long the guest may take to power off.
const DOWN: Duration = Duration::from_secs(120);

/// Builds an image by steps on a copy of another one.
///
/// The base stays as it is. Programs run in a virtual machine that ends with this call. The new image has nothing of
/// the machine: no machine-id, host keys, caches of package managers, logs and histories. It is published with one
/// rename, and takes the place of an older image of its name. If the older one was built by the same steps from the
/// same base, the call returns it unchanged.
///
/// # Errors
/// The base or the kernel does not exist, a step fails, the disk is full, or the caller asks to stop. Then nothing is
/// published, and no machine is left; the disks after finished programs stay in the cache.
///
/// # Panics
/// The event handler panicked.
pub fn build_image(
    request: &ImageBuildRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<BuiltImage, Error> {
    events.during(cancellation, |events, cancellation| {
        check_managed(request.verity)?;
        let base = ImageStore::new(&dirs.state).open(&request.base, cancellation)?;
        if base.record.boot_contract.is_none() {
            return Err(VmError::NoAgent { image: base.record.name.to_string() }.into());
        }
        check_variables(&request.steps)?;
        let image = BootImage::from(base.clone());
        let kernel = choose_kernel(request.kernel.as_deref(), &image, dirs, events, cancellation)?;
        let keys = BuildKeys::of(request, &base, kernel.record.as_ref())?;
        let cache = BuildCache::new(dirs);
        ImageBuild { request, base, kernel, keys, cache, dirs, events, cancellation }.run()
    })
}

fn check_variables(steps: &[BuildStep]) -> Result<(), ImageBuildError> {
    for step in steps {
        if let BuildStep::Env { name, value } = step
            && (name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
        {
            return Err(ImageBuildError::Variable { text: format!("{name}={value}") });
        }
    }
    Ok(())
}

/// One build.
struct ImageBuild<'a> {
    request: &'a ImageBuildRequest,
    base: StoredImage,
    kernel: BootKernel,
    keys: BuildKeys,
    cache: BuildCache,
    dirs: &'a Dirs,
    events: &'a EventHandler,
    cancellation: &'a Cancellation,
}

/// A disk, alone or in a machine.
enum Workplace {
    Disk(VmDisk),
    Machine(Box<Machine>),
}

impl ImageBuild<'_> {
    fn run(self) -> Result<BuiltImage, Error> {
        let store = ImageStore::new(&self.dirs.state);
        if !self.request.no_cache
            && let Some(image) = self.existing(&store)?
        {
            self.tell_cached(self.request.steps.len());
            self.done(&image, true);
            return Ok(BuiltImage { image, programs_run: 0, unchanged: true });
        }
        let mut record = self.record();
        let staged = store.stage(self.cancellation)?;
        let target = staged.rootfs_path();
        let mut programs_run = 0;
        let is_cached =
            !self.request.no_cache && self.cache.take(&self.keys.finished, &target, self.cancellation)?;
        if is_cached {
            self.tell_cached(self.request.steps.len());
            describe(&target, &mut record, self.cancellation)?;
        } else {
            let disk = self.steps(&mut programs_run)?;
            self.events.emit(&Event::Building { backend: "native".to_owned() }, self.cancellation);
            finish(&disk.path(), &mut record, self.cancellation)?;
            self.cache.put(&self.keys.finished, &disk.path(), self.cancellation)?;
            std::fs::rename(disk.path(), &target).map_err(VmError::io("move", &disk.path()))?;
        }
        if self.request.verity.is_some() {
            let tree = write_tree(&target, &staged.verity_path(), VERITY_FILE, self.cancellation)?;
            record.verity = Some(tree);
            record.build.verity = self.request.verity;
        }
        staged.place_kernel_of(&self.base.record, &self.base.path, self.cancellation)?;
        if self.cancellation.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let image = store.publish(staged, record, self.cancellation)?;
        self.done(&image, false);
        Ok(BuiltImage { image, programs_run, unchanged: false })
    }

    /// Returns the image of the name, if it was built by the same steps.
    fn existing(&self, store: &ImageStore) -> Result<Option<StoredImage>, Error> {
        let found = match store.find(self.request.name.as_str()) {
            Ok(record) => record,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_same = found.built.as_ref().is_some_and(|built| built.key == self.keys.finished);
        let has_tree = found.build.verity == self.request.verity && store.has_files(&found);
        match is_same && has_tree && found.name == self.request.name {
            true => Ok(store.keep(found, self.cancellation)?),
            false => Ok(None),
        }
    }

    /// Does all steps that the cache does not have; returns the disk.
    fn steps(&self, programs_run: &mut usize) -> Result<VmDisk, Error> {
        let steps = &self.request.steps;
        let (mut workplace, first) = self.start()?;
        for (index, step) in steps.iter().enumerate() {
            let is_done = index < first;
            self.tell_step(index, is_done);
            if is_done || matches!(step, BuildStep::Env { .. }) {
                continue;
            }
            workplace = match step {
                BuildStep::Copy { source, destination } => {
                    let disk = self.without_machine(workplace)?;
                    disk.copy_in(source, destination, self.cancellation)?;
                    Workplace::Disk(disk)
                }
                _ => {
                    let mut machine = self.with_machine(workplace)?;
                    let env = self.env(index);
                    let (events, cancellation) = (self.events, self.cancellation);
                    let context = StepContext { number: index + 1, env: &env, events, cancellation };
                    programs::run(&mut machine, step, context)?;
                    *programs_run += 1;
                    self.keep(&mut machine, index)?;
                    Workplace::Machine(machine)
                }
            };
            if self.cancellation.is_cancelled() {
                return Err(Error::Cancelled);
            }
        }
        self.without_machine(workplace)
    }

    /// Returns the disk to start with, and the number of steps that were done on it.
    fn start(&self) -> Result<(Workplace, usize), Error> {
        if !self.request.no_cache {
            let programs = self.request.steps.iter().enumerate().filter(|(_, step)| step.is_program());
            let cached = programs
                .map(|(index, _)| index)
                .rfind(|index| self.keys.steps.get(*index).is_some_and(|key| self.cache.has(key)));
            if let Some(index) = cached
                && let Some(key) = self.keys.steps.get(index)
            {
                let disk = VmDisk::empty(self.dirs)?;
                // Removed since, if it cannot be taken.
                if self.cache.take(key, &disk.path(), self.cancellation)? {
                    return Ok((Workplace::Disk(disk), index + 1));
                }
            }
        }
        let disk = VmDisk::copy_of(&self.base, self.dirs, self.cancellation)?;
        if let Some(bytes) = self.request.size_bytes {
            resize(disk.path(), NewSize::Bytes(bytes), self.cancellation)?;
        }
        Ok((Workplace::Disk(disk), 0))
    }

    fn with_machine(&self, workplace: Workplace) -> Result<Box<Machine>, Error> {
        let disk = match workplace {
            Workplace::Machine(machine) => return Ok(machine),
            Workplace::Disk(disk) => disk,
        };
        let request: VmRequest = self.request.vm.clone().with_first_boot(false).with_entrypoint(false);
        let mut machine = Machine::start(disk, &self.kernel.kernel, &request, self.dirs, self.cancellation)?;
        machine.wait_until_ready()?;
        Ok(Box::new(machine))
    }

    fn without_machine(&self, workplace: Workplace) -> Result<VmDisk, Error> {
        match workplace {
            Workplace::Disk(disk) => Ok(disk),
            Workplace::Machine(machine) => machine.shut_down(DOWN),
        }
    }

    /// Keeps the disk as it is after the program of a step.
    fn keep(&self, machine: &mut Machine, index: usize) -> Result<(), Error> {
        let Some(key) = self.keys.steps.get(index) else { return Ok(()) };
        if !programs::sync(machine) {
            return Ok(());
        }
        let path = machine.disk_path();
        machine.paused(|| self.cache.put(key, &path, self.cancellation))
    }

    /// Returns the variables for the step of this index.
    fn env(&self, index: usize) -> Vec<String> {
        let steps = self.request.steps.iter().take(index);
        with_variables(&self.base.record.config.env, steps)
    }

    /// Returns the record of the new image, but for its sizes.
    fn record(&self) -> ImageRecord {
        let original = &self.base.record;
        let texts = self.request.steps.iter().map(BuildStep::text).collect();
        let mut record = original.clone().without_verity();
        record.name = self.request.name.clone();
        record.created = crate::time::now();
        record.cloned_from = None;
        // They are of the base, not of what the steps made of it.
        record.signatures.clear();
        record.referrers.clear();
        record.built = Some(BuiltFrom::new(original.name.clone(), texts, self.keys.finished.clone()));
        record.config.env = with_variables(&original.config.env, self.request.steps.iter());
        record
    }

    fn tell_cached(&self, steps: usize) {
        (0..steps).for_each(|index| self.tell_step(index, true));
    }

    fn tell_step(&self, index: usize, cached: bool) {
        let steps = &self.request.steps;
        let text = steps.get(index).map(BuildStep::text).unwrap_or_default();
        self.events
            .emit(&Event::Step { step: index + 1, steps: steps.len(), text, cached }, self.cancellation);
    }

    fn done(&self, image: &StoredImage, unchanged: bool) {
        self.events.emit(&Event::Done { path: image.path.to_string(), unchanged }, self.cancellation);
    }
}

/// Returns the variables `env` with those that `steps` set.
fn with_variables<'a>(env: &[String], steps: impl Iterator<Item = &'a BuildStep>) -> Vec<String> {
    let mut env = env.to_vec();
    for step in steps {
        if let BuildStep::Env { name, value } = step {
            env.retain(|text| text.split_once('=').is_none_or(|(other, _)| other != name));
            env.push(format!("{name}={value}"));
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_variables_replace_earlier_ones() {
        let set = |name: &str, value: &str| BuildStep::Env { name: name.into(), value: value.into() };
        let steps = [set("A", "1"), BuildStep::Run("true".into()), set("PATH", "/x"), set("A", "2")];
        let env = with_variables(&["PATH=/bin".to_owned(), "B=3".to_owned()], steps.iter());
        assert_eq!(env, ["B=3", "PATH=/x", "A=2"]);
        assert!(check_variables(&steps).is_ok());
        assert!(check_variables(&[set("", "1")]).is_err());
        assert!(check_variables(&[set("A=B", "1")]).is_err());
    }
}
