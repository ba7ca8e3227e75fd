//! `cargo xtask packages`: the packages that are published, and what each has to have.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use banger_testkit::tools;
use clap::Args;
use serde_json::Value;

#[derive(Debug, Args)]
pub(crate) struct PackagesArguments {
    /// Print the names only, one a line, each after the packages that it needs.
    #[arg(long)]
    names: bool,
}

/// One member of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct WorkspacePackage {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    /// What `cargo metadata` says of it.
    manifest: Value,
}

/// Prints the published packages; fails where one lacks what a stranger looks for.
pub(crate) fn packages(arguments: &PackagesArguments) -> anyhow::Result<()> {
    let mut published: Vec<WorkspacePackage> = workspace_packages()?;
    published.retain(|package| package.manifest["publish"].is_null());
    let published = in_order(published)?;
    let mut faults = Vec::new();
    for package in &published {
        faults.extend(package.faults().into_iter().map(|fault| format!("{}: {fault}", package.name)));
        match arguments.names {
            true => println!("{}", package.name),
            false => println!("{}: {}", package.name, package.manifest["description"].as_str().unwrap_or("")),
        }
    }
    if !faults.is_empty() {
        bail!("packages are not ready to be published:\n{}", faults.join("\n"));
    }
    Ok(())
}

impl WorkspacePackage {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        for key in ["description", "license", "repository", "rust_version", "readme"] {
            check(self.manifest[key].is_string(), format!("`{key}` is missing"));
        }
        for key in ["keywords", "categories"] {
            let count = self.manifest[key].as_array().map_or(0, Vec::len);
            check((1..=5).contains(&count), format!("it has {count} {key}, and 1 to 5 are right"));
        }
        check(
            self.manifest["metadata"]["docs"]["rs"].is_object(),
            "`[package.metadata.docs.rs]` is missing".to_owned(),
        );
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            check(self.dir.join(file).is_file(), format!("{file} is missing"));
        }
        faults
    }

    /// Returns what it needs of the workspace when it is published, which leaves dependencies of tests
    /// without a version out.
    fn needs(&self) -> Vec<&str> {
        let dependencies = self.manifest["dependencies"].as_array().into_iter().flatten();
        let published =
            dependencies.filter(|one| one["path"].is_string() && one["req"].as_str() != Some("*"));
        published.filter_map(|one| one["name"].as_str()).collect()
    }
}

fn in_order(mut packages: Vec<WorkspacePackage>) -> anyhow::Result<Vec<WorkspacePackage>> {
    let mut ordered: Vec<WorkspacePackage> = Vec::new();
    while !packages.is_empty() {
        let is_ready = |package: &WorkspacePackage| {
            package.needs().iter().all(|need| ordered.iter().any(|before| before.name == *need))
        };
        let Some(next) = packages.iter().position(is_ready) else {
            let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
            bail!("these need each other or a package that is not published: {}", names.join(", "));
        };
        ordered.push(packages.remove(next));
    }
    Ok(ordered)
}

/// Returns the members of the workspace.
pub(crate) fn workspace_packages() -> anyhow::Result<Vec<WorkspacePackage>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(tools::workspace_root())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("metadata has packages")?.iter();
    let package = |manifest: &Value| -> Option<WorkspacePackage> {
        let file = PathBuf::from(manifest["manifest_path"].as_str()?);
        let name = manifest["name"].as_str()?.to_owned();
        Some(WorkspacePackage { name, dir: file.parent()?.to_owned(), manifest: manifest.clone() })
    };
    packages.map(|manifest| package(manifest).context("a package has a name and a manifest")).collect()
}
