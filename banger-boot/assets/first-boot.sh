#!/bin/sh
# Makes a guest reachable by ssh on its first boot: installs an ssh server with the package manager
# of the distribution, makes host keys, and has the guest's init start the server.
#
#   first-boot.sh [install | keys | enable | all | init]
#
# `init` installs an init instead, for a guest that was asked to get one.
#
# Run by banger-first-boot, which keeps the marker and the log. The last line that starts with
# "banger-first-boot: " says what came out. Exit status: 0 done, 10 no package manager, 11 no
# network, 12 a lock was held or time ran out, 13 something else failed.
#
# Environment, all optional:
#   BANGER_OS_ID, BANGER_OS_ID_LIKE  as in os-release, which is read where they are not set
#   BANGER_CONTRACT                  systemd, openrc, runit, s6, busybox or banger
#   BANGER_ATTEMPT                   which attempt at a first boot this is (1)
#   BANGER_TRIES                     attempts to install in it (3)
#   BANGER_RETRY_DELAY               seconds between them, and between looks at a lock (5)
#   BANGER_LOCK_TIMEOUT              seconds to wait for another package manager (300)
#   BANGER_TIMEOUT                   seconds for all of the installation (840)
#   BANGER_ROOT_PREFIX, BANGER_PATH  other places of files and programs, for tests
set -u

PATH=${BANGER_PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
LC_ALL=C
export PATH LC_ALL

root=${BANGER_ROOT_PREFIX:-}
tries=${BANGER_TRIES:-3}
retry_delay=${BANGER_RETRY_DELAY:-5}
lock_timeout=${BANGER_LOCK_TIMEOUT:-300}
total_timeout=${BANGER_TIMEOUT:-840}

NO_PACKAGE_MANAGER=10
NO_NETWORK=11
TIMED_OUT=12
FAILED=13

say() {
    echo "banger-first-boot: $*"
}

die() {
    status=$1
    shift
    say "$*"
    exit "$status"
}

# Where a program is. `command -v` would find applets of busybox, and dpkg is one of them.
path_of() (
    IFS=:
    for dir in $PATH; do
        if [ -x "$dir/$1" ]; then
            echo "$dir/$1"
            return
        fi
    done
)

has() {
    [ -n "$(path_of "$1")" ]
}

# --- Which package manager ------------------------------------------------------------------

# The package managers that a distribution may have, the best first. A new distribution is one
# more branch.
managers_of() {
    case $1 in
        debian | ubuntu | kali | raspbian | linuxmint | pop) echo apt-get ;;
        fedora) echo dnf5 dnf microdnf yum ;;
        rhel | centos | rocky | almalinux | ol | amzn) echo dnf dnf5 microdnf yum ;;
        azurelinux | mariner | photon) echo tdnf dnf ;;
        opensuse* | suse | sles | sled) echo zypper ;;
        alpine) echo apk ;;
        arch | archlinux | manjaro) echo pacman ;;
        void) echo xbps-install ;;
    esac
}

all_managers='apt-get dnf5 dnf microdnf tdnf yum zypper apk pacman xbps-install'

# The value of a name in os-release, without its quotes.
os_release() {
    for file in "$root/etc/os-release" "$root/usr/lib/os-release"; do
        if [ -r "$file" ]; then
            sed -n "s/^$1=//p" "$file" | tail -n 1 | tr -d "\"'"
            return
        fi
    done
}

os_id=${BANGER_OS_ID:-$(os_release ID)}
os_id_like=${BANGER_OS_ID_LIKE:-$(os_release ID_LIKE)}

# By ID, then by each word of ID_LIKE, then by what is there.
find_manager() {
    for id in $os_id $os_id_like; do
        for manager in $(managers_of "$id"); do
            if has "$manager"; then
                echo "$manager"
                return
            fi
        done
    done
    for manager in $all_managers; do
        if has "$manager"; then
            echo "$manager"
            return
        fi
    done
}

# --- Installing -----------------------------------------------------------------------------

# Runs a command of the package manager: its output is shown and kept for diagnosis. Returns its
# status; 124 when it was stopped because time ran out.
run() {
    left=$((deadline - $(date +%s)))
    if [ "$left" -le 0 ]; then
        return 124
    fi
    echo "+ $*"
    program=$(path_of "$1")
    shift
    set -- "${program:-/nonexistent}" "$@"
    {
        if [ -n "$can_limit" ]; then
            timeout "$left" "$@" </dev/null
        else
            "$@" </dev/null
        fi
        echo $? >"$work/status"
    } 2>&1 | tee -a "$work/output"
    read -r run_status <"$work/status"
    # What busybox and coreutils say of a command that they stopped.
    if [ "$run_status" -eq 143 ] && [ "$(date +%s)" -ge "$deadline" ]; then
        run_status=124
    fi
    return "$run_status"
}

