//! The outcomes as tables in Markdown.

use std::fmt::Write as _;

use super::figures::{HostWork, ImageFigures};
use super::rollout::Outcome;
use super::scenario::{Scenario, Site};

/// Returns two tables: the time to the last host, and the bytes that leave the registry.
pub(super) fn tables(hosts: &[u64], image: &ImageFigures, site: &Site) -> String {
    let outcomes: Vec<(Scenario, Vec<Outcome>)> = Scenario::ALL
        .into_iter()
        .map(|scenario| (scenario, hosts.iter().map(|hosts| scenario.run(*hosts, image, site)).collect()))
        .collect();
    let mut text = String::new();
    let numbers: Vec<String> = hosts.iter().map(|hosts| grouped(*hosts)).collect();
    let numbers = numbers.join(" | ");
    let rule = "---:|".repeat(hosts.len());
    let _ = writeln!(
        text,
        "| time to the last host | bytes a host | CPU a host | {numbers} |\n|---|---:|---:|{rule}"
    );
    for (scenario, outcomes) in &outcomes {
        let HostWork { fetched_bytes, cpu_seconds, .. } = scenario.host_work(image);
        let cells: Vec<String> = outcomes.iter().map(|outcome| seconds(outcome.last_host_seconds)).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {cpu_seconds:.2} s | {} |",
            scenario.name(),
            bytes(fetched_bytes),
            cells.join(" | ")
        );
    }
    let _ = writeln!(text, "\n| bytes that leave the registry | {numbers} |\n|---|{rule}");
    for (scenario, outcomes) in &outcomes {
        let cells: Vec<String> = outcomes.iter().map(|outcome| bytes(outcome.registry_bytes)).collect();
        let _ = writeln!(text, "| {} | {} |", scenario.name(), cells.join(" | "));
    }
    text
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn seconds(seconds: f64) -> String {
    match seconds {
        few if few < 100.0 => format!("{few:.1} s"),
        more if more < 6000.0 => format!("{more:.0} s"),
        many => format!("{:.0} min", many / 60.0),
    }
}

fn bytes(bytes: f64) -> String {
    let (divided, unit) = match bytes {
        few if few < 1e9 => (few / 1e6, "MB"),
        more if more < 1e12 => (more / 1e9, "GB"),
        many => (many / 1e12, "TB"),
    };
    match divided < 100.0 {
        true => format!("{divided:.1} {unit}"),
        false => format!("{divided:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::IMAGE;
    use super::super::rollout::Mirrors;
    use super::*;

    #[test]
    fn tables_have_a_row_for_each_scenario_and_a_column_for_each_fleet() {
        let site = Site {
            registry_rate: 1e9,
            host_rate: 1e8,
            mirrors: Mirrors { hosts_each: 100, rate: 1e9 },
            cores: 2.0,
            disk_rate: 3e8,
            spread_seconds: 0.0,
        };
        let text = tables(&[1, 1000], &IMAGE, &site);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 2 * (Scenario::ALL.len() + 2), "{text}");
        for (columns, rows) in [(5, &rows[..10]), (3, &rows[10..])] {
            assert!(rows.iter().all(|row| row.matches('|').count() == columns + 1), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_shortly() {
        assert_eq!(
            ["1", "1,000", "10,000", "1,000,000"].map(str::to_owned),
            [1, 1000, 10_000, 1_000_000].map(grouped)
        );
        assert_eq!([1.26, 99.9, 100.4, 6000.0].map(seconds), ["1.3 s", "99.9 s", "100 s", "100 min"]);
        assert_eq!([1.5e6, 2.346e8, 1.0e9, 9.0e12].map(bytes), ["1.5 MB", "235 MB", "1.0 GB", "9.0 TB"]);
    }
}
