"""Options of calls: keyword arguments that become numbered keys of the library."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from . import _abi
from ._files import readable_fd
from ._native import call, library, text

if TYPE_CHECKING:
    from ._files import OpenFile
    from ._native import HostPath

_NUMBERS = {
    name[len("BANGER_OPT_") :].lower(): value
    for name, value in vars(_abi).items()
    if name.startswith("BANGER_OPT_")
}


class LimitOptions(TypedDict, total=False):
    """How much an image, a directory or a tar may cost; docs/ffi.md has the defaults."""

    max_content_bytes: int
    max_tar_bytes: int
    max_entries: int
    max_depth: int
    max_file_bytes: int
    max_xattr_bytes: int
    max_metadata_bytes: int
    max_path_components: int
    max_layers: int
    max_warnings: int
    max_extended_bytes: int
    max_sparse_extents: int


class FileSystemOptions(LimitOptions, total=False):
    """How a file system is made."""

    size_bytes: int
    """Size of the file system. Default: content x 1.25, at least 1 GiB."""
    size_at_least_bytes: int
    """Least size, where `size_bytes` is missing. Default: 1 GiB."""
    headroom_bytes: int
    """Bytes that stay free in a file system that is otherwise as small as its content. It excludes
    the sizes."""
    inodes: int
    """Least number of inodes. Default: one for every 16 KiB."""
    label: str
    """Label of the file system, at most 16 bytes."""
    uuid: str
    """UUID of the file system. Default: made from the files."""
    journal_bytes: int
    """Size of the journal, at least 4 MiB; 0 for no journal. Default: the usual one for the size."""
    reserved_blocks: int
    """Blocks of 4 KiB that only root can fill. Default: 0."""
    backend: str
    """What writes the file system: "native" or "e2fsprogs"."""
    force: bool
    """Build again what is up to date, and replace an output file."""
    source_date_epoch: int
    """Seconds since 1970 for what the input gives no time to. The environment is not read."""
    scratch_dir: HostPath
    """Directory for scratch files of the e2fsprogs backend. Default: `$TMPDIR`."""


class BuildOptions(FileSystemOptions, total=False):
    """Options of `build`."""

    own_identity: bool
    """Give the file system a UUID that no other has, and the current time, unless they are given."""


class ConnectionOptions(TypedDict, total=False):
    """How a registry is reached."""

    plain_http: bool
    """Use http for any registry."""
    ca_cert: HostPath
    """PEM file with certificates to trust besides those of the system."""
    registries: str
    """Whether the registries.conf and certs.d of podman and docker on this machine are read: "none" or
    "user". Default: "none"."""
    registries_conf: Sequence[HostPath]
    """Files in the format of registries.conf, version 2, in their order; they exclude `registries`."""
    certs_dir: Sequence[HostPath]
    """Directories with a subdirectory of certificates for each registry, HOST:PORT."""
    cert_dir: HostPath
    """Directory of certificates for all registries: *.crt are trusted, NAME.cert and NAME.key are the
    client's."""
    client_cert: HostPath
    """PEM file with a certificate for registries that ask for one; `client_key` goes with it."""
    client_key: HostPath
    """PEM file with the private key; `client_cert` goes with it."""
    proxy: str
    """Address of a proxy, "http://", "https://", "socks5://" or "socks5h://", or "environment" for the
    proxies that the environment names. Default: no proxy."""
    no_proxy: str
    """Hosts without a proxy, with commas between them; `proxy` goes with it."""
    auth: str
    """Where credentials come from: "anonymous", or "user", which reads the files of docker and podman and
    runs the programs they name. Default: "anonymous", for a login "user"."""
    user: str
    """User name for the registry; `password` goes with it."""
    password: str
    """Password or access token for the registry; `user` goes with it."""
    identity_token: str
    """Refresh token for the registry, in the place of user name and password."""
    auth_file: Sequence[HostPath]
    """Credential files in the format of docker, in the place of the user's own."""
    helper_dir: HostPath
    """Directory of the credential helpers that files of `auth_file` name. Default: `$PATH`."""
    helper_timeout_ms: int
    """How long such a helper may take."""
    attempts: int
    """How often a request is tried before the call fails. Default: 5."""
    backoff_ms: int
    """Pause after the first failed attempt; it doubles with each further one."""
    max_backoff_ms: int
    """Longest pause between two attempts."""
    connect_timeout_ms: int
    """How long to wait for a connection."""
    stall_timeout_ms: int
    """How long a transfer may stand still."""
    max_wait_ms: int
    """Longest time of all pauses between attempts together."""
    max_time_ms: int
    """Longest time of all requests and downloads together."""


