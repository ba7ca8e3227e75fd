package banger

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"io/fs"
	"os"
	"time"
	"unsafe"
)

// Rootfs is the file system in an ext4 file. Goroutines may share it: their calls take turns.
//
// Paths are absolute, with the separator "/". They may have any bytes but NUL. Symlinks in parents are followed
// inside the file system, the last component is not; [Rootfs.Resolve] follows it.
//
// Changes are in memory until [Rootfs.Commit]. Reads by the same Rootfs see them. A call that fails changes nothing.
type Rootfs struct {
	handle *handle[*C.banger_rootfs]
	file   string
}

// OpenRootfs opens the file system in file to look into it: an ext4, ext3 or ext2 file, or a block device that is
// not mounted. Options: [WithMaxOutputBytes], the largest file that [Rootfs.ReadFile] reads; [WithPartition] or
// [WithOffsetBytes], the part of the file that holds the file system.
func OpenRootfs(file string, options ...Option) (*Rootfs, error) {
	return openRootfs(file, 0, options)
}

// EditRootfs opens the file system in file to change it, alone: it is [KindInUse] while another program that locks
// it has it open. Options: as for [OpenRootfs], and [WithSourceDateEpoch], the time of what is written (default: now).
func EditRootfs(file string, options ...Option) (*Rootfs, error) {
	return openRootfs(file, C.BANGER_EDIT, options)
}

func openRootfs(file string, flags C.uint, given []Option) (*Rootfs, error) {
	path, freePath, err := cText("file", file)
	if err != nil {
		return nil, err
	}
	defer freePath()
	var rootfs *C.banger_rootfs
	err = withOptions(given, func(options *C.banger_options, _ *progress) error {
		return call(func(failure **C.banger_error) C.int {
			return C.banger_rootfs_open(path, flags, options, &rootfs, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	free := func(rootfs *C.banger_rootfs) { C.banger_rootfs_free(rootfs) }
	return &Rootfs{newHandle("Rootfs", rootfs, free), file}, nil
}

// Close closes the file system. Changes since the last commit are lost: the file is as it was.
func (r *Rootfs) Close() error {
	r.handle.close()
	return nil
}

// File returns the path of the ext4 file.
func (r *Rootfs) File() string { return r.file }

// Stat is what is at a path, as lstat tells.
type Stat struct {
	// Inode is equal for hard links of one file, and stable until the next change.
	Inode uint64
	// SizeBytes is the length of a regular file or of the target of a symlink; 0 for other types.
	SizeBytes int64
	// ModTime is the time of the last modification.
	ModTime time.Time
	// Mode has the type, the permissions, and the setuid, setgid and sticky bits.
	Mode fs.FileMode
	// UID and GID are the owner and the group.
	UID, GID uint32
	// Links is the number of hard links.
	Links uint32
	// DeviceMajor and DeviceMinor are the numbers of a device.
	DeviceMajor, DeviceMinor uint32
}

// Lstat tells what is at path, a symlink itself.
func (r *Rootfs) Lstat(path string) (*Stat, error) {
	var stat C.banger_stat
	err := r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_stat(rootfs, at, n, &stat, C.sizeof_banger_stat, failure)
	})
	if err != nil {
		return nil, err
	}
	return &Stat{
		Inode:       uint64(stat.inode),
		SizeBytes:   int64(stat.size_bytes),
		ModTime:     time.Unix(int64(stat.mtime_seconds), int64(stat.mtime_nanoseconds)),
		Mode:        fileMode(uint32(stat.file_type), uint32(stat.mode)),
		UID:         uint32(stat.uid),
		GID:         uint32(stat.gid),
		Links:       uint32(stat.nlink),
		DeviceMajor: uint32(stat.device_major),
		DeviceMinor: uint32(stat.device_minor),
	}, nil
}

// Entry returns the entry of path in `banger rootfs stat --json`: names of the owner, target of a symlink,
// capabilities and extended attributes.
func (r *Rootfs) Entry(path string) ([]byte, error) {
	return r.bytes(path, func(
		rootfs *C.banger_rootfs, at *C.char, n C.size_t, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_entry(rootfs, at, n, out, failure)
	})
}

// Resolve returns path with every symlink followed, the last one too. Where it leads must exist.
func (r *Rootfs) Resolve(path string) (string, error) {
	resolved, err := r.bytes(path, func(
		rootfs *C.banger_rootfs, at *C.char, n C.size_t, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_resolve(rootfs, at, n, out, failure)
	})
	return string(resolved), err
}

// ReadFile returns the bytes of the regular file path. Files larger than [WithMaxOutputBytes] (default: 64 MiB) are
// [KindLimit]: read them with [Rootfs.ReadAt] or through [Rootfs.FS].
func (r *Rootfs) ReadFile(path string) ([]byte, error) {
	return r.bytes(path, func(
		rootfs *C.banger_rootfs, at *C.char, n C.size_t, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_read(rootfs, at, n, out, failure)
	})
}

// ReadAt reads bytes of the regular file path from offset on, and returns their number. It is less than len(buffer)
// at the end of the file only, which is no error.
func (r *Rootfs) ReadAt(path string, buffer []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, argumentError("offset is negative")
	}
	var read C.size_t
	err := r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_read_at(
			rootfs, at, n, C.uint64_t(offset), bytePointer(buffer), C.size_t(len(buffer)), &read, failure)
	})
	return int(read), err
}