# The package of package manager $1 for $2, an ssh server or an init.
package_of() {
    case $2:$1 in
        sshd:zypper | sshd:apk | sshd:pacman | sshd:xbps-install) echo openssh ;;
        sshd:*) echo openssh-server ;;
        init:apt-get) echo systemd-sysv udev dbus ;;
        init:apk) echo openrc ;;
        init:pacman) echo systemd-sysvcompat ;;
        init:xbps-install) echo runit-void ;;
        init:*) echo systemd ;;
    esac
}

apt_get() {
    run apt-get -y -o "DPkg::Lock::Timeout=$lock_timeout" -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Finishes with package manager $1 what a power cut in the middle of an installation left; fails
# where that takes another installation.
finish_with() {
    case $1 in
        apt-get)
            DEBIAN_FRONTEND=noninteractive
            DEBCONF_NONINTERACTIVE_SEEN=true
            export DEBIAN_FRONTEND DEBCONF_NONINTERACTIVE_SEEN
            # dpkg passes over what is half unpacked and calls that well done.
            { run dpkg --force-confdef --force-confold --configure -a || apt_get -f install; } &&
                [ -z "$(half_unpacked)" ]
            ;;
        *) return 1 ;;
    esac
}

# Packages of Debian that a power cut met while they were unpacked. They have to be unpacked again.
half_unpacked() {
    # shellcheck disable=SC2016 # dpkg expands these, not the shell
    dpkg-query -W -f '${db:Status-Eflag} ${binary:Package}\n' 2>/dev/null | sed -n 's/^reinstreq //p'
}

# One attempt with package manager $1 to install the packages that follow. Refreshing its lists may fail where installing works.
install_with() {
    manager=$1
    shift
    packages=$*
    # Package names are words.
    # shellcheck disable=SC2086
    case $manager in
        apt-get)
            finish_with apt-get
            finished=$?
            apt_get update
            broken=$(half_unpacked)
            # By name where they miss nothing, which `-f install` refuses; by that where what they depend
            # on was not unpacked before them, which a name does not bring in.
            if [ -n "$broken" ]; then
                apt_get --reinstall install $broken || apt_get -f install
            elif [ "$finished" -ne 0 ]; then
                apt_get -f install
            fi
            apt_get --no-install-recommends install $packages
            ;;
        dnf5) run dnf5 -y --setopt=install_weak_deps=False install $packages ;;
        dnf) run dnf -y --setopt=install_weak_deps=False install $packages ;;
        microdnf) run microdnf -y --setopt=install_weak_deps=0 install $packages ;;
        tdnf)
            run tdnf -y makecache
            run tdnf -y install $packages
            ;;
        yum) run yum -y install $packages ;;
        zypper)
            ZYPP_LOCK_TIMEOUT=$lock_timeout
            export ZYPP_LOCK_TIMEOUT
            run zypper --non-interactive --gpg-auto-import-keys refresh
            run zypper --non-interactive install --no-recommends $packages
            ;;
        apk)
            run apk --wait "$lock_timeout" fix
            run apk --wait "$lock_timeout" --no-cache add $packages
            ;;
        pacman)
            # A lock that no pacman holds is what a power cut left.
            if [ -e "$root/var/lib/pacman/db.lck" ] && ! is_running pacman; then
                rm -f "$root/var/lib/pacman/db.lck"
            fi
            # Images come without the machine's own key.
            if has pacman-key; then
                run pacman-key --init && run pacman-key --populate
            fi
            # Arch knows no installation without an upgrade.
            run pacman -Syu --noconfirm --needed $packages
            ;;
        xbps-install)
            # It refuses everything else while it is outdated itself.
            run xbps-install -Syu xbps
            run xbps-install -Sy $packages
            ;;
    esac
}

is_running() {
    for comm in "$root"/proc/[0-9]*/comm; do
        if [ -r "$comm" ] && [ "$(cat "$comm" 2>/dev/null)" = "$1" ]; then
            return 0
        fi
    done
    return 1
}