class TrustOptions(TypedDict, total=False):
    """Which images and kernels are pulled, by their signatures."""

    verify_key: Sequence[HostPath]
    """PEM files with public keys; an image is pulled only if one of them signed it. It excludes `policy`."""
    policy: HostPath
    """policy.json that decides which images are pulled. Default: no policy."""


class DownloadOptions(ConnectionOptions, TrustOptions, total=False):
    """How an image or a kernel is downloaded."""

    platform: str
    """Platform of the image or kernel, "linux/arm64". Default: Linux on the host's processor."""
    jobs: int
    """How many layers are downloaded at a time, 1 to 64. Default: 4."""
    pull_policy: str
    """When a registry is asked: "always", "missing" or "never". Default: "always"."""
    min_rate_bytes: int
    """Least bytes a second of a transfer; 0 allows any rate."""
    limit_rate_bytes: int
    """Most bytes a second of all downloads of a call together; 0 allows any rate."""
    split_after_ms: int
    """How long a server may hold up the download of a large layer before free `jobs` help with it."""
    min_piece_bytes: int
    """Smallest piece of a layer for such help; 2**64 - 1 leaves all layers whole."""
    rate_window_ms: int
    """How long a transfer may be slower than `min_rate_bytes`."""
    max_manifest_bytes: int
    """Largest manifest or index."""
    max_config_bytes: int
    """Largest image configuration."""
    max_download_bytes: int
    """Largest total of compressed layers."""
    max_urls: int
    """Most addresses of foreign layers that are tried."""
    docker_host: str
    """Socket of docker for "docker-daemon:NAME": a path, or "unix://" and a path."""
    podman_host: str
    """Socket of podman for "podman:NAME", in the same form."""
    storage_root: HostPath
    """Directory of the storage for "containers-storage:NAME"."""
    user_sources: bool
    """Whether sockets and storage are looked for where docker and podman have them. Default: false."""
    input_fd: OpenFile
    """File with the archive for "docker-archive:-" and "oci-archive:-". A file object without a descriptor
    is copied to a temporary file."""
    blob_fd: Mapping[str, OpenFile]
    """Blobs by their digests, "sha256:HEX", in regular files. With blobs no registry is asked: the reference
    has the digest of the manifest, and every byte is checked."""


class InspectOptions(LimitOptions, DownloadOptions, total=False):
    """Options of `Store.inspect`."""


class LogoutOptions(TypedDict, total=False):
    """Options of `Store.logout`."""

    auth: str
    """Where logins are: "user", the files of docker and podman. Default: "user"."""
    auth_file: Sequence[HostPath]
    """Credential files in the format of docker, in the place of the user's own."""
    helper_dir: HostPath
    """Directory of the credential helpers that files of `auth_file` name. Default: `$PATH`."""
    helper_timeout_ms: int
    """How long such a helper may take."""


