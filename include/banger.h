/*
 * banger: container images to bootable ext4 root file systems.
 *
 * Made by `cargo xtask header` from the Rust sources of banger-ffi; do not edit it. docs/ffi.md has examples,
 * and the table of options and calls.
 *
 * Rules for all functions
 *
 * Results. A function that can fail returns an int: 0, or the stable code of the error (docs/json.md lists
 * them). Its last parameter takes the error as an object: pass NULL if you do not want it. Results are written
 * on success only, and the error on failure only; what they point to before does not matter. A place for a
 * result must not be NULL.
 *
 * Pointers. A handle is what a function of this library gave; each type has one _free function, which takes
 * NULL. Free a handle once, and do not use it after that or while another thread frees it. Arguments are
 * borrowed for the call only. Where the description says nothing else, an argument that is NULL is error 511,
 * and so is a text that is not UTF-8. Options, cancel and progress may be NULL. A `const char *` that a function
 * returns is never NULL and lives as long as the handle that was asked; functions that only ask a handle take
 * NULL and answer 0, false or "".
 *
 * Text. Paths of the host, references, names and documents end with a NUL byte and are UTF-8. Paths and names in
 * a guest are bytes with a length; BANGER_STRLEN as the length says that they end with a NUL byte.
 *
 * Threads. All calls block. A progress function runs on the thread that made the call, only during the call;
 * it may use handles of other calls, and must not unwind, throw or longjmp. Share among threads what says so;
 * use any other handle from one thread at a time. No function may be called in a signal handler.
 *
 * Signals and fork. Threads of the library block all signals that are sent to the process; programs that it starts
 * (credential helpers, tools of e2fsprogs) start with none blocked. A signal that interrupts a call does not end it,
 * also if its handler restarts no system calls. The process may fork while other threads make calls: the calls go
 * on. The child may call no function before it calls exec. If it never calls exec, it does not extend their locks:
 * those end with the call or the handle that has them in the parent.
 *
 * The process. The library does not touch signal handlers, SIGPIPE, the environment, the working directory, the
 * umask, the locale, standard input, output or error. It reads the environment only where the description says
 * so; proxies (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) and SSL_CERT_FILE are read by pulls from registries. File
 * descriptors close on exec.
 *
 * Versions. Enumerations grow: expect values that this header does not have. Structures grow at their end: pass
 * the sizeof that your program was compiled with; fields that the library does not know are set to 0.
 */


#ifndef BANGER_H
#define BANGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/** The version of this header; banger_version_number() is that of the library. */
#define BANGER_VERSION_MAJOR 0
#define BANGER_VERSION_MINOR 1
#define BANGER_VERSION_PATCH 0
#define BANGER_VERSION_NUMBER \
    (BANGER_VERSION_MAJOR * 1000000 + BANGER_VERSION_MINOR * 1000 + BANGER_VERSION_PATCH)

/** The length of a text that ends with a NUL byte. */
#define BANGER_STRLEN SIZE_MAX

/**
 * banger_rootfs_open: open the file to change it, alone. Other programs that lock it are kept out until
 * banger_rootfs_free.
 */
#define BANGER_EDIT 1

/**
 * A pointer is NULL that must not be, a text is not UTF-8, or an option has a value of another type.
 */
#define BANGER_ERROR_ARGUMENT 511

/**
 * The call was cancelled: by a banger_cancel or by a progress function.
 */
#define BANGER_ERROR_CANCELLED 505

/**
 * A fault of banger itself: a panic was caught.
 */
#define BANGER_ERROR_INTERNAL 510

/**
 * The option is unknown to this version of the library, or the call does not use it.
 */
#define BANGER_ERROR_OPTION 512

/**
 * The host has no threads or memory left.
 */
#define BANGER_ERROR_RESOURCES 513

/**
 * `banger_features`: the library has the backend that runs mkfs.ext4 and debugfs.
 */
#define BANGER_FEATURE_E2FSPROGS 4

/**
 * `banger_features`: the library holds a guest binary for amd64.
 */
#define BANGER_FEATURE_GUEST_AMD64 1

/**
 * `banger_features`: the library holds a guest binary for arm64.
 */
#define BANGER_FEATURE_GUEST_ARM64 2

/**
 * In an argument of milliseconds: no limit.
 */
#define BANGER_FOREVER UINT64_MAX

/**
 * `banger_rootfs_set_owner`: keep this one as it is, as chown(2) does with -1.
 */
#define BANGER_KEEP_ID UINT32_MAX



/**
 * In a field of nanoseconds: the time of the call, as UTIME_NOW of utimensat(2).
 */
#define BANGER_TIME_NOW 1073741823

/**
 * What a program did. Expect kinds that this header does not know.
 */
typedef enum banger_exec_kind {
    /**
     * Nothing within the time.
     */
    BANGER_EXEC_NOTHING = 0,
    /**
     * It wrote to standard output, or to its terminal.
     */
    BANGER_EXEC_OUTPUT = 1,
    /**
     * It wrote to standard error.
     */
    BANGER_EXEC_ERROR_OUTPUT = 2,
    /**
     * It ended: banger_exec_exit tells how. Nothing follows.
     */
    BANGER_EXEC_ENDED = 3,
    /**
     * Something that this version has no kind for.
     */
    BANGER_EXEC_OTHER = 4,
    /**
     * Makes the type 32 bits wide; not a kind.
     */
    BANGER_EXEC_FORCE_32BIT = 2147483647,
} banger_exec_kind;

/**
 * How a program ended. Expect kinds that this header does not know.
 */
typedef enum banger_exit_kind {
    /**
     * It exited, with a status.
     */
    BANGER_EXIT_EXITED = 1,
    /**
     * A signal killed it.
     */
    BANGER_EXIT_KILLED = 2,
    /**
     * Something that this version has no kind for.
     */
    BANGER_EXIT_OTHER = 3,
    /**
     * Makes the type 32 bits wide; not a kind.
     */
    BANGER_EXIT_FORCE_32BIT = 2147483647,
} banger_exit_kind;

/**
 * The kind of a failure: what a program decides by. Expect kinds that this header does not know.
 */
typedef enum banger_failure_kind {
    /**
     * The caller asked to stop.
     */
    BANGER_KIND_CANCELLED = 1,
    /**
     * A file, image, name or path does not exist.
     */
    BANGER_KIND_NOT_FOUND = 2,
    /**
     * Something exists already in the place of what was to be made.
     */
    BANGER_KIND_EXISTS = 3,
    /**
     * A server or the host refuses access.
     */
    BANGER_KIND_ACCESS = 4,
    /**
     * A server cannot be reached, or does not answer as it has to.
     */
    BANGER_KIND_NETWORK = 5,
    /**
     * The disk, the quota or the image is full.
     */
    BANGER_KIND_NO_SPACE = 6,
    /**
     * The input costs more than a limit allows.
     */
    BANGER_KIND_LIMIT = 7,
    /**
     * Another process or thread uses the file.
     */
    BANGER_KIND_IN_USE = 8,
    /**
     * The input is damaged or malformed.
     */
    BANGER_KIND_DAMAGED = 9,
    /**
     * The input is sound, but has something that banger does not support.
     */
    BANGER_KIND_UNSUPPORTED = 10,
    /**
     * An argument or option has a value that makes no sense.
     */
    BANGER_KIND_ARGUMENT = 11,
    /**
     * A guest answered with an error, or not at all.
     */
    BANGER_KIND_GUEST = 12,
    /**
     * The host failed otherwise, or banger has a fault.
     */
    BANGER_KIND_INTERNAL = 13,
    /**
     * Makes the type 32 bits wide; not a kind.
     */
    BANGER_KIND_FORCE_32BIT = 2147483647,
} banger_failure_kind;

/**
 * Type of a file: the numbers of d_type in dirent.h. Expect types that this header does not know.
 */
typedef enum banger_file_type {
    /**
     * A named pipe.
     */
    BANGER_FILE_FIFO = 1,
    /**
     * A character device.
     */
    BANGER_FILE_CHAR_DEVICE = 2,
    /**
     * A directory.
     */
    BANGER_FILE_DIRECTORY = 4,
    /**
     * A block device.
     */
    BANGER_FILE_BLOCK_DEVICE = 6,
    /**
     * A regular file.
     */
    BANGER_FILE_REGULAR = 8,
    /**
     * A symbolic link.
     */
    BANGER_FILE_SYMLINK = 10,
    /**
     * A Unix socket.
     */
    BANGER_FILE_SOCKET = 12,
    /**
     * Makes the type 32 bits wide; not a type.
     */
    BANGER_FILE_FORCE_32BIT = 2147483647,
} banger_file_type;

/**
 * The options. The number of a key never changes. A call that does not use an option that is set fails with
 * error 512; docs/ffi.md lists which call uses which.
 */
