//! What stands below the options in help and manual pages.

pub(super) const BANGER: &str = "\
Examples:
  Pull an image; its name is debian-bookworm:
    banger image pull debian:bookworm
  Pull an image into a file of your own:
    banger image pull debian:bookworm --output debian.ext4
  Copy an image, as the disk of one machine:
    banger image clone debian-bookworm vm1
  Add an SSH key:
    banger rootfs put debian.ext4 ./key.pub /root/.ssh/authorized_keys --parents --mode 600
  Run a program in a running guest:
    banger guest exec --socket vsock.sock:5000 -- uname -r

`banger help COMMAND` shows the help of a command; `banger man DIR` writes manual pages.";

pub(super) const PULL: &str = "\
Examples:
  banger image pull debian:bookworm
  banger image pull debian:bookworm --name vm1 --size 4G
  banger image pull debian:bookworm --kernel-ref debian
  banger image pull localhost:5000/app:1 --platform linux/amd64 --output app.ext4
  banger image pull oci:./layout:latest
  banger image pull docker-archive:app.tar.gz --no-inject
  docker save app | banger image pull docker-archive:- --name app
  banger image pull registry.example/team/app:1 --verify-key cosign.pub

If an image with the same name, digest and options exists, banger keeps it.
banger uses the logins of `banger login`, `docker login` and `podman login`.";

pub(super) const INSPECT: &str = "\
Examples:
  banger image inspect debian:bookworm
  banger image inspect debian:bookworm --platform linux/arm64 --json
  banger image inspect oci:./layout:latest";

pub(super) const LOGIN: &str = "\
Examples:
  banger login registry.example
  banger login localhost:5000 --username me --password-stdin < password
  banger login docker.io --username me --authfile ./auth.json

banger checks the password at the registry before it keeps it. The login goes to the file that has
one for this registry, else to that of $REGISTRY_AUTH_FILE, else to docker's config.json, which
podman reads, too; or to the credential helper that this file names.";

pub(super) const LOGOUT: &str = "\
Examples:
  banger logout registry.example
  banger logout --all --authfile ./auth.json

banger removes the login from the files of podman and docker, and from the credential helpers that
they name.";

pub(super) const REGISTER: &str = "\
Examples:
  banger image register --rootfs debian.ext4
  banger image register --rootfs build/rootfs.img --name app --kernel-ref debian

If the file has no room for the modules of the kernel, grow it with `banger rootfs resize`.
If an image with the same name, content and kernel exists, banger keeps it.";

pub(super) const IMAGE_PUSH: &str = "\
Examples:
  banger image push debian registry.example/machines/debian:12
  banger image pull registry.example/machines/debian:12
  banger image push app oci:./artifact:app

The artifact names the kernel of the image, but does not have it. `banger kernel pack` writes
kernels as a bundle, which skopeo can push.";

pub(super) const IMAGE_CLONE: &str = "\
Examples:
  banger image clone debian web1 --hostname web1 --ssh-key ~/.ssh/id_ed25519.pub
  banger image clone debian ./vm7.ext4 --size 8G --hostname vm7 --network address=10.0.0.7/24 --network gateway=10.0.0.1
  banger image clone debian ./vm8.ext4 --put ./app:/srv/app --env APP_PORT=80
  banger image clone debian copy --identity keep

The clone is complete, or absent.";

pub(super) const IMAGE_COMMIT: &str = "\
Examples:
  banger vm run debian --name web --keep -- apt-get install -y nginx
  banger image commit web --base debian registry.example/apps/web:1 --message 'nginx'
  banger image commit ./disk.ext4 --base debian oci:./layout:web
  banger image commit web --base debian oci-archive:web.tar --squash

Layers of the base that the target does not have come from the cache, or from where the base was pulled.";

pub(super) const KERNEL_PULL: &str = "\
Examples:
  banger kernel pull registry.example/kernels/debian-cloud:6.1 --name debian
  banger kernel pull oci:bundle --platform linux/arm64
  banger kernel pull debian-cloud

Without a catalog there are no names; docs/kernels.md shows how to write one.";

pub(super) const KERNEL_PACK: &str = "\
Examples:
  banger kernel pack debian bundle --source-url https://snapshot.debian.org/package/linux/6.1.170-1/
  banger kernel pack debian-amd64 debian-arm64 bundle --tag 6.1
  skopeo copy --all oci:bundle:6.1 docker://registry.example/kernels/debian:6.1

Whoever publishes a kernel must offer its source: see the GPL, version 2, section 3.";

pub(super) const KERNEL_CHECK: &str = "\
Examples:
  banger kernel check debian-bookworm debian
  banger kernel check ./disk.ext4 --vmm firecracker --for docker --for k3s

