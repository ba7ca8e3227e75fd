# shellcheck shell=bash
# Packages of Debian's suites, whatever the suite of this machine, for scripts that source this file. They set work, a
# directory of their own.

# The archive this machine's apt is set up with; Debian's own otherwise.
debian_uri() {
    local uri
    # shellcheck disable=SC2016 # apt expands these, not the shell
    uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n 's/^Debian|Debian|//p' | sort -u | head -n 1)
    printf '%s\n' "${uri:-http://deb.debian.org/debian}"
}

# with_lists SUITE COMMAND...: runs apt-get or apt-cache with lists of SUITE alone, beside the
# machine's own, and with the status file of a machine where nothing is installed.
with_lists() {
    # shellcheck disable=SC2154 # work is set by those who source this
    local suite=$1 program=$2 apt=$work/apt-$1
    shift 2
    if [[ ! -e $apt/ready ]]; then
        mkdir -p "$apt"/{lists/partial,cache/archives/partial}
        printf 'deb [signed-by=%s] %s %s main\n' /usr/share/keyrings/debian-archive-keyring.gpg \
            "$(debian_uri)" "$suite" >"$apt/sources.list"
        # The machine's hooks tend its own lists and cache.
        printf '#clear %s;\n' APT::Update::Post-Invoke APT::Update::Post-Invoke-Success \
            DPkg::Post-Invoke >"$apt/apt.conf"
        : >"$apt/status"
        : >"$apt/ready"
        with_lists "$suite" apt-get update >&2 || return 1
    fi
    "$program" -qq -c "$apt/apt.conf" \
        -o "Dir::State=$apt" \
        -o "Dir::State::lists=$apt/lists" \
        -o "Dir::State::status=$apt/status" \
        -o "Dir::Cache=$apt/cache" \
        -o "Dir::Etc::sourcelist=$apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User=root \
        -o Acquire::Check-Valid-Until=false \
        "$@"
}

# unpack_kernel SUITE DIR: unpacks the cloud kernel of SUITE into DIR: vmlinuz, boot/config-* and lib/modules.
unpack_kernel() {
    local suite=$1 directory=$2 package debs=$work/kernel-debs-$1
    package=$(with_lists "$suite" apt-cache depends linux-image-cloud-amd64 |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    [[ -n $package ]] || return 1
    mkdir "$debs" "$directory"
    (cd "$debs" && with_lists "$suite" apt-get download "$package" >&2)
    dpkg -x "$debs"/*.deb "$directory"
    rm -r "$debs"
    mv "$directory"/boot/vmlinuz-* "$directory/vmlinuz"
}
