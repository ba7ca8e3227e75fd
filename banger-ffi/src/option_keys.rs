//! The numbered keys of options.

/// The options. The number of a key never changes. A call that does not use an option that is set fails with
/// error 512; docs/ffi.md lists which call uses which.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum banger_option {
    /// Text: name of the managed image. Default: made from the reference.
    BANGER_OPT_NAME = 1,
    /// Text: platform of the image or kernel, "linux/arm64". Default: Linux on the host's processor.
    BANGER_OPT_PLATFORM = 2,
    /// Number: size of the file system in bytes. Default: content x 1.25, at least 1 GiB.
    BANGER_OPT_SIZE_BYTES = 3,
    /// Number: least size of the file system, where SIZE_BYTES is not set. Default: 1 GiB.
    BANGER_OPT_SIZE_AT_LEAST_BYTES = 4,
    /// Number: least number of inodes. Default: one for every 16 KiB.
    BANGER_OPT_INODES = 5,
    /// Text: what writes the file system: "native" or "e2fsprogs". Default: "native".
    BANGER_OPT_BACKEND = 6,
    /// Text: init of the guest: "auto", "image", "banger" or "install". Default: "auto".
    BANGER_OPT_INIT = 7,
    /// Boolean: whether the image is made to boot. Default: true.
    BANGER_OPT_INJECT = 8,
    /// Text: directory with guest binaries, banger-guest-amd64 and so on. Default: the library's own.
    BANGER_OPT_GUEST_DIR = 9,
    /// Boolean: build again what is up to date, and replace an output file. Default: false.
    BANGER_OPT_FORCE = 10,
    /// Number: seconds since 1970 for what the input gives no time to. The environment is not read.
    BANGER_OPT_SOURCE_DATE_EPOCH = 11,
    /// Text: directory for scratch files of the e2fsprogs backend. Default: $TMPDIR.
    BANGER_OPT_SCRATCH_DIR = 12,
    /// Text: label of the file system, at most 16 bytes. Default: empty.
    BANGER_OPT_LABEL = 13,
    /// Text: UUID of the file system. Default: made from the files; for a clone, a random one.
    BANGER_OPT_UUID = 14,
    /// Number: how many layers are downloaded at a time, 1 to 64. Default: 4.
    BANGER_OPT_JOBS = 15,
    /// Boolean: use http for any registry. Default: false.
    BANGER_OPT_PLAIN_HTTP = 16,
    /// Text: PEM file with certificates to trust besides those of the system.
    BANGER_OPT_CA_CERT = 17,
    /// Text: where credentials come from: "anonymous" or "user", which reads the files of docker and podman
    /// and runs the programs they name. Default: "anonymous".
    BANGER_OPT_AUTH = 18,
    /// Text: user name for the registry; PASSWORD goes with it.
    BANGER_OPT_USER = 19,
    /// Text: password or access token for the registry; USER goes with it.
    BANGER_OPT_PASSWORD = 20,
    /// Text: refresh token for the registry, in the place of user name and password.
    BANGER_OPT_IDENTITY_TOKEN = 21,
    /// List of texts: credential files in the format of docker, in the place of the user's own.
    BANGER_OPT_AUTH_FILE = 22,
    /// Text: directory of the credential helpers that files of AUTH_FILE name. Default: $PATH.
    BANGER_OPT_HELPER_DIR = 23,
    /// Number: how long such a helper may take. Default: 30000.
    BANGER_OPT_HELPER_TIMEOUT_MS = 24,
    /// Number: how often a request is tried before the pull fails. Default: 5.
    BANGER_OPT_ATTEMPTS = 25,
    /// Number: pause after the first failed attempt; it doubles with each further one. Default: 500.
    BANGER_OPT_BACKOFF_MS = 26,
    /// Number: longest pause between two attempts. Default: 60000.
    BANGER_OPT_MAX_BACKOFF_MS = 27,
    /// Number: how long to wait for a connection. Default: 10000.
    BANGER_OPT_CONNECT_TIMEOUT_MS = 28,
    /// Number: how long a transfer may stand still. Default: 30000.
    BANGER_OPT_STALL_TIMEOUT_MS = 29,
    /// Number: least bytes a second of a transfer; 0 allows any rate. Default: 1024.
    BANGER_OPT_MIN_RATE_BYTES = 30,
    /// Number: how long a transfer may be slower than MIN_RATE_BYTES. Default: 30000.
    BANGER_OPT_RATE_WINDOW_MS = 31,
    /// Number: longest time of all pauses between attempts together. Default: 600000.
    BANGER_OPT_MAX_WAIT_MS = 32,
    /// Number: longest time of all requests and downloads together. Default: 43200000.
    BANGER_OPT_MAX_TIME_MS = 33,
    /// Number: largest manifest or index. Default: 4 MiB.
    BANGER_OPT_MAX_MANIFEST_BYTES = 34,
    /// Number: largest image configuration. Default: 16 MiB.
    BANGER_OPT_MAX_CONFIG_BYTES = 35,
    /// Number: largest total of compressed layers. Default: 1 TiB.
    BANGER_OPT_MAX_DOWNLOAD_BYTES = 36,
    /// Number: largest total of files and directories, in whole blocks. Default: 64 GiB.
    BANGER_OPT_MAX_CONTENT_BYTES = 37,
    /// Number: largest total of uncompressed layers. Default: 128 GiB.
    BANGER_OPT_MAX_TAR_BYTES = 38,
    /// Number: most entries of all layers together. Default: 10000000.
    BANGER_OPT_MAX_ENTRIES = 39,
    /// Number: most directories on the way to one path. Default: 1024.
    BANGER_OPT_MAX_DEPTH = 40,
    /// Number: largest file, holes included. Default: 1 TiB.
    BANGER_OPT_MAX_FILE_BYTES = 41,
    /// Number: most room for the extended attributes of one file. Default: 4144.
    BANGER_OPT_MAX_XATTR_BYTES = 42,
    /// Number: most memory for names, targets and attributes, besides 300 bytes an entry. Default: 96 MiB.
    BANGER_OPT_MAX_METADATA_BYTES = 43,
    /// Number: most components of paths and symlinks to resolve, besides 32 a path. Default: 4194304.
    BANGER_OPT_MAX_PATH_COMPONENTS = 44,
    /// Number: most layers of an image. Default: 512.
    BANGER_OPT_MAX_LAYERS = 45,
    /// Number: most warnings that are kept; the rest is counted. Default: 100.
    BANGER_OPT_MAX_WARNINGS = 46,
    /// Number: largest extended header of a tar. Default: 1 MiB.
    BANGER_OPT_MAX_EXTENDED_BYTES = 47,
    /// Number: most pieces of one sparse file. Default: 1048576.
    BANGER_OPT_MAX_SPARSE_EXTENTS = 48,
    /// Number: most addresses of foreign layers that are tried. Default: 64.
    BANGER_OPT_MAX_URLS = 49,
    /// Number: remove blobs that were last used, or images that were made, longer ago than this.
    BANGER_OPT_OLDER_THAN_MS = 50,
    /// Number: remove the least recently used blobs until the cache is no larger than this.
    BANGER_OPT_MAX_SIZE_BYTES = 51,
    /// Boolean: remove all blobs or images. Default: false.
    BANGER_OPT_ALL = 52,
    /// Boolean: tell what would be removed, and remove nothing. Default: false.
    BANGER_OPT_DRY_RUN = 53,
    /// Text: name, id or unique prefix of an id of the kernel in the store that goes with the image. Its modules go into
    /// the file system, and its files beside the file of a managed image. Default: none.
    BANGER_OPT_KERNEL_REF = 54,
    /// Number: most bytes that a call returns: output of a program, or a file. Default: 64 MiB.
    BANGER_OPT_MAX_OUTPUT_BYTES = 100,
    /// Number: largest file that is copied out of a guest. Default: 64 GiB.
    BANGER_OPT_MAX_COPY_BYTES = 101,
    /// Number: how long a guest may take to answer. Default: 30000.
    BANGER_OPT_REPLY_TIMEOUT_MS = 102,
    /// Text: processor of the guest, "amd64". Default: that of the programs in the image.
    BANGER_OPT_ARCHITECTURE = 103,
    /// Text: name of the machine. Default: the image's own, or "banger".
    BANGER_OPT_HOSTNAME = 104,
    /// List of texts: a program and its arguments.
    BANGER_OPT_EXEC_ARGV = 105,
    /// List of texts: variables of the program, each "NAME=VALUE".
    BANGER_OPT_EXEC_ENV = 106,
    /// Boolean: whether the program gets these variables only. Default: false.
    BANGER_OPT_EXEC_CLEAR_ENV = 107,
    /// Text: user of the program: "name", "uid", "name:group" or "uid:gid". Default: root.
    BANGER_OPT_EXEC_USER = 108,
    /// Text: working directory of the program. Default: "/".
    BANGER_OPT_EXEC_WORKING_DIR = 109,
    /// Boolean: whether the caller writes to standard input, which is empty otherwise. Default: false.
    BANGER_OPT_EXEC_STDIN = 110,
    /// Number: lines of a terminal for the program, in the place of pipes; EXEC_COLUMNS goes with it.
    BANGER_OPT_EXEC_ROWS = 111,
    /// Number: columns of a terminal for the program; EXEC_ROWS goes with it.
    BANGER_OPT_EXEC_COLUMNS = 112,
    /// Number: after this time the program is killed. Default: no limit.
    BANGER_OPT_EXEC_TIMEOUT_MS = 113,
    /// Text: interface of the guest. Default: its only one.
    BANGER_OPT_NETWORK_INTERFACE = 114,
    /// List of texts: addresses of the interface, each with the length of its prefix: "10.0.0.2/24".
    BANGER_OPT_NETWORK_ADDRESS = 115,
    /// List of texts: default routes, at most one for IPv4 and one for IPv6.
    BANGER_OPT_NETWORK_GATEWAY = 116,
    /// List of texts: name servers.
    BANGER_OPT_NETWORK_DNS = 117,
    /// Boolean: whether the guest keeps the network for later boots. Default: false.
    BANGER_OPT_NETWORK_PERSIST = 118,
    /// Number: permissions of the file, 0 to 07777. Default: those of the file that is replaced, or 0644.
    BANGER_OPT_COPY_MODE = 119,
    /// Number: owner of the file. Default: that of the file that is replaced, or 0.
    BANGER_OPT_COPY_UID = 120,
    /// Number: group of the file. Default: that of the file that is replaced, or 0.
    BANGER_OPT_COPY_GID = 121,
    /// Boolean: whether missing parent directories are made. Default: false.
    BANGER_OPT_COPY_PARENTS = 122,
    /// Bytes: a guest binary for the processor of the image, in the place of the library's own. It excludes
    /// GUEST_DIR.
    BANGER_OPT_GUEST_BINARY = 123,
    /// Text: an initrd for the kernel; the source is a kernel image then.
    BANGER_OPT_KERNEL_INITRD = 200,
    /// Text: a directory with the modules of the kernel; the source is a kernel image then.
    BANGER_OPT_KERNEL_MODULES = 201,
    /// Text: the configuration of the kernel; the source is a kernel image then.
    BANGER_OPT_KERNEL_CONFIG = 202,
    /// List of texts: further packages of the kernel in the source.
    BANGER_OPT_KERNEL_PACKAGE = 203,
    /// Number: largest kernel image, not compressed. Default: 1 GiB.
    BANGER_OPT_MAX_KERNEL_BYTES = 204,
    /// Text: SHA-256 digest of the file at the address in the source, 64 hexadecimal digits.
    BANGER_OPT_KERNEL_SHA256 = 205,
    /// List of texts: catalogs; the last one wins. Default: none.
    BANGER_OPT_KERNEL_CATALOG = 206,
    /// List of texts: further kernels of the bundle, for other architectures.
    BANGER_OPT_KERNEL_ALSO = 207,
    /// Text: tag of the bundle. Default: "latest".
    BANGER_OPT_KERNEL_TAG = 208,
    /// Text: licence of the kernels. Default: that of the bundle a kernel came in, or "GPL-2.0-only".
    BANGER_OPT_KERNEL_LICENCE = 209,
    /// Text: address of the source of the kernels. Default: that of the bundle a kernel came in.
    BANGER_OPT_KERNEL_SOURCE_URL = 210,
    /// Text: commit of the source of the kernels. Default: that of the bundle a kernel came in.
    BANGER_OPT_KERNEL_SOURCE_COMMIT = 211,
    /// Text: virtual machine monitor: "qemu", "firecracker", "cloud-hypervisor", "libkrun" or "vz". Default:
    /// "qemu".
    BANGER_OPT_VMM = 220,
    /// List of texts: uses of the guest to check for: "docker", "systemd", "k3s".
    BANGER_OPT_CHECK_FOR = 221,
    /// Number: processors of the guest. Default: 1.
    BANGER_OPT_BOOT_CPUS = 222,
    /// Number: memory of the guest in MiB. Default: 512.
    BANGER_OPT_BOOT_MEMORY_MIB = 223,
    /// Text: initrd, in the place of the kernel's own and the small initramfs.
    BANGER_OPT_BOOT_INITRD = 224,
    /// Text: root file system: a device, "UUID=...", "PARTUUID=..." or "LABEL=...". Default: the device of the disk.
    BANGER_OPT_BOOT_ROOT = 225,
    /// Boolean: whether the guest cannot write to the disk. Default: false.
    BANGER_OPT_BOOT_READ_ONLY = 226,
    /// Text: Unix socket in which the monitor offers the guest's vsock. Default: the guest has no vsock.
    BANGER_OPT_BOOT_VSOCK = 227,
    /// Number: address of the guest on vsock. Default: 3.
    BANGER_OPT_BOOT_CID = 228,
    /// Text: tap device of the host for the guest's network card. Default: the guest has no card.
    BANGER_OPT_BOOT_TAP = 229,
    /// Text: address of the network card. Default: the monitor's choice.
    BANGER_OPT_BOOT_MAC = 230,
    /// List of texts: more words for the kernel's command line.
    BANGER_OPT_BOOT_APPEND = 231,
    /// Text: how QEMU runs the guest's instructions: "kvm" or "tcg". Default: "kvm".
    BANGER_OPT_BOOT_ACCELERATION = 232,
    /// Text: how QEMU attaches the disk: "virtio-pci", "virtio-mmio" or "nvme". Default: "virtio-pci".
    BANGER_OPT_BOOT_DISK = 233,
    /// List of texts: ports of the host that lead to ports of the guest, "8080:80" or "ADDRESS:8080:80".
    BANGER_OPT_VM_FORWARD = 250,
    /// Boolean: whether a pending first boot is done. Default: false.
    BANGER_OPT_VM_FIRST_BOOT = 251,
    /// Number: how long the guest may take until its agent answers. Default: 180000.
    BANGER_OPT_VM_BOOT_TIMEOUT_MS = 252,
    /// Number: how long the whole run may take. Default: no limit.
    BANGER_OPT_VM_TIMEOUT_MS = 253,
    /// Text: program of QEMU. Default: qemu-system-x86_64 or qemu-system-aarch64 in $PATH.
    BANGER_OPT_VM_QEMU = 254,
    /// List of texts: steps of a build in their order: "run:COMMAND", "script:FILE", "copy:FILE:/PATH",
    /// "env:NAME=VALUE" or "tools:docker".
    BANGER_OPT_BUILD_STEP = 260,
    /// Boolean: whether steps that were done before are done again. Default: false.
    BANGER_OPT_BUILD_NO_CACHE = 261,
    /// Text: socket of docker for "docker-daemon:NAME": a path, or "unix://" and a path.
    BANGER_OPT_DOCKER_HOST = 280,
    /// Text: socket of podman for "podman:NAME", in the same form.
    BANGER_OPT_PODMAN_HOST = 281,
    /// Text: directory of the storage for "containers-storage:NAME".
    BANGER_OPT_STORAGE_ROOT = 282,
    /// Boolean: whether sockets and storage are looked for where docker and podman have them. That reads the
    /// environment and storage.conf. Default: false.
    BANGER_OPT_USER_SOURCES = 283,
    /// Number: open file descriptor with the archive for "docker-archive:-" and "oci-archive:-": a pipe, a socket or a
    /// file. The call makes a copy of it.
    BANGER_OPT_INPUT_FD = 284,
    /// List of texts, "sha256:HEX=FD": blobs in open regular files, in the place of the source that the reference
    /// names. The reference has the digest of the manifest. The call makes copies of the descriptors.
    BANGER_OPT_BLOB_FD = 285,
    /// Text: whether the registries.conf and certs.d of podman and docker on this machine are read: "none" or "user".
    /// Default: "none".
    BANGER_OPT_REGISTRIES = 290,
    /// List of texts: files in the format of registries.conf, version 2, in their order. It excludes REGISTRIES.
    BANGER_OPT_REGISTRIES_CONF = 291,
    /// List of texts: directories with a subdirectory of certificates for each registry, HOST:PORT.
    BANGER_OPT_CERTS_DIR = 292,
    /// Text: directory of certificates for all registries: *.crt are trusted, NAME.cert and NAME.key are the client's.
    BANGER_OPT_CERT_DIR = 293,
    /// Text: PEM file with a certificate for registries that ask for one; CLIENT_KEY goes with it.
    BANGER_OPT_CLIENT_CERT = 294,
    /// Text: PEM file with the private key; CLIENT_CERT goes with it.
    BANGER_OPT_CLIENT_KEY = 295,
    /// Text: address of a proxy, "http://", "https://", "socks5://" or "socks5h://", or "environment" for the proxies
    /// that the environment names. Default: no proxy.
    BANGER_OPT_PROXY = 296,
    /// Text: hosts without a proxy, with commas between them; PROXY goes with it.
    BANGER_OPT_NO_PROXY = 297,
    /// Text: when a registry is asked: "always", "missing" or "never". Default: "always".
    BANGER_OPT_PULL_POLICY = 298,
    /// Number: most bytes a second of all downloads of a call together; 0 allows any rate. Default: 0.
    BANGER_OPT_LIMIT_RATE_BYTES = 320,
    /// Number: how long a server may hold up the download of a large layer before free JOBS help. Default: 1000.
    BANGER_OPT_SPLIT_AFTER_MS = 321,
    /// Number: smallest piece of a layer for such help; UINT64_MAX leaves all layers whole. Default: 1 MiB.
    BANGER_OPT_MIN_PIECE_BYTES = 322,
    /// List of texts: PEM files with public keys; an image is pulled only if one of them signed it. It excludes POLICY.
    BANGER_OPT_VERIFY_KEY = 340,
    /// Text: policy.json that decides which images are pulled. Default: no policy.
    BANGER_OPT_POLICY = 341,
    /// List of texts: names, ids or unique prefixes of ids of images that stay.
    BANGER_OPT_KEEP = 342,
    /// Boolean: whether the SBOMs, attestations and signatures that refer to the image are fetched. Default: false.
    BANGER_OPT_REFERRERS = 343,
    /// Text: repository of the same registry, HOST/NAME, whose blobs a push takes instead of sending them.
    BANGER_OPT_MOUNT_FROM = 350,
    /// Boolean: take a finished root file system only, as banger_image_push pushes it, and convert no image. Default: false.
    BANGER_OPT_ROOTFS_ONLY = 351,
    /// Text: PEM file with the private key that signs a pushed image: PKCS #8, or as cosign encrypts it.
    BANGER_OPT_SIGN_KEY = 380,
    /// Text: password of SIGN_KEY, if that is encrypted.
    BANGER_OPT_SIGN_PASSWORD = 381,
    /// Text: file that gets the SLSA provenance of a pushed image; an existing file is replaced. The provenance is added
    /// to the pushed image, too, and has the time of SOURCE_DATE_EPOCH or none.
    BANGER_OPT_ATTEST = 382,
    /// Boolean: whether a committed image has the whole disk as its only layer. Default: false.
    BANGER_OPT_COMMIT_SQUASH = 370,
    /// Text: compression of the new layer, "gzip" or "zstd". Default: "gzip".
    BANGER_OPT_COMMIT_COMPRESSION = 371,
    /// Text: comment in the history of a committed image.
    BANGER_OPT_COMMIT_MESSAGE = 372,
    /// Text: author of a committed image.
    BANGER_OPT_COMMIT_AUTHOR = 373,
    /// Text: where the dm-verity hash tree of the image goes: "beside", a file beside the ext4 file, or "append",
    /// behind the file system of a single file. Default: no hash tree.
    BANGER_OPT_VERITY = 360,
    /// Text: identity of a clone: "new" for another machine, or "keep". Default: "new".
    BANGER_OPT_CLONE_IDENTITY = 410,
    /// List of texts: public keys that may log in to a clone as root, as in the files that ssh-keygen makes.
    BANGER_OPT_SSH_KEY = 411,
    /// List of texts: variables of a clone, each "NAME=VALUE", for logins and for the program of the image.
    BANGER_OPT_CLONE_ENV = 412,
    /// List of texts: files and directories of the host that are copied into a clone, each "FILE:/PATH".
    BANGER_OPT_CLONE_PUT = 413,
    /// Text: partition of a disk (GPT, MBR), by number or label.
    BANGER_OPT_PARTITION = 420,
    /// Number: the byte of a disk at which the file system begins.
    BANGER_OPT_OFFSET_BYTES = 421,
    /// Number: bytes that stay free in a file system that is otherwise as small as its content: no quarter more, and no
    /// least size. Excludes SIZE_BYTES and SIZE_AT_LEAST_BYTES.
    BANGER_OPT_HEADROOM_BYTES = 430,
    /// Number: size of the journal in bytes, at least 4 MiB; 0 for no journal. Default: the usual one for the size.
    BANGER_OPT_JOURNAL_BYTES = 431,
    /// Number: blocks of 4 KiB that only root can fill. Default: 0.
    BANGER_OPT_RESERVED_BLOCKS = 432,
    /// Boolean: give the file system a UUID that no other has, and the current time, unless they are given. With it,
    /// the source of a build may be NULL, for a file system with no file. Default: false.
    BANGER_OPT_OWN_IDENTITY = 433,
    /// Text: content that a file must have so that it is written: "sha256:HEX", or "absent" for no file.
    BANGER_OPT_PUT_IF_MATCH = 390,
    /// Text: mode of files as for chmod, "600" or "u+x". Default: that of the replaced file, or of the source.
    BANGER_OPT_PUT_MODE = 391,
    /// Text: owner of files and new directories, "user", "uid", "user:group" or "uid:gid". Default: that of the replaced
    /// file, or 0:0.
    BANGER_OPT_PUT_OWNER = 392,
    /// Boolean: whether missing parent directories are made. Default: false.
    BANGER_OPT_PUT_PARENTS = 393,
    /// Text: which paths are told: "summary", "directories" or "all". Default: "directories".
    BANGER_OPT_USAGE_DETAIL = 394,
    /// Text: pattern for names, "*.conf".
    BANGER_OPT_FIND_NAME = 395,
    /// Text: pattern for whole paths; its * matches slashes, too.
    BANGER_OPT_FIND_PATH = 396,
    /// List of texts: types: "file", "directory", "symlink", "char-device", "block-device", "fifo", "socket".
    BANGER_OPT_FIND_TYPE = 397,
    /// Text: bytes of files: "+N" for more, "-N" for less, "N" for exactly.
    BANGER_OPT_FIND_SIZE = 398,
    /// Text: time after which files were modified: "2026-01-31", RFC 3339, or "@SECONDS".
    BANGER_OPT_FIND_NEWER = 399,
    /// Text: permissions: "644" for exactly, "-600" for all of them, "/222" for any.
    BANGER_OPT_FIND_PERM = 400,
    /// Number: user of files.
    BANGER_OPT_FIND_UID = 401,
    /// Number: group of files.
    BANGER_OPT_FIND_GID = 402,
    /// Number: levels of directories below the start.
    BANGER_OPT_FIND_MAX_DEPTH = 403,
    /// Makes the type 32 bits wide; not an option.
    BANGER_OPT_FORCE_32BIT = 0x7fff_ffff,
}