# Why an attempt that ended with status $1 failed, out of what its commands said.
diagnose() {
    if [ "$1" -eq 124 ]; then
        echo timeout
    elif grep -Eqi 'could not get lock|unable to (acquire|lock)|unable to obtain|is locked by|failed to (acquire|obtain) .*lock|failed to lock|lock is held|another (app|copy|instance|process)|resource temporarily unavailable' "$work/output"; then
        echo lock
    elif grep -Eqi "temporary failure|(could not|couldn't|cannot|can't|unable to|failed to) (be )?(resolve (host|address|name|')|connect|reach)|not be resolved|name or service not known|name resolution|network (is )?(unreachable|error)|no route to host|connection (timed out|refused|reset|failed)|timed out|timeout was reached|curl error|download \(curl\)|temporary error|failed retrieving file|network is down|transient resolver|host unreachable" "$work/output"; then
        echo network
    elif ! has_route; then
        echo network
    else
        echo failure
    fi
}

# Whether the kernel knows a way to anywhere but itself. Where it does not say, there may be one.
has_route() {
    [ -r "$root/proc/net/route" ] || return 0
    if sed 1d "$root/proc/net/route" | grep -Eqv '^lo[[:space:]]'; then
        return 0
    fi
    # Link-local and multicast routes (fe80, ff00) are on every interface.
    [ -r "$root/proc/net/ipv6_route" ] &&
        grep -Ev '[[:space:]]lo$' "$root/proc/net/ipv6_route" | grep -Eqv '^(fe80|ff00)'
}

# The last thing that looks like a reason.
reason() {
    grep -Ei 'error|fail|unable|cannot|could not|not found|no match|E: ' "$work/output" | tail -n 1
}

has_sshd() {
    for dir in /usr/sbin /usr/bin /sbin /usr/local/sbin; do
        if [ -x "$root$dir/sshd" ]; then
            return 0
        fi
    done
    return 1
}

has_init() {
    for file in usr/lib/systemd/systemd lib/systemd/systemd sbin/openrc usr/bin/runit-init; do
        if [ -x "$root/$file" ]; then
            return 0
        fi
    done
    return 1
}

# Installs what is called $1 here, an $2, unless it is there.
install_package() {
    manager=$(find_manager)
    # After an attempt that was cut off its files may be there, and nothing be set up.
    if "has_$1" && { [ "${BANGER_ATTEMPT:-1}" -le 1 ] || [ -z "$manager" ]; }; then
        say "an $2 is installed already"
        return
    fi
    if [ -z "$manager" ]; then
        die "$NO_PACKAGE_MANAGER" "no package manager: none is known for ID=${os_id:-?} ID_LIKE=${os_id_like:-}, and none of $all_managers is there"
    fi
    work=$(mktemp -d "${TMPDIR:-/tmp}/banger-first-boot.XXXXXX") ||
        die "$FAILED" 'cannot make a temporary directory'
    trap 'rm -rf "$work"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    can_limit=
    if timeout 5 true >/dev/null 2>&1; then
        can_limit=yes
    fi
    started=$(date +%s)
    deadline=$((started + total_timeout))
    # An init is there before all that was to come with it.
    if [ "$1" != init ] && "has_$1" && finish_with "$manager"; then
        say "an $2 is installed already"
        return
    fi
    attempt=1
    while :; do
        say "installing an $2 with $manager (attempt $attempt of $tries)"
        : >"$work/output"
        # shellcheck disable=SC2046
        install_with "$manager" $(package_of "$manager" "$1")
        status=$?
        if [ "$status" -eq 0 ] && "has_$1"; then
            say "installed with $manager"
            return
        fi
        cause=$(diagnose "$status")
        now=$(date +%s)
        case $cause in
            timeout) die "$TIMED_OUT" "$manager did not finish within $total_timeout s" ;;
            lock)
                # Somebody else is at work: no attempt is used up by that.
                if [ $((now - started)) -ge "$lock_timeout" ]; then
                    die "$TIMED_OUT" "the lock of $manager was held for $lock_timeout s: $(reason)"
                fi
                ;;
            *)
                if [ "$attempt" -ge "$tries" ]; then
                    break
                fi
                attempt=$((attempt + 1))
                ;;
        esac
        if [ "$now" -ge "$deadline" ]; then
            die "$TIMED_OUT" "$manager did not finish within $total_timeout s: $(reason)"
        fi
        sleep "$retry_delay"
    done
    if [ "$cause" = network ]; then
        die "$NO_NETWORK" "no network: $manager could not reach its repositories: $(reason)"
    fi
    if [ "$status" -eq 0 ]; then
        die "$FAILED" "$manager ended well, but there is no $1"
    fi
    die "$FAILED" "$manager failed with status $status: $(reason)"
}

# --- Host keys ------------------------------------------------------------------------------

