#!/bin/sh
# Installs Docker with the package manager of the distribution, and starts it at boot.
#
# Run as root while an image is built: `banger image build --docker`.
set -eu

say() {
    echo "docker: $*" >&2
}

has() {
    command -v "$1" >/dev/null 2>&1
}

if has apt-get; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install -y --no-install-recommends docker.io iptables ca-certificates
elif has dnf; then
    dnf install -y moby-engine || dnf install -y docker
elif has apk; then
    apk add docker iptables
elif has zypper; then
    zypper --non-interactive install docker
elif has pacman; then
    pacman -Sy --noconfirm docker
elif has xbps-install; then
    xbps-install -Sy docker
else
    say "the image has no package manager that this script knows"
    exit 1
fi

if has systemctl && [ -d /etc/systemd/system ]; then
    systemctl enable docker.service
elif has rc-update; then
    rc-update add docker default
elif [ -d /etc/sv/docker ] && [ -d /etc/runit/runsvdir/default ]; then
    ln -sf /etc/sv/docker /etc/runit/runsvdir/default/
else
    say "the image has no service manager that this script knows; start dockerd yourself"
fi
