package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"os"
	"unsafe"
)

// Pull pulls an image into the store, in the place of an older image of its name. reference is as for
// `banger image pull`: "debian:bookworm", "oci:DIR:NAME", "docker-archive:FILE".
func (s *Store) Pull(ctx context.Context, reference string, options ...Option) (*Image, error) {
	return s.pull(ctx, reference, pullTarget{}, options)
}

// PullToFile pulls an image into the ext4 file file, which no store knows. The file is complete when this succeeds
// and absent when it fails.
func (s *Store) PullToFile(ctx context.Context, reference, file string, options ...Option) (*Image, error) {
	path, free, err := cText("file", file)
	if err != nil {
		return nil, err
	}
	defer free()
	return s.pull(ctx, reference, pullTarget{path: path}, options)
}

// PullToFD pulls an image into the open file file, in place, with the bytes of [Store.PullToFile]. file is a regular
// file, also one in memory or without a name, or a block device that is large enough. It is open for reading and
// writing, without O_APPEND and O_DIRECT. Its position is neither used nor moved, and no lock is taken. The path of the
// image is "/dev/fd/N".
//
// What the file held is lost. If the call fails, a regular file is as it was or empty; a block device is as it was, or
// its first 4096 bytes are zeros and the others undefined. [WithName], [WithForce] and [WithScratchDir] are not used.
func (s *Store) PullToFD(ctx context.Context, reference string, file *os.File, options ...Option) (image *Image, err error) {
	err = withFD(file, func(fd C.int) (err error) {
		image, err = s.pull(ctx, reference, pullTarget{fd: fd, isFD: true}, options)
		return err
	})
	return image, err
}

// pullTarget is where a pull puts the image: an open file, a file, or the store.
type pullTarget struct {
	path *C.char
	fd   C.int
	isFD bool
}

func (s *Store) pull(ctx context.Context, reference string, target pullTarget, given []Option) (*Image, error) {
	text, free, err := cText("reference", reference)
	if err != nil {
		return nil, err
	}
	defer free()
	return s.makeImage(ctx, given, func(c imageCall) C.int {
		switch {
		case target.isFD:
			return C.banger_pull_to_fd(c.store, text, target.fd, c.options, c.cancel, c.function, c.user, c.image, c.failure)
		case target.path != nil:
			return C.banger_pull_to_file(c.store, text, target.path, c.options, c.cancel, c.function, c.user, c.image, c.failure)
		default:
			return C.banger_pull(c.store, text, c.options, c.cancel, c.function, c.user, c.image, c.failure)
		}
	})
}

// imageCall has the arguments of a function that makes an image, but for its own ones.
type imageCall struct {
	store    *C.banger_store
	options  *C.banger_options
	cancel   *C.banger_cancel
	function C.banger_progress_fn
	user     unsafe.Pointer
	image    **C.banger_image
	failure  **C.banger_error
}

// makeImage runs a function that makes an image.
func (s *Store) makeImage(ctx context.Context, given []Option, make func(call imageCall) C.int) (*Image, error) {
	var image *C.banger_image
	err := withOptions(given, func(options *C.banger_options, tell *progress) error {
		return s.handle.share(func(store *C.banger_store) error {
			return tell.run(ctx, func() { C.banger_image_free(image) }, func(
				function C.banger_progress_fn, user unsafe.Pointer, cancel *C.banger_cancel, failure **C.banger_error,
			) C.int {
				return make(imageCall{store, options, cancel, function, user, &image, failure})
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return newImage(image), nil
}

// Register makes a managed image of the ext4 file rootfs, in the place of an older image of its name. The file stays as
// it is: the image gets a copy. [WithName] and [WithKernelRef] are used.
func (s *Store) Register(ctx context.Context, rootfs string, given ...Option) (*Image, error) {
	path, free, err := cText("rootfs", rootfs)
	if err != nil {
		return nil, err
	}
	defer free()
	return s.makeImage(ctx, given, func(c imageCall) C.int {
		return C.banger_image_register(c.store, path, c.options, c.cancel, c.function, c.user, c.image, c.failure)
	})
}

// Push pushes the managed image with the name, the id or the unique prefix of an id image to reference: a registry,
// "oci:DIR[:NAME]" or "oci-archive:FILE[:NAME]". It returns the document of `banger image push --json`. [Store.Pull] makes
// the same file of it, byte for byte.
func (s *Store) Push(ctx context.Context, image, reference string, given ...Option) ([]byte, error) {
	target, free, err := cText("reference", reference)
	if err != nil {
		return nil, err
	}
	defer free()
	return s.documentTask(ctx, "image", image, given, func(
		store *C.banger_store, image *C.char, options *C.banger_options, cancel *C.banger_cancel,
		function C.banger_progress_fn, user unsafe.Pointer, json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_image_push(store, image, target, options, cancel, function, user, json, failure)
	})
}

// Commit makes a container image of the disk disk and writes it to reference: a registry, "oci:DIR[:NAME]" or
// "oci-archive:FILE[:NAME]". disk is a managed image or the path of an ext4 file; a text with a slash is always a path.
// The image has the layers of the managed image base, from which the machine of the disk started, and one with what the
// disk changed. Commit returns the document of `banger image commit --json`.
//
// Options: [WithCommitSquash], [WithCommitCompression], [WithCommitMessage], [WithCommitAuthor], [WithSourceDateEpoch],
// [WithMountFrom], [WithJobs], and those of connections and logins.
func (s *Store) Commit(ctx context.Context, disk, base, reference string, given ...Option) ([]byte, error) {
	baseImage, freeBase, err := cText("base", base)
	if err != nil {
		return nil, err
	}
	defer freeBase()
	target, free, err := cText("reference", reference)
	if err != nil {
		return nil, err
	}
	defer free()
	return s.documentTask(ctx, "disk", disk, given, func(
		store *C.banger_store, disk *C.char, options *C.banger_options, cancel *C.banger_cancel,
		function C.banger_progress_fn, user unsafe.Pointer, json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_image_commit(store, disk, baseImage, target, options, cancel, function, user, json, failure)
	})
}

// Build builds the ext4 file file from source, a directory or a tar, and returns the document of `banger rootfs
// build --json`. The file is complete when this succeeds and absent when it fails. With [WithOwnIdentity], source may
// be "", for a file system with no file.
func Build(ctx context.Context, source, file string, given ...Option) ([]byte, error) {
	sourcePath, freeSource, err := optionalText("source", source)
	if err != nil {
		return nil, err
	}
	defer freeSource()
	filePath, freeFile, err := cText("file", file)
	if err != nil {
		return nil, err
	}
	defer freeFile()
	var json *C.banger_string
	err = withOptions(given, func(options *C.banger_options, tell *progress) error {
		return tell.run(ctx, func() { C.banger_string_free(json) }, func(
			function C.banger_progress_fn, user unsafe.Pointer, cancel *C.banger_cancel, failure **C.banger_error,
		) C.int {
			return C.banger_build(
				sourcePath, filePath, options, cancel, function, user, &json, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(json), nil
}
