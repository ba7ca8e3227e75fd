// Package banger turns container images into bootable ext4 file systems, without a daemon, root, mounts or mkfs.
//
// It calls the C library libbanger, which pkg-config has to find under the name "banger".
//
//   - [Store.Pull] makes an ext4 file of an image of a registry, an OCI layout or an archive.
//   - [OpenRootfs] and [EditRootfs] look into an ext4 file and change it. A commit is atomic.
//   - [FS] is an ext4 file as an [io/fs.FS].
//   - [Guest] talks to a virtual machine that runs: it executes programs and copies files.
//
// # Cancellation
//
// A call that takes a [context.Context] returns soon after the context ends, also while it waits for a server, a
// guest or a lock. Its error matches the error of the context: errors.Is(err, context.Canceled) holds.
//
// # Errors
//
// A call that fails returns an [*Error], with a stable code and a [Kind]. It also matches [io/fs.ErrNotExist],
// [io/fs.ErrExist] and [io/fs.ErrPermission], where the kind says so, and the [syscall.Errno] of the host.
//
// # Goroutines and memory
//
// All types may be used by many goroutines. A call holds one thread of the operating system until it returns, and
// a pull uses about seven more, so bound the number of pulls that run together. Each value with a Close method
// holds memory of the C library. The garbage collector frees what was not closed, but an [Image] and a [Rootfs]
// hold a lock besides: close them.
package banger