class PullOptions(FileSystemOptions, DownloadOptions, total=False):
    """Options of a pull."""

    name: str
    """Name of the managed image. Default: made from the reference."""
    verity: str
    """Where the dm-verity hash tree goes: "beside", a file beside the ext4 file, or "append", behind the file
    system of a single file. Default: no hash tree."""
    referrers: bool
    """Fetch the SBOMs, attestations and signatures that refer to the image. Default: false."""
    rootfs_only: bool
    """Take a finished root file system only, as `Store.push` pushes it; convert no image. Default: false."""
    init: str
    """Init of the guest: "auto", "image", "banger" or "install"."""
    inject: bool
    """Whether the image is made to boot. Default: true."""
    guest_dir: HostPath
    """Directory with guest binaries, `banger-guest-amd64` and so on. Default: the library's own."""
    guest_binary: bytes
    """A guest binary for the processor of the image, in the place of the library's own; it excludes
    `guest_dir`."""
    kernel_ref: str
    """Name, id or unique prefix of an id of the kernel in the store that goes with the image."""


class RootfsOptions(TypedDict, total=False):
    """Options of `Rootfs`."""

    source_date_epoch: int
    """Seconds since 1970: the time of what is written. Default: now."""
    max_output_bytes: int
    """The largest file that `Rootfs.read` returns. Default: 64 MiB."""
    partition: str
    """Partition of a disk (GPT, MBR) that holds the file system, by number or label."""
    offset_bytes: int
    """The byte of a disk at which the file system begins."""


class PutOptions(TypedDict, total=False):
    """Options of `Rootfs.put`."""

    if_match: str
    """Content that the file must have so that it is written: "sha256:HEX", or "absent" for no file."""
    mode: str
    """Mode of files as for chmod, "600" or "u+x". Default: that of the replaced file, or of the source."""
    owner: str
    """Owner of files and new directories: "user", "uid", "user:group" or "uid:gid"."""
    parents: bool
    """Make missing parent directories."""


class FindOptions(TypedDict, total=False):
    """Conditions of `Rootfs.find`; a file has to meet all of them."""

    name: str
    """Pattern for names, "*.conf"."""
    whole_path: str
    """Pattern for whole paths; its * matches slashes, too."""
    type: Sequence[str]
    """Types: "file", "directory", "symlink", "char-device", "block-device", "fifo", "socket"."""
    size: str
    """Bytes of files: "+N" for more, "-N" for less, "N" for exactly."""
    newer: str
    """Time after which files were modified: "2026-01-31", RFC 3339, or "@SECONDS"."""
    perm: str
    """Permissions: "644" for exactly, "-600" for all of them, "/222" for any."""
    uid: int
    """User of files."""
    gid: int
    """Group of files."""
    max_depth: int
    """Levels of directories below the start."""


class InjectOptions(TypedDict, total=False):
    """Options of `Rootfs.inject`."""

    init: str
    """Init of the guest: "auto", "image", "banger" or "install"."""
    guest_dir: HostPath
    """Directory with guest binaries, `banger-guest-amd64` and so on. Default: the library's own."""
    guest_binary: bytes
    """A guest binary for the processor of the image, in the place of the library's own; it excludes
    `guest_dir`."""
    architecture: str
    """Processor of the guest, "amd64". Default: that of the programs in the image."""
    hostname: str
    """Name of the machine. Default: the image's own, or "banger"."""
    source_date_epoch: int
    """Seconds since 1970: the time of what is written. Default: now."""
    exec_argv: Sequence[str]
    """The program that banger-init runs, and its arguments."""
    exec_env: Sequence[str]
    """Variables of the program, each "NAME=VALUE"."""
    exec_user: str
    """User of the program: "name", "uid", "name:group" or "uid:gid". Default: root."""
    exec_working_dir: str
    """Working directory of the program. Default: "/"."""


class GuestOptions(TypedDict, total=False):
    """Options of `Guest`."""

    connect_timeout_ms: int
    """How long to wait for a connection. Default: 10000."""
    reply_timeout_ms: int
    """How long a guest may take to answer. Default: 30000."""
    max_copy_bytes: int
    """Largest file that is copied out of a guest. Default: 64 GiB."""
    max_output_bytes: int
    """Most output of a program that `Guest.run` returns. Default: 64 MiB."""