make_keys() {
    if ! has ssh-keygen; then
        die "$FAILED" 'no ssh-keygen to make host keys with'
    fi
    # Where sshd leaves its privileges; systemd makes it for its own units only.
    mkdir -p "$root/run/sshd" "$root/etc/ssh"
    ssh-keygen -A || die "$FAILED" 'ssh-keygen -A failed'
    say 'host keys are there'
}

# --- Starting it, now and at every boot -------------------------------------------------------

# The first of the names given that is there in directory $1.
first_in() {
    dir=$1
    shift
    for name in "$@"; do
        if [ -e "$root$dir/$name" ]; then
            echo "$name"
            return
        fi
    done
}

enable_sshd() {
    case ${BANGER_CONTRACT:-banger} in
        systemd)
            # Not first in /etc: what is there may be an alias, which cannot be enabled.
            unit=
            for dir in /usr/lib/systemd/system /lib/systemd/system /etc/systemd/system; do
                unit=${unit:-$(first_in "$dir" sshd.service ssh.service)}
            done
            [ -n "$unit" ] || die "$FAILED" 'there is no ssh.service or sshd.service'
            systemctl enable "$unit" || die "$FAILED" "systemctl cannot enable $unit"
            # Waiting here would be for jobs that wait for this one.
            systemctl --no-block start "$unit" || die "$FAILED" "systemctl cannot start $unit"
            ;;
        openrc)
            service=$(first_in /etc/init.d sshd ssh)
            [ -n "$service" ] || die "$FAILED" 'there is no /etc/init.d/sshd'
            rc-update add "$service" default || die "$FAILED" "rc-update cannot add $service"
            rc-service "$service" start || die "$FAILED" "rc-service cannot start $service"
            ;;
        runit)
            service=$(first_in /etc/sv sshd ssh)
            services=$(first_in / etc/runit/runsvdir/default etc/service var/service service)
            if [ -z "$service" ]; then
                service=sshd
                write_run_script "$root/etc/sv/sshd/run"
            fi
            [ -n "$services" ] || die "$FAILED" 'there is no directory of runit services'
            if [ ! -L "$root/$services/$service" ] && [ ! -e "$root/$services/$service" ]; then
                ln -s "/etc/sv/$service" "$root/$services/$service" ||
                    die "$FAILED" "cannot link $service into /$services"
            fi
            ;;
        s6)
            # Read when the next boot compiles the services; until then by hand.
            dir=$root/etc/s6-overlay/s6-rc.d
            mkdir -p "$dir/user/contents.d"
            if [ ! -e "$dir/sshd" ]; then
                write_run_script "$dir/sshd/run"
                echo longrun >"$dir/sshd/type"
            fi
            : >"$dir/user/contents.d/sshd"
            start_by_hand
            ;;
        busybox)
            if ! grep -Eqs 'sshd|first-boot.sh serve' "$root/etc/inittab"; then
                echo '::respawn:/usr/local/libexec/banger-first-boot.sh serve' >>"$root/etc/inittab" ||
                    die "$FAILED" 'cannot write /etc/inittab'
                kill -HUP "${BANGER_INIT_PID:-1}"
            fi
            ;;
        *) start_by_hand ;;
    esac
    say 'the ssh server is enabled'
}

sshd_path() {
    for dir in /usr/sbin /usr/bin /sbin /usr/local/sbin; do
        if [ -x "$root$dir/sshd" ]; then
            echo "$root$dir/sshd"
            return
        fi
    done
}

# A run script for supervisors: sshd in the foreground.
write_run_script() {
    mkdir -p "${1%/*}" || die "$FAILED" "cannot make ${1%/*}"
    printf '%s\n' '#!/bin/sh' 'exec /usr/local/libexec/banger-first-boot.sh serve' >"$1" ||
        die "$FAILED" "cannot write $1"
    chmod 755 "$1"
}

# sshd refuses to start by a relative path, and without the directory it leaves its privileges in.
serve() {
    sshd=$(sshd_path)
    [ -n "$sshd" ] || die "$FAILED" 'there is no sshd'
    mkdir -p "$root/run/sshd"
    exec "$sshd" "$@"
}

start_by_hand() {
    if ! is_running sshd; then
        (serve) || die "$FAILED" 'sshd does not start'
    fi
}

case ${1:-all} in
    install) install_package sshd 'ssh server' ;;
    init) install_package init init ;;
    keys) make_keys ;;
    enable) enable_sshd ;;
    all)
        install_package sshd 'ssh server'
        make_keys
        enable_sshd
        ;;
    # For the services that `enable` writes, and for banger-init.
    serve) serve -D ;;
    start) start_by_hand ;;
    *)
        echo "usage: $0 [install | keys | enable | all | init]" >&2
        exit 2
        ;;
esac
