package banger

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import "context"

// document returns the document of a call that takes options.
func (r *Rootfs) document(
	ctx context.Context,
	given []Option,
	function func(*C.banger_rootfs, *C.banger_options, *C.banger_cancel, **C.banger_string, **C.banger_error) C.int,
) ([]byte, error) {
	var out *C.banger_string
	err := withOptions(given, func(options *C.banger_options, _ *progress) error {
		return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return function(rootfs, options, cancel, &out, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}

// EditScript carries out a script of edits, a JSON document that docs/edit-script.md describes, and commits it: all of it
// or nothing. It returns the document of `banger rootfs edit --json`. Earlier changes belong to the commit. After an error,
// and after a trial, all changes since the last commit are forgotten. Option: [WithDryRun], a trial that changes no byte
// of the file.
func (r *Rootfs) EditScript(ctx context.Context, script []byte, options ...Option) ([]byte, error) {
	at, n := bytesOf(string(script))
	return r.document(ctx, options, func(
		rootfs *C.banger_rootfs, options *C.banger_options, cancel *C.banger_cancel,
		out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_edit_script(rootfs, at, n, options, cancel, out, failure)
	})
}

// Put copies the file or directory source of the host to path and commits. A path that is a directory gets the copy under
// its own name. A single file is read back from the image, and its bytes are compared. Put returns the document of
// `banger rootfs put --json`. Earlier changes belong to the commit. After an error, all changes since the last commit are
// forgotten. Options: [WithPutIfMatch], [WithPutMode], [WithPutOwner], [WithPutParents].
func (r *Rootfs) Put(ctx context.Context, source, path string, options ...Option) ([]byte, error) {
	from, free, err := cText("source", source)
	if err != nil {
		return nil, err
	}
	defer free()
	at, n := bytesOf(path)
	return r.document(ctx, options, func(
		rootfs *C.banger_rootfs, options *C.banger_options, cancel *C.banger_cancel,
		out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_put(rootfs, from, at, n, options, cancel, out, failure)
	})
}

// Get copies path, with all that is below it, to destination of the host: a new name, or a directory. The copy is complete
// or absent. It has all attributes that the user of this process may set, and replaces nothing. Get returns the document
// of `banger rootfs get --json`.
func (r *Rootfs) Get(ctx context.Context, path, destination string) ([]byte, error) {
	to, free, err := cText("destination", destination)
	if err != nil {
		return nil, err
	}
	defer free()
	at, n := bytesOf(path)
	return r.document(ctx, nil, func(
		rootfs *C.banger_rootfs, _ *C.banger_options, cancel *C.banger_cancel,
		out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_get(rootfs, at, n, to, cancel, out, failure)
	})
}

// Usage returns the document of `banger rootfs df --json`: how much space and how many inodes are in use.
func (r *Rootfs) Usage() ([]byte, error) {
	return r.document(context.Background(), nil, func(
		rootfs *C.banger_rootfs, _ *C.banger_options, _ *C.banger_cancel,
		out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_usage(rootfs, out, failure)
	})
}

// DiskUsage returns the document of `banger rootfs du --json`: the space that path takes, with all that is below it. A file
// with several hard links counts once. Option: [WithUsageDetail].
func (r *Rootfs) DiskUsage(ctx context.Context, path string, options ...Option) ([]byte, error) {
	at, n := bytesOf(path)
	return r.document(ctx, options, func(
		rootfs *C.banger_rootfs, options *C.banger_options, cancel *C.banger_cancel,
		out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_disk_usage(rootfs, at, n, options, cancel, out, failure)
	})
}

// Find returns the document of `banger rootfs find --json`: the files at and below path that meet all conditions. Options:
// [WithFindName], [WithFindPath], [WithFindType], [WithFindSize], [WithFindNewer], [WithFindPerm], [WithFindUID],
// [WithFindGID], [WithFindMaxDepth].
func (r *Rootfs) Find(ctx context.Context, path string, options ...Option) ([]byte, error) {
	at, n := bytesOf(path)
	return r.document(ctx, options, func(
		rootfs *C.banger_rootfs, options *C.banger_options, cancel *C.banger_cancel,
		out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_rootfs_find(rootfs, at, n, options, cancel, out, failure)
	})
}

// Diff returns the document of `banger rootfs diff --json`: the paths in which other differs from r, and what differs.
func (r *Rootfs) Diff(ctx context.Context, other *Rootfs) ([]byte, error) {
	var made []byte
	err := other.handle.share(func(second *C.banger_rootfs) error {
		var err error
		made, err = r.document(ctx, nil, func(
			rootfs *C.banger_rootfs, _ *C.banger_options, cancel *C.banger_cancel,
			out **C.banger_string, failure **C.banger_error,
		) C.int {
			return C.banger_rootfs_diff(rootfs, second, cancel, out, failure)
		})
		return err
	})
	return made, err
}

// RepairRootfs repairs what is unambiguous in the ext4 file file, in one commit: counters, bitmaps, and their checksums. It
// returns the document of `banger rootfs repair --json`. Other damage is no error: look at problems. Then nothing was
// changed. Damage that makes the file unreadable is an error.
func RepairRootfs(ctx context.Context, file string) ([]byte, error) {
	path, free, err := cText("file", file)
	if err != nil {
		return nil, err
	}
	defer free()
	var out *C.banger_string
	err = callContext(ctx, func(cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_rootfs_repair(path, cancel, &out, failure)
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}
