//! One rollout as a simulation of events: hosts begin, catch up with their mirror, and end. Between two events, all
//! rates stay the same.

use super::rates::{FlowClass, max_min_rates};

/// Less than this many bytes are no bytes: rates are not whole numbers.
const NOTHING: f64 = 1e-3;

/// What one rollout is made of. Rates are bytes a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rollout {
    pub(super) hosts: u64,
    /// Bytes that each host fetches.
    pub(super) host_bytes: f64,
    /// The most that one host takes: its link, or what it can unpack and write meanwhile.
    pub(super) host_rate: f64,
    /// The time over which the hosts begin, one after the other.
    pub(super) spread_seconds: f64,
    pub(super) registry_rate: f64,
    pub(super) mirrors: Option<Mirrors>,
}

/// Mirrors between the registry and the hosts. Each fetches every blob once, and passes it on while it arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mirrors {
    /// Hosts of one mirror.
    pub(super) hosts_each: u64,
    /// The rate in each direction.
    pub(super) rate: f64,
}

/// The outcome of a rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// When the last host has its image, in seconds.
    pub(super) last_host_seconds: f64,
    /// Bytes that left the registry.
    pub(super) registry_bytes: f64,
}

/// Hosts that do the same at the same time.
struct Group {
    hosts: f64,
    start: f64,
    mirror: Option<usize>,
    got: f64,
    rate: f64,
}

#[derive(Clone, Default)]
struct Mirror {
    got: f64,
    rate: f64,
    /// Whether one of its hosts has begun.
    is_asked: bool,
}

struct Simulation {
    rollout: Rollout,
    groups: Vec<Group>,
    mirrors: Vec<Mirror>,
    now: f64,
    registry_bytes: f64,
}

impl Rollout {
    /// Runs the rollout.
    pub(super) fn run(self) -> Outcome {
        let groups = self.groups();
        let mirrors = groups.iter().filter_map(|group| group.mirror).max().map_or(0, |last| last + 1);
        let mirrors = vec![Mirror::default(); mirrors];
        let mut simulation = Simulation { rollout: self, groups, mirrors, now: 0.0, registry_bytes: 0.0 };
        while let Some(seconds) = simulation.next_event() {
            simulation.advance(seconds);
        }
        Outcome { last_host_seconds: simulation.now, registry_bytes: simulation.registry_bytes }
    }

    /// One group for each mirror; one for each host if the hosts do not begin together.
    fn groups(&self) -> Vec<Group> {
        let each = self.mirrors.map(|mirrors| mirrors.hosts_each.max(1));
        let step = match self.spread_seconds > 0.0 {
            true => 1,
            false => each.unwrap_or(self.hosts.max(1)),
        };
        let firsts = (0..self.hosts).step_by(step as usize);
        firsts
            .map(|first| Group {
                hosts: step.min(self.hosts - first) as f64,
                start: self.spread_seconds * first as f64 / self.hosts as f64,
                // Hosts that begin one after the other take the mirrors in turn.
                mirror: each.map(|each| match self.spread_seconds > 0.0 {
                    true => (first % self.hosts.div_ceil(each)) as usize,
                    false => (first / each) as usize,
                }),
                got: 0.0,
                rate: 0.0,
            })
            .collect()
    }
}

impl Simulation {
    fn is_running(&self, group: &Group) -> bool {
        group.start <= self.now && group.got < self.rollout.host_bytes
    }

    fn is_filling(&self, mirror: &Mirror) -> bool {
        mirror.is_asked && mirror.got < self.rollout.host_bytes
    }

