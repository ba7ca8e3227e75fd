//! `cargo xtask circles`: files of one crate that need each other.
//!
//! A file needs another if a path in its code leads there. Re-exports are followed to the file that
//! defines the item, and are no need of their own; code of tests does not count.

mod modules;
mod paths;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use banger_testkit::tools;
use clap::Args;

use crate::packages::workspace_packages;
use modules::{Circle, CrateModules};

/// Circles that `docs/architecture.md` defends; the only ones that may be.
const ALLOWED: &str = "xtask/circles.txt";

#[derive(Debug, Args)]
pub(crate) struct CirclesArguments {
    /// Check the crate in this directory only, and allow nothing.
    #[arg(value_name = "DIR")]
    package: Option<PathBuf>,
}

/// Prints every circle; fails if one is not allowed, or if an allowed one does not exist any more.
pub(crate) fn circles(arguments: &CirclesArguments) -> anyhow::Result<()> {
    if let Some(package) = &arguments.package {
        return report(&circles_of(std::slice::from_ref(package))?, &BTreeSet::new());
    }
    let packages = workspace_packages()?;
    let dirs: Vec<PathBuf> = packages.into_iter().map(|package| package.dir).collect();
    report(&circles_of(&dirs)?, &allowed(&tools::workspace_root().join(ALLOWED))?)
}

fn circles_of(packages: &[PathBuf]) -> anyhow::Result<Vec<Circle>> {
    let mut found = Vec::new();
    for package in packages {
        let name = package.file_name().context("a package has a directory")?.to_string_lossy();
        found.extend(CrateModules::read(&package.join("src"))?.circles(&name));
    }
    Ok(found)
}

/// Reads the lines of the list, comments left out.
fn allowed(file: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

fn report(found: &[Circle], allowed: &BTreeSet<String>) -> anyhow::Result<()> {
    let mut unknown = 0;
    for circle in found {
        let is_allowed = allowed.contains(&circle.to_string());
        unknown += usize::from(!is_allowed);
        println!("{}{circle}", if is_allowed { "allowed: " } else { "" });
        for (from, to) in &circle.needs {
            println!("    {from} -> {}", to.join(", "));
        }
    }
    println!("circles: {}, of which allowed: {}", found.len(), found.len() - unknown);
    if unknown > 0 {
        bail!("{unknown} circles of files are not in {ALLOWED}");
    }
    let found: BTreeSet<String> = found.iter().map(Circle::to_string).collect();
    if let Some(gone) = allowed.difference(&found).next() {
        bail!("{ALLOWED} lists a circle that does not exist any more: {gone}");
    }
    Ok(())
}
