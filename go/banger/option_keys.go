package banger

// #include "bridge.h"
import "C"

import (
	"io"
	"os"
	"strconv"
	"time"
)

// WithName sets the name of the managed image. Default: made from the reference.
func WithName(text string) Option { return textOption(C.BANGER_OPT_NAME, text) }

// WithPlatform sets the platform of the image, "linux/arm64". Default: Linux on the host's processor.
func WithPlatform(text string) Option { return textOption(C.BANGER_OPT_PLATFORM, text) }

// WithSizeBytes sets the size of the file system in bytes. Default: content x 1.25, at least 1 GiB.
func WithSizeBytes(n uint64) Option { return numberOption(C.BANGER_OPT_SIZE_BYTES, n) }

// WithSizeAtLeastBytes sets the least size of the file system, where [WithSizeBytes] is not set. Default: 1 GiB.
func WithSizeAtLeastBytes(n uint64) Option { return numberOption(C.BANGER_OPT_SIZE_AT_LEAST_BYTES, n) }

// WithInodes sets the least number of inodes. Default: one for every 16 KiB.
func WithInodes(n uint64) Option { return numberOption(C.BANGER_OPT_INODES, n) }

// WithBackend sets what writes the file system: "native" or "e2fsprogs". Default: "native".
func WithBackend(text string) Option { return textOption(C.BANGER_OPT_BACKEND, text) }

// WithInit sets the init of the guest: "auto", "image", "banger" or "install". Default: "auto".
func WithInit(text string) Option { return textOption(C.BANGER_OPT_INIT, text) }

// WithInject sets whether the image is made to boot. Default: true.
func WithInject(on bool) Option { return flagOption(C.BANGER_OPT_INJECT, on) }

// WithGuestDir sets the directory with guest binaries, banger-guest-amd64 and so on. Default: the library's own.
func WithGuestDir(text string) Option { return textOption(C.BANGER_OPT_GUEST_DIR, text) }

// WithGuestBinary sets a guest binary for the processor of the image, in the place of the library's own. It excludes
// [WithGuestDir].
func WithGuestBinary(data []byte) Option { return bytesOption(C.BANGER_OPT_GUEST_BINARY, data) }

// WithForce builds again what is up to date, and replaces an output file.
func WithForce(on bool) Option { return flagOption(C.BANGER_OPT_FORCE, on) }

// WithSourceDateEpoch sets the time, in seconds since 1970, of what has none in the input. The environment is not
// read.
func WithSourceDateEpoch(n uint64) Option { return numberOption(C.BANGER_OPT_SOURCE_DATE_EPOCH, n) }

// WithScratchDir sets the directory for scratch files of the e2fsprogs backend. Default: $TMPDIR.
func WithScratchDir(text string) Option { return textOption(C.BANGER_OPT_SCRATCH_DIR, text) }

// WithLabel sets the label of the file system, at most 16 bytes. Default: empty.
func WithLabel(text string) Option { return textOption(C.BANGER_OPT_LABEL, text) }

// WithUUID sets the UUID of the file system. Default: made from the files.
func WithUUID(text string) Option { return textOption(C.BANGER_OPT_UUID, text) }

// WithJobs sets how many layers are downloaded at a time, 1 to 64. Default: 4.
func WithJobs(n uint64) Option { return numberOption(C.BANGER_OPT_JOBS, n) }

// WithPlainHTTP uses http for any registry.
func WithPlainHTTP(on bool) Option { return flagOption(C.BANGER_OPT_PLAIN_HTTP, on) }

// WithCACert sets a PEM file with certificates to trust besides those of the system.
func WithCACert(text string) Option { return textOption(C.BANGER_OPT_CA_CERT, text) }

// WithAuth sets where credentials come from: "anonymous" or "user". The latter reads the files of docker and podman
// and runs the programs they name. Default: "anonymous".
func WithAuth(text string) Option { return textOption(C.BANGER_OPT_AUTH, text) }

// WithUser sets the user name for the registry; [WithPassword] goes with it.
func WithUser(text string) Option { return textOption(C.BANGER_OPT_USER, text) }

// WithPassword sets the password or access token for the registry; [WithUser] goes with it.
func WithPassword(text string) Option { return textOption(C.BANGER_OPT_PASSWORD, text) }

// WithIdentityToken sets the refresh token for the registry, in the place of user name and password.
func WithIdentityToken(text string) Option { return textOption(C.BANGER_OPT_IDENTITY_TOKEN, text) }