// ReadLink returns the target of the symlink path.
func (r *Rootfs) ReadLink(path string) (string, error) {
	target, err := r.bytes(path, func(
		rootfs *C.banger_rootfs, at *C.char, n C.size_t, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_read_link(rootfs, at, n, out, failure)
	})
	return string(target), err
}

// DirEntry is a name in a directory.
type DirEntry struct {
	// Name may have any bytes but "/" and NUL.
	Name string
	// Type is the type alone, as fs.FileMode.Type returns it.
	Type fs.FileMode
	// Inode is the number of the inode.
	Inode uint64
}

// ReadDir returns the entries of the directory path, ordered by the bytes of their names.
func (r *Rootfs) ReadDir(path string) ([]DirEntry, error) {
	var dir *C.banger_dir
	err := r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_read_dir(rootfs, at, n, &dir, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.banger_dir_free(dir)
	entries := []DirEntry{}
	for {
		var entry C.banger_dirent
		err := call(func(failure **C.banger_error) C.int {
			return C.banger_dir_next(dir, &entry, C.sizeof_banger_dirent, failure)
		})
		if err != nil {
			return nil, err
		}
		if entry.name == nil {
			return entries, nil
		}
		entries = append(entries, DirEntry{
			Name:  C.GoStringN(entry.name, C.int(entry.name_length)),
			Type:  fileMode(uint32(entry.file_type), 0),
			Inode: uint64(entry.inode),
		})
	}
}

// Xattr returns the value of the extended attribute name of path. It is [KindNotFound] if there is none.
func (r *Rootfs) Xattr(path, name string) ([]byte, error) {
	attribute, free, err := cText("name", name)
	if err != nil {
		return nil, err
	}
	defer free()
	return r.bytes(path, func(
		rootfs *C.banger_rootfs, at *C.char, n C.size_t, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_xattr(rootfs, at, n, attribute, out, failure)
	})
}

// Xattrs returns the extended attributes of path as a document: the object xattrs has a name and a value in base64
// for each.
func (r *Rootfs) Xattrs(path string) ([]byte, error) {
	return r.bytes(path, func(
		rootfs *C.banger_rootfs, at *C.char, n C.size_t, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_xattrs(rootfs, at, n, out, failure)
	})
}

// SizeBytes returns the size of the file system; 0 after Close.
func (r *Rootfs) SizeBytes() (size uint64) {
	_ = r.handle.share(func(rootfs *C.banger_rootfs) error {
		size = uint64(C.banger_rootfs_size_bytes(rootfs))
		return nil
	})
	return size
}

// Verify checks the whole file system but the bytes of files, with all checksums. It returns a document with
// uuid, size_bytes, free_bytes, used_inodes and problems. Damage is no error: look at problems.
func (r *Rootfs) Verify(ctx context.Context) ([]byte, error) {
	var out *C.banger_string
	err := r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_rootfs_verify(rootfs, cancel, &out, failure)
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}

// Tar writes path, with all that is below it, as a tar to file, which may be a pipe. Names in the tar begin below path. A
// symlink at path is followed. The tar has changes that are not committed yet. Tar returns the document of `banger rootfs
// tar --json`.
func (r *Rootfs) Tar(ctx context.Context, path string, file *os.File) ([]byte, error) {
	var out *C.banger_string
	at, n := bytesOf(path)
	err := withFD(file, func(fd C.int) error {
		return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return C.banger_rootfs_tar_fd(rootfs, at, n, fd, cancel, &out, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}

// Attributes are permissions, owner and time of something that is made.
type Attributes struct {
	// Mode has the permissions, and the setuid, setgid and sticky bits. Its type is not used.
	Mode fs.FileMode
	// UID and GID are the owner and the group.
	UID, GID uint32
	// ModTime is the time of the last modification. The zero Time is the time of the call.
	ModTime time.Time
}

// forC returns the attributes for C; nil is NULL.
func (a *Attributes) forC() *C.banger_attrs {
	if a == nil {
		return nil
	}
	attrs := &C.banger_attrs{
		mode: C.uint32_t(modeBits(a.Mode)), uid: C.uint32_t(a.UID), gid: C.uint32_t(a.GID),
		mtime_nanoseconds: C.BANGER_TIME_NOW,
	}
	if !a.ModTime.IsZero() {
		attrs.mtime_seconds = C.int64_t(a.ModTime.Unix())
		attrs.mtime_nanoseconds = C.uint32_t(a.ModTime.Nanosecond())
	}
	return attrs
}

// Mkdir makes the empty directory path; its parent must exist. attributes may be nil: 0755, of 0:0, now.
func (r *Rootfs) Mkdir(path string, attributes *Attributes) error {
	attrs := attributes.forC()
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_create_dir(rootfs, at, n, attrs, C.sizeof_banger_attrs, failure)
	})
}

// WriteFile writes the regular file path, in the place of anything there but a directory; its parent must exist.
// Other hard links of a file that is replaced keep the old bytes.
//
// attributes may be nil. A file that is replaced then gives its mode, owner and extended attributes, but no
// capability; a new one is 0644 of 0:0.
func (r *Rootfs) WriteFile(ctx context.Context, path string, data []byte, attributes *Attributes) error {
	attrs := attributes.forC()
	at, n := bytesOf(path)
	return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_rootfs_write(
			rootfs, at, n, bytePointer(data), C.size_t(len(data)), attrs, C.sizeof_banger_attrs, cancel, failure)
	})
}

