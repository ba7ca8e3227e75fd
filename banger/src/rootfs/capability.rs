//! File capabilities as `getcap` prints them.

/// Name of the xattr that they are in.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// Names by number, from `linux/capability.h`.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];
/// `VFS_CAP_FLAGS_EFFECTIVE`.
const EFFECTIVE: u32 = 1;

/// Returns a `security.capability` as text, for example `cap_net_raw=ep`, or `None` for a value of an unknown
/// form.
pub(super) fn text_of(value: &[u8]) -> Option<String> {
    let words: Vec<u32> =
        value.chunks(4).map(|word| word.try_into().map(u32::from_le_bytes)).collect::<Result<_, _>>().ok()?;
    // Revision, then pairs of permitted and inheritable, then in revision 3 the root's uid.
    let (permitted, inheritable, root) = match (words.first()? >> 24, &words[1..]) {
        (1, [p, i]) => (u64::from(*p), u64::from(*i), None),
        (2, [p, i, p_hi, i_hi]) => (join(*p, *p_hi), join(*i, *i_hi), None),
        (3, [p, i, p_hi, i_hi, root]) => (join(*p, *p_hi), join(*i, *i_hi), Some(*root)),
        _ => return None,
    };
    let effective = if words[0] & EFFECTIVE != 0 { "e" } else { "" };
    let mut groups = Vec::new();
    for (mask, flags) in
        [(permitted & !inheritable, "p"), (inheritable & !permitted, "i"), (permitted & inheritable, "ip")]
    {
        let names: Vec<String> = (0..64).filter(|number| mask >> number & 1 == 1).map(name_of).collect();
        if !names.is_empty() {
            groups.push(format!("{}={effective}{flags}", names.join(",")));
        }
    }
    if groups.is_empty() {
        groups.push("=".to_owned());
    }
    groups.extend(root.map(|uid| format!("[rootid={uid}]")));
    Some(groups.join(" "))
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn name_of(number: usize) -> String {
    match NAMES.get(number) {
        Some(name) => format!("cap_{name}"),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_three_revisions() {
        let value = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        for (words, want) in [
            (&[0x0200_0001, 1 << 13, 0, 0, 0][..], Some("cap_net_raw=ep")),
            (&[0x0200_0001, 1 << 10 | 1 << 13, 0, 0, 0], Some("cap_net_bind_service,cap_net_raw=ep")),
            (&[0x0200_0000, 1, 1 | 1 << 21, 1 << 7, 0], Some("cap_bpf=p cap_sys_admin=i cap_chown=ip")),
            (&[0x0100_0001, 1 << 7, 0], Some("cap_setuid=ep")),
            (&[0x0300_0001, 1 << 7, 0, 0, 0, 100_000], Some("cap_setuid=ep [rootid=100000]")),
            (&[0x0200_0000, 0, 0, 1 << 31, 0], Some("63=p")),
            (&[0x0200_0000, 0, 0, 0, 0], Some("=")),
            (&[0x0200_0001, 1 << 13], None),
            (&[0x0400_0001, 0, 0, 0, 0], None),
        ] {
            assert_eq!(text_of(&value(words)).as_deref(), want, "{words:x?}");
        }
        assert_eq!(text_of(b"abc"), None);
        assert_eq!(text_of(b""), None);
    }
}