// WithAuthFile adds credential files in the format of docker, in the place of the user's own.
func WithAuthFile(texts ...string) Option { return listOption(C.BANGER_OPT_AUTH_FILE, texts) }

// WithHelperDir sets the directory of the credential helpers that files of [WithAuthFile] name. Default: $PATH.
func WithHelperDir(text string) Option { return textOption(C.BANGER_OPT_HELPER_DIR, text) }

// WithHelperTimeout sets how long such a helper may take. Default: 30 seconds.
func WithHelperTimeout(d time.Duration) Option {
	return durationOption(C.BANGER_OPT_HELPER_TIMEOUT_MS, d)
}

// WithAttempts sets how often a request is tried before the pull fails. Default: 5.
func WithAttempts(n uint64) Option { return numberOption(C.BANGER_OPT_ATTEMPTS, n) }

// WithBackoff sets the pause after the first failed attempt; it doubles with each further one. Default: 500 ms.
func WithBackoff(d time.Duration) Option { return durationOption(C.BANGER_OPT_BACKOFF_MS, d) }

// WithMaxBackoff sets the longest pause between two attempts. Default: 1 minute.
func WithMaxBackoff(d time.Duration) Option { return durationOption(C.BANGER_OPT_MAX_BACKOFF_MS, d) }

// WithConnectTimeout sets how long to wait for a connection. Default: 10 seconds.
func WithConnectTimeout(d time.Duration) Option {
	return durationOption(C.BANGER_OPT_CONNECT_TIMEOUT_MS, d)
}

// WithStallTimeout sets how long a transfer may stand still. Default: 30 seconds.
func WithStallTimeout(d time.Duration) Option {
	return durationOption(C.BANGER_OPT_STALL_TIMEOUT_MS, d)
}

// WithMinRateBytes sets the least bytes a second of a transfer; 0 allows any rate. Default: 1024.
func WithMinRateBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MIN_RATE_BYTES, n) }

// WithLimitRateBytes sets the most bytes a second of all downloads of a call together; 0 allows any rate. Default: 0.
func WithLimitRateBytes(n uint64) Option { return numberOption(C.BANGER_OPT_LIMIT_RATE_BYTES, n) }

// WithSplitAfter sets how long a server may hold up the download of a large layer before free jobs help with it.
// Default: 1 second.
func WithSplitAfter(d time.Duration) Option { return durationOption(C.BANGER_OPT_SPLIT_AFTER_MS, d) }

// WithMinPieceBytes sets the smallest piece of a layer for such help; [math.MaxUint64] leaves all layers whole.
// Default: 1 MiB.
func WithMinPieceBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MIN_PIECE_BYTES, n) }

// WithRateWindow sets how long a transfer may be slower than [WithMinRateBytes]. Default: 30 seconds.
func WithRateWindow(d time.Duration) Option { return durationOption(C.BANGER_OPT_RATE_WINDOW_MS, d) }

// WithMaxWait sets the longest time of all pauses between attempts together. Default: 10 minutes.
func WithMaxWait(d time.Duration) Option { return durationOption(C.BANGER_OPT_MAX_WAIT_MS, d) }

// WithMaxTime sets the longest time of all requests and downloads together. Default: 12 hours.
func WithMaxTime(d time.Duration) Option { return durationOption(C.BANGER_OPT_MAX_TIME_MS, d) }

// WithMaxManifestBytes sets the largest manifest or index. Default: 4 MiB.
func WithMaxManifestBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_MANIFEST_BYTES, n) }

// WithMaxConfigBytes sets the largest image configuration. Default: 16 MiB.
func WithMaxConfigBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_CONFIG_BYTES, n) }

// WithMaxDownloadBytes sets the largest total of compressed layers. Default: 1 TiB.
func WithMaxDownloadBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_DOWNLOAD_BYTES, n) }

// WithMaxContentBytes sets the largest total of files and directories, in whole blocks. Default: 64 GiB.
func WithMaxContentBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_CONTENT_BYTES, n) }

// WithMaxTarBytes sets the largest total of uncompressed layers. Default: 128 GiB.
func WithMaxTarBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_TAR_BYTES, n) }

// WithMaxEntries sets the most entries of all layers together. Default: 10000000.
func WithMaxEntries(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_ENTRIES, n) }