typedef enum banger_option {
    /**
     * Text: name of the managed image. Default: made from the reference.
     */
    BANGER_OPT_NAME = 1,
    /**
     * Text: platform of the image or kernel, "linux/arm64". Default: Linux on the host's processor.
     */
    BANGER_OPT_PLATFORM = 2,
    /**
     * Number: size of the file system in bytes. Default: content x 1.25, at least 1 GiB.
     */
    BANGER_OPT_SIZE_BYTES = 3,
    /**
     * Number: least size of the file system, where SIZE_BYTES is not set. Default: 1 GiB.
     */
    BANGER_OPT_SIZE_AT_LEAST_BYTES = 4,
    /**
     * Number: least number of inodes. Default: one for every 16 KiB.
     */
    BANGER_OPT_INODES = 5,
    /**
     * Text: what writes the file system: "native" or "e2fsprogs". Default: "native".
     */
    BANGER_OPT_BACKEND = 6,
    /**
     * Text: init of the guest: "auto", "image", "banger" or "install". Default: "auto".
     */
    BANGER_OPT_INIT = 7,
    /**
     * Boolean: whether the image is made to boot. Default: true.
     */
    BANGER_OPT_INJECT = 8,
    /**
     * Text: directory with guest binaries, banger-guest-amd64 and so on. Default: the library's own.
     */
    BANGER_OPT_GUEST_DIR = 9,
    /**
     * Boolean: build again what is up to date, and replace an output file. Default: false.
     */
    BANGER_OPT_FORCE = 10,
    /**
     * Number: seconds since 1970 for what the input gives no time to. The environment is not read.
     */
    BANGER_OPT_SOURCE_DATE_EPOCH = 11,
    /**
     * Text: directory for scratch files of the e2fsprogs backend. Default: $TMPDIR.
     */
    BANGER_OPT_SCRATCH_DIR = 12,
    /**
     * Text: label of the file system, at most 16 bytes. Default: empty.
     */
    BANGER_OPT_LABEL = 13,
    /**
     * Text: UUID of the file system. Default: made from the files; for a clone, a random one.
     */
    BANGER_OPT_UUID = 14,
    /**
     * Number: how many layers are downloaded at a time, 1 to 64. Default: 4.
     */
    BANGER_OPT_JOBS = 15,
    /**
     * Boolean: use http for any registry. Default: false.
     */
    BANGER_OPT_PLAIN_HTTP = 16,
    /**
     * Text: PEM file with certificates to trust besides those of the system.
     */
    BANGER_OPT_CA_CERT = 17,
    /**
     * Text: where credentials come from: "anonymous" or "user", which reads the files of docker and podman
     * and runs the programs they name. Default: "anonymous".
     */
    BANGER_OPT_AUTH = 18,
    /**
     * Text: user name for the registry; PASSWORD goes with it.
     */
    BANGER_OPT_USER = 19,
    /**
     * Text: password or access token for the registry; USER goes with it.
     */
    BANGER_OPT_PASSWORD = 20,
    /**
     * Text: refresh token for the registry, in the place of user name and password.
     */
    BANGER_OPT_IDENTITY_TOKEN = 21,
    /**
     * List of texts: credential files in the format of docker, in the place of the user's own.
     */
    BANGER_OPT_AUTH_FILE = 22,
    /**
     * Text: directory of the credential helpers that files of AUTH_FILE name. Default: $PATH.
     */
    BANGER_OPT_HELPER_DIR = 23,
    /**
     * Number: how long such a helper may take. Default: 30000.
     */
    BANGER_OPT_HELPER_TIMEOUT_MS = 24,
    /**
     * Number: how often a request is tried before the pull fails. Default: 5.
     */
    BANGER_OPT_ATTEMPTS = 25,
    /**
     * Number: pause after the first failed attempt; it doubles with each further one. Default: 500.
     */
    BANGER_OPT_BACKOFF_MS = 26,
    /**
     * Number: longest pause between two attempts. Default: 60000.
     */
    BANGER_OPT_MAX_BACKOFF_MS = 27,
    /**
     * Number: how long to wait for a connection. Default: 10000.
     */
    BANGER_OPT_CONNECT_TIMEOUT_MS = 28,
    /**
     * Number: how long a transfer may stand still. Default: 30000.
     */
    BANGER_OPT_STALL_TIMEOUT_MS = 29,
    /**
     * Number: least bytes a second of a transfer; 0 allows any rate. Default: 1024.
     */
    BANGER_OPT_MIN_RATE_BYTES = 30,
    /**
     * Number: how long a transfer may be slower than MIN_RATE_BYTES. Default: 30000.
     */
    BANGER_OPT_RATE_WINDOW_MS = 31,
    /**
     * Number: longest time of all pauses between attempts together. Default: 600000.
     */
    BANGER_OPT_MAX_WAIT_MS = 32,
    /**
     * Number: longest time of all requests and downloads together. Default: 43200000.
     */
    BANGER_OPT_MAX_TIME_MS = 33,
    /**
     * Number: largest manifest or index. Default: 4 MiB.
     */
    BANGER_OPT_MAX_MANIFEST_BYTES = 34,
    /**
     * Number: largest image configuration. Default: 16 MiB.
     */
    BANGER_OPT_MAX_CONFIG_BYTES = 35,
    /**
     * Number: largest total of compressed layers. Default: 1 TiB.
     */
    BANGER_OPT_MAX_DOWNLOAD_BYTES = 36,
    /**
     * Number: largest total of files and directories, in whole blocks. Default: 64 GiB.
     */
    BANGER_OPT_MAX_CONTENT_BYTES = 37,
    /**
     * Number: largest total of uncompressed layers. Default: 128 GiB.
     */
    BANGER_OPT_MAX_TAR_BYTES = 38,
    /**
     * Number: most entries of all layers together. Default: 10000000.
     */
    BANGER_OPT_MAX_ENTRIES = 39,
    /**
     * Number: most directories on the way to one path. Default: 1024.
     */
    BANGER_OPT_MAX_DEPTH = 40,
    /**
     * Number: largest file, holes included. Default: 1 TiB.
     */
    BANGER_OPT_MAX_FILE_BYTES = 41,
    /**
     * Number: most room for the extended attributes of one file. Default: 4144.
     */
    BANGER_OPT_MAX_XATTR_BYTES = 42,
    /**
     * Number: most memory for names, targets and attributes, besides 300 bytes an entry. Default: 96 MiB.
     */
    BANGER_OPT_MAX_METADATA_BYTES = 43,
    /**
     * Number: most components of paths and symlinks to resolve, besides 32 a path. Default: 4194304.
     */
    BANGER_OPT_MAX_PATH_COMPONENTS = 44,
    /**
     * Number: most layers of an image. Default: 512.
     */
    BANGER_OPT_MAX_LAYERS = 45,
    /**
     * Number: most warnings that are kept; the rest is counted. Default: 100.
     */
    BANGER_OPT_MAX_WARNINGS = 46,
    /**
     * Number: largest extended header of a tar. Default: 1 MiB.
     */
    BANGER_OPT_MAX_EXTENDED_BYTES = 47,
    /**
     * Number: most pieces of one sparse file. Default: 1048576.
     */
    BANGER_OPT_MAX_SPARSE_EXTENTS = 48,
    /**
     * Number: most addresses of foreign layers that are tried. Default: 64.
     */
    BANGER_OPT_MAX_URLS = 49,
    /**
     * Number: remove blobs that were last used, or images that were made, longer ago than this.
     */
    BANGER_OPT_OLDER_THAN_MS = 50,
    /**
     * Number: remove the least recently used blobs until the cache is no larger than this.
     */
    BANGER_OPT_MAX_SIZE_BYTES = 51,
    /**
     * Boolean: remove all blobs or images. Default: false.
     */
    BANGER_OPT_ALL = 52,
    /**
     * Boolean: tell what would be removed, and remove nothing. Default: false.
     */
    BANGER_OPT_DRY_RUN = 53,
    /**
     * Text: name, id or unique prefix of an id of the kernel in the store that goes with the image. Its modules go into
     * the file system, and its files beside the file of a managed image. Default: none.
     */
    BANGER_OPT_KERNEL_REF = 54,
    /**
     * Number: most bytes that a call returns: output of a program, or a file. Default: 64 MiB.
     */
    BANGER_OPT_MAX_OUTPUT_BYTES = 100,
    /**
     * Number: largest file that is copied out of a guest. Default: 64 GiB.
     */
    BANGER_OPT_MAX_COPY_BYTES = 101,
    /**
     * Number: how long a guest may take to answer. Default: 30000.
     */
    BANGER_OPT_REPLY_TIMEOUT_MS = 102,
    /**
     * Text: processor of the guest, "amd64". Default: that of the programs in the image.
     */
    BANGER_OPT_ARCHITECTURE = 103,
    /**
     * Text: name of the machine. Default: the image's own, or "banger".
     */
    BANGER_OPT_HOSTNAME = 104,
    /**
     * List of texts: a program and its arguments.
     */
    BANGER_OPT_EXEC_ARGV = 105,
    /**
     * List of texts: variables of the program, each "NAME=VALUE".
     */
    BANGER_OPT_EXEC_ENV = 106,
    /**
     * Boolean: whether the program gets these variables only. Default: false.
     */
    BANGER_OPT_EXEC_CLEAR_ENV = 107,
    /**
     * Text: user of the program: "name", "uid", "name:group" or "uid:gid". Default: root.
     */
    BANGER_OPT_EXEC_USER = 108,
    /**
     * Text: working directory of the program. Default: "/".
     */
    BANGER_OPT_EXEC_WORKING_DIR = 109,
    /**
     * Boolean: whether the caller writes to standard input, which is empty otherwise. Default: false.
     */
    BANGER_OPT_EXEC_STDIN = 110,
    /**
     * Number: lines of a terminal for the program, in the place of pipes; EXEC_COLUMNS goes with it.
     */
    BANGER_OPT_EXEC_ROWS = 111,
    /**
     * Number: columns of a terminal for the program; EXEC_ROWS goes with it.
     */
    BANGER_OPT_EXEC_COLUMNS = 112,
    /**
     * Number: after this time the program is killed. Default: no limit.
     */
    BANGER_OPT_EXEC_TIMEOUT_MS = 113,
    /**
     * Text: interface of the guest. Default: its only one.
     */
    BANGER_OPT_NETWORK_INTERFACE = 114,
    /**
     * List of texts: addresses of the interface, each with the length of its prefix: "10.0.0.2/24".
     */
    BANGER_OPT_NETWORK_ADDRESS = 115,
    /**
     * List of texts: default routes, at most one for IPv4 and one for IPv6.
     */
    BANGER_OPT_NETWORK_GATEWAY = 116,
    /**
     * List of texts: name servers.
     */
    BANGER_OPT_NETWORK_DNS = 117,
    /**
     * Boolean: whether the guest keeps the network for later boots. Default: false.
     */
    BANGER_OPT_NETWORK_PERSIST = 118,
    /**
     * Number: permissions of the file, 0 to 07777. Default: those of the file that is replaced, or 0644.
     */
    BANGER_OPT_COPY_MODE = 119,
    /**
     * Number: owner of the file. Default: that of the file that is replaced, or 0.
     */
    BANGER_OPT_COPY_UID = 120,
    /**
     * Number: group of the file. Default: that of the file that is replaced, or 0.
     */
    BANGER_OPT_COPY_GID = 121,
    /**
     * Boolean: whether missing parent directories are made. Default: false.
     */
    BANGER_OPT_COPY_PARENTS = 122,
    /**
     * Bytes: a guest binary for the processor of the image, in the place of the library's own. It excludes
     * GUEST_DIR.
     */
    BANGER_OPT_GUEST_BINARY = 123,
    /**
     * Text: an initrd for the kernel; the source is a kernel image then.
     */
    BANGER_OPT_KERNEL_INITRD = 200,
    /**
     * Text: a directory with the modules of the kernel; the source is a kernel image then.
     */
    BANGER_OPT_KERNEL_MODULES = 201,
    /**
     * Text: the configuration of the kernel; the source is a kernel image then.
     */
    BANGER_OPT_KERNEL_CONFIG = 202,
    /**
     * List of texts: further packages of the kernel in the source.
     */
    BANGER_OPT_KERNEL_PACKAGE = 203,
    /**
     * Number: largest kernel image, not compressed. Default: 1 GiB.
     */
    BANGER_OPT_MAX_KERNEL_BYTES = 204,
    /**
     * Text: SHA-256 digest of the file at the address in the source, 64 hexadecimal digits.
     */
    BANGER_OPT_KERNEL_SHA256 = 205,
    /**
     * List of texts: catalogs; the last one wins. Default: none.
     */
    BANGER_OPT_KERNEL_CATALOG = 206,
    /**
     * List of texts: further kernels of the bundle, for other architectures.
     */
    BANGER_OPT_KERNEL_ALSO = 207,
    /**
     * Text: tag of the bundle. Default: "latest".
     */
    BANGER_OPT_KERNEL_TAG = 208,
    /**
     * Text: licence of the kernels. Default: that of the bundle a kernel came in, or "GPL-2.0-only".
     */
    BANGER_OPT_KERNEL_LICENCE = 209,
    /**
     * Text: address of the source of the kernels. Default: that of the bundle a kernel came in.
     */
    BANGER_OPT_KERNEL_SOURCE_URL = 210,
    /**
     * Text: commit of the source of the kernels. Default: that of the bundle a kernel came in.
     */
    BANGER_OPT_KERNEL_SOURCE_COMMIT = 211,
    /**
     * Text: virtual machine monitor: "qemu", "firecracker", "cloud-hypervisor", "libkrun" or "vz". Default:
     * "qemu".
     */
    BANGER_OPT_VMM = 220,
    /**
     * List of texts: uses of the guest to check for: "docker", "systemd", "k3s".
     */
    BANGER_OPT_CHECK_FOR = 221,
    /**
     * Number: processors of the guest. Default: 1.
     */
    BANGER_OPT_BOOT_CPUS = 222,
    /**
     * Number: memory of the guest in MiB. Default: 512.
     */
    BANGER_OPT_BOOT_MEMORY_MIB = 223,
    /**
     * Text: initrd, in the place of the kernel's own and the small initramfs.
     */
    BANGER_OPT_BOOT_INITRD = 224,
    /**
     * Text: root file system: a device, "UUID=...", "PARTUUID=..." or "LABEL=...". Default: the device of the disk.
     */
    BANGER_OPT_BOOT_ROOT = 225,
    /**
     * Boolean: whether the guest cannot write to the disk. Default: false.
     */
    BANGER_OPT_BOOT_READ_ONLY = 226,
    /**
     * Text: Unix socket in which the monitor offers the guest's vsock. Default: the guest has no vsock.
     */
    BANGER_OPT_BOOT_VSOCK = 227,
    /**
     * Number: address of the guest on vsock. Default: 3.
     */
    BANGER_OPT_BOOT_CID = 228,
    /**
     * Text: tap device of the host for the guest's network card. Default: the guest has no card.
     */
    BANGER_OPT_BOOT_TAP = 229,
    /**
     * Text: address of the network card. Default: the monitor's choice.
     */
    BANGER_OPT_BOOT_MAC = 230,
    /**
     * List of texts: more words for the kernel's command line.
     */
    BANGER_OPT_BOOT_APPEND = 231,
    /**
     * Text: how QEMU runs the guest's instructions: "kvm" or "tcg". Default: "kvm".
     */
    BANGER_OPT_BOOT_ACCELERATION = 232,
    /**
     * Text: how QEMU attaches the disk: "virtio-pci", "virtio-mmio" or "nvme". Default: "virtio-pci".
     */
    BANGER_OPT_BOOT_DISK = 233,
    /**
     * List of texts: ports of the host that lead to ports of the guest, "8080:80" or "ADDRESS:8080:80".
     */
    BANGER_OPT_VM_FORWARD = 250,
    /**
     * Boolean: whether a pending first boot is done. Default: false.
     */
    BANGER_OPT_VM_FIRST_BOOT = 251,
    /**
     * Number: how long the guest may take until its agent answers. Default: 180000.
     */
    BANGER_OPT_VM_BOOT_TIMEOUT_MS = 252,
    /**
     * Number: how long the whole run may take. Default: no limit.
     */
    BANGER_OPT_VM_TIMEOUT_MS = 253,
    /**
     * Text: program of QEMU. Default: qemu-system-x86_64 or qemu-system-aarch64 in $PATH.
     */
    BANGER_OPT_VM_QEMU = 254,
    /**
     * List of texts: steps of a build in their order: "run:COMMAND", "script:FILE", "copy:FILE:/PATH",
     * "env:NAME=VALUE" or "tools:docker".
     */
    BANGER_OPT_BUILD_STEP = 260,
    /**
     * Boolean: whether steps that were done before are done again. Default: false.
     */
    BANGER_OPT_BUILD_NO_CACHE = 261,
    /**
     * Text: socket of docker for "docker-daemon:NAME": a path, or "unix://" and a path.
     */
    BANGER_OPT_DOCKER_HOST = 280,
    /**
     * Text: socket of podman for "podman:NAME", in the same form.
     */
    BANGER_OPT_PODMAN_HOST = 281,
    /**
     * Text: directory of the storage for "containers-storage:NAME".
     */
    BANGER_OPT_STORAGE_ROOT = 282,
    /**
     * Boolean: whether sockets and storage are looked for where docker and podman have them. That reads the
     * environment and storage.conf. Default: false.
     */
    BANGER_OPT_USER_SOURCES = 283,
    /**
     * Number: open file descriptor with the archive for "docker-archive:-" and "oci-archive:-": a pipe, a socket or a
     * file. The call makes a copy of it.
     */
    BANGER_OPT_INPUT_FD = 284,
    /**
     * List of texts, "sha256:HEX=FD": blobs in open regular files, in the place of the source that the reference
     * names. The reference has the digest of the manifest. The call makes copies of the descriptors.
     */
    BANGER_OPT_BLOB_FD = 285,
    /**
     * Text: whether the registries.conf and certs.d of podman and docker on this machine are read: "none" or "user".
     * Default: "none".
     */
    BANGER_OPT_REGISTRIES = 290,
    /**
     * List of texts: files in the format of registries.conf, version 2, in their order. It excludes REGISTRIES.
     */
    BANGER_OPT_REGISTRIES_CONF = 291,
    /**
     * List of texts: directories with a subdirectory of certificates for each registry, HOST:PORT.
     */
    BANGER_OPT_CERTS_DIR = 292,
    /**
     * Text: directory of certificates for all registries: *.crt are trusted, NAME.cert and NAME.key are the client's.
     */
    BANGER_OPT_CERT_DIR = 293,
    /**
     * Text: PEM file with a certificate for registries that ask for one; CLIENT_KEY goes with it.
     */
    BANGER_OPT_CLIENT_CERT = 294,
    /**
     * Text: PEM file with the private key; CLIENT_CERT goes with it.
     */
    BANGER_OPT_CLIENT_KEY = 295,
    /**
     * Text: address of a proxy, "http://", "https://", "socks5://" or "socks5h://", or "environment" for the proxies
     * that the environment names. Default: no proxy.
     */
    BANGER_OPT_PROXY = 296,
    /**
     * Text: hosts without a proxy, with commas between them; PROXY goes with it.
     */
    BANGER_OPT_NO_PROXY = 297,
    /**
     * Text: when a registry is asked: "always", "missing" or "never". Default: "always".
     */
    BANGER_OPT_PULL_POLICY = 298,
    /**
     * Number: most bytes a second of all downloads of a call together; 0 allows any rate. Default: 0.
     */
    BANGER_OPT_LIMIT_RATE_BYTES = 320,
    /**
     * Number: how long a server may hold up the download of a large layer before free JOBS help. Default: 1000.
     */
    BANGER_OPT_SPLIT_AFTER_MS = 321,
    /**
     * Number: smallest piece of a layer for such help; UINT64_MAX leaves all layers whole. Default: 1 MiB.
     */
    BANGER_OPT_MIN_PIECE_BYTES = 322,
    /**
     * List of texts: PEM files with public keys; an image is pulled only if one of them signed it. It excludes POLICY.
     */
    BANGER_OPT_VERIFY_KEY = 340,
    /**
     * Text: policy.json that decides which images are pulled. Default: no policy.
     */
    BANGER_OPT_POLICY = 341,
    /**
     * List of texts: names, ids or unique prefixes of ids of images that stay.
     */
    BANGER_OPT_KEEP = 342,
    /**
     * Boolean: whether the SBOMs, attestations and signatures that refer to the image are fetched. Default: false.
     */
    BANGER_OPT_REFERRERS = 343,
    /**
     * Text: repository of the same registry, HOST/NAME, whose blobs a push takes instead of sending them.
     */
    BANGER_OPT_MOUNT_FROM = 350,
    /**
     * Boolean: take a finished root file system only, as banger_image_push pushes it, and convert no image. Default: false.
     */
    BANGER_OPT_ROOTFS_ONLY = 351,
    /**
     * Text: PEM file with the private key that signs a pushed image: PKCS #8, or as cosign encrypts it.
     */
    BANGER_OPT_SIGN_KEY = 380,
    /**
     * Text: password of SIGN_KEY, if that is encrypted.
     */
    BANGER_OPT_SIGN_PASSWORD = 381,
    /**
     * Text: file that gets the SLSA provenance of a pushed image; an existing file is replaced. The provenance is added
     * to the pushed image, too, and has the time of SOURCE_DATE_EPOCH or none.
     */
    BANGER_OPT_ATTEST = 382,
    /**
     * Boolean: whether a committed image has the whole disk as its only layer. Default: false.
     */
    BANGER_OPT_COMMIT_SQUASH = 370,
    /**
     * Text: compression of the new layer, "gzip" or "zstd". Default: "gzip".
     */
    BANGER_OPT_COMMIT_COMPRESSION = 371,
    /**
     * Text: comment in the history of a committed image.
     */
    BANGER_OPT_COMMIT_MESSAGE = 372,
    /**
     * Text: author of a committed image.
     */
    BANGER_OPT_COMMIT_AUTHOR = 373,
    /**
     * Text: where the dm-verity hash tree of the image goes: "beside", a file beside the ext4 file, or "append",
     * behind the file system of a single file. Default: no hash tree.
     */
    BANGER_OPT_VERITY = 360,
    /**
     * Text: identity of a clone: "new" for another machine, or "keep". Default: "new".
     */
    BANGER_OPT_CLONE_IDENTITY = 410,
    /**
     * List of texts: public keys that may log in to a clone as root, as in the files that ssh-keygen makes.
     */
    BANGER_OPT_SSH_KEY = 411,
    /**
     * List of texts: variables of a clone, each "NAME=VALUE", for logins and for the program of the image.
     */
    BANGER_OPT_CLONE_ENV = 412,
    /**
     * List of texts: files and directories of the host that are copied into a clone, each "FILE:/PATH".
     */
    BANGER_OPT_CLONE_PUT = 413,
    /**
     * Text: partition of a disk (GPT, MBR), by number or label.
     */
    BANGER_OPT_PARTITION = 420,
    /**
     * Number: the byte of a disk at which the file system begins.
     */
    BANGER_OPT_OFFSET_BYTES = 421,
    /**
     * Number: bytes that stay free in a file system that is otherwise as small as its content: no quarter more, and no
     * least size. Excludes SIZE_BYTES and SIZE_AT_LEAST_BYTES.
     */
    BANGER_OPT_HEADROOM_BYTES = 430,
    /**
     * Number: size of the journal in bytes, at least 4 MiB; 0 for no journal. Default: the usual one for the size.
     */
    BANGER_OPT_JOURNAL_BYTES = 431,
    /**
     * Number: blocks of 4 KiB that only root can fill. Default: 0.
     */
    BANGER_OPT_RESERVED_BLOCKS = 432,
    /**
     * Boolean: give the file system a UUID that no other has, and the current time, unless they are given. With it,
     * the source of a build may be NULL, for a file system with no file. Default: false.
     */
    BANGER_OPT_OWN_IDENTITY = 433,
    /**
     * Text: content that a file must have so that it is written: "sha256:HEX", or "absent" for no file.
     */
    BANGER_OPT_PUT_IF_MATCH = 390,
    /**
     * Text: mode of files as for chmod, "600" or "u+x". Default: that of the replaced file, or of the source.
     */
    BANGER_OPT_PUT_MODE = 391,
    /**
     * Text: owner of files and new directories, "user", "uid", "user:group" or "uid:gid". Default: that of the replaced
     * file, or 0:0.
     */
    BANGER_OPT_PUT_OWNER = 392,
    /**
     * Boolean: whether missing parent directories are made. Default: false.
     */
    BANGER_OPT_PUT_PARENTS = 393,
    /**
     * Text: which paths are told: "summary", "directories" or "all". Default: "directories".
     */
    BANGER_OPT_USAGE_DETAIL = 394,
    /**
     * Text: pattern for names, "*.conf".
     */
    BANGER_OPT_FIND_NAME = 395,
    /**
     * Text: pattern for whole paths; its * matches slashes, too.
     */
    BANGER_OPT_FIND_PATH = 396,
    /**
     * List of texts: types: "file", "directory", "symlink", "char-device", "block-device", "fifo", "socket".
     */
    BANGER_OPT_FIND_TYPE = 397,
    /**
     * Text: bytes of files: "+N" for more, "-N" for less, "N" for exactly.
     */
    BANGER_OPT_FIND_SIZE = 398,
    /**
     * Text: time after which files were modified: "2026-01-31", RFC 3339, or "@SECONDS".
     */
    BANGER_OPT_FIND_NEWER = 399,
    /**
     * Text: permissions: "644" for exactly, "-600" for all of them, "/222" for any.
     */
    BANGER_OPT_FIND_PERM = 400,
    /**
     * Number: user of files.
     */
    BANGER_OPT_FIND_UID = 401,
    /**
     * Number: group of files.
     */
    BANGER_OPT_FIND_GID = 402,
    /**
     * Number: levels of directories below the start.
     */
    BANGER_OPT_FIND_MAX_DEPTH = 403,
    /**
     * Makes the type 32 bits wide; not an option.
     */
    BANGER_OPT_FORCE_32BIT = 2147483647,
} banger_option;

