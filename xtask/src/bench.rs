//! Side by side in one run: every contender in turn, several times over, medians.

use std::path::Path;

use banger_testkit::{Image, tools};
use clap::{Args, ValueEnum};

use crate::contenders::{Contender, contenders};
use crate::growth;
use crate::measure::{Usage, median, run};

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Images to measure on.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["minbase", "systemd", "bench"])]
    images: Vec<BenchImage>,
    /// Runs of each contender.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Measure also how time and memory grow with entries and layers.
    #[arg(long)]
    growth: bool,
    /// Only contenders whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BenchImage {
    /// Debian minbase, one layer.
    Minbase,
    /// Debian with systemd, two layers.
    Systemd,
    /// About 700 MB and 40,000 files in three layers.
    Bench,
}

impl BenchImage {
    fn twins(self) -> (Image, Image) {
        match self {
            Self::Minbase => (Image::DebianMinbase, Image::DebianMinbaseZstd),
            Self::Systemd => (Image::DebianSystemd, Image::DebianSystemdZstd),
            Self::Bench => (Image::Bench, Image::BenchZstd),
        }
    }
}

pub(crate) fn bench(arguments: &BenchArguments) -> anyhow::Result<()> {
    // Everything stays until the end: ext4 is slow for minutes after a large tree was removed.
    std::fs::create_dir_all(tools::cache_dir())?;
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(tools::cache_dir())?;
    for image in &arguments.images {
        let (gzip, zstd) = image.twins();
        let mut found = contenders(gzip, zstd)?;
        if let Some(only) = &arguments.only {
            found.retain(|contender| contender.name.contains(only.as_str()));
        }
        let usages = measure_all(&found, arguments.runs, scratch.path(), gzip.name())?;
        print_table(gzip.name(), &found, &usages);
    }
    if arguments.growth {
        let found = growth::contenders()?;
        let usages = measure_all(&found, arguments.runs, scratch.path(), "growth")?;
        print_table("growth", &found, &usages);
    }
    Ok(())
}

fn measure_all(
    contenders: &[Contender],
    runs: usize,
    scratch: &Path,
    image: &str,
) -> anyhow::Result<Vec<Option<Usage>>> {
    let mut usages = vec![Vec::new(); contenders.len()];
    let mut failed = vec![false; contenders.len()];
    for number in 0..=runs {
        for (index, contender) in contenders.iter().enumerate() {
            let out = scratch.join(format!("{image}-{index}-{number}"));
            std::fs::create_dir(&out)?;
            let script = format!("OUT={}; {}", out.display(), contender.script);
            if failed[index] {
                continue;
            }
            match run(&script) {
                // The first round warms the page cache.
                Ok(usage) if number > 0 => usages[index].push(usage),
                Ok(_) => {}
                Err(error) => {
                    eprintln!("left out: {}: {}: {error}", contender.name, contender.script);
                    failed[index] = true;
                    usages[index].clear();
                }
            }
            std::fs::remove_file(out.join("rootfs.ext4")).ok();
        }
    }
    Ok(usages.iter().map(|runs| (!runs.is_empty()).then(|| median(runs))).collect())
}

fn print_table(image: &str, contenders: &[Contender], usages: &[Option<Usage>]) {
    let base =
        contenders.iter().position(|contender| contender.name == "igzip -dc").and_then(|index| usages[index]);
    println!("\n### {image}\n");
    println!("| | wall s | × igzip | CPU s | peak MiB | written MiB |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (contender, usage) in contenders.iter().zip(usages) {
        let Some(usage) = usage else {
            println!("| {} | failed | | | | |", contender.name);
            continue;
        };
        let ratio = base.map_or(f64::NAN, |base| usage.wall / base.wall);
        println!(
            "| {} | {:.2} | {ratio:.2} | {:.2} | {} | {} |",
            contender.name,
            usage.wall,
            usage.cpu,
            usage.peak_bytes >> 20,
            usage.written_bytes >> 20
        );
    }
}
