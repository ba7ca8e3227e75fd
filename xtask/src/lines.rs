//! `cargo xtask lines`: how long the files of each crate are.

use std::path::{Path, PathBuf};

use crate::packages::workspace_packages;

/// Length from which a file is listed: most hold one idea, and one idea is shorter.
const LONG: usize = 500;

/// Prints a table of all crates, then the files that are long.
pub(crate) fn lines() -> anyhow::Result<()> {
    println!("| crate | files | lines of src | lines of tests | largest file |\n|---|---|---|---|---|");
    let mut long = Vec::new();
    let (mut files_in_all, mut lines_in_all) = (0, 0);
    for package in workspace_packages()? {
        let measure = |part: &str| -> anyhow::Result<Vec<(usize, PathBuf)>> {
            let files = rust_files(&package.dir.join(part))?.into_iter();
            files.map(|file| Ok((std::fs::read_to_string(&file)?.lines().count(), file))).collect()
        };
        let (src, tests) = (measure("src")?, measure("tests")?);
        let sum = |files: &[(usize, PathBuf)]| files.iter().map(|(lines, _)| lines).sum::<usize>();
        let largest = src.iter().chain(&tests).max().map(|(lines, file)| {
            format!("{} ({lines})", file.strip_prefix(&package.dir).unwrap_or(file).display())
        });
        let files = src.len() + tests.len();
        println!(
            "| {} | {files} | {} | {} | {} |",
            package.name,
            sum(&src),
            sum(&tests),
            largest.unwrap_or_default()
        );
        files_in_all += files;
        lines_in_all += sum(&src) + sum(&tests);
        long.extend(src.into_iter().chain(tests).filter(|(lines, _)| *lines >= LONG));
    }
    println!("\n{lines_in_all} lines in {files_in_all} files; {} of {LONG} lines and more", long.len());
    long.sort();
    for (lines, file) in long.iter().rev() {
        println!("{lines:5} {}", file.display());
    }
    Ok(())
}

/// Returns all Rust files below `dir`, sorted; none where there is no such directory.
pub(crate) fn rust_files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut pending) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = pending.pop().filter(|dir| dir.is_dir()) {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