/**
 * What an event tells. Expect kinds that this header does not know.
 */
typedef enum banger_step_kind {
    /**
     * Nothing happened for 200 ms: the time to look at a signal, or to cancel.
     */
    BANGER_EVENT_IDLE = 1,
    /**
     * The reference is being turned into a digest.
     */
    BANGER_EVENT_RESOLVING = 2,
    /**
     * The image is known: digest, and the size of all layers.
     */
    BANGER_EVENT_RESOLVED = 3,
    /**
     * A blob starts to come in: digest and size.
     */
    BANGER_EVENT_BLOB_STARTED = 4,
    /**
     * Another process downloads the blob; this one waits for it.
     */
    BANGER_EVENT_BLOB_WAITING = 5,
    /**
     * Another thread or process pulls an image of this name; this one waits for it.
     */
    BANGER_EVENT_PULL_WAITING = 6,
    /**
     * More of a blob came in: digest, bytes so far, size.
     */
    BANGER_EVENT_BLOB_PROGRESS = 7,
    /**
     * A blob is whole, checked, and in the cache.
     */
    BANGER_EVENT_BLOB_DONE = 8,
    /**
     * A request failed and is tried again: the message says what and why.
     */
    BANGER_EVENT_RETRY = 9,
    /**
     * A layer is being applied: layer, published bytes so far, published bytes in all.
     */
    BANGER_EVENT_LAYER_PROGRESS = 10,
    /**
     * A layer is applied.
     */
    BANGER_EVENT_LAYER_DONE = 11,
    /**
     * More of a directory of the host was read.
     */
    BANGER_EVENT_DIRECTORY_PROGRESS = 12,
    /**
     * Something was changed or left out: the message says what and why.
     */
    BANGER_EVENT_WARNING = 13,
    /**
     * The file system is being written.
     */
    BANGER_EVENT_BUILDING = 14,
    /**
     * All is done.
     */
    BANGER_EVENT_DONE = 15,
    /**
     * Something that this version has no kind for: read the JSON.
     */
    BANGER_EVENT_OTHER = 16,
    /**
     * A step of a build begins: the message is the step.
     */
    BANGER_EVENT_STEP = 17,
    /**
     * The program of a step writes: the message is a part of its output.
     */
    BANGER_EVENT_STEP_OUTPUT = 18,
    /**
     * Makes the type 32 bits wide; not a kind.
     */
    BANGER_EVENT_FORCE_32BIT = 2147483647,
} banger_step_kind;

