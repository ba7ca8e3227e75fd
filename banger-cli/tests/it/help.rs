//! The help of every command, as users read it.

use std::fs;
use std::path::Path;

use crate::support::{Home, text};

/// Returns the subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned));
    names.filter(|name| !name.is_empty() && name != "help").collect()
}

/// Appends the help of a command and of its subcommands.
fn gather(home: &Home, command: &[String], found: &mut Vec<(String, String)>) {
    let mut arguments = command.to_vec();
    arguments.push("--help".to_owned());
    let help = text(&home.run(&arguments).stdout);
    let names = subcommands(&help);
    found.push((format!("banger {}", arguments.join(" ")), help));
    for name in names {
        gather(home, &[command, &[name]].concat(), found);
    }
}

#[test]
fn every_help_is_as_in_the_snapshot() {
    let mut found = Vec::new();
    gather(&Home::new(), &[], &mut found);
    assert!(found.len() > 30, "only {} commands were found", found.len());
    let mut all = String::new();
    for (command, help) in &found {
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{command}: {line}");
        }
        all += &format!("$ {command}\n{help}\n");
    }
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/help.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&snapshot, &all).unwrap();
    }
    let expected = fs::read_to_string(&snapshot).unwrap_or_default();
    assert_eq!(all, expected, "run again with UPDATE_SNAPSHOTS=1 and look at what git shows");
}

#[test]
fn options_stand_only_on_the_commands_that_use_them() {
    let mut found = Vec::new();
    gather(&Home::new(), &[], &mut found);
    for (command, help) in found {
        let words: Vec<&str> = command.split(' ').collect();
        let leaf = !help.contains("\nCommands:\n");
        let (state, cache) = match words[1..] {
            ["image", "cache", ..] => (false, leaf),
            ["vm", ..] => (leaf, leaf),
            ["image", "pull" | "inspect" | "boot-plan" | "build" | "commit", ..]
            | ["doctor", ..]
            | ["kernel", "import" | "pull", ..] => (true, true),
            ["image" | "kernel", ..] => (leaf, false),
            _ => (false, false),
        };
        for (option, wanted) in [("--state-dir", state), ("--cache-dir", cache)] {
            assert_eq!(help.contains(&format!("{option} <")), wanted, "{command}: {option}");
        }
    }
}