    /// Sets all rates, and returns the time until the first of them changes; `None` when all hosts have their image.
    fn next_event(&mut self) -> Option<f64> {
        for group in self.groups.iter().filter(|group| group.start <= self.now) {
            if let Some(mirror) = group.mirror {
                self.mirrors[mirror].is_asked = true;
            }
        }
        self.set_rates();
        let bytes = self.rollout.host_bytes;
        let mut next = f64::INFINITY;
        for mirror in self.mirrors.iter().filter(|mirror| self.is_filling(mirror)) {
            next = next.min((bytes - mirror.got) / mirror.rate);
        }
        for group in &self.groups {
            if group.start > self.now {
                next = next.min(group.start - self.now);
            } else if group.got < bytes {
                next = next.min((bytes - group.got) / group.rate);
                if let Some(mirror) = group.mirror.map(|at| &self.mirrors[at])
                    && group.got < mirror.got
                    && group.rate > mirror.rate
                    && mirror.got < bytes
                {
                    next = next.min((mirror.got - group.got) / (group.rate - mirror.rate));
                }
            }
        }
        next.is_finite().then_some(next)
    }

    fn set_rates(&mut self) {
        let Rollout { host_bytes, host_rate, registry_rate, mirrors, .. } = self.rollout;
        // The registry serves mirrors and hosts without one.
        let mut of_mirror = Vec::new();
        let mut of_group = Vec::new();
        let mut classes = Vec::new();
        for (at, _) in self.mirrors.iter().enumerate().filter(|(_, mirror)| self.is_filling(mirror)) {
            of_mirror.push(at);
            classes.push(FlowClass { flows: 1.0, cap: mirrors.map_or(0.0, |mirrors| mirrors.rate) });
        }
        for (at, group) in self.groups.iter().enumerate().filter(|(_, group)| self.is_running(group)) {
            if group.mirror.is_none() {
                of_group.push(at);
                classes.push(FlowClass { flows: group.hosts, cap: host_rate });
            }
        }
        let rates = max_min_rates(registry_rate, &classes);
        self.mirrors.iter_mut().for_each(|mirror| mirror.rate = 0.0);
        self.groups.iter_mut().for_each(|group| group.rate = 0.0);
        let (to_mirrors, to_groups) = rates.split_at(of_mirror.len());
        of_mirror.iter().zip(to_mirrors).for_each(|(at, rate)| self.mirrors[*at].rate = *rate);
        of_group.iter().zip(to_groups).for_each(|(at, rate)| self.groups[*at].rate = *rate);
        // Each mirror serves its hosts. One that has all that the mirror has gets no more than the mirror.
        let Some(Mirrors { rate, .. }) = mirrors else { return };
        let mut served: Vec<Vec<usize>> = vec![Vec::new(); self.mirrors.len()];
        for (at, group) in self.groups.iter().enumerate().filter(|(_, group)| self.is_running(group)) {
            served[group.mirror.unwrap_or(0)].push(at);
        }
        for (mirror, groups) in self.mirrors.iter().zip(&served) {
            let classes: Vec<FlowClass> = groups
                .iter()
                .map(|at| {
                    let group = &self.groups[*at];
                    let waits = mirror.got < host_bytes && group.got >= mirror.got;
                    let cap = if waits { host_rate.min(mirror.rate) } else { host_rate };
                    FlowClass { flows: group.hosts, cap }
                })
                .collect();
            let rates = max_min_rates(rate, &classes);
            groups.iter().zip(rates).for_each(|(at, rate)| self.groups[*at].rate = rate);
        }
    }