/**
 * A flag that stops calls. Threads may share it. Free it with banger_cancel_free after the last call that
 * uses it has returned.
 */
typedef struct banger_cancel banger_cancel;

/**
 * The entries of a directory, as they were when it was read. One thread at a time may use it. Free it with
 * banger_dir_free.
 */
typedef struct banger_dir banger_dir;

/**
 * Why a call failed. Free it with banger_error_free.
 */
typedef struct banger_error banger_error;

/**
 * One event. It lives until the progress function returns, or until the next banger_task_next.
 */
typedef struct banger_event banger_event;

/**
 * A program that runs in a guest. One thread at a time reads it with banger_exec_next; other functions may be called
 * by any thread meanwhile. Free it with banger_exec_free.
 */
typedef struct banger_exec banger_exec;

/**
 * The input of a program: bytes, signals, the size of its terminal. Threads may share it. Free it with
 * banger_exec_input_free, before or after the banger_exec.
 */
typedef struct banger_exec_input banger_exec_input;

/**
 * The agent of a guest. Threads may share it. Each call is a connection of its own, so it stays valid when the
 * guest reboots. Free it with banger_guest_free.
 */
typedef struct banger_guest banger_guest;

/**
 * An image: an ext4 file and what is known of it. A managed image keeps its path until this is freed, even if
 * another image takes its name. Threads may share it. Free it with banger_image_free.
 */
typedef struct banger_image banger_image;

/**
 * Type, permissions, owner, time and extended attributes of each path of a file system, parents before children.
 * Threads may share it. Free it with banger_metadata_free.
 */
typedef struct banger_metadata banger_metadata;

/**
 * Options of a call. One thread at a time may use it; calls only read it. Free it with banger_options_free.
 */
typedef struct banger_options banger_options;

/**
 * The file system in an ext4 file. Threads may share it: their calls take turns. Free it with
 * banger_rootfs_free.
 *
 * Paths are absolute and are bytes; symlinks in parents are followed inside the file system, the last component
 * is not (banger_rootfs_resolve follows it). A path goes with its length, or with BANGER_STRLEN.
 */
typedef struct banger_rootfs banger_rootfs;

/**
 * A store of images with its cache of blobs. Threads may share it. Pulls by one store share threads,
 * connections, logins and limits on parallel work. Free it with banger_store_free.
 */
typedef struct banger_store banger_store;

/**
 * Bytes that the library made: a document or the content of a file. Free it with banger_string_free.
 */
typedef struct banger_string banger_string;

/**
 * A pull or a build that runs on a thread of the library, for programs with an event loop. One thread at a
 * time may use it. Free it with banger_task_free.
 */
typedef struct banger_task banger_task;

/**
 * A function of the caller that is told of each event. It runs on the thread that made the call, only during
 * the call. It returns 0 to go on and another number to cancel.
 */
typedef int (*banger_progress_fn)(const struct banger_event *event, void *user_data);

/**
 * One entry of a directory.
 */
typedef struct banger_dirent {
    /**
     * The name, never "." or "..", with a NUL byte behind it; NULL at the end of the directory. It lives as long
     * as the banger_dir.
     */
    const char *name;
    /**
     * Bytes of the name.
     */
    size_t name_length;
    /**
     * Number of the inode, as in banger_stat.
     */
    uint64_t inode;
    /**
     * Type: a banger_file_type.
     */
    uint32_t file_type;
    /**
     * Always 0.
     */
    uint32_t reserved;
} banger_dirent;

/**
 * How a program ended.
 */
typedef struct banger_exit {
    /**
     * How: a banger_exit_kind.
     */
    uint32_t kind;
    /**
     * The status, 0 to 255, if it exited.
     */
    int32_t status;
    /**
     * The number of the signal on Linux, if one killed it.
     */
    int32_t signal;
    /**
     * Always 0.
     */
    uint32_t reserved;
} banger_exit;

/**
 * One thing that a program did.
 */
typedef struct banger_exec_event {
    /**
     * The bytes that it wrote; NULL if it wrote nothing. They live until the next banger_exec_next for the program.
     */
    const void *data;
    /**
     * Number of the bytes.
     */
    size_t length;
    /**
     * What it did: a banger_exec_kind.
     */
    uint32_t kind;
    /**
     * Always 0.
     */
    uint32_t reserved;
} banger_exec_event;

/**
 * What is known of one path.
 */
typedef struct banger_metadata_entry {
    /**
     * The absolute path, with a NUL byte behind it. It lives as long as the banger_metadata.
     */
    const char *path;
    /**
     * Bytes of the path.
     */
    size_t path_length;
    /**
     * Last modification: seconds since 1970, rounded down.
     */
    int64_t mtime_seconds;
    /**
     * Last modification: nanoseconds behind the seconds.
     */
    uint32_t mtime_nanoseconds;
    /**
     * Type: a banger_file_type.
     */
    uint32_t file_type;
    /**
     * Permissions with setuid, setgid and sticky: 0 to 07777, without type.
     */
    uint32_t mode;
    /**
     * Owner.
     */
    uint32_t uid;
    /**
     * Group.
     */
    uint32_t gid;
    /**
     * Number of extended attributes; banger_metadata_json has them.
     */
    uint32_t xattr_count;
    /**
     * Major number of a device.
     */
    uint32_t device_major;
    /**
     * Minor number of a device.
     */
    uint32_t device_minor;
} banger_metadata_entry;

/**
 * Permissions, owner and time of something that is made. Extended attributes are set later, with
 * banger_rootfs_set_xattr.
 */
typedef struct banger_attrs {
    /**
     * Last modification: seconds since 1970, rounded down.
     */
    int64_t mtime_seconds;
    /**
     * Last modification: nanoseconds behind the seconds, or BANGER_TIME_NOW.
     */
    uint32_t mtime_nanoseconds;
    /**
     * Permissions with setuid, setgid and sticky: 0 to 07777, without type.
     */
    uint32_t mode;
    /**
     * Owner.
     */
    uint32_t uid;
    /**
     * Group.
     */
    uint32_t gid;
} banger_attrs;

/**
 * What is at a path: as lstat(2) tells.
 */
typedef struct banger_stat {
    /**
     * Number of the inode: equal for hard links of one file, stable until the next change.
     */
    uint64_t inode;
    /**
     * Bytes of a regular file or of the target of a symlink; 0 for other types.
     */
    uint64_t size_bytes;
    /**
     * Last modification: seconds since 1970, rounded down.
     */
    int64_t mtime_seconds;
    /**
     * Last modification: nanoseconds behind the seconds.
     */
    uint32_t mtime_nanoseconds;
    /**
     * Type: a banger_file_type.
     */
    uint32_t file_type;
    /**
     * Permissions with setuid, setgid and sticky: 0 to 07777, without type.
     */
    uint32_t mode;
    /**
     * Owner.
     */
    uint32_t uid;
    /**
     * Group.
     */
    uint32_t gid;
    /**
     * Number of hard links.
     */
    uint32_t nlink;
    /**
     * Major number of a device.
     */
    uint32_t device_major;
    /**
     * Minor number of a device.
     */
    uint32_t device_minor;
} banger_stat;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Plans the start of an image by a virtual machine monitor, and returns the document of `banger image boot-plan
 * --json`: `plan`, and `command` or `configuration`. `image` and `kernel` are as for banger_kernel_check. The small
 * initramfs, if the kernel needs one, is a file in the cache of the store. Options: VMM, BOOT_CPUS, BOOT_MEMORY_MIB,
 * BOOT_INITRD, BOOT_ROOT, BOOT_READ_ONLY, BOOT_VSOCK, BOOT_CID, BOOT_TAP, BOOT_MAC, BOOT_APPEND, BOOT_ACCELERATION,
 * BOOT_DISK, NETWORK_INTERFACE, NETWORK_ADDRESS, NETWORK_GATEWAY, NETWORK_DNS, HOSTNAME.
 */
int banger_boot_plan(const struct banger_store *store,
                     const char *image,
                     const char *kernel,
                     const struct banger_options *options,
                     const struct banger_cancel *cancel,
                     struct banger_string **json,
                     struct banger_error **error);

/**
 * Builds the ext4 file `file` from `source`, a directory or a tar, as `banger rootfs build --json` does. The
 * file is complete when this succeeds and absent when it fails. With OWN_IDENTITY, `source` may be NULL, for a file
 * system with no file.
 */
int banger_build(const char *source,
                 const char *file,
                 const struct banger_options *options,
                 const struct banger_cancel *cancel,
                 banger_progress_fn progress,
                 void *user_data,
                 struct banger_string **json,
                 struct banger_error **error);

/**
 * Starts banger_build.
 */
int banger_build_start(const char *source,
                       const char *file,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       struct banger_task **task,
                       struct banger_error **error);

/**
 * Lists the blobs of the cache, as `banger image cache list --json` does.
 */