// WithMaxDepth sets the most directories on the way to one path. Default: 1024.
func WithMaxDepth(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_DEPTH, n) }

// WithMaxFileBytes sets the largest file, holes included. Default: 1 TiB.
func WithMaxFileBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_FILE_BYTES, n) }

// WithMaxXattrBytes sets the most room for the extended attributes of one file. Default: 4144.
func WithMaxXattrBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_XATTR_BYTES, n) }

// WithMaxMetadataBytes sets the most memory for names, targets and attributes, besides 300 bytes an entry. Default:
// 96 MiB.
func WithMaxMetadataBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_METADATA_BYTES, n) }

// WithMaxPathComponents sets the most components of paths and symlinks to resolve, besides 32 a path. Default:
// 4194304.
func WithMaxPathComponents(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_PATH_COMPONENTS, n) }

// WithMaxLayers sets the most layers of an image. Default: 512.
func WithMaxLayers(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_LAYERS, n) }

// WithMaxWarnings sets the most warnings that are kept; the rest is counted. Default: 100.
func WithMaxWarnings(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_WARNINGS, n) }

// WithMaxExtendedBytes sets the largest extended header of a tar. Default: 1 MiB.
func WithMaxExtendedBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_EXTENDED_BYTES, n) }

// WithMaxSparseExtents sets the most pieces of one sparse file. Default: 1048576.
func WithMaxSparseExtents(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_SPARSE_EXTENTS, n) }

// WithMaxURLs sets the most addresses of foreign layers that are tried. Default: 64.
func WithMaxURLs(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_URLS, n) }

// WithOlderThan removes blobs that were last used, or images that were made, longer ago than this.
func WithOlderThan(d time.Duration) Option { return durationOption(C.BANGER_OPT_OLDER_THAN_MS, d) }

// WithMaxSizeBytes removes the least recently used blobs until the cache is no larger than this.
func WithMaxSizeBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_SIZE_BYTES, n) }

// WithAll removes all blobs or images.
func WithAll(on bool) Option { return flagOption(C.BANGER_OPT_ALL, on) }

// WithDryRun tells what would be removed or edited, and changes nothing.
func WithDryRun(on bool) Option { return flagOption(C.BANGER_OPT_DRY_RUN, on) }

// WithMaxOutputBytes sets the most bytes that a call returns: output of a program, or a file. Default: 64 MiB.
func WithMaxOutputBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_OUTPUT_BYTES, n) }

// WithMaxCopyBytes sets the largest file that is copied out of a guest. Default: 64 GiB.
func WithMaxCopyBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_COPY_BYTES, n) }

// WithReplyTimeout sets how long a guest may take to answer. Default: 30 seconds.
func WithReplyTimeout(d time.Duration) Option {
	return durationOption(C.BANGER_OPT_REPLY_TIMEOUT_MS, d)
}

// WithArchitecture sets the processor of the guest, "amd64". Default: that of the programs in the image.
func WithArchitecture(text string) Option { return textOption(C.BANGER_OPT_ARCHITECTURE, text) }

// WithHostname sets the name of the machine. [Rootfs.Inject] gives it to an image that has none; default: "banger".
func WithHostname(text string) Option { return textOption(C.BANGER_OPT_HOSTNAME, text) }

// WithExecArgv sets a program and its arguments.
func WithExecArgv(texts ...string) Option { return listOption(C.BANGER_OPT_EXEC_ARGV, texts) }

// WithExecEnv adds variables of the program, each "NAME=VALUE".
func WithExecEnv(texts ...string) Option { return listOption(C.BANGER_OPT_EXEC_ENV, texts) }

// WithExecClearEnv sets whether the program gets the variables of [WithExecEnv] only. Default: false.
func WithExecClearEnv(on bool) Option { return flagOption(C.BANGER_OPT_EXEC_CLEAR_ENV, on) }

// WithExecUser sets the user of the program: "name", "uid", "name:group" or "uid:gid". Default: root.
func WithExecUser(text string) Option { return textOption(C.BANGER_OPT_EXEC_USER, text) }

// WithExecWorkingDir sets the working directory of the program. Default: "/".
func WithExecWorkingDir(text string) Option { return textOption(C.BANGER_OPT_EXEC_WORKING_DIR, text) }

// WithExecStdin sets whether the caller writes to the standard input, which is empty otherwise. Default: false.
func WithExecStdin(on bool) Option { return flagOption(C.BANGER_OPT_EXEC_STDIN, on) }