// WriteFrom is WriteFile with all bytes that can be read from file, from its position on. Zeros become holes.
// The file may be a pipe; another reader can be copied into an [os.Pipe].
func (r *Rootfs) WriteFrom(ctx context.Context, path string, file *os.File, attributes *Attributes) error {
	attrs := attributes.forC()
	at, n := bytesOf(path)
	return withFD(file, func(fd C.int) error {
		return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return C.banger_rootfs_write_from_fd(
				rootfs, at, n, fd, attrs, C.sizeof_banger_attrs, cancel, failure)
		})
	})
}

// Symlink makes the symlink path with the target target. attributes may be nil: 0777, of 0:0, now.
func (r *Rootfs) Symlink(target, path string, attributes *Attributes) error {
	attrs := attributes.forC()
	to, toLength := bytesOf(target)
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_symlink(rootfs, at, n, to, toLength, attrs, C.sizeof_banger_attrs, failure)
	})
}

// Link gives existing, which is not a directory, the further name path.
func (r *Rootfs) Link(existing, path string) error {
	from, fromLength := bytesOf(existing)
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_hard_link(rootfs, from, fromLength, at, n, failure)
	})
}

// Mknod makes a device, FIFO or socket at path; the type is that of fileType. major and minor are the numbers of a
// device, and 0 otherwise. attributes may be nil: 0644, of 0:0, now.
func (r *Rootfs) Mknod(path string, fileType fs.FileMode, major, minor uint32, attributes *Attributes) error {
	attrs := attributes.forC()
	number := C.uint32_t(typeNumber(fileType))
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_mknod(
			rootfs, at, n, number, C.uint32_t(major), C.uint32_t(minor), attrs, C.sizeof_banger_attrs, failure)
	})
}

// RemoveAll removes path, and everything below it if it is a directory. Code 725 says that one commit cannot hold so
// many changes: remove parts, with commits in between.
func (r *Rootfs) RemoveAll(ctx context.Context, path string) error {
	at, n := bytesOf(path)
	return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_rootfs_remove(rootfs, at, n, cancel, failure)
	})
}

// Rename moves from to path, which must not exist.
func (r *Rootfs) Rename(from, path string) error {
	old, oldLength := bytesOf(from)
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_rename(rootfs, old, oldLength, at, n, failure)
	})
}

// Chmod sets the permissions of path, with the setuid, setgid and sticky bits of mode.
func (r *Rootfs) Chmod(path string, mode fs.FileMode) error {
	bits := C.uint32_t(modeBits(mode))
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_set_mode(rootfs, at, n, bits, failure)
	})
}

// Chown sets owner and group of path; -1 keeps one. Bits such as setuid, and capabilities, stay.
func (r *Rootfs) Chown(path string, uid, gid int) error {
	owner, err := idNumber("uid", uid)
	if err != nil {
		return err
	}
	group, err := idNumber("gid", gid)
	if err != nil {
		return err
	}
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_set_owner(rootfs, at, n, owner, group, failure)
	})
}

