//! `health` and `info`: what a guest is, and how far it has come.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use banger_guest::config::{FirstBootMarker, paths};
use banger_guest::protocol::{
    Addresses, FirstBoot, FirstBootState, Health, Info, KernelInfo, OsInfo, PROTOCOL_VERSION,
};
use rustix::time::{ClockId, clock_gettime};

use crate::contract;
use crate::network::netlink::Netlink;
use crate::options::Role;
use crate::os_release::OsRelease;
use crate::root::Root;
use crate::run_state::RunState;

/// How much of the first boot's log is told.
const LOG_TAIL_BYTES: u64 = 8 * 1024;

/// Interfaces and addresses that are told: a frame has a limit, and a guest with more has other means.
const MAX_INTERFACES: usize = 64;
const MAX_ADDRESSES: usize = 16;

/// Characters of the kernel command line that are told; the kernel takes no more on x86.
const MAX_COMMAND_LINE: usize = 2048;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn health() -> Health {
    Health { agent_version: VERSION.to_owned(), protocol: PROTOCOL_VERSION, uptime_ms: uptime_ms() }
}

pub(crate) fn info(root: &Root) -> Info {
    let release = OsRelease::of_guest(root);
    Info {
        agent_version: VERSION.to_owned(),
        contract: root.guest_config(Role::Agent.name()).map(|config| contract::running(root, &config)),
        init: contract::running_init(root),
        first_boot: first_boot(root),
        kernel: kernel(root),
        os: release.id.map(|id| OsInfo {
            id,
            version_id: release.version_id,
            pretty_name: release.pretty_name,
        }),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        machine_id: root.text("/etc/machine-id").filter(|id| id != "uninitialized"),
        boot_id: root.text("/proc/sys/kernel/random/boot_id"),
        interfaces: interfaces(),
        entrypoint: RunState::of_guest(root).entrypoint(),
        uptime_ms: uptime_ms(),
    }
}

fn kernel(root: &Root) -> KernelInfo {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let command_line =
        root.text("/proc/cmdline").unwrap_or_default().chars().take(MAX_COMMAND_LINE).collect();
    KernelInfo {
        release: text(name.release()),
        version: text(name.version()),
        machine: text(name.machine()),
        command_line,
    }
}

/// How far the first boot has come, as its files tell it.
fn first_boot(root: &Root) -> FirstBoot {
    let log_tail = tail(&root.path(paths::FIRST_BOOT_LOG)).unwrap_or_default();
    let Ok(json) = std::fs::read(root.path(paths::FIRST_BOOT_PENDING)) else {
        let done = root.path(paths::FIRST_BOOT_DONE).exists();
        let state = if done { FirstBootState::Done } else { FirstBootState::None };
        return FirstBoot { state, attempt: 0, stage: None, last_error: None, log_tail };
    };
    let marker = FirstBootMarker::from_json(&json);
    let state = if RunState::of_guest(root).is_first_boot_running() {
        FirstBootState::Running
    } else if marker.last_error.is_some() {
        FirstBootState::Failed
    } else {
        FirstBootState::Pending
    };
    FirstBoot { state, attempt: marker.attempt, stage: marker.stage, last_error: marker.last_error, log_tail }
}

/// The last lines of a file.
fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let start = file.metadata().ok()?.len().saturating_sub(LOG_TAIL_BYTES);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let whole_lines = if start == 0 {
        bytes.as_slice()
    } else {
        let line = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        &bytes[line..]
    };
    Some(String::from_utf8_lossy(whole_lines).into_owned())
}

fn interfaces() -> Vec<Addresses> {
    let Ok(mut netlink) = Netlink::open() else {
        return Vec::new();
    };
    let links = netlink.links().unwrap_or_default();
    let addresses = netlink.addresses().unwrap_or_default();
    links
        .into_iter()
        .take(MAX_INTERFACES)
        .map(|link| Addresses {
            mac: link.mac(),
            up: link.is_up(),
            addresses: addresses
                .iter()
                .filter(|address| address.index == link.index)
                .take(MAX_ADDRESSES)
                .map(|address| address.address.to_string())
                .collect(),
            interface: link.name,
        })
        .collect()
}

fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    u64::try_from(Duration::new(seconds, nanos).as_millis()).unwrap_or(u64::MAX)
}
