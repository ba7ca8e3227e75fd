//! `health` and `info`: state of a guest and of its first boot.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use banger_guest::config::paths;
use banger_guest::protocol::{
    Addresses, FirstBoot, FirstBootState, Health, Info, KernelInfo, MAX_PAYLOAD_BYTES, OsInfo,
    PROTOCOL_VERSION,
};
use rustix::time::{ClockId, clock_gettime};

use crate::bounded;
use crate::contract;
use crate::first_boot;
use crate::network::netlink::Netlink;
use crate::options::Role;
use crate::os_release;
use crate::root::Root;
use crate::run_state::RunState;

/// Bytes of the first boot's log in an answer.
const LOG_TAIL_BYTES: u64 = 8 * 1024;

/// Number of interfaces and addresses in an answer: a frame has a limit.
const MAX_INTERFACES: usize = 64;
const MAX_ADDRESSES: usize = 16;

/// Characters of the kernel command line in an answer; on x86 the kernel accepts no more.
const MAX_COMMAND_LINE: usize = 2048;

/// Characters of a text from the guest's files in an answer.
const MAX_VALUE: usize = 256;

/// Largest length of an answer, so that it fits a frame.
const MAX_INFO_BYTES: usize = MAX_PAYLOAD_BYTES as usize - 1024;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn health() -> Health {
    Health::default()
        .with_agent_version(VERSION.to_owned())
        .with_protocol(PROTOCOL_VERSION)
        .with_uptime_ms(uptime_ms())
}

/// Returns the state of the guest. If it does not fit a frame, the log is left out.
pub(crate) fn info(root: &Root) -> Info {
    let mut info = whole_info(root);
    if serde_json::to_vec(&info).is_ok_and(|json| json.len() > MAX_INFO_BYTES) {
        info.first_boot.log_tail = "(left out: with it, the answer would be too long)\n".to_owned();
    }
    info
}

fn whole_info(root: &Root) -> Info {
    let release = os_release::of_guest(root);
    Info::default()
        .with_agent_version(VERSION.to_owned())
        .with_contract(root.guest_config(Role::Agent.name()).map(|config| contract::running(root, &config)))
        .with_init(value(contract::running_init(root)))
        .with_first_boot(first_boot(root))
        .with_kernel(kernel(root))
        .with_os(release.id.map(|id| {
            OsInfo::default()
                .with_id(value(id))
                .with_version_id(release.version_id.map(value))
                .with_pretty_name(release.pretty_name.map(value))
        }))
        .with_hostname(rustix::system::uname().nodename().to_string_lossy().into_owned())
        .with_machine_id(root.text("/etc/machine-id").filter(|id| id != "uninitialized").map(value))
        .with_boot_id(root.text("/proc/sys/kernel/random/boot_id").map(value))
        .with_interfaces(interfaces())
        .with_entrypoint(RunState::of_guest(root).entrypoint())
        .with_uptime_ms(uptime_ms())
}

/// Returns a text of the guest's files, cut for an answer.
fn value(text: String) -> String {
    bounded::clip(text, MAX_VALUE)
}

fn kernel(root: &Root) -> KernelInfo {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let command_line = bounded::clip(root.text("/proc/cmdline").unwrap_or_default(), MAX_COMMAND_LINE);
    KernelInfo::default()
        .with_release(text(name.release()))
        .with_version(text(name.version()))
        .with_machine(text(name.machine()))
        .with_command_line(command_line)
}

/// Returns the progress of the first boot, from its files.
fn first_boot(root: &Root) -> FirstBoot {
    let log_tail = tail(&root.path(paths::FIRST_BOOT_LOG)).unwrap_or_default();
    if !root.path(paths::FIRST_BOOT_PENDING).exists() {
        let done = root.path(paths::FIRST_BOOT_DONE).exists();
        let state = if done { FirstBootState::Done } else { FirstBootState::None };
        return FirstBoot::default().with_state(state).with_log_tail(log_tail);
    }
    let marker = first_boot::read_marker(root);
    let state = if RunState::of_guest(root).is_first_boot_running() {
        FirstBootState::Running
    } else if marker.last_error.is_some() {
        FirstBootState::Failed
    } else {
        FirstBootState::Pending
    };
    FirstBoot::default()
        .with_state(state)
        .with_attempt(marker.attempt)
        .with_stage(marker.stage.map(value))
        .with_last_error(marker.last_error.map(value))
        .with_log_tail(log_tail)
}

/// The last lines of a file.
fn tail(path: &Path) -> Option<String> {
    let mut file = bounded::open_regular(path).ok()?;
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
        .map(|link| {
            Addresses::default()
                .with_mac(link.mac())
                .with_up(link.is_up())
                .with_addresses(
                    addresses
                        .iter()
                        .filter(|address| address.index == link.index)
                        .take(MAX_ADDRESSES)
                        .map(|address| address.address.to_string())
                        .collect(),
                )
                .with_interface(link.name)
        })
        .collect()
}

fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    u64::try_from(Duration::new(seconds, nanos).as_millis()).unwrap_or(u64::MAX)
}
