//! A root file system that grows while it is in use.

use banger_testkit::Image;

use crate::boot::bench::Bench;
use crate::boot::disk;
use crate::boot::guest::{Guest, ensure_that};
use crate::boot::qemu::MachineOptions;

const MIB: u64 = 1 << 20;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let size = 512 * MIB;
    let path = bench.directory().join("grow.ext4");
    let path = path.to_str().expect("the scratch directory has a name in UTF-8").to_owned();
    let layout = Image::DebianMinbase.layout().map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    let reference = format!("oci:{}:{}", layout.display(), banger_testkit::TAG);
    let record = bench.banger([
        "image",
        "pull",
        &reference,
        "--output",
        &path,
        "--size",
        "512M",
        "--backend",
        "native",
        "--json",
    ])?;
    let record: serde_json::Value = serde_json::from_str(&record)?;
    let promised = record["free_bytes"].as_u64().expect("a record has free_bytes");
    let disk = std::path::PathBuf::from(path);
    disk::enlarge(&disk, 4 * size)?;
    let mut machine = bench.start("grow", &MachineOptions::with_disk(&disk))?;
    let guest = Guest::wait(&machine)?;

    // What `--size` promised is there, but for the few files that a boot writes.
    let (_, free) = space(&guest)?;
    ensure_that!(
        free <= promised && promised - free < 4 * MIB,
        "the record promised {promised} free bytes, and the guest has {free}"
    );

    // Halfway with resize2fs where the image has it, all the way by the agent.
    guest.shell("echo before >/root/before; sync")?;
    let (total_before, _) = space(&guest)?;
    guest.shell("resize2fs /dev/nvme0n1 1G 2>&1")?;
    let (total_half, _) = space(&guest)?;
    ensure_that!(
        total_half > total_before + 400 * MIB,
        "resize2fs: {total_before} bytes before, {total_half} after"
    );
    let grown = guest.client.grow()?;
    ensure_that!(grown.after_bytes > 4 * size * 9 / 10, "grow answered {grown:?}");
    let (total, free) = space(&guest)?;
    ensure_that!(total > 4 * size * 9 / 10 && total > total_half, "df shows {total} bytes of {}", 4 * size);
    // What was won can be written to.
    guest.shell("dd if=/dev/zero of=/root/large bs=1M count=700 2>&1 && sync")?;
    let (_, left) = space(&guest)?;
    ensure_that!(left + 600 * MIB < free, "{free} bytes free before 700 MiB were written, {left} after");
    // Nothing is left to do.
    let again = guest.client.grow()?;
    ensure_that!(again.before_bytes == again.after_bytes, "grow answered {again:?} the second time");
    guest.stop(&mut machine)?;
    disk::check(&disk)
}

/// Total and free bytes as `df` shows them.
fn space(guest: &Guest) -> anyhow::Result<(u64, u64)> {
    let text = guest.shell("stat -f -c '%S %b %f' / && df / >/dev/null")?;
    let numbers = text.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    let [block, total, free] = numbers[..] else { anyhow::bail!("stat -f said {text:?}") };
    Ok((block * total, block * free))
}