Outcomes:
  error    the guest does not boot, or a use of --for does not work
  warning  something is missing in the guest
  unknown  neither a configuration nor a list of modules says it
  ok       it is there";

pub(super) const BOOT_PLAN: &str = "\
Examples:
  banger image boot-plan debian-bookworm --accel tcg | sh
  banger image boot-plan debian-bookworm --vmm firecracker --vsock vsock.sock --output vm.json
  banger image boot-plan ./disk.ext4 --vmm cloud-hypervisor --cpus 2 --memory 1G --tap tap0

`banger kernel check` says whether the kernel fits the image.";

pub(super) const DOCTOR: &str = "\
Each line says what was found. Below what is missing or unusable there is what it is needed for, and
the command that installs or repairs it. Everything but the directories is optional.";

pub(super) const KERNEL_IMPORT: &str = "\
Examples:
  banger kernel import linux-image-6.1.0-50-cloud-amd64_6.1.170-1_amd64.deb --name debian
  banger kernel import linux-image-6.8.0-31-generic.deb linux-modules-6.8.0-31-generic.deb
  banger kernel import image:fedora
  banger kernel import docker://registry.example/linuxkit/kernel:6.6
  banger kernel import --kernel arch/x86/boot/bzImage --config .config --modules build/lib/modules

If a kernel with the same name and files exists, banger keeps it.";

pub(super) const IMAGE_BUILD: &str = "\
Examples:
  banger image build --from-image debian-bookworm --name web --run 'apt-get update && apt-get install -y nginx'
  banger image build --from-image debian-bookworm --name app --copy ./app:/srv --env APP_PORT=80 --script setup.sh
  banger image build --from-image debian-bookworm --name docker --size 4G --docker

Steps run in the order of the command line. banger does not repeat steps that were done before on the same image.
The new image has no machine-id, host keys, package caches, logs or histories of the build.";

pub(super) const VM_RUN: &str = "\
Examples:
  banger vm run debian:bookworm -- cat /etc/os-release
  banger vm run debian-bookworm -it
  banger vm run web --publish 8080:80 --copy ./site:/srv
  banger vm run debian-bookworm --ssh

banger needs QEMU and a kernel: `banger kernel import` gets one.
Without a program, the console is that of the machine; press Ctrl-] three times within a second to end it.";

pub(super) const PRUNE: &str = "\
Examples:
  banger image cache prune --older-than 30d --dry-run
  banger image cache prune --max-size 5G
  banger image cache prune --all";

pub(super) const IMAGE_PRUNE: &str = "\
Examples:
  banger image prune --keep debian-bookworm --keep web --dry-run
  banger image prune --older-than 30d
  banger image prune --all";

pub(super) const COMPLETIONS: &str = "\
Examples:
  banger completions bash > ~/.local/share/bash-completion/completions/banger
  banger completions zsh > \"${fpath[1]}/_banger\"
  banger completions fish > ~/.config/fish/completions/banger.fish";

pub(super) const MAN: &str = "\
Example:
  banger man ~/.local/share/man/man1 && man banger-image-pull";

pub(super) const BUILD: &str = "\
Examples:
  banger rootfs build ./tree tree.ext4 --size 4G --label rootfs
  docker export CONTAINER | banger rootfs build - container.ext4
  banger rootfs build --empty data.ext4 --size 20G --label data
  banger rootfs build --empty config.ext4 --seed ./config --size min --journal none";

pub(super) const RESIZE: &str = "\
Examples:
  banger rootfs resize disk.ext4 +2G
  banger rootfs resize disk.ext4 min

All or nothing: after a crash the content is the same, and the size is the old one or the new one.";

pub(super) const PUT: &str = "\
Examples:
  banger rootfs put disk.ext4 ./key.pub /root/.ssh/authorized_keys --parents --mode 600
  echo guest-7 | banger rootfs put disk.ext4 - /etc/hostname
  banger rootfs put disk.ext4 ./site/. /srv/www --owner www-data:www-data

New files inherit the group of a setgid directory and its default ACL, as in a running system.
The command is atomic, unless the changes do not fit in the journal of the file system.
Then banger commits them in several steps; each step leaves a sound file system.";

pub(super) const LS: &str = "\
Examples:
  banger rootfs ls disk.ext4 -la /etc
  banger rootfs ls disk.ext4 -lhS /usr/bin
  banger rootfs ls disk.ext4 -R /home";

pub(super) const TAR: &str = "\
Examples:
  banger rootfs tar disk.ext4 | tar -tv
  banger rootfs tar disk.ext4 /etc --output etc.tar
  banger rootfs tar disk.ext4 | docker import - app

