//! The ways of bringing an image to a fleet, and what each costs.

use super::figures::{HostWork, ImageFigures};
use super::rollout::{Mirrors, Outcome, Rollout};

/// How fast machines and links are. Rates are bytes a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) registry_rate: f64,
    pub(super) host_rate: f64,
    pub(super) mirrors: Mirrors,
    /// Processors of a host.
    pub(super) cores: f64,
    pub(super) disk_rate: f64,
    pub(super) spread_seconds: f64,
}

/// What the hosts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Each host fetches layers and converts them.
    ConvertEverywhere,
    /// One machine converts and pushes; each host fetches windows.
    PushOnce,
}

/// Which image the hosts do not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    First,
    /// The hosts have the first version: its layers, or its windows.
    Next,
}

/// One row of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) has_mirrors: bool,
}

impl Scenario {
    pub(super) const ALL: [Self; 8] = {
        const fn row(method: Method, version: Version, has_mirrors: bool) -> Scenario {
            Scenario { method, version, has_mirrors }
        }
        use Method::{ConvertEverywhere, PushOnce};
        use Version::{First, Next};
        [
            row(ConvertEverywhere, First, false),
            row(PushOnce, First, false),
            row(ConvertEverywhere, First, true),
            row(PushOnce, First, true),
            row(ConvertEverywhere, Next, false),
            row(PushOnce, Next, false),
            row(ConvertEverywhere, Next, true),
            row(PushOnce, Next, true),
        ]
    };

    pub(super) fn name(self) -> String {
        let method = match self.method {
            Method::ConvertEverywhere => "convert everywhere",
            Method::PushOnce => "push once",
        };
        let version = match self.version {
            Version::First => "first version",
            Version::Next => "next version",
        };
        let mirrors = if self.has_mirrors { ", mirrors" } else { "" };
        format!("{version}: {method}{mirrors}")
    }

    /// Returns what each host does.
    pub(super) fn host_work(self, image: &ImageFigures) -> HostWork {
        match (self.method, self.version) {
            (Method::ConvertEverywhere, Version::First) => image.convert,
            (Method::ConvertEverywhere, Version::Next) => image.convert_next,
            (Method::PushOnce, Version::First) => image.fetch,
            (Method::PushOnce, Version::Next) => image.fetch_next,
        }
    }

    /// Runs the scenario with so many hosts.
    pub(super) fn run(self, hosts: u64, image: &ImageFigures, site: &Site) -> Outcome {
        let before = match self.method {
            Method::ConvertEverywhere => Outcome { last_host_seconds: 0.0, registry_bytes: 0.0 },
            Method::PushOnce => self.preparation(image, site),
        };
        let work = self.host_work(image);
        let mirrors = self.has_mirrors.then_some(site.mirrors);
        let outcome = Rollout { hosts, mirrors, ..site.rollout(&work) }.run();
        Outcome {
            last_host_seconds: before.last_host_seconds + outcome.last_host_seconds,
            registry_bytes: before.registry_bytes + outcome.registry_bytes,
        }
    }

    /// One machine converts the image, then pushes it.
    fn preparation(self, image: &ImageFigures, site: &Site) -> Outcome {
        let convert = Scenario { method: Method::ConvertEverywhere, ..self };
        let site = Site { spread_seconds: 0.0, ..*site };
        let converted = site.rollout(&convert.host_work(image)).run();
        let (bytes, cpu_seconds) = match self.version {
            Version::First => (image.fetch.fetched_bytes, image.push_cpu_seconds),
            Version::Next => (image.fetch_next.fetched_bytes, image.push_next_cpu_seconds),
        };
        let link = bytes / site.host_rate.min(site.registry_rate);
        let pushed = link.max(cpu_seconds / site.cores);
        Outcome { last_host_seconds: converted.last_host_seconds + pushed, ..converted }
    }
}

impl Site {
    /// Returns the rollout of this work to one host. Its rate is that of the slowest part: a host fetches, unpacks and
    /// writes at the same time.
    fn rollout(&self, work: &HostWork) -> Rollout {
        let own_seconds = (work.cpu_seconds / self.cores).max(work.written_bytes / self.disk_rate);
        Rollout {
            hosts: 1,
            host_bytes: work.fetched_bytes,
            host_rate: self.host_rate.min(work.fetched_bytes / own_seconds),
            spread_seconds: self.spread_seconds,
            registry_rate: self.registry_rate,
            mirrors: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn work(fetched_bytes: f64, cpu_seconds: f64) -> HostWork {
        HostWork { fetched_bytes, cpu_seconds, written_bytes: 3000.0 }
    }

    const IMAGE: ImageFigures = ImageFigures {
        convert: work(1000.0, 8.0),
        convert_next: work(100.0, 8.0),
        fetch: work(1200.0, 2.0),
        fetch_next: work(150.0, 1.0),
        push_cpu_seconds: 6.0,
        push_next_cpu_seconds: 40.0,
    };
    const SITE: Site = Site {
        registry_rate: 1000.0,
        host_rate: 100.0,
        mirrors: Mirrors { hosts_each: 10, rate: 1000.0 },
        cores: 2.0,
        disk_rate: 1000.0,
        spread_seconds: 0.0,
    };

    fn run(method: Method, version: Version, has_mirrors: bool, hosts: u64) -> (f64, f64) {
        let outcome = Scenario { method, version, has_mirrors }.run(hosts, &IMAGE, &SITE);
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        (rounded(outcome.last_host_seconds), rounded(outcome.registry_bytes))
    }

    #[test]
    fn the_slowest_part_of_a_host_decides() {
        use Method::{ConvertEverywhere, PushOnce};
        use Version::{First, Next};
        // 1000 bytes at 100 a second; the processors take 4 s, the disk 3 s.
        assert_eq!(run(ConvertEverywhere, First, false, 1), (10.0, 1000.0));
        // 100 bytes take 1 s, the processors 4 s.
        assert_eq!(run(ConvertEverywhere, Next, false, 1), (4.0, 100.0));
        // 10 s to convert, 12 s to push, 12 s to fetch.
        assert_eq!(run(PushOnce, First, false, 1), (34.0, 2200.0));
        // 4 s to convert, 20 s of processors to cut the image, 3 s of the disk to write it.
        assert_eq!(run(PushOnce, Next, false, 1), (27.0, 250.0));
    }

    #[test]
    fn many_hosts_share_the_registry_and_mirrors_relieve_it() {
        use Method::{ConvertEverywhere, PushOnce};
        use Version::{First, Next};
        assert_eq!(run(ConvertEverywhere, First, false, 100), (100.0, 100_000.0));
        // Ten mirrors take 100 each, as fast as one host; each serves ten hosts at 100.
        assert_eq!(run(ConvertEverywhere, First, true, 100), (10.0, 10_000.0));
        assert_eq!(run(PushOnce, First, false, 100), (22.0 + 120.0, 1000.0 + 120_000.0));
        assert_eq!(run(PushOnce, First, true, 100), (22.0 + 12.0, 1000.0 + 12_000.0));
        // 150 bytes in 3 s are 50 a second; twenty hosts fill the registry's link.
        assert_eq!(run(PushOnce, Next, false, 20), (27.0, 100.0 + 3000.0));
        assert_eq!(run(PushOnce, Next, false, 40), (24.0 + 6.0, 100.0 + 6000.0));
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> =
            Scenario::ALL.into_iter().map(Scenario::name).collect();
        assert_eq!(names.len(), Scenario::ALL.len());
    }
}
