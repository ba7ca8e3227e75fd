//! `cargo xtask behaviours`: keeps the names of tests in `docs/behaviours.md` true.
//!
//! Each section `### B07 …` of the page describes one rule and ends with a line `Tests: …`. The tests are
//! those whose names carry the number: `b07_…`, or `b07_t03_…` for two rules.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use banger_testkit::tools;
use clap::Args;

use crate::lines::rust_files;
use crate::packages::workspace_packages;

#[derive(Debug, Args)]
pub(crate) struct BehavioursArguments {
    /// Write the names of the tests into the page.
    #[arg(long)]
    write: bool,
}

const PAGE: &str = "docs/behaviours.md";
const TESTS: &str = "Tests: ";

/// Compares the page with the tests, or writes it; fails where a rule has no test or a test no rule.
pub(crate) fn behaviours(arguments: &BehavioursArguments) -> anyhow::Result<()> {
    let file = tools::workspace_root().join(PAGE);
    let page = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut tests = BTreeMap::new();
    for package in workspace_packages()? {
        for source in rust_files(&package.dir)? {
            collect(&std::fs::read_to_string(source)?, &mut tests);
        }
    }
    let written = with_tests(&page, &tests)?;
    if arguments.write {
        std::fs::write(&file, written)?;
    } else if written != page {
        bail!("{PAGE} names other tests than there are; run `cargo xtask behaviours --write`");
    }
    println!("{} behaviours, each with tests", tests.len());
    Ok(())
}

/// Finds the tests of `code` that carry numbers.
fn collect(code: &str, tests: &mut BTreeMap<String, BTreeSet<String>>) {
    for line in code.lines() {
        let Some(rest) = line.trim_start().strip_prefix("fn ") else { continue };
        let name = rest.split(|character: char| !character.is_alphanumeric() && character != '_').next();
        let name = name.unwrap_or_default();
        for number in name.split('_').take_while(|part| is_number(part)) {
            tests.entry(number.to_uppercase()).or_default().insert(name.to_owned());
        }
    }
}

fn is_number(part: &str) -> bool {
    part.len() == 3 && part.starts_with(['b', 't']) && part[1..].bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the page with the names of `tests`.
fn with_tests(page: &str, tests: &BTreeMap<String, BTreeSet<String>>) -> anyhow::Result<String> {
    let mut written = String::new();
    let (mut section, mut seen) = (None, BTreeSet::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            if let Some(number) = section.take() {
                bail!("{PAGE}: the section of {number} has no line of tests");
            }
            section = title.split(' ').next().map(str::to_owned);
        }
        if line.starts_with(TESTS.trim_end()) {
            let number = section.take().context("a line of tests stands outside a section")?;
            let names = tests.get(&number).with_context(|| format!("{number} has no test"))?;
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            written.push_str(&format!("{TESTS}{}\n", names.join(", ")));
            seen.insert(number);
        } else {
            written.push_str(line);
            written.push('\n');
        }
    }
    if let Some(number) = tests.keys().find(|number| !seen.contains(*number)) {
        bail!("{PAGE} does not describe {number}, which tests carry");
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_tests() {
        let mut tests = BTreeMap::new();
        // Taken apart, as this file is searched, too.
        collect(&["    fn", " b07_t03_names() {}\nfn b7_x() {}\nfn", " t03_x(){}"].concat(), &mut tests);
        let page = "# Page\n### B07 Names\ntext\nTests: `old`\n### T03 Trees\nTests:\n";
        let want = "# Page\n### B07 Names\ntext\nTests: `b07_t03_names`\n### T03 Trees\nTests: `b07_t03_names`, `t03_x`\n";
        assert_eq!(with_tests(page, &tests).unwrap(), want);
        let untested = with_tests("### B09 Other\nTests:\n", &tests).unwrap_err();
        assert_eq!(untested.to_string(), "B09 has no test");
        let undescribed = with_tests("### T03 Trees\nTests:\n", &tests).unwrap_err();
        assert!(undescribed.to_string().contains("does not describe B07"), "{undescribed}");
        assert!(with_tests("### T03 Trees\n### B07 Names\nTests:\n", &tests).is_err());
    }
}