class ExecOptions(TypedDict, total=False):
    """Options of `Guest.run` and `Guest.exec`."""

    env: Mapping[str, str]
    """Variables of the program."""
    clear_env: bool
    """Whether the program gets these variables only."""
    user: str
    """User of the program: "name", "uid", "name:group" or "uid:gid". Default: root."""
    working_dir: str
    """Working directory of the program. Default: "/"."""
    timeout_ms: int
    """After this time the program is killed. Default: no limit."""
    rows: int
    """Lines of a terminal for the program, in the place of pipes; `columns` goes with it."""
    columns: int
    """Columns of a terminal for the program; `rows` goes with it."""


class PruneOptions(TypedDict, total=False):
    """Which blobs leave the cache; without options none does."""

    older_than_ms: int
    """Remove blobs that were last used longer ago than this."""
    max_size_bytes: int
    """Remove the least recently used blobs until the cache is no larger than this."""
    all: bool
    """Remove all blobs."""
    dry_run: bool
    """Tell what would be removed, and remove nothing."""


class ImagePruneOptions(TypedDict, total=False):
    """Which images are removed; one of `keep`, `older_than_ms` and `all` has to be set."""

    keep: Sequence[str]
    """Names, ids or unique prefixes of ids of images that stay."""
    older_than_ms: int
    """Remove only images that were made longer ago than this."""
    all: bool
    """Remove all images."""
    dry_run: bool
    """Tell what would be removed, and remove nothing."""


class RegisterOptions(TypedDict, total=False):
    """Options of `Store.register`."""

    name: str
    """Name of the managed image. Default: made from the file's name."""
    kernel_ref: str
    """Name, id or unique prefix of an id of the kernel in the store that goes with the image."""


class PushOptions(ConnectionOptions, total=False):
    """Options of `Store.push`."""

    jobs: int
    """How many blobs are sent at a time, 1 to 64. Default: 4."""
    mount_from: str
    """Repository of the same registry, HOST/NAME, whose blobs are taken instead of being sent."""
    sign_key: HostPath
    """PEM file with the private key that signs the image: PKCS #8, or as cosign encrypts it."""
    sign_password: str
    """Password of `sign_key`, if that is encrypted."""
    attest: HostPath
    """File that gets the SLSA provenance of the image; an existing file is replaced."""
    source_date_epoch: int
    """Time in the provenance, in seconds since 1970. Default: the provenance has no time."""


class CloneOptions(TypedDict, total=False):
    """Options of `Store.clone`."""

    clone_identity: str
    """Identity of the clone: "new" for another machine, or "keep". Default: "new"."""
    uuid: str
    """UUID of the file system. Default: a random one, or with "keep" that of the original."""
    size_bytes: int
    """Size of the file system, at least that of the image."""
    hostname: str
    """Name of the machine."""
    ssh_key: Sequence[str]
    """Public keys that may log in as root, as in the files that ssh-keygen makes."""
    clone_env: Sequence[str]
    """Variables, each "NAME=VALUE", for logins and for the program of the image."""
    clone_put: Sequence[str]
    """Files and directories of the host that are copied into the clone, each "FILE:/PATH"."""
    network_interface: str
    """Network interface that banger's agent sets up. Default: the only one that is not loopback."""
    network_address: Sequence[str]
    """Addresses with prefixes, each "10.0.0.2/24"."""
    network_gateway: Sequence[str]
    """Default routes, one for IPv4 and one for IPv6."""
    network_dns: Sequence[str]
    """Name servers."""
    force: bool
    """Whether an existing file is replaced. Default: false."""


class CommitOptions(ConnectionOptions, total=False):
    """Options of `Store.commit`."""

    commit_squash: bool
    """Whether the image has the whole disk as its only layer. Default: false."""
    commit_compression: str
    """Compression of the new layer, "gzip" or "zstd". Default: "gzip"."""
    commit_message: str
    """Comment in the history."""
    commit_author: str
    """Author of the image."""
    source_date_epoch: int
    """Time of creation, in seconds since 1970. Default: now."""
    jobs: int
    """How many layers are sent at a time, 1 to 64. Default: 4."""
    mount_from: str
    """Repository of the same registry, HOST/NAME, whose layers are taken. Default: that of the base."""


