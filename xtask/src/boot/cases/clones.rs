//! Two clones of an image are two machines.

use std::collections::BTreeSet;
use std::time::Duration;

use banger_testkit::Image;

use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{Guest, ensure_that};
use crate::boot::qemu::MachineOptions;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let image = bench.pull(Image::DebianSystemd, "clones", &[])?;
    let mut identities = Vec::new();
    for name in ["clones-1", "clones-2"] {
        let disk = disk::clone(&image, name)?;
        let mut machine = bench.start(name, &MachineOptions::with_disk(&disk))?;
        let guest = Guest::wait(&machine)?;
        guest.wait_for_first_boot(Duration::from_secs(180))?;
        // Keys may be made by a unit of their own.
        guest.systemd_state()?;
        let machine_id = guest.shell("cat /etc/machine-id")?;
        ensure_that!(
            machine_id.len() == 32 && machine_id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "machine-id {machine_id:?}"
        );
        let keys = guest.shell("cat /etc/ssh/ssh_host_*_key.pub | cut -d' ' -f1,2 | sort")?;
        ensure_that!(keys.lines().count() >= 2, "host keys: {keys}");
        identities.push((machine_id, keys));
        guest.stop(&mut machine)?;
    }
    let [(id_1, keys_1), (id_2, keys_2)] = identities.as_slice() else { unreachable!("two machines ran") };
    ensure_that!(id_1 != id_2, "both have the machine-id {id_1}");
    let keys: BTreeSet<&str> = keys_1.lines().chain(keys_2.lines()).collect();
    ensure_that!(
        keys.len() == keys_1.lines().count() + keys_2.lines().count(),
        "both have the same host keys: {keys_1}"
    );
    Ok(())
}
