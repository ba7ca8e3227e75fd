//! Uses of a guest that fail late and unclearly without some options.

use std::fmt;
use std::str::FromStr;

use super::finding::Outcome;
use super::need::{Need, Time, need};
use super::option::KernelOption;

/// No use of a guest has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not docker, systemd or k3s")]
pub struct UnknownProfile {
    text: String,
}

/// A use of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Docker and containerd, with their bridge.
    Docker,
    /// systemd as the init; images whose init is systemd are checked for it anyway.
    Systemd,
    /// k3s: Kubernetes with flannel.
    K3s,
}

impl Profile {
    /// Every use.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Systemd, Self::K3s];

    /// Returns the name by which users ask for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Systemd => "systemd",
            Self::K3s => "k3s",
        }
    }

    pub(super) fn needs(self) -> Vec<Need> {
        let (lists, purpose): (&[&[Row]], _) = match self {
            Self::Docker => (&[&DOCKER], "Docker needs it"),
            Self::K3s => (&[&DOCKER, &K3S], "k3s needs it"),
            Self::Systemd => {
                let rows = SYSTEMD.iter();
                return rows
                    .map(|(name, missing, purpose)| {
                        need(&[KernelOption::yes(name)], Time::Start, *missing, purpose)
                    })
                    .collect();
            }
        };
        let rows = lists.iter().copied().flatten();
        rows.map(|(name, module)| {
            let time = if module.is_empty() { Time::Start } else { Time::Later };
            let option = KernelOption { name, module: (!module.is_empty()).then_some(*module) };
            need(&[option], time, Outcome::Error, purpose)
        })
        .collect()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| UnknownProfile { text: text.to_owned() })
    }
}

/// Options that systemd wants (its README, "REQUIREMENTS"). It stops without most of them.
const SYSTEMD: [(&str, Outcome, &str); 9] = [
    ("CGROUPS", Outcome::Error, "systemd keeps services in control groups"),
    ("INOTIFY_USER", Outcome::Error, "systemd watches files"),
    ("SIGNALFD", Outcome::Error, "systemd receives signals by file descriptors"),
    ("TIMERFD", Outcome::Error, "systemd has timers"),
    ("EPOLL", Outcome::Error, "systemd waits for events"),
    ("NET", Outcome::Error, "systemd talks by sockets"),
    ("FHANDLE", Outcome::Warning, "udev follows mounts"),
    ("EVENTFD", Outcome::Warning, "systemd waits for events"),
    ("TMPFS", Outcome::Error, "systemd mounts file systems of its own"),
];

/// An option and its module, empty if it cannot be one.
type Row = (&'static str, &'static str);

const DOCKER: [Row; 18] = [
    ("NAMESPACES", ""),
    ("NET_NS", ""),
    ("PID_NS", ""),
    ("IPC_NS", ""),
    ("UTS_NS", ""),
    ("CGROUPS", ""),
    ("CGROUP_DEVICE", ""),
    ("CGROUP_PIDS", ""),
    ("MEMCG", ""),
    ("CPUSETS", ""),
    ("KEYS", ""),
    ("OVERLAY_FS", "overlay"),
    ("VETH", "veth"),
    ("BRIDGE", "bridge"),
    ("BRIDGE_NETFILTER", "br_netfilter"),
    ("NF_NAT", "nf_nat"),
    ("NETFILTER_XT_MATCH_ADDRTYPE", "xt_addrtype"),
    ("NETFILTER_XT_MATCH_CONNTRACK", "xt_conntrack"),
];

const K3S: [Row; 5] = [
    ("VXLAN", "vxlan"),
    ("NETFILTER_XT_MATCH_COMMENT", "xt_comment"),
    ("NETFILTER_XT_MATCH_MULTIPORT", "xt_multiport"),
    ("NETFILTER_XT_MARK", "xt_mark"),
    ("NETFILTER_XT_MATCH_STATISTIC", "xt_statistic"),
];