Sockets are left out, with a warning.";

pub(super) const STAT: &str = "\
Examples:
  banger rootfs stat disk.ext4 /etc/shadow
  banger rootfs stat disk.ext4 -c '%a %U:%G %s %n' /etc/passwd /etc/shadow

FORMAT is text with these sequences of stat(1); a width can precede the letter (%10s):
  %a %A mode, octal and as in ls -l     %n %N name; quoted, with its target
  %f    mode with the type, hexadecimal %s    size in bytes
  %u %U owner, number and name          %g %G group, number and name
  %i    inode                           %h    hard links
  %F    type                            %t %T major and minor number, hexadecimal
  %y %Y time, as text and in seconds    %%    a percent sign";

pub(super) const RM: &str = "\
Examples:
  banger rootfs rm disk.ext4 /etc/machine-id
  banger rootfs rm disk.ext4 -rf /var/cache/apt /var/lib/apt/lists

The command is atomic, unless the changes do not fit in the journal of the file system.
Then banger removes a tree from the bottom up in several commits; each leaves a sound file system.
After an interruption, run the same command again.";

pub(super) const LN: &str = "\
Examples:
  banger rootfs ln disk.ext4 -s /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf -f
  banger rootfs ln disk.ext4 -sfn releases/2 /srv/current
  banger rootfs ln disk.ext4 /bin/busybox /bin/sh";

pub(super) const CHMOD: &str = "\
Examples:
  banger rootfs chmod disk.ext4 600 /etc/shadow
  banger rootfs chmod disk.ext4 -R u=rwX,go= /root
  banger rootfs chmod disk.ext4 +x /usr/local/bin/start

The command is atomic, unless the changes do not fit in the journal of the file system.
Then banger commits them in several steps; each step leaves a sound file system.";

pub(super) const CHOWN: &str = "\
Examples:
  banger rootfs chown disk.ext4 1000:1000 /srv/data
  banger rootfs chown disk.ext4 -R app: /home/app
  banger rootfs chown disk.ext4 -h root /srv/link

The command is atomic, unless the changes do not fit in the journal of the file system.
Then banger commits them in several steps; each step leaves a sound file system.";

pub(super) const EXEC: &str = "\
Examples:
  banger guest exec --socket vsock.sock:5000 -- uname -r
  banger guest exec --socket vsock.sock:5000 --tty -- /bin/sh -l
  tar c site | banger guest exec --socket vsock.sock:5000 --stdin -- tar x -C /srv";

pub(super) const CP: &str = "\
Examples:
  banger guest cp --socket vsock.sock:5000 ./site.tar :/srv/site.tar
  banger guest cp --socket vsock.sock:5000 :/var/log/messages .";

pub(super) const EDIT: &str = r#"Examples:
  banger rootfs edit disk.ext4 --script edits.json
  banger rootfs edit disk.ext4 --script - --dry-run < edits.json

A script:
  {"schemaVersion": 1, "operations": [
    {"op": "mkdir", "path": "/etc/app", "parents": true},
    {"op": "write", "path": "/etc/app/name", "content": "vm1\n", "mode": "600"},
    {"op": "copy-in", "path": "/opt/app", "source": "./app", "owner": "app:"},
    {"op": "remove", "path": "/tmp/old", "recursive": true, "force": true}]}

Other operations are symlink, link, rename, chmod, chown, setxattr, removexattr and mknod.
If an operation fails, the file is as it was."#;

pub(super) const GET: &str = "\
Examples:
  banger rootfs get disk.ext4 /etc/ssl ./ssl
  banger rootfs get disk.ext4 /var/log/syslog /root/.bash_history ./logs/
  banger rootfs get disk.ext4 / - | tar -x --xattrs -p -C tree

Without root, the copies belong to you and have no setuid bit, and devices are left out with a
warning. A tar keeps all of that: `banger rootfs build` makes an equal file system of it.";

pub(super) const FIND: &str = "\
Examples:
  banger rootfs find disk.ext4 /etc --name '*.conf' --type f
  banger rootfs find disk.ext4 --perm /6000 --type f
  banger rootfs find disk.ext4 /var/log --size +10M --newer 2026-01-31
  banger rootfs find disk.ext4 /tmp --max-depth 1 -0 | xargs -0 banger rootfs rm -r disk.ext4";

pub(super) const DIFF: &str = "\
Examples:
  banger rootfs diff before.ext4 after.ext4
  banger rootfs diff before.ext4 after.ext4 --exit-code --json

+ is a path that only the second file has, - one that only the first has, ~ one that changed.";
