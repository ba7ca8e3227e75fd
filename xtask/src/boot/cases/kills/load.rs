//! What the machines do: an init that mounts every disk and writes to each until the end.

use std::path::PathBuf;

use banger_testkit::tools;

use crate::boot::bench::Bench;
use crate::boot::initramfs;

/// What the machine says when all disks are mounted.
pub(super) const AT_WORK: &str = "kills: disks are written to: ";

const MODULES: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_rng"];

/// A load for each disk, with a sequence of numbers that begins at `kills.seed`: files come, grow, shrink, get other
/// names, attributes and content, and go, some while a process has them open. Now and then something is flushed.
const INIT: &str = r#"#!/bin/busybox sh
bb=/bin/busybox
$bb --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mkdir /sys
mount -t sysfs sys /sys
for module in /modules/*.ko; do insmod "$module" || echo "kills: cannot load $module"; done
disks=0
seed=1
for word in $(cat /proc/cmdline); do
    case $word in
        kills.disk=*) disks=$((disks + 1)) ;;
        kills.seed=*) seed=${word#*=} ;;
    esac
done
until [ "$(ls -d /sys/block/vd* 2>/dev/null | wc -l)" -eq "$disks" ]; do usleep 50000; done

# One program that copies or removes many files does more than a loop of the shell.
mkdir -p /seed/sub
for at in $(seq 30); do seq $((at * at * 7)) > /seed/f$at; ln -s ../target/$at /seed/sub/s$at; done
ln /seed/f1 /seed/sub/linked

load() {
    at=$1
    while :; do
        at=$(((at * 1103515245 + 12345) & 0x7fffffff))
        r=$((at >> 8))
        dir=d$((r % 5)) name=d$((r % 5))/f$((r / 5 % 29))
        case $((r / 145 % 24)) in
            0 | 1 | 2) mkdir -p $dir; seq $((r % 3000)) > $name ;;
            3) echo $r >> $name ;;
            20 | 21) rm -rf $dir/copy; cp -a /seed $dir/copy ;;
            22) chown -R $((r % 70000)):$((r % 300)) $dir/copy; chmod -R u=$((r % 8)) $dir/copy ;;
            23) mv $dir/copy acl/copy$((r % 3)); cp -r /seed acl/$dir ;;
            4) seq 4000 > $dir/large; seq $r $((r + 9000)) >> $dir/large ;;
            5) printf $r | dd of=$name bs=1 seek=$((r % 9000)) conv=notrunc ;;
            6) mv -f $name d$((r % 3))/moved$((r % 4)) ;;
            7) ln -f $name $dir/link$((r % 6)) ;;
            8) ln -sfn $(printf '%0*d' $((r % 90 + 1)) 7) $dir/symlink$((r % 6)) ;;
            9) truncate -s $((r % 20000)) $name ;;
            10 | 11) { rm -f $dir/held; seq 900; sleep 2; seq $((r % 3000)); } > $dir/held & ;;
            12) chmod $((r % 8))$((r % 7))0 $name; chown $((r % 70000)):$((r % 300)) $name ;;
            13) mkdir -p acl/$dir; echo $r > acl/$name; chmod g=$((r % 8)) acl/$name ;;
            14) rm -rf acl/$dir/f1* d$((r % 7)) ;;
            15) mkdir -p $dir/sub; mv -f $dir/sub d$((r % 4))/sub$((r % 3)) ;;
            16) mkfifo $dir/fifo$((r % 9)); mknod $dir/device$((r % 9)) c $((r % 200)) $((r % 300)) ;;
            17) printf '\300\073\071\230%04090d' $r > $dir/magic ;;
            18) seq 300 | dd of=$name conv=fsync ;;
            19) [ $((r % 3)) -ne 0 ] || sync -f . ;;
        esac
    done
}

mounted=0
for device in /sys/block/vd*; do
    serial=$(cat $device/serial)
    options=
    for word in $(cat /proc/cmdline); do
        case $word in kills.disk=$serial:*) options=${word#*:} ;; esac
    done
    mkdir -p /mnt/$serial
    mount -t ext4 -o "rw${options:+,}$options" /dev/${device##*/} /mnt/$serial || continue
    mounted=$((mounted + 1))
    cd /mnt/$serial
    load $((seed + mounted)) 2>/dev/null &
    cd /
done
echo "kills: disks are written to: $mounted"
wait
"#;

/// Writes the initramfs.
pub(super) fn write_initramfs(bench: &Bench) -> anyhow::Result<PathBuf> {
    let busybox = tools::tool("busybox").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    let path = bench.directory().join("kills.cpio");
    initramfs::write(&path, &busybox, &bench.kernel().load_order(&MODULES)?, INIT)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::{AT_WORK, INIT};

    #[test]
    fn the_script_says_what_is_waited_for() {
        assert!(INIT.lines().any(|line| line == format!("echo \"{AT_WORK}$mounted\"")));
    }
}