class KernelPullOptions(DownloadOptions, total=False):
    """Options of `Store.pull_kernel`."""

    name: str
    """Name of the kernel. Default: its name in the catalog, or its release."""
    kernel_catalog: Sequence[HostPath]
    """Catalogs; the last one wins. Default: none."""
    max_kernel_bytes: int
    """Largest kernel image, not compressed. Default: 1 GiB."""
    max_content_bytes: int
    """Largest total of the files that are kept. Default: 8 GiB."""
    max_tar_bytes: int
    """Largest archive, not compressed. Default: 32 GiB."""
    max_entries: int
    """Most entries of an archive. Default: 1000000."""


class KernelOptions(DownloadOptions, total=False):
    """Options of `Store.import_kernel`."""

    name: str
    """Name of the kernel. Default: its release."""
    kernel_initrd: HostPath
    """An initrd; the source is a kernel image then."""
    kernel_modules: HostPath
    """A directory with the modules; the source is a kernel image then."""
    kernel_config: HostPath
    """The configuration; the source is a kernel image then."""
    kernel_package: Sequence[HostPath]
    """Further packages of the kernel."""
    kernel_sha256: str
    """SHA-256 digest of the file at the address in the source: 64 hexadecimal digits."""
    max_kernel_bytes: int
    """Largest kernel image, not compressed. Default: 1 GiB."""
    max_content_bytes: int
    """Largest total of the files that are kept. Default: 8 GiB."""
    max_tar_bytes: int
    """Largest archive, not compressed. Default: 32 GiB."""
    max_entries: int
    """Most entries of an archive. Default: 1000000."""


class KernelPackOptions(TypedDict, total=False):
    """Options of `Store.pack_kernels`."""

    kernel_also: Sequence[str]
    """Further kernels of the bundle, for other architectures."""
    kernel_tag: str
    """Tag of the bundle. Default: "latest"."""
    kernel_licence: str
    """Licence of the kernels. Default: that of the bundle a kernel came in, or "GPL-2.0-only"."""
    kernel_source_url: str
    """Address of the source. Default: that of the bundle a kernel came in."""
    kernel_source_commit: str
    """Commit of the source. Default: that of the bundle a kernel came in."""


class CheckOptions(TypedDict, total=False):
    """Options of `Store.check_kernel`."""

    vmm: str
    """The monitor: "qemu", "firecracker", "cloud-hypervisor", "libkrun" or "vz". Default: "qemu"."""
    check_for: Sequence[str]
    """Uses of the guest to check for: "docker", "systemd", "k3s"."""


class BootPlanOptions(TypedDict, total=False):
    """Options of `Store.boot_plan`."""

    vmm: str
    """The monitor: "qemu", "firecracker", "cloud-hypervisor", "libkrun" or "vz". Default: "qemu"."""
    boot_cpus: int
    """Processors of the guest. Default: 1."""
    boot_memory_mib: int
    """Memory of the guest. Default: 512."""
    boot_initrd: HostPath
    """The initrd, in the place of the kernel's own and the small initramfs."""
    boot_root: str
    """Root: a device, "UUID=...", "PARTUUID=..." or "LABEL=...". Default: the device of the disk."""
    boot_read_only: bool
    """Whether the guest cannot write to the disk. Default: false."""
    boot_vsock: HostPath
    """Unix socket in which the monitor offers the guest's vsock. Default: the guest has no vsock."""
    boot_cid: int
    """Address of the guest on vsock. Default: 3."""
    boot_tap: str
    """Tap device of the host for the guest's network card. Default: the guest has no card."""
    boot_mac: str
    """Address of the network card. Default: the monitor's choice."""
    boot_append: Sequence[str]
    """More words for the kernel's command line."""
    boot_acceleration: str
    """How QEMU runs the guest's instructions: "kvm" or "tcg". Default: "kvm"."""
    boot_disk: str
    """How QEMU attaches the disk: "virtio-pci", "virtio-mmio" or "nvme". Default: "virtio-pci"."""