// WithExecRows sets the lines of a terminal for the program, in the place of pipes; [WithExecColumns] goes with it.
func WithExecRows(n uint64) Option { return numberOption(C.BANGER_OPT_EXEC_ROWS, n) }

// WithExecColumns sets the columns of a terminal for the program; [WithExecRows] goes with it.
func WithExecColumns(n uint64) Option { return numberOption(C.BANGER_OPT_EXEC_COLUMNS, n) }

// WithExecTimeout sets the time after which the program is killed. Default: no limit.
func WithExecTimeout(d time.Duration) Option { return durationOption(C.BANGER_OPT_EXEC_TIMEOUT_MS, d) }

// WithNetworkInterface sets the interface of the guest. Default: its only one.
func WithNetworkInterface(text string) Option {
	return textOption(C.BANGER_OPT_NETWORK_INTERFACE, text)
}

// WithNetworkAddress adds addresses of the interface, each with the length of its prefix: "10.0.0.2/24".
func WithNetworkAddress(texts ...string) Option {
	return listOption(C.BANGER_OPT_NETWORK_ADDRESS, texts)
}

// WithNetworkGateway adds default routes, at most one for IPv4 and one for IPv6.
func WithNetworkGateway(texts ...string) Option {
	return listOption(C.BANGER_OPT_NETWORK_GATEWAY, texts)
}

// WithNetworkDNS adds name servers.
func WithNetworkDNS(texts ...string) Option { return listOption(C.BANGER_OPT_NETWORK_DNS, texts) }

// WithNetworkPersist sets whether the guest keeps the network for later boots. Default: false.
func WithNetworkPersist(on bool) Option { return flagOption(C.BANGER_OPT_NETWORK_PERSIST, on) }

// WithCopyMode sets the permissions of the file, 0 to 0o7777. Default: those of the file that is replaced, or 0644.
func WithCopyMode(n uint64) Option { return numberOption(C.BANGER_OPT_COPY_MODE, n) }

// WithCopyUID sets the owner of the file. Default: that of the file that is replaced, or 0.
func WithCopyUID(n uint64) Option { return numberOption(C.BANGER_OPT_COPY_UID, n) }

// WithCopyGID sets the group of the file. Default: that of the file that is replaced, or 0.
func WithCopyGID(n uint64) Option { return numberOption(C.BANGER_OPT_COPY_GID, n) }

// WithCopyParents sets whether missing parent directories are made. Default: false.
func WithCopyParents(on bool) Option { return flagOption(C.BANGER_OPT_COPY_PARENTS, on) }

// WithKernelRef adds the kernel of the store with this name, id or unique prefix of an id to the image, and its modules
// to the file system.
func WithKernelRef(text string) Option { return textOption(C.BANGER_OPT_KERNEL_REF, text) }

// WithKernelInitrd adds an initrd; the source is a kernel image then.
func WithKernelInitrd(text string) Option { return textOption(C.BANGER_OPT_KERNEL_INITRD, text) }

// WithKernelModules adds the modules of a directory; the source is a kernel image then.
func WithKernelModules(text string) Option { return textOption(C.BANGER_OPT_KERNEL_MODULES, text) }

// WithKernelConfig adds a configuration; the source is a kernel image then.
func WithKernelConfig(text string) Option { return textOption(C.BANGER_OPT_KERNEL_CONFIG, text) }

// WithKernelPackage adds further packages of the kernel.
func WithKernelPackage(texts ...string) Option { return listOption(C.BANGER_OPT_KERNEL_PACKAGE, texts) }

// WithMaxKernelBytes limits a kernel image, not compressed. Default: 1 GiB.
func WithMaxKernelBytes(n uint64) Option { return numberOption(C.BANGER_OPT_MAX_KERNEL_BYTES, n) }

// WithKernelSHA256 sets the SHA-256 digest of the file at the address in the source: 64 hexadecimal digits.
func WithKernelSHA256(text string) Option { return textOption(C.BANGER_OPT_KERNEL_SHA256, text) }

// WithKernelCatalog sets the catalogs; the last one wins. Default: none.
func WithKernelCatalog(texts ...string) Option { return listOption(C.BANGER_OPT_KERNEL_CATALOG, texts) }

// WithKernelAlso adds further kernels to the bundle, for other architectures.
func WithKernelAlso(texts ...string) Option { return listOption(C.BANGER_OPT_KERNEL_ALSO, texts) }