int banger_cache_list(const struct banger_store *store,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Removes blobs from the cache, as `banger image cache prune --json` does: those that the options tell, and
 * none without options. Blobs of a running pull stay.
 */
int banger_cache_prune(const struct banger_store *store,
                       const struct banger_options *options,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Hashes the blobs of the cache, as `banger image cache verify --json` does, and removes damaged ones if `remove`
 * says so. Damage is no error: look at `damaged`.
 */
int banger_cache_verify(const struct banger_store *store,
                        bool remove,
                        const struct banger_cancel *cancel,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Sets the flag for good: every call that uses it returns error 505 within 200 ms, also one that waits for a
 * server, a guest, a lock or its turn with a file system. Any thread may call this, but not a signal handler. NULL
 * is fine.
 */
void banger_cancel_cancel(const struct banger_cancel *cancel);

/**
 * Frees a flag. NULL is fine.
 */
void banger_cancel_free(struct banger_cancel *cancel);

/**
 * Returns whether the flag is set. False for NULL.
 */
bool banger_cancel_is_cancelled(const struct banger_cancel *cancel);

/**
 * Returns a flag that is not set. Never NULL.
 */
struct banger_cancel *banger_cancel_new(void);

/**
 * Frees the entries of a directory. NULL is fine.
 */
void banger_dir_free(struct banger_dir *dir);

/**
 * Writes the next entry to `entry`, whose name is NULL at the end. `size` is sizeof(banger_dirent).
 */
int banger_dir_next(struct banger_dir *dir,
                    struct banger_dirent *entry,
                    size_t size,
                    struct banger_error **error);

/**
 * Returns what this machine has and lacks, as `banger doctor --json` does. `usable` is false if the directories of the
 * store cannot be used. This reads the environment: PATH, and where docker and podman keep credentials.
 */
int banger_doctor(const struct banger_store *store,
                  struct banger_string **json,
                  struct banger_error **error);

/**
 * Returns what the caller can do, naming options as docs/ffi.md does. It lives as long as the error. "" if
 * there is nothing, and for NULL.
 */
const char *banger_error_advice(const struct banger_error *error);

/**
 * Returns the code of the failure: the number that the call returned. 0 for NULL.
 */
int banger_error_code(const struct banger_error *error);

/**
 * Returns the host's error number (errno), where the host failed, and 0 otherwise.
 */
int banger_error_errno(const struct banger_error *error);

/**
 * Frees an error. NULL is fine.
 */
void banger_error_free(struct banger_error *error);

/**
 * Returns whether the same call may succeed later without any change by the caller.
 */
bool banger_error_is_transient(const struct banger_error *error);

/**
 * Returns the error as a JSON object: version, code, kind, message, advice, context. It lives as long as the
 * error. "" for NULL.
 */
const char *banger_error_json(const struct banger_error *error);

/**
 * Returns the kind of the failure, a banger_failure_kind. 0 for NULL.
 */
int banger_error_kind(const struct banger_error *error);

/**
 * Returns what failed and on what, in one line of UTF-8. It lives as long as the error. "" for NULL.
 */
const char *banger_error_message(const struct banger_error *error);

/**
 * Returns the digest of the image or blob that the event tells of, else "".
 */
const char *banger_event_digest(const struct banger_event *event);

/**
 * Returns the bytes that are done, where the event tells of bytes; else 0.
 */
uint64_t banger_event_done_bytes(const struct banger_event *event);

/**
 * Returns the event as a JSON object, as `banger --progress json` prints it.
 */
const char *banger_event_json(const struct banger_event *event);

/**
 * Returns what the event tells, a banger_step_kind. 0 for NULL.
 */
int banger_event_kind(const struct banger_event *event);

/**
 * Returns the position of the layer, 0 for the base, where the event tells of a layer; else 0.
 */
uint32_t banger_event_layer(const struct banger_event *event);

/**
 * Returns the text of a warning, of a request that is tried again, of a step or of its output, else "".
 */
const char *banger_event_message(const struct banger_event *event);

/**
 * Returns the bytes in all, where the event tells of bytes; else 0.
 */
uint64_t banger_event_size_bytes(const struct banger_event *event);

/**
 * Tells how the program ended, after banger_exec_next has told that it did. `size` is sizeof(banger_exit).
 */
int banger_exec_exit(const struct banger_exec *exec,
                     struct banger_exit *exit,
                     size_t size,
                     struct banger_error **error);

/**
 * Returns a file descriptor that is readable when the program did something, for poll, select or epoll: then call
 * banger_exec_next with a timeout of 0. It belongs to the banger_exec: do not read from it, and do not close it. -1
 * for NULL.
 */
int banger_exec_fd(const struct banger_exec *exec);

/**
 * Ends the connection, which kills a program that still runs, and frees it. NULL is fine.
 */
void banger_exec_free(struct banger_exec *exec);

/**
 * Ends the standard input of the program; on a terminal it sends the end-of-file character.
 */
int banger_exec_input_close(const struct banger_exec_input *input, struct banger_error **error);

/**
 * Frees an input; the input of the program stays open. NULL is fine.
 */
void banger_exec_input_free(struct banger_exec_input *input);

/**
 * Gives the terminal of the program another size.
 */
int banger_exec_input_resize(const struct banger_exec_input *input,
                             uint16_t rows,
                             uint16_t columns,
                             struct banger_error **error);

/**
 * Sends a signal to the process group of the program. `number` is that of Linux.
 */
int banger_exec_input_signal(const struct banger_exec_input *input, int number, struct banger_error **error);

/**
 * Writes all `length` bytes at `data` to the program's standard input or terminal. Waits while the program does not
 * take them, as long as another thread reads it with banger_exec_next. It is error 904 once the program has ended.
 */
int banger_exec_input_write(const struct banger_exec_input *input,
                            const uint8_t *data,
                            size_t length,
                            struct banger_error **error);

/**
 * Waits for what the program does next, for at most `timeout_ms` (0 does not wait, BANGER_FOREVER has no limit), and
 * writes it to `event`. `size` is sizeof(banger_exec_event).
 */
int banger_exec_next(struct banger_exec *exec,
                     uint64_t timeout_ms,
                     struct banger_exec_event *event,
                     size_t size,
                     struct banger_error **error);

/**
 * Returns the input of the program, for other threads.
 */
int banger_exec_open_input(const struct banger_exec *exec,
                           struct banger_exec_input **input,
                           struct banger_error **error);

/**
 * Returns the process id of the program in the guest. 0 for NULL.
 */
uint32_t banger_exec_pid(const struct banger_exec *exec);

/**
 * Starts a program in the guest. Options: as for banger_guest_run, and EXEC_STDIN. `cancel` ends all calls for the
 * program and kills it, also later: it has to live until banger_exec_start returns, and may be freed then.
 */
int banger_exec_start(const struct banger_guest *guest,
                      const struct banger_options *options,
                      const struct banger_cancel *cancel,
                      struct banger_exec **exec,
                      struct banger_error **error);

/**
 * Returns what the library was built with: a set of BANGER_FEATURE_* bits.
 */
uint64_t banger_features(void);

/**
 * Writes the file `path` of the guest with all bytes that can be read from the file descriptor `fd`, from its
 * position on; it may be a pipe, and stays open. Writes their number to `copied_bytes`. An earlier file stays until
 * everything has arrived. Options: COPY_MODE, COPY_UID, COPY_GID (default: those of the earlier file, or 0644 of
 * 0:0), COPY_PARENTS.
 */
int banger_guest_copy_in_fd(const struct banger_guest *guest,
                            const char *path,
                            int fd,
                            const struct banger_options *options,
                            const struct banger_cancel *cancel,
                            uint64_t *copied_bytes,
                            struct banger_error **error);

/**
 * Reads the file `path` of the guest and writes its bytes to the file descriptor `fd`, which may be a pipe and stays
 * open. Returns JSON with `bytes`. A file larger than the option MAX_COPY_BYTES of banger_guest_new (default: 64 GiB)
 * is error 921. A pipe that nobody reads is an error; it raises no SIGPIPE.
 */
int banger_guest_copy_out_fd(const struct banger_guest *guest,
                             const char *path,
                             int fd,
                             const struct banger_cancel *cancel,
                             struct banger_string **json,
                             struct banger_error **error);

/**
 * Frees a client. NULL is fine.
 */
void banger_guest_free(struct banger_guest *guest);

/**
 * Grows the root file system of the guest to the size of its block device. Returns JSON with `before_bytes` and
 * `after_bytes`.
 */
int banger_guest_grow(const struct banger_guest *guest,
                      const struct banger_cancel *cancel,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Asks whether the agent is there. Returns JSON with `agent_version`, `protocol` and `uptime_ms`.
 */
int banger_guest_health(const struct banger_guest *guest,
                        const struct banger_cancel *cancel,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Asks what the guest is and how far it has come. Returns JSON as `banger guest info --json`.
 */
int banger_guest_info(const struct banger_guest *guest,
                      const struct banger_cancel *cancel,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Makes a client of the agent at `address`: "PATH:PORT", the Unix socket in which a VMM offers the guest's vsock;
 * "vsock:CID:PORT", "unix:PATH" or "tcp:ADDRESS:PORT". The port is 5000 if it is missing. Nothing is connected yet.
 * Options: CONNECT_TIMEOUT_MS, REPLY_TIMEOUT_MS, MAX_COPY_BYTES, MAX_OUTPUT_BYTES.
 *
 * Every call ends by its time limit, and within 200 ms after its banger_cancel is set, also while the guest or the
 * VMM is silent. A guest is not trusted: text of it may hold control characters.
 */
int banger_guest_new(const char *address,
                     const struct banger_options *options,
                     struct banger_guest **guest,
                     struct banger_error **error);

/**
 * Runs a program in the guest to its end, without input, and tells how it ended. `size` is sizeof(banger_exit).
 * What it wrote goes to `output` and `error_output`, each of which may be NULL: both together are at most the option
 * MAX_OUTPUT_BYTES of banger_guest_new (default: 64 MiB), else it is error 920. Options: EXEC_ARGV, EXEC_ENV,
 * EXEC_CLEAR_ENV, EXEC_USER, EXEC_WORKING_DIR, EXEC_TIMEOUT_MS, EXEC_ROWS and EXEC_COLUMNS.
 */
int banger_guest_run(const struct banger_guest *guest,
                     const struct banger_options *options,
                     const struct banger_cancel *cancel,
                     struct banger_string **output,
                     struct banger_string **error_output,
                     struct banger_exit *exit,
                     size_t size,
                     struct banger_error **error);

/**
 * Configures the network of the guest. Returns JSON with `interface`. Options: NETWORK_INTERFACE, NETWORK_ADDRESS,
 * NETWORK_GATEWAY, NETWORK_DNS, HOSTNAME, and NETWORK_PERSIST to keep it for later boots.
 */
int banger_guest_set_network(const struct banger_guest *guest,
                             const struct banger_options *options,
                             const struct banger_cancel *cancel,
                             struct banger_string **json,
                             struct banger_error **error);

/**
 * Powers the guest off, or reboots it. It goes down after the answer.
 */
int banger_guest_shutdown(const struct banger_guest *guest,
                          bool reboot,
                          const struct banger_cancel *cancel,
                          struct banger_error **error);

/**
 * Waits until the program that banger-init runs has ended, for at most `timeout_ms` (BANGER_FOREVER: no limit), and
 * tells how. `size` is sizeof(banger_exit).
 */
int banger_guest_wait(const struct banger_guest *guest,
                      uint64_t timeout_ms,
                      const struct banger_cancel *cancel,
                      struct banger_exit *exit,
                      size_t size,
                      struct banger_error **error);

/**
 * Asks again and again until the agent answers, for at most `timeout_ms`. Returns JSON as banger_guest_health.
 */
int banger_guest_wait_ready(const struct banger_guest *guest,
                            uint64_t timeout_ms,
                            const struct banger_cancel *cancel,
                            struct banger_string **json,
                            struct banger_error **error);

/**
 * Builds the managed image `name` from the managed image `base`, by steps in a virtual machine, as `banger image
 * build` does. An older image of the name is replaced; if it was built by the same steps, it stays, and
 * banger_image_is_unchanged tells so. `kernel` is as for banger_vm_run. Options: BUILD_STEP, BUILD_NO_CACHE,
 * SIZE_BYTES, VERITY, HOSTNAME, BOOT_CPUS, BOOT_MEMORY_MIB, BOOT_APPEND, BOOT_ACCELERATION, VM_BOOT_TIMEOUT_MS,
 * VM_QEMU.
 */
int banger_image_build(const struct banger_store *store,
                       const char *base,
                       const char *name,
                       const char *kernel,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       banger_progress_fn progress,
                       void *user_data,
                       struct banger_image **image,
                       struct banger_error **error);

/**
 * Makes a container image of the disk `disk`, a managed image or the path of an ext4 file, and writes it to `reference`:
 * a registry, "oci:DIR[:NAME]" or "oci-archive:FILE[:NAME]". The image has the layers of the managed image `base`, from
 * which the machine of the disk started, and one with what the disk changed. Both images are given by name, id or the
 * unique beginning of an id; a `disk` with a slash is always a path. Returns the document of `banger image commit
 * --json`. `options`, `cancel` and `progress` may be NULL.
 */
int banger_image_commit(const struct banger_store *store,
                        const char *disk,
                        const char *base,
                        const char *reference,
                        const struct banger_options *options,
                        const struct banger_cancel *cancel,
                        banger_progress_fn progress,
                        void *user_data,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Returns the digest of the image's manifest, or of the file that was registered. It lives as long as the image. "" for NULL.
 */
const char *banger_image_digest(const struct banger_image *image);

/**
 * Frees an image; its file stays. NULL is fine.
 */
void banger_image_free(struct banger_image *image);

/**
 * Returns the id of the image. It lives as long as the image. "" for NULL.
 */
const char *banger_image_id(const struct banger_image *image);

/**
 * Returns what manifest and configuration of an image tell, as `banger image inspect --json` does, without a download
 * of its layers. `reference` and options are as for banger_metadata_of_image. `options`, `cancel` and `progress` may
 * be NULL.
 */
int banger_image_inspect(const struct banger_store *store,
                         const char *reference,
                         const struct banger_options *options,
                         const struct banger_cancel *cancel,
                         banger_progress_fn progress,
                         void *user_data,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Returns whether a pull found the image up to date and left it as it was. False for NULL.
 */
bool banger_image_is_unchanged(const struct banger_image *image);

/**
 * Returns the image's record as a JSON object, as `banger image pull --json` and `banger image show --json`
 * print it. It lives as long as the image. "" for NULL.
 */
const char *banger_image_json(const struct banger_image *image);

/**
 * Returns the name of the image. It lives as long as the image. "" for NULL.
 */
const char *banger_image_name(const struct banger_image *image);

/**
 * Returns the path of the ext4 file. It lives as long as the image. "" for NULL.
 */
const char *banger_image_path(const struct banger_image *image);

/**
 * Pushes the managed image `image`, a name, an id or the unique beginning of an id, as a finished root file system to
 * `reference`: a registry, "oci:DIR[:NAME]" or "oci-archive:FILE[:NAME]". Returns the document of `banger image push
 * --json`. banger_pull makes the same file of it, byte for byte. `options`, `cancel` and `progress` may be NULL.
 */
int banger_image_push(const struct banger_store *store,
                      const char *image,
                      const char *reference,
                      const struct banger_options *options,
                      const struct banger_cancel *cancel,
                      banger_progress_fn progress,
                      void *user_data,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Makes a managed image of the ext4 file `rootfs`, in the place of an older image of its name, as `banger image
 * register` does. The file stays as it is: the image gets a copy. `options`, `cancel` and `progress` may be NULL.
 */
int banger_image_register(const struct banger_store *store,
                          const char *rootfs,
                          const struct banger_options *options,
                          const struct banger_cancel *cancel,
                          banger_progress_fn progress,
                          void *user_data,
                          struct banger_image **image,
                          struct banger_error **error);

/**
 * Returns the length of the ext4 file. 0 for NULL.
 */
uint64_t banger_image_size_bytes(const struct banger_image *image);

/**
 * Checks whether a kernel can start an image, and returns the document of `banger kernel check --json`; `outcome` is
 * "error" if it cannot. `image` is a name, an id or the unique prefix of an id, or the path of an ext4 file; a text
 * with a slash is always a path. `kernel` is a name, an id or the unique prefix of an id; NULL is the image's own, or
 * the only kernel for its processor. Options: VMM, CHECK_FOR.
 */
int banger_kernel_check(const struct banger_store *store,
                        const char *image,
                        const char *kernel,
                        const struct banger_options *options,
                        const struct banger_cancel *cancel,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Imports a kernel into the store, and returns its document, as `banger kernel import --json` does. `source` is
 * "host", "image:NAME", "docker://HOST/NAME", "oci:DIR", "oci-archive:FILE", "docker-archive:FILE", an https address
 * with BANGER_OPT_KERNEL_SHA256, or the path of a package, another tar, a kernel image, an ext4 file or a directory.
 * `options`, `cancel` and `progress` may be NULL.
 */
int banger_kernel_import(const struct banger_store *store,
                         const char *source,
                         const struct banger_options *options,
                         const struct banger_cancel *cancel,
                         banger_progress_fn progress,
                         void *user_data,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Lists the kernels, as `banger kernel list --json` does.
 */
int banger_kernel_list(const struct banger_store *store,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Packs the kernel `wanted`, with those of BANGER_OPT_KERNEL_ALSO, as a bundle in the OCI layout `dir`, a directory
 * that is missing or empty; returns the document of `banger kernel pack --json`. `wanted` is as for
 * banger_kernel_show. `options`, `cancel` and `progress` may be NULL.
 */
int banger_kernel_pack(const struct banger_store *store,
                       const char *wanted,
                       const char *dir,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       banger_progress_fn progress,
                       void *user_data,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Pulls a kernel bundle, or an image with a kernel, into the store, and returns its document, as `banger kernel pull
 * --json` does. `wanted` is a name in BANGER_OPT_KERNEL_CATALOG, or a reference. `options`, `cancel` and `progress`
 * may be NULL.
 */
int banger_kernel_pull(const struct banger_store *store,
                       const char *wanted,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       banger_progress_fn progress,
                       void *user_data,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Removes a kernel. `wanted` is as for banger_kernel_show. A kernel in use stays: that is an error of the kind
 * BANGER_KIND_IN_USE.
 */
int banger_kernel_remove(const struct banger_store *store,
                         const char *wanted,
                         const struct banger_cancel *cancel,
                         struct banger_error **error);

/**
 * Returns the document of the kernel with the name, the id or the unique prefix of an id `wanted`, as `banger
 * kernel show --json` does.
 */
int banger_kernel_show(const struct banger_store *store,
                       const char *wanted,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Checks a credential at a registry, HOST or HOST:PORT, and keeps it where podman and docker find it, as `banger login`
 * does; returns the document of `banger login --json`. USER and PASSWORD, or IDENTITY_TOKEN, are the credential.
 * AUTH with the value "user", which is the default, keeps it in the user's own files; AUTH_FILE in the first of these.
 */
int banger_login(const struct banger_store *store,
                 const char *registry,
                 const struct banger_options *options,
                 const struct banger_cancel *cancel,
                 struct banger_string **json,
                 struct banger_error **error);

/**
 * Removes the credentials of a registry from the user's files, or those of AUTH_FILE, and from the helpers that they
 * name; returns the document of `banger logout --json`. NULL is all registries.
 */
int banger_logout(const struct banger_store *store,
                  const char *registry,
                  const struct banger_options *options,
                  const struct banger_cancel *cancel,
                  struct banger_string **json,
                  struct banger_error **error);

/**
 * Writes the entry `index`, from 0 on, to `entry`. `size` is sizeof(banger_metadata_entry).
 */
int banger_metadata_at(const struct banger_metadata *metadata,
                       size_t index,
                       struct banger_metadata_entry *entry,
                       size_t size,
                       struct banger_error **error);

/**
 * Frees metadata. NULL is fine.
 */
void banger_metadata_free(struct banger_metadata *metadata);

/**
 * Reads what banger_metadata_json has written.
 */
int banger_metadata_from_json(const char *json,
                              size_t length,
                              struct banger_metadata **metadata,
                              struct banger_error **error);

/**
 * Returns the metadata as JSON: `entries`, each `path`, `type`, `mode`, `uid`, `gid`, `mtime`, and where it has them
 * `major` and `minor`, and `xattrs` (base64). Paths are escaped as in all documents.
 */
int banger_metadata_json(const struct banger_metadata *metadata,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Returns the number of entries. 0 for NULL.
 */
size_t banger_metadata_length(const struct banger_metadata *metadata);

/**
 * Downloads an image and returns the metadata of the root file system that its layers make, without writing a
 * file system. `reference` and the options that name the image, the registry and limits are as for banger_pull.
 * `options`, `cancel` and `progress` may be NULL.
 */
int banger_metadata_of_image(const struct banger_store *store,
                             const char *reference,
                             const struct banger_options *options,
                             const struct banger_cancel *cancel,
                             banger_progress_fn progress,
                             void *user_data,
                             struct banger_metadata **metadata,
                             struct banger_error **error);

/**
 * Returns the metadata of an open file system, with the changes that are not committed yet.
 */
int banger_metadata_of_rootfs(const struct banger_rootfs *rootfs,
                              const struct banger_cancel *cancel,
                              struct banger_metadata **metadata,
                              struct banger_error **error);

/**
 * Adds a text to an option that takes a list.
 */
int banger_options_add_string(struct banger_options *options,
                              int key,
                              const char *value,
                              struct banger_error **error);

/**
 * Frees options. NULL is fine.
 */
void banger_options_free(struct banger_options *options);

/**
 * Returns options without values. Never NULL.
 */
struct banger_options *banger_options_new(void);

/**
 * Sets an option that takes a boolean.
 */
int banger_options_set_bool(struct banger_options *options, int key, bool value, struct banger_error **error);

/**
 * Sets an option that takes bytes. The bytes are copied.
 */
int banger_options_set_bytes(struct banger_options *options,
                             int key,
                             const uint8_t *data,
                             size_t length,
                             struct banger_error **error);

/**
 * Sets an option that takes a text.
 */
int banger_options_set_string(struct banger_options *options,
                              int key,
                              const char *value,
                              struct banger_error **error);

/**
 * Sets an option that takes a number.
 */
int banger_options_set_u64(struct banger_options *options,
                           int key,
                           uint64_t value,
                           struct banger_error **error);

/**
 * Pulls an image into the store, in the place of an older image of its name. `reference` is as for
 * `banger image pull`: "debian:bookworm", "oci:DIR:NAME", "docker-archive:FILE", "containers-storage:NAME". `options`,
 * `cancel` and `progress` may be NULL.
 */
int banger_pull(const struct banger_store *store,
                const char *reference,
                const struct banger_options *options,
                const struct banger_cancel *cancel,
                banger_progress_fn progress,
                void *user_data,
                struct banger_image **image,
                struct banger_error **error);

/**
 * Starts banger_pull, or banger_pull_to_file where `file` is not NULL.
 */
int banger_pull_start(const struct banger_store *store,
                      const char *reference,
                      const char *file,
                      const struct banger_options *options,
                      const struct banger_cancel *cancel,
                      struct banger_task **task,
                      struct banger_error **error);

/**
 * Pulls an image into the open file `fd`, in place: a regular file, also one in memory or without a name, or a block
 * device that is large enough. The bytes are those of banger_pull_to_file. `fd` must be open for reading and writing,
 * without O_APPEND and O_DIRECT; its position is neither used nor moved, and no lock is taken. A pipe, a socket and a
 * mounted device are error 508. banger_image_path of the image is "/dev/fd/N".
 *
 * What the file held is lost. If the call fails, a regular file is as it was or empty; a block device is as it was,
 * or its first 4096 bytes are zeros and the others undefined.
 */
int banger_pull_to_fd(const struct banger_store *store,
                      const char *reference,
                      int fd,
                      const struct banger_options *options,
                      const struct banger_cancel *cancel,
                      banger_progress_fn progress,
                      void *user_data,
                      struct banger_image **image,
                      struct banger_error **error);

/**
 * Starts banger_pull_to_fd. The task holds a copy of `fd`: you may close your own.
 */
int banger_pull_to_fd_start(const struct banger_store *store,
                            const char *reference,
                            int fd,
                            const struct banger_options *options,
                            const struct banger_cancel *cancel,
                            struct banger_task **task,
                            struct banger_error **error);

/**
 * Pulls an image into the ext4 file `file`, as `banger image pull --output` does. The file is complete when
 * this succeeds and absent when it fails.
 */
int banger_pull_to_file(const struct banger_store *store,
                        const char *reference,
                        const char *file,
                        const struct banger_options *options,
                        const struct banger_cancel *cancel,
                        banger_progress_fn progress,
                        void *user_data,
                        struct banger_image **image,
                        struct banger_error **error);

/**
 * Gives each path of `metadata` its permissions, owner, time and extended attributes, and makes the devices, FIFOs
 * and sockets that an unprivileged copy could not make. Returns JSON with `file`, `entries`, `changed`, `unchanged`,
 * `further_names`, `remade`, `mismatches` and `first_mismatches`, each `path` and `reason`. Commit afterwards.
 *
 * If it fails, parts may be done: free the file system without a commit.
 */
int banger_rootfs_apply_ownership(struct banger_rootfs *rootfs,
                                  const struct banger_metadata *metadata,
                                  const struct banger_cancel *cancel,
                                  struct banger_string **json,
                                  struct banger_error **error);

/**
 * Makes all changes since the last commit last, or none of them: also a crash leaves the one or the other. A
 * commit that has begun to count cannot be cancelled.
 */
int banger_rootfs_commit(struct banger_rootfs *rootfs,
                         const struct banger_cancel *cancel,
                         struct banger_error **error);

/**
 * Makes the empty directory `path`; its parent must exist. `size` is sizeof(banger_attrs). `attrs` may be NULL:
 * 0755, of 0:0, now.
 *
 * This and the calls below change no time but that of what they make. They change the file system in memory:
 * reads by the same handle see it, and banger_rootfs_commit makes it last. A call that fails changes nothing.
 */
int banger_rootfs_create_dir(struct banger_rootfs *rootfs,
                             const char *path,
                             size_t length,
                             const struct banger_attrs *attrs,
                             size_t size,
                             struct banger_error **error);

/**
 * Returns the document of `banger rootfs diff --json`: the paths in which `other` differs from `rootfs`, and what differs.
 * The bytes of files are compared. Both have their changes that are not committed yet.
 */
int banger_rootfs_diff(const struct banger_rootfs *rootfs,
                       const struct banger_rootfs *other,
                       const struct banger_cancel *cancel,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Returns the document of `banger rootfs du --json`: the space that `path` takes, with all that is below it. A file
 * with several hard links counts once. Option: USAGE_DETAIL.
 */
int banger_rootfs_disk_usage(const struct banger_rootfs *rootfs,
                             const char *path,
                             size_t length,
                             const struct banger_options *options,
                             const struct banger_cancel *cancel,
                             struct banger_string **json,
                             struct banger_error **error);

/**
 * Carries out a script of edits and commits it, all of it or nothing: the JSON document of docs/edit-script.md, of
 * `length` bytes or BANGER_STRLEN. Returns the document of `banger rootfs edit --json`. Earlier changes by the handle
 * belong to the commit. After an error, and after a trial, the handle has forgotten all changes since the last commit.
 * Option: DRY_RUN, a trial that changes no byte of the file.
 */
int banger_rootfs_edit_script(struct banger_rootfs *rootfs,
                              const char *script,
                              size_t length,
                              const struct banger_options *options,
                              const struct banger_cancel *cancel,
                              struct banger_string **json,
                              struct banger_error **error);

/**
 * Tells what is at `path` as JSON: an entry of `banger rootfs stat --json`, with the names of the owner, the
 * target of a symlink, capabilities and extended attributes.
 */
int banger_rootfs_entry(const struct banger_rootfs *rootfs,
                        const char *path,
                        size_t length,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Returns the document of `banger rootfs find --json`: the files at and below `path` that meet all conditions. Options:
 * FIND_NAME, FIND_PATH, FIND_TYPE, FIND_SIZE, FIND_NEWER, FIND_PERM, FIND_UID, FIND_GID, FIND_MAX_DEPTH.
 */
int banger_rootfs_find(const struct banger_rootfs *rootfs,
                       const char *path,
                       size_t length,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Closes the file system. Changes since the last commit are lost: the file system is as it was. NULL is fine.
 */
void banger_rootfs_free(struct banger_rootfs *rootfs);

/**
 * Copies `path`, with all that is below it, to `destination` of the host: a new name, or a directory. The copy is
 * complete or absent; it has all attributes that the user of this process may set, and replaces nothing. Returns the
 * document of `banger rootfs get --json`. The copy has changes that are not committed yet.
 */
int banger_rootfs_get(const struct banger_rootfs *rootfs,
                      const char *path,
                      size_t length,
                      const char *destination,
                      const struct banger_cancel *cancel,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Gives `existing`, which is not a directory, the further name `path`.
 */
int banger_rootfs_hard_link(struct banger_rootfs *rootfs,
                            const char *existing,
                            size_t existing_length,
                            const char *path,
                            size_t length,
                            struct banger_error **error);

/**
 * Puts the guest's programs into the file system and changes what keeps it from booting, as
 * `banger rootfs inject --json` does, whose document it returns. Commit afterwards. Options: INIT, GUEST_DIR,
 * ARCHITECTURE, HOSTNAME, SOURCE_DATE_EPOCH; and for the program that banger-init runs EXEC_ARGV, EXEC_ENV,
 * EXEC_USER, EXEC_WORKING_DIR.
 *
 * If it fails, parts may be done: free the file system without a commit.
 */
int banger_rootfs_inject(struct banger_rootfs *rootfs,
                         const struct banger_options *options,
                         const struct banger_cancel *cancel,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Returns whether so many changes wait that banger_rootfs_commit should come before more of them. False for NULL.
 */
bool banger_rootfs_is_commit_due(const struct banger_rootfs *rootfs);

/**
 * Writes to `size_bytes` the smallest size that banger_rootfs_resize can give the file system as it is now. It changes
 * nothing.
 */
int banger_rootfs_minimum_size(struct banger_rootfs *rootfs,
                               const struct banger_cancel *cancel,
                               uint64_t *size_bytes,
                               struct banger_error **error);

/**
 * Makes a device, FIFO or socket at `path`. `file_type` is a banger_file_type; `major` and `minor` are the numbers
 * of a device and 0 otherwise; `size` is sizeof(banger_attrs). `attrs` may be NULL: 0644, of 0:0, now.
 */
int banger_rootfs_mknod(struct banger_rootfs *rootfs,
                        const char *path,
                        size_t length,
                        uint32_t file_type,
                        uint32_t major,
                        uint32_t minor,
                        const struct banger_attrs *attrs,
                        size_t size,
                        struct banger_error **error);

/**
 * Opens the file system in `file`: an ext4, ext3 or ext2 file, or a block device that is not mounted. `flags` is
 * 0 to look into it, or BANGER_EDIT. A file that another program or handle has locked is an error of the kind
 * BANGER_KIND_IN_USE, after at most 200 ms.
 *
 * Changes stay in memory until banger_rootfs_commit. Options: SOURCE_DATE_EPOCH, the time of what is written
 * (default: now); MAX_OUTPUT_BYTES, the largest file that banger_rootfs_read returns; PARTITION or OFFSET_BYTES, the part
 * of `file` that holds the file system (default: all of it).
 */
int banger_rootfs_open(const char *file,
                       unsigned int flags,
                       const struct banger_options *options,
                       struct banger_rootfs **rootfs,
                       struct banger_error **error);

/**
 * Copies the file or directory `source` of the host to `path` and commits. A `path` that is a directory gets the copy
 * under its own name. A single file is read back from the image, and its bytes are compared. Returns the document of
 * `banger rootfs put --json`. Earlier changes by the handle belong to the commit. After an error, the handle has
 * forgotten all changes since the last commit. Options: PUT_IF_MATCH, PUT_MODE, PUT_OWNER, PUT_PARENTS.
 */
int banger_rootfs_put(struct banger_rootfs *rootfs,
                      const char *source,
                      const char *path,
                      size_t length,
                      const struct banger_options *options,
                      const struct banger_cancel *cancel,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Returns the bytes of the regular file `path`. A file larger than the option MAX_OUTPUT_BYTES of
 * banger_rootfs_open (default: 64 MiB) is error 712: read it with banger_rootfs_read_at.
 */
int banger_rootfs_read(const struct banger_rootfs *rootfs,
                       const char *path,
                       size_t length,
                       struct banger_string **content,
                       struct banger_error **error);

/**
 * Reads up to `size` bytes of the regular file `path`, from `offset` on, into `buffer`. Writes their number to
 * `read_bytes`: it is less than `size` only at the end of the file, and 0 behind it.
 */
int banger_rootfs_read_at(const struct banger_rootfs *rootfs,
                          const char *path,
                          size_t length,
                          uint64_t offset,
                          uint8_t *buffer,
                          size_t size,
                          size_t *read_bytes,
                          struct banger_error **error);

/**
 * Reads the directory `path`. The entries are ordered by the bytes of their names.
 */
int banger_rootfs_read_dir(const struct banger_rootfs *rootfs,
                           const char *path,
                           size_t length,
                           struct banger_dir **dir,
                           struct banger_error **error);

/**
 * Returns the target of the symlink `path`.
 */
int banger_rootfs_read_link(const struct banger_rootfs *rootfs,
                            const char *path,
                            size_t length,
                            struct banger_string **target,
                            struct banger_error **error);

/**
 * Removes `path`, and everything below it if it is a directory. Error 725 says that one commit cannot hold so many
 * changes: remove parts, with commits in between.
 */
int banger_rootfs_remove(struct banger_rootfs *rootfs,
                         const char *path,
                         size_t length,
                         const struct banger_cancel *cancel,
                         struct banger_error **error);

/**
 * Removes the extended attribute `name` of `path`. It is error 727 if there is no such attribute.
 */
int banger_rootfs_remove_xattr(struct banger_rootfs *rootfs,
                               const char *path,
                               size_t length,
                               const char *name,
                               struct banger_error **error);

/**
 * Moves `from` to `path`, which must not exist.
 */
int banger_rootfs_rename(struct banger_rootfs *rootfs,
                         const char *from,
                         size_t from_length,
                         const char *path,
                         size_t length,
                         struct banger_error **error);

/**
 * Repairs what is unambiguous in the ext4 file `file`, in one commit: counters, bitmaps, and their checksums. Returns the
 * document of `banger rootfs repair --json`. Other damage is no error: look at `problems`. Then nothing was changed.
 * Damage that makes the file unreadable is an error.
 */
int banger_rootfs_repair(const char *file,
                         const struct banger_cancel *cancel,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Makes the file system `size_bytes` large, and the file with it, which stays sparse; writes to `new_size_bytes` how
 * large it is then: a little less, where the end would be hardly more than metadata. A smaller size moves content away
 * from the end; after a crash the content is the same, and the size is the old one or the new one. It commits, also all
 * changes made before.
 */
int banger_rootfs_resize(struct banger_rootfs *rootfs,
                         uint64_t size_bytes,
                         const struct banger_cancel *cancel,
                         uint64_t *new_size_bytes,
                         struct banger_error **error);

/**
 * Returns `path` with every symlink followed, the last one too. Where it leads must exist.
 */
int banger_rootfs_resolve(const struct banger_rootfs *rootfs,
                          const char *path,
                          size_t length,
                          struct banger_string **resolved,
                          struct banger_error **error);

/**
 * Sets the permissions of `path`, 0 to 07777.
 */
int banger_rootfs_set_mode(struct banger_rootfs *rootfs,
                           const char *path,
                           size_t length,
                           uint32_t mode,
                           struct banger_error **error);

/**
 * Sets the time of the last modification of `path`. `nanoseconds` is less than 1000000000, or BANGER_TIME_NOW.
 */
int banger_rootfs_set_mtime(struct banger_rootfs *rootfs,
                            const char *path,
                            size_t length,
                            int64_t seconds,
                            uint32_t nanoseconds,
                            struct banger_error **error);

/**
 * Sets owner and group of `path`; BANGER_KEEP_ID keeps one. Bits such as setuid and capabilities stay.
 */
int banger_rootfs_set_owner(struct banger_rootfs *rootfs,
                            const char *path,
                            size_t length,
                            uint32_t uid,
                            uint32_t gid,
                            struct banger_error **error);

/**
 * Sets the extended attribute `name` of `path`, such as "user.note", to the `value_length` bytes at `value`.
 */
int banger_rootfs_set_xattr(struct banger_rootfs *rootfs,
                            const char *path,
                            size_t length,
                            const char *name,
                            const uint8_t *value,
                            size_t value_length,
                            struct banger_error **error);

/**
 * Returns the size of the file system in bytes. 0 for NULL.
 */
uint64_t banger_rootfs_size_bytes(const struct banger_rootfs *rootfs);

/**
 * Tells what is at `path`, a symlink itself. `size` is sizeof(banger_stat). It is error 700, of the kind
 * BANGER_KIND_NOT_FOUND, if the path does not exist.
 */
int banger_rootfs_stat(const struct banger_rootfs *rootfs,
                       const char *path,
                       size_t length,
                       struct banger_stat *stat,
                       size_t size,
                       struct banger_error **error);

/**
 * Makes the symlink `path` with the target `target`, which is stored as it is. `target_length` is the length of the
 * target, or BANGER_STRLEN; `size` is sizeof(banger_attrs). `attrs` may be NULL: 0777, of 0:0, now.
 */
int banger_rootfs_symlink(struct banger_rootfs *rootfs,
                          const char *path,
                          size_t length,
                          const char *target,
                          size_t target_length,
                          const struct banger_attrs *attrs,
                          size_t size,
                          struct banger_error **error);

/**
 * Writes `path`, with all that is below it, as a tar to the file descriptor `fd`, which may be a pipe and stays open.
 * Names in the tar begin below `path`. A symlink at `path` is followed. The tar has changes that are not committed
 * yet. Returns the document of `banger rootfs tar --json`. Other calls for the file system wait until this one ends. A
 * pipe that nobody reads is an error; it raises no SIGPIPE.
 */
int banger_rootfs_tar_fd(const struct banger_rootfs *rootfs,
                         const char *path,
                         size_t length,
                         int fd,
                         const struct banger_cancel *cancel,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Returns the document of `banger rootfs df --json`: how much space and how many inodes are in use.
 */
int banger_rootfs_usage(const struct banger_rootfs *rootfs,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Checks the whole file system but the bytes of files, with all checksums. Returns JSON with `file`, `uuid`,
 * `size_bytes`, `free_bytes`, `inodes`, `used_inodes`, `problems` (at most 100 sentences) and `problem_count`.
 * Damage is no error: look at `problems`.
 */
int banger_rootfs_verify(const struct banger_rootfs *rootfs,
                         const struct banger_cancel *cancel,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Writes the regular file `path` with the `data_length` bytes at `data`, in the place of anything there but a
 * directory; its parent must exist. Other hard links of a file that is replaced keep the old bytes. `size` is
 * sizeof(banger_attrs).
 *
 * `attrs` may be NULL: a file that is replaced gives its mode, owner and extended attributes (no capability), and
 * a new one is 0644 of 0:0; the time is now.
 */
int banger_rootfs_write(struct banger_rootfs *rootfs,
                        const char *path,
                        size_t length,
                        const uint8_t *data,
                        size_t data_length,
                        const struct banger_attrs *attrs,
                        size_t size,
                        const struct banger_cancel *cancel,
                        struct banger_error **error);

/**
 * As banger_rootfs_write, with all bytes that can be read from the file descriptor `fd`, from its position on.
 * It may be a pipe. It stays open. Zeros become holes.
 */
int banger_rootfs_write_from_fd(struct banger_rootfs *rootfs,
                                const char *path,
                                size_t length,
                                int fd,
                                const struct banger_attrs *attrs,
                                size_t size,
                                const struct banger_cancel *cancel,
                                struct banger_error **error);

/**
 * Writes /etc/banger-network.conf, which the guest reads at each boot. Commit afterwards. Options:
 * NETWORK_INTERFACE, NETWORK_ADDRESS, NETWORK_GATEWAY, NETWORK_DNS, HOSTNAME.
 */
int banger_rootfs_write_network(struct banger_rootfs *rootfs,
                                const struct banger_options *options,
                                struct banger_error **error);

/**
 * Returns the value of the extended attribute `name` of `path`. It is error 727, of the kind
 * BANGER_KIND_NOT_FOUND, if there is no such attribute.
 */
int banger_rootfs_xattr(const struct banger_rootfs *rootfs,
                        const char *path,
                        size_t length,
                        const char *name,
                        struct banger_string **value,
                        struct banger_error **error);

/**
 * Returns the extended attributes of `path` as JSON: the object `xattrs` has a name and a value in base64 for
 * each.
 */
int banger_rootfs_xattrs(const struct banger_rootfs *rootfs,
                         const char *path,
                         size_t length,
                         struct banger_string **json,
                         struct banger_error **error);

/**
 * Copies an image for one machine. A `target` with a slash is the path of an ext4 file, any other the name of a new
 * managed image, which must be free. The copy has another identity: no machine-id, host keys, random seeds and DHCP
 * leases, and another UUID. `options` may keep the identity, and give a size, a hostname, keys, a network, an environment
 * and files. They may be NULL. The copy keeps holes, and uses reflink where the host can; it is complete, or absent.
 */
int banger_store_clone(const struct banger_store *store,
                       const char *wanted,
                       const char *target,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       struct banger_image **image,
                       struct banger_error **error);

/**
 * Copies the ext4 file of an image to `file`, with its holes, by reflink where the host can. `wanted` is as for
 * banger_store_find; `replace` says whether a file that exists is replaced.
 */
int banger_store_export(const struct banger_store *store,
                        const char *wanted,
                        const char *file,
                        bool replace,
                        const struct banger_cancel *cancel,
                        struct banger_error **error);

/**
 * Finds the image with the name, the id or the unique prefix of an id `wanted`, and keeps it at its path until
 * it is freed.
 */
int banger_store_find(const struct banger_store *store,
                      const char *wanted,
                      const struct banger_cancel *cancel,
                      struct banger_image **image,
                      struct banger_error **error);

/**
 * Frees a store; what is in it stays. NULL is fine.
 */
void banger_store_free(struct banger_store *store);

/**
 * Lists the images, as `banger image list --json` does.
 */
int banger_store_list(const struct banger_store *store,
                      struct banger_string **json,
                      struct banger_error **error);

/**
 * Opens a store: `state` is the directory of the images, `cache` that of downloaded blobs. They are made when
 * they are needed. NULL is the user's own directory, which XDG_STATE_HOME, XDG_CACHE_HOME and HOME tell.
 */
int banger_store_open(const char *state,
                      const char *cache,
                      struct banger_store **store,
                      struct banger_error **error);

/**
 * Removes images, as `banger image prune --json` does: those that KEEP does not name and that are old enough for
 * OLDER_THAN_MS, or with ALL all of them. One of these options has to be set. Images in use, also by a banger_image,
 * stay.
 */
int banger_store_prune(const struct banger_store *store,
                       const struct banger_options *options,
                       const struct banger_cancel *cancel,
                       struct banger_string **json,
                       struct banger_error **error);

/**
 * Removes an image. `wanted` is as for banger_store_find. An image in use, also by a banger_image, stays: that
 * is an error of the kind BANGER_KIND_IN_USE.
 */
int banger_store_remove(const struct banger_store *store,
                        const char *wanted,
                        const struct banger_cancel *cancel,
                        struct banger_error **error);

/**
 * Gives an image another name, which must be free. `wanted` is as for banger_store_find.
 */
int banger_store_rename(const struct banger_store *store,
                        const char *wanted,
                        const char *name,
                        const struct banger_cancel *cancel,
                        struct banger_error **error);

/**
 * Checks an image against its record and its checksums, as `banger image verify --json` does; the document is
 * that of the one image. Damage is no error: look at `problems`.
 */
int banger_store_verify(const struct banger_store *store,
                        const char *wanted,
                        const struct banger_cancel *cancel,
                        struct banger_string **json,
                        struct banger_error **error);

/**
 * Returns the bytes. A NUL byte follows the last one. The pointer lives as long as the string. NULL for NULL.
 */
const char *banger_string_data(const struct banger_string *string);

/**
 * Frees a string. NULL is fine.
 */
void banger_string_free(struct banger_string *string);

/**
 * Returns the number of bytes, without the NUL byte behind them. 0 for NULL.
 */
size_t banger_string_length(const struct banger_string *string);

/**
 * Returns a file descriptor that is readable while there is an event or the end, for poll, select or epoll. It
 * belongs to the task: do not read from it, and do not close it. -1 for NULL and after the finish.
 */
int banger_task_fd(const struct banger_task *task);

/**
 * Waits for the end of a pull and hands out its image, or its error. Events that were not taken are lost.
 */
int banger_task_finish_image(struct banger_task *task,
                             struct banger_image **image,
                             struct banger_error **error);

/**
 * Waits for the end of a build and hands out its document, or its error. Events that were not taken are lost.
 */
int banger_task_finish_json(struct banger_task *task,
                            struct banger_string **json,
                            struct banger_error **error);

/**
 * Frees a task. Work that still runs is cancelled, and this waits for its end. NULL is fine.
 */
void banger_task_free(struct banger_task *task);

/**
 * Writes the next event to `event`: it lives until the next call for this task. Waits for it up to `timeout_ms`;
 * 0 does not wait. An event of the kind BANGER_EVENT_IDLE says that the time has passed; NULL says that the work
 * has ended.
 */
int banger_task_next(struct banger_task *task,
                     uint32_t timeout_ms,
                     const struct banger_event **event,
                     struct banger_error **error);

/**
 * Returns the version of the library as text, "0.1.0". It lives as long as the program.
 */
const char *banger_version(void);

/**
 * Returns the version of the library as a number: major * 1000000 + minor * 1000 + patch. Compare it with
 * BANGER_VERSION_NUMBER, the version of the header.
 */
uint32_t banger_version_number(void);

/**
 * Runs a program in a virtual machine with a copy of a managed image, without input, and returns the document of
 * `banger vm run --json`: how it ended, `stdout` and `stderr`. The machine and the copy are gone when this returns.
 * `image` is a name, an id or the unique prefix of an id; `kernel`, too, and NULL is that of the image, else the only
 * one for its processor. Needs QEMU. What the options do not set is as in the image. Options: EXEC_ARGV, EXEC_ENV, EXEC_CLEAR_ENV,
 * EXEC_USER, EXEC_WORKING_DIR, EXEC_TIMEOUT_MS, MAX_OUTPUT_BYTES, SIZE_BYTES, HOSTNAME, BOOT_CPUS, BOOT_MEMORY_MIB
 * (default: 1024), BOOT_APPEND, BOOT_ACCELERATION (default: KVM if it works), and those that begin with VM.
 */
int banger_vm_run(const struct banger_store *store,
                  const char *image,
                  const char *kernel,
                  const struct banger_options *options,
                  const struct banger_cancel *cancel,
                  banger_progress_fn progress,
                  void *user_data,
                  struct banger_string **json,
                  struct banger_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BANGER_H */