    /// Lets `seconds` pass.
    fn advance(&mut self, seconds: f64) {
        let bytes = self.rollout.host_bytes;
        let whole = |got: f64| if bytes - got < NOTHING { bytes } else { got };
        self.now += seconds;
        for mirror in &mut self.mirrors {
            self.registry_bytes += mirror.rate * seconds;
            mirror.got = whole(mirror.got + mirror.rate * seconds);
        }
        for group in &mut self.groups {
            group.got = whole(group.got + group.rate * seconds);
            match group.mirror.map(|at| &self.mirrors[at]) {
                None => self.registry_bytes += group.hosts * group.rate * seconds,
                Some(mirror) if (mirror.got - group.got).abs() < NOTHING => group.got = mirror.got,
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLOUT: Rollout = Rollout {
        hosts: 1,
        host_bytes: 1000.0,
        host_rate: 100.0,
        spread_seconds: 0.0,
        registry_rate: 1000.0,
        mirrors: None,
    };

    fn assert_outcome(rollout: Rollout, seconds: f64, registry_bytes: f64) {
        let found = rollout.run();
        let is_near = |found: f64, wanted: f64| (found - wanted).abs() <= wanted * 1e-6;
        assert!(is_near(found.last_host_seconds, seconds), "{rollout:?}: {found:?}, not {seconds} s");
        assert!(
            is_near(found.registry_bytes, registry_bytes),
            "{rollout:?}: {found:?}, not {registry_bytes}"
        );
    }

    #[test]
    fn hosts_share_the_registry() {
        // 10 s over its own link; so do ten, which fill the registry's link.
        assert_outcome(ROLLOUT, 10.0, 1000.0);
        assert_outcome(Rollout { hosts: 10, ..ROLLOUT }, 10.0, 10_000.0);
        // From there on the registry's link decides.
        assert_outcome(Rollout { hosts: 25, ..ROLLOUT }, 25.0, 25_000.0);
        assert_outcome(Rollout { hosts: 10_000, ..ROLLOUT }, 10_000.0, 1e7);
    }

    #[test]
    fn a_mirror_fetches_once() {
        let mirrors = Some(Mirrors { hosts_each: 10, rate: 500.0 });
        // The mirror is faster than a host: as without it.
        assert_outcome(Rollout { mirrors, ..ROLLOUT }, 10.0, 1000.0);
        // Ten hosts at 50 each, while the mirror gets 500.
        assert_outcome(Rollout { hosts: 10, mirrors, ..ROLLOUT }, 20.0, 1000.0);
        // Forty mirrors at 25 each: hosts wait for their mirror.
        assert_outcome(Rollout { hosts: 400, mirrors, ..ROLLOUT }, 40.0, 40_000.0);
        // The last mirror has three hosts only, and both get 500 from the registry.
        assert_outcome(Rollout { hosts: 13, mirrors, ..ROLLOUT }, 20.0, 2000.0);
    }

    #[test]
    fn a_host_that_catches_up_with_its_mirror_waits_for_it() {
        // The mirror gets 50, and needs 20 s. The first host has its pace from the beginning. The second begins at 10 s
        // with 500 behind, and reaches the mirror's pace at 10 + 500 / (100 - 50) = 20 s.
        let rollout = Rollout {
            hosts: 2,
            spread_seconds: 20.0,
            registry_rate: 50.0,
            mirrors: Some(Mirrors { hosts_each: 2, rate: 500.0 }),
            ..ROLLOUT
        };
        assert_outcome(rollout, 20.0, 1000.0);
        // It begins at 4 s: it catches up at 4 + 200 / 50 = 8 s, and ends with the mirror.
        assert_outcome(Rollout { spread_seconds: 8.0, ..rollout }, 20.0, 1000.0);
        // It begins at 15 s: the mirror ends first; the host ends at 25 s.
        assert_outcome(Rollout { spread_seconds: 30.0, ..rollout }, 25.0, 1000.0);
    }

    #[test]
    fn hosts_that_begin_one_after_the_other() {
        // Two hosts on a link for one: alone for 5 s, then both at 50; the first ends at 15 s with 1000, the second
        // has 500 then, and the link for itself.
        let rollout = Rollout { hosts: 2, spread_seconds: 10.0, registry_rate: 100.0, ..ROLLOUT };
        assert_outcome(rollout, 20.0, 2000.0);
        // A hundred hosts over 1000 s never meet.
        let rollout = Rollout { hosts: 100, spread_seconds: 1000.0, registry_rate: 100.0, ..ROLLOUT };
        assert_outcome(rollout, 1000.0, 100_000.0);
    }
}