// WithKernelTag sets the tag of the bundle. Default: "latest".
func WithKernelTag(text string) Option { return textOption(C.BANGER_OPT_KERNEL_TAG, text) }

// WithKernelLicence sets the licence. Default: that of the bundle a kernel came in, or "GPL-2.0-only".
func WithKernelLicence(text string) Option { return textOption(C.BANGER_OPT_KERNEL_LICENCE, text) }

// WithKernelSourceURL sets the address of the source. Default: that of the bundle a kernel came in.
func WithKernelSourceURL(text string) Option { return textOption(C.BANGER_OPT_KERNEL_SOURCE_URL, text) }

// WithKernelSourceCommit sets the commit of the source. Default: that of the bundle a kernel came in.
func WithKernelSourceCommit(text string) Option {
	return textOption(C.BANGER_OPT_KERNEL_SOURCE_COMMIT, text)
}

// WithVMM sets the virtual machine monitor: "qemu", "firecracker", "cloud-hypervisor", "libkrun" or "vz". Default:
// "qemu".
func WithVMM(text string) Option { return textOption(C.BANGER_OPT_VMM, text) }

// WithCheckFor adds uses of the guest to check for: "docker", "systemd", "k3s".
func WithCheckFor(texts ...string) Option { return listOption(C.BANGER_OPT_CHECK_FOR, texts) }

// WithBootCPUs sets the processors of the guest. Default: 1.
func WithBootCPUs(n uint64) Option { return numberOption(C.BANGER_OPT_BOOT_CPUS, n) }

// WithBootMemoryMiB sets the memory of the guest. Default: 512.
func WithBootMemoryMiB(n uint64) Option { return numberOption(C.BANGER_OPT_BOOT_MEMORY_MIB, n) }

// WithBootInitrd sets the initrd, in the place of the kernel's own and the small initramfs.
func WithBootInitrd(text string) Option { return textOption(C.BANGER_OPT_BOOT_INITRD, text) }

// WithBootRoot sets the root file system: a device, "UUID=...", "PARTUUID=..." or "LABEL=...". Default: the device
// of the disk.
func WithBootRoot(text string) Option { return textOption(C.BANGER_OPT_BOOT_ROOT, text) }

// WithBootReadOnly sets whether the guest cannot write to the disk. Default: false.
func WithBootReadOnly(on bool) Option { return flagOption(C.BANGER_OPT_BOOT_READ_ONLY, on) }

// WithBootVsock sets the Unix socket in which the monitor offers the guest's vsock. Default: the guest has no vsock.
func WithBootVsock(text string) Option { return textOption(C.BANGER_OPT_BOOT_VSOCK, text) }

// WithBootCID sets the address of the guest on vsock. Default: 3.
func WithBootCID(n uint64) Option { return numberOption(C.BANGER_OPT_BOOT_CID, n) }

// WithBootTap sets the tap device of the host for the guest's network card. Default: the guest has no card.
func WithBootTap(text string) Option { return textOption(C.BANGER_OPT_BOOT_TAP, text) }

// WithBootMAC sets the address of the network card. Default: the monitor's choice.
func WithBootMAC(text string) Option { return textOption(C.BANGER_OPT_BOOT_MAC, text) }

// WithBootAppend adds words to the kernel's command line.
func WithBootAppend(texts ...string) Option { return listOption(C.BANGER_OPT_BOOT_APPEND, texts) }

// WithBootAcceleration sets how QEMU runs the guest's instructions: "kvm" or "tcg". Default: "kvm".
func WithBootAcceleration(text string) Option {
	return textOption(C.BANGER_OPT_BOOT_ACCELERATION, text)
}

// WithBootDisk sets how QEMU attaches the disk: "virtio-pci", "virtio-mmio" or "nvme". Default: "virtio-pci".
func WithBootDisk(text string) Option { return textOption(C.BANGER_OPT_BOOT_DISK, text) }

// WithVMForward adds ports of the host that lead to ports of the guest: "8080:80" or "ADDRESS:8080:80".
func WithVMForward(texts ...string) Option { return listOption(C.BANGER_OPT_VM_FORWARD, texts) }

// WithVMFirstBoot sets whether a pending first boot is done. Default: false.
func WithVMFirstBoot(on bool) Option { return flagOption(C.BANGER_OPT_VM_FIRST_BOOT, on) }