class MachineOptions(TypedDict, total=False):
    """Options of a virtual machine."""

    size_bytes: int
    """Size of the file system, at least that of the image."""
    hostname: str
    """Name of the machine. Default: that of the image."""
    boot_cpus: int
    """Processors of the guest. Default: 1."""
    boot_memory_mib: int
    """Memory of the guest. Default: 1024."""
    boot_append: Sequence[str]
    """More words for the kernel's command line."""
    boot_acceleration: str
    """How QEMU runs the guest's instructions: "kvm" or "tcg". Default: "kvm" if it works."""
    vm_boot_timeout_ms: int
    """How long the guest may take until its agent answers. Default: 180000."""
    vm_qemu: HostPath
    """Program of QEMU. Default: qemu-system-x86_64 or qemu-system-aarch64 in $PATH."""


class VmRunOptions(MachineOptions, total=False):
    """Options of `Store.run_vm`."""

    exec_user: str
    """User of the program: "name", "uid", "name:group" or "uid:gid". Default: that of the image."""
    exec_working_dir: str
    """Working directory of the program. Default: that of the image."""
    exec_timeout_ms: int
    """After this time the program is killed. Default: no limit."""
    max_output_bytes: int
    """Most bytes of output. Default: 64 MiB."""
    vm_forward: Sequence[str]
    """Ports of the host that lead to ports of the guest: "8080:80" or "ADDRESS:8080:80"."""
    vm_first_boot: bool
    """Whether a pending first boot is done. Default: false."""
    vm_timeout_ms: int
    """How long the whole run may take. Default: no limit."""


class ImageBuildOptions(MachineOptions, total=False):
    """Options of `Store.build_image`."""

    verity: str
    """Where the dm-verity hash tree goes: "beside". Default: no hash tree."""
    build_no_cache: bool
    """Whether steps that were done before are done again. Default: false."""


@contextmanager
def options_of(values: Mapping[str, Any]) -> Iterator[int | None]:
    """Lends options of the library that hold `values`. `None` means that an option is not set."""
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        yield None
        return
    pointer = ctypes.c_void_p(library.banger_options_new())
    with ExitStack() as files:
        files.callback(library.banger_options_free, pointer)
        for name, value in given.items():
            _set(pointer, name, _described(name, value, files))
        yield pointer.value


def _described(name: str, value: Any, files: ExitStack) -> Any:
    """Returns what the library takes for open files: numbers of descriptors, which `files` keeps open."""
    if name == "input_fd":
        return _descriptor(value, files)
    if name == "blob_fd":
        return [f"{digest}={_descriptor(file, files)}" for digest, file in value.items()]
    return value


def _descriptor(file: Any, files: ExitStack) -> int:
    return file if isinstance(file, int) else files.enter_context(readable_fd(file))


def _set(pointer: ctypes.c_void_p, name: str, value: Any) -> None:
    number = _NUMBERS.get(name)
    if number is None:
        raise TypeError(f"there is no option {name!r}")
    if isinstance(value, bool):
        call("banger_options_set_bool", pointer, number, value)
    elif isinstance(value, int):
        if not 0 <= value < 1 << 64:
            raise ValueError(f"{name} cannot be {value}")
        call("banger_options_set_u64", pointer, number, value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        call("banger_options_set_bytes", pointer, number, data, len(data))
    elif isinstance(value, (str, os.PathLike)):
        call("banger_options_set_string", pointer, number, text(os.fspath(value)))
    elif isinstance(value, (list, tuple)):
        for part in value:
            call("banger_options_add_string", pointer, number, text(os.fspath(part)))
    else:
        raise TypeError(f"{name} cannot be of the type {type(value).__name__}")