func idNumber(name string, id int) (C.uint32_t, error) {
	switch {
	case id == -1:
		return C.BANGER_KEEP_ID, nil
	case id < 0 || int64(id) >= C.BANGER_KEEP_ID:
		return 0, argumentError(name + " is no number of a user or group")
	}
	return C.uint32_t(id), nil
}

// SetModTime sets the time of the last modification of path. The zero Time is the time of the call.
func (r *Rootfs) SetModTime(path string, modTime time.Time) error {
	attrs := (&Attributes{ModTime: modTime}).forC()
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_set_mtime(rootfs, at, n, attrs.mtime_seconds, attrs.mtime_nanoseconds, failure)
	})
}

// SetXattr sets the extended attribute name of path, such as "user.note".
func (r *Rootfs) SetXattr(path, name string, value []byte) error {
	attribute, free, err := cText("name", name)
	if err != nil {
		return err
	}
	defer free()
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_set_xattr(
			rootfs, at, n, attribute, bytePointer(value), C.size_t(len(value)), failure)
	})
}

// RemoveXattr removes the extended attribute name of path. It is [KindNotFound] if there is none.
func (r *Rootfs) RemoveXattr(path, name string) error {
	attribute, free, err := cText("name", name)
	if err != nil {
		return err
	}
	defer free()
	return r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return C.banger_rootfs_remove_xattr(rootfs, at, n, attribute, failure)
	})
}

// CommitDue reports whether so many changes wait that a commit should come before more of them.
func (r *Rootfs) CommitDue() (due bool) {
	_ = r.handle.share(func(rootfs *C.banger_rootfs) error {
		due = bool(C.banger_rootfs_is_commit_due(rootfs))
		return nil
	})
	return due
}

// Commit writes all changes since the last commit to the file, or none of them: also after a crash the file has the
// old state or the new one.
func (r *Rootfs) Commit(ctx context.Context) error {
	return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_rootfs_commit(rootfs, cancel, failure)
	})
}

// MinimumSize returns the smallest size that [Rootfs.Resize] can give the file system as it is now.
func (r *Rootfs) MinimumSize(ctx context.Context) (uint64, error) {
	var size C.uint64_t
	err := r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_rootfs_minimum_size(rootfs, cancel, &size, failure)
	})
	return uint64(size), err
}

// Resize makes the file system sizeBytes large, and the file with it, which stays sparse. It returns the new size,
// which may be a little less. A smaller size moves content away from the end. It commits all changes.
func (r *Rootfs) Resize(ctx context.Context, sizeBytes uint64) (uint64, error) {
	var size C.uint64_t
	err := r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_rootfs_resize(rootfs, C.uint64_t(sizeBytes), cancel, &size, failure)
	})
	return uint64(size), err
}

// look runs a function that takes a path and returns soon.
func (r *Rootfs) look(
	path string,
	function func(rootfs *C.banger_rootfs, path *C.char, length C.size_t, failure **C.banger_error) C.int,
) error {
	at, n := bytesOf(path)
	return r.handle.share(func(rootfs *C.banger_rootfs) error {
		return call(func(failure **C.banger_error) C.int { return function(rootfs, at, n, failure) })
	})
}

// bytes runs a function that takes a path and answers with bytes.
func (r *Rootfs) bytes(
	path string,
	function func(
		rootfs *C.banger_rootfs, path *C.char, length C.size_t, out **C.banger_string, failure **C.banger_error,
	) C.int,
) ([]byte, error) {
	var out *C.banger_string
	err := r.look(path, func(rootfs *C.banger_rootfs, at *C.char, n C.size_t, failure **C.banger_error) C.int {
		return function(rootfs, at, n, &out, failure)
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}

// run runs a function that ctx cancels.
func (r *Rootfs) run(
	ctx context.Context,
	function func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int,
) error {
	return r.handle.share(func(rootfs *C.banger_rootfs) error {
		return callContext(ctx, func(cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return function(rootfs, cancel, failure)
		})
	})
}

// withFD runs function with the file descriptor of file, which stays open meanwhile.
func withFD(file *os.File, function func(fd C.int) error) error {
	connection, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := connection.Control(func(fd uintptr) { result = function(C.int(fd)) }); err != nil {
		return err
	}
	return result
}

// bytePointer returns where the bytes of data are, for a call that does not keep them.
func bytePointer(data []byte) *C.uint8_t {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(data)))
}