// WithVMBootTimeout limits the time until the guest's agent answers. Default: 180 s.
func WithVMBootTimeout(d time.Duration) Option {
	return durationOption(C.BANGER_OPT_VM_BOOT_TIMEOUT_MS, d)
}

// WithVMTimeout limits the time of the whole run. Default: no limit.
func WithVMTimeout(d time.Duration) Option { return durationOption(C.BANGER_OPT_VM_TIMEOUT_MS, d) }

// WithVMQEMU sets the program of QEMU. Default: qemu-system-x86_64 or qemu-system-aarch64 in $PATH.
func WithVMQEMU(text string) Option { return textOption(C.BANGER_OPT_VM_QEMU, text) }

// WithBuildStep adds steps of a build in their order: "run:COMMAND", "script:FILE", "copy:FILE:/PATH",
// "env:NAME=VALUE" or "tools:docker".
func WithBuildStep(texts ...string) Option { return listOption(C.BANGER_OPT_BUILD_STEP, texts) }

// WithDockerHost sets the socket of docker for "docker-daemon:NAME": a path, or "unix://" and a path.
func WithDockerHost(text string) Option { return textOption(C.BANGER_OPT_DOCKER_HOST, text) }

// WithPodmanHost sets the socket of podman for "podman:NAME", in the same form.
func WithPodmanHost(text string) Option { return textOption(C.BANGER_OPT_PODMAN_HOST, text) }

// WithStorageRoot sets the directory of the storage for "containers-storage:NAME".
func WithStorageRoot(text string) Option { return textOption(C.BANGER_OPT_STORAGE_ROOT, text) }

// WithUserSources sets whether sockets and storage are looked for where docker and podman have them. That reads the
// environment and storage.conf. Default: false.
func WithUserSources(on bool) Option { return flagOption(C.BANGER_OPT_USER_SOURCES, on) }

// WithInput sets the archive for "docker-archive:-" and "oci-archive:-". An [os.File] is read by the library, any other
// reader by a goroutine, which ends with the reader. An error of the reader ends the archive.
func WithInput(archive io.Reader) Option {
	return inputOption(archive, func(options *C.banger_options, fd int) error {
		return setNumber(options, C.BANGER_OPT_INPUT_FD, uint64(fd))
	})
}

// WithBlob adds the blob of a digest, "sha256:HEX", in a regular file. With blobs no registry is asked: the reference
// has the digest of the manifest, and every byte is checked.
func WithBlob(digest string, file *os.File) Option {
	return fileOption(file, func(options *C.banger_options, fd int) error {
		return setText(options, C.BANGER_OPT_BLOB_FD, digest+"="+strconv.Itoa(fd), true)
	})
}

// WithBuildNoCache sets whether steps that were done before are done again. Default: false.
func WithBuildNoCache(on bool) Option { return flagOption(C.BANGER_OPT_BUILD_NO_CACHE, on) }

// WithRegistries sets whether the registries.conf and certs.d of podman and docker on this machine are read: "none" or
// "user". Default: "none".
func WithRegistries(text string) Option { return textOption(C.BANGER_OPT_REGISTRIES, text) }

// WithRegistriesConf adds files in the format of registries.conf, version 2, in their order. It excludes
// [WithRegistries].
func WithRegistriesConf(texts ...string) Option {
	return listOption(C.BANGER_OPT_REGISTRIES_CONF, texts)
}

// WithCertsDir adds directories with a subdirectory of certificates for each registry, HOST:PORT.
func WithCertsDir(texts ...string) Option { return listOption(C.BANGER_OPT_CERTS_DIR, texts) }

// WithCertDir sets a directory of certificates for all registries: *.crt are trusted, NAME.cert and NAME.key are the
// client's.
func WithCertDir(text string) Option { return textOption(C.BANGER_OPT_CERT_DIR, text) }

// WithClientCert sets a PEM file with a certificate for registries that ask for one; [WithClientKey] goes with it.
func WithClientCert(text string) Option { return textOption(C.BANGER_OPT_CLIENT_CERT, text) }

// WithClientKey sets the PEM file with the private key; [WithClientCert] goes with it.
func WithClientKey(text string) Option { return textOption(C.BANGER_OPT_CLIENT_KEY, text) }

// WithProxy sets the address of a proxy: "http://", "https://", "socks5://" or "socks5h://", or "environment" for the
// proxies that the environment names. Default: no proxy.
func WithProxy(text string) Option { return textOption(C.BANGER_OPT_PROXY, text) }

// WithNoProxy sets the hosts without a proxy, with commas between them; [WithProxy] goes with it.
func WithNoProxy(text string) Option { return textOption(C.BANGER_OPT_NO_PROXY, text) }

// WithPullPolicy sets when a registry is asked: "always", "missing" or "never". Default: "always".
func WithPullPolicy(text string) Option { return textOption(C.BANGER_OPT_PULL_POLICY, text) }

// WithVerifyKey names PEM files with public keys; an image is pulled only if one of them signed it. It excludes
// [WithPolicy].
func WithVerifyKey(files ...string) Option { return listOption(C.BANGER_OPT_VERIFY_KEY, files) }

// WithPolicy names the policy.json that decides which images are pulled. Default: no policy.
func WithPolicy(file string) Option { return textOption(C.BANGER_OPT_POLICY, file) }

// WithKeep names images that stay: names, ids or unique prefixes of ids.
func WithKeep(images ...string) Option { return listOption(C.BANGER_OPT_KEEP, images) }

// WithReferrers sets whether the SBOMs, attestations and signatures that refer to the image are fetched. Default: false.
func WithReferrers(on bool) Option { return flagOption(C.BANGER_OPT_REFERRERS, on) }

// WithMountFrom names a repository of the same registry, HOST/NAME, whose blobs a push takes instead of sending them.
func WithMountFrom(repository string) Option { return textOption(C.BANGER_OPT_MOUNT_FROM, repository) }

// WithRootfsOnly sets whether a pull takes a finished root file system only, as [Store.Push] pushes it, and converts no
// image. Default: false.
func WithRootfsOnly(on bool) Option { return flagOption(C.BANGER_OPT_ROOTFS_ONLY, on) }

// WithSignKey names the PEM file with the private key that signs a pushed image: PKCS #8, or as cosign encrypts it.
func WithSignKey(file string) Option { return textOption(C.BANGER_OPT_SIGN_KEY, file) }

// WithSignPassword sets the password of [WithSignKey], if that key is encrypted.
func WithSignPassword(password string) Option {
	return textOption(C.BANGER_OPT_SIGN_PASSWORD, password)
}

// WithAttest names the file that gets the SLSA provenance of a pushed image; an existing file is replaced. The
// provenance is added to the pushed image, too, and has the time of [WithSourceDateEpoch] or none.
func WithAttest(file string) Option { return textOption(C.BANGER_OPT_ATTEST, file) }

// WithCommitSquash sets whether a committed image has the whole disk as its only layer. Default: false.
func WithCommitSquash(on bool) Option { return flagOption(C.BANGER_OPT_COMMIT_SQUASH, on) }

// WithCommitCompression sets the compression of the new layer, "gzip" or "zstd". Default: "gzip".
func WithCommitCompression(name string) Option {
	return textOption(C.BANGER_OPT_COMMIT_COMPRESSION, name)
}

// WithCommitMessage sets the comment in the history of a committed image.
func WithCommitMessage(text string) Option { return textOption(C.BANGER_OPT_COMMIT_MESSAGE, text) }

// WithCommitAuthor sets the author of a committed image.
func WithCommitAuthor(text string) Option { return textOption(C.BANGER_OPT_COMMIT_AUTHOR, text) }

// WithVerity sets where the dm-verity hash tree of an image goes: "beside", a file beside the ext4 file, or "append",
// behind the file system of a single file. Default: no hash tree.
func WithVerity(place string) Option { return textOption(C.BANGER_OPT_VERITY, place) }

// WithCloneIdentity sets the identity of a clone: "new" for another machine, or "keep". Default: "new".
func WithCloneIdentity(name string) Option { return textOption(C.BANGER_OPT_CLONE_IDENTITY, name) }

// WithSSHKey sets the public keys that may log in to a clone as root, as in the files that ssh-keygen makes.
func WithSSHKey(texts ...string) Option { return listOption(C.BANGER_OPT_SSH_KEY, texts) }

// WithCloneEnv sets the variables of a clone, each "NAME=VALUE", for logins and for the program of the image.
func WithCloneEnv(texts ...string) Option { return listOption(C.BANGER_OPT_CLONE_ENV, texts) }

// WithClonePut sets the files and directories of the host that are copied into a clone, each "FILE:/PATH".
func WithClonePut(texts ...string) Option { return listOption(C.BANGER_OPT_CLONE_PUT, texts) }

// WithPartition sets the partition of a disk (GPT, MBR) that holds the file system, by number or label.
func WithPartition(name string) Option { return textOption(C.BANGER_OPT_PARTITION, name) }

// WithOffsetBytes sets the byte of a disk at which the file system begins.
func WithOffsetBytes(n uint64) Option { return numberOption(C.BANGER_OPT_OFFSET_BYTES, n) }

// WithPutIfMatch has [Rootfs.Put] write only if the file has this content: "sha256:HEX", or "absent" for no file.
func WithPutIfMatch(text string) Option { return textOption(C.BANGER_OPT_PUT_IF_MATCH, text) }

// WithPutMode sets the mode of files as for chmod, "600" or "u+x". Default: that of the replaced file, or of the source.
func WithPutMode(text string) Option { return textOption(C.BANGER_OPT_PUT_MODE, text) }

// WithPutOwner sets the owner of files and new directories, "user", "uid", "user:group" or "uid:gid".
func WithPutOwner(text string) Option { return textOption(C.BANGER_OPT_PUT_OWNER, text) }

// WithPutParents sets whether missing parent directories are made. Default: false.
func WithPutParents(on bool) Option { return flagOption(C.BANGER_OPT_PUT_PARENTS, on) }

// WithUsageDetail sets which paths are told: "summary", "directories" or "all". Default: "directories".
func WithUsageDetail(text string) Option { return textOption(C.BANGER_OPT_USAGE_DETAIL, text) }

// WithFindName sets a pattern for names, "*.conf".
func WithFindName(pattern string) Option { return textOption(C.BANGER_OPT_FIND_NAME, pattern) }

// WithFindPath sets a pattern for whole paths; its * matches slashes, too.
func WithFindPath(pattern string) Option { return textOption(C.BANGER_OPT_FIND_PATH, pattern) }

// WithFindType sets types: "file", "directory", "symlink", "char-device", "block-device", "fifo", "socket".
func WithFindType(types ...string) Option { return listOption(C.BANGER_OPT_FIND_TYPE, types) }

// WithFindSize sets the bytes of files: "+N" for more, "-N" for less, "N" for exactly.
func WithFindSize(text string) Option { return textOption(C.BANGER_OPT_FIND_SIZE, text) }

// WithFindNewer sets the time after which files were modified: "2026-01-31", RFC 3339, or "@SECONDS".
func WithFindNewer(text string) Option { return textOption(C.BANGER_OPT_FIND_NEWER, text) }

// WithFindPerm sets permissions: "644" for exactly, "-600" for all of them, "/222" for any.
func WithFindPerm(text string) Option { return textOption(C.BANGER_OPT_FIND_PERM, text) }

// WithFindUID sets the user of files.
func WithFindUID(uid uint32) Option { return numberOption(C.BANGER_OPT_FIND_UID, uint64(uid)) }

// WithFindGID sets the group of files.
func WithFindGID(gid uint32) Option { return numberOption(C.BANGER_OPT_FIND_GID, uint64(gid)) }

// WithFindMaxDepth sets the levels of directories below the start.
func WithFindMaxDepth(levels uint64) Option { return numberOption(C.BANGER_OPT_FIND_MAX_DEPTH, levels) }

// WithHeadroomBytes makes the file system as small as its content with n bytes free: no quarter more, and no least size.
// It excludes [WithSizeBytes] and [WithSizeAtLeastBytes].
func WithHeadroomBytes(n uint64) Option { return numberOption(C.BANGER_OPT_HEADROOM_BYTES, n) }

// WithJournalBytes sets the size of the journal, at least 4 MiB; 0 for no journal. Default: the usual one for the size.
func WithJournalBytes(n uint64) Option { return numberOption(C.BANGER_OPT_JOURNAL_BYTES, n) }

// WithReservedBlocks sets how many blocks of 4 KiB only root can fill. Default: 0.
func WithReservedBlocks(n uint64) Option { return numberOption(C.BANGER_OPT_RESERVED_BLOCKS, n) }

// WithOwnIdentity gives the file system a UUID that no other has, and the current time, unless they are given.
func WithOwnIdentity(on bool) Option { return flagOption(C.BANGER_OPT_OWN_IDENTITY, on) }
