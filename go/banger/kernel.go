package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"unsafe"
)

// ImportKernel imports a kernel into the store, and returns the document of `banger kernel import --json`. source is
// "host", "image:NAME", "docker://HOST/NAME", "oci:DIR", "oci-archive:FILE", "docker-archive:FILE", an https address
// with [WithKernelSHA256], or the path of a package, another tar, a kernel image, an ext4 file or a directory.
func (s *Store) ImportKernel(ctx context.Context, source string, given ...Option) ([]byte, error) {
	return s.documentTask(ctx, "source", source, given, func(
		store *C.banger_store, source *C.char, options *C.banger_options, cancel *C.banger_cancel,
		function C.banger_progress_fn, user unsafe.Pointer, json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_kernel_import(store, source, options, cancel, function, user, json, failure)
	})
}

// PullKernel pulls a kernel bundle, or an image with a kernel, into the store, and returns the document of `banger
// kernel pull --json`. wanted is a name in [WithKernelCatalog], or a reference.
func (s *Store) PullKernel(ctx context.Context, wanted string, given ...Option) ([]byte, error) {
	return s.documentTask(ctx, "wanted", wanted, given, func(
		store *C.banger_store, wanted *C.char, options *C.banger_options, cancel *C.banger_cancel,
		function C.banger_progress_fn, user unsafe.Pointer, json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_kernel_pull(store, wanted, options, cancel, function, user, json, failure)
	})
}

// PackKernels packs the kernel wanted, with those of [WithKernelAlso], as a bundle in the OCI layout dir, a directory
// that is missing or empty. It returns the document of `banger kernel pack --json`.
func (s *Store) PackKernels(ctx context.Context, wanted, dir string, given ...Option) ([]byte, error) {
	place, free, err := cText("dir", dir)
	if err != nil {
		return nil, err
	}
	defer free()
	return s.documentTask(ctx, "wanted", wanted, given, func(
		store *C.banger_store, wanted *C.char, options *C.banger_options, cancel *C.banger_cancel,
		function C.banger_progress_fn, user unsafe.Pointer, json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_kernel_pack(store, wanted, place, options, cancel, function, user, json, failure)
	})
}

// ListKernels returns the document of `banger kernel list --json`: the kernels, and those that are damaged.
func (s *Store) ListKernels() ([]byte, error) {
	return s.document(func(store *C.banger_store, out **C.banger_string, failure **C.banger_error) C.int {
		return C.banger_kernel_list(store, out, failure)
	})
}

// ShowKernel returns the document of `banger kernel show --json` for the kernel with the name, the id or the unique
// prefix of an id wanted.
func (s *Store) ShowKernel(wanted string) ([]byte, error) {
	text, free, err := cText("wanted", wanted)
	if err != nil {
		return nil, err
	}
	defer free()
	return s.document(func(store *C.banger_store, out **C.banger_string, failure **C.banger_error) C.int {
		return C.banger_kernel_show(store, text, out, failure)
	})
}

// RemoveKernel removes a kernel; wanted is as for [Store.ShowKernel]. A kernel in use stays: that is an error of
// [KindInUse].
func (s *Store) RemoveKernel(ctx context.Context, wanted string) error {
	return s.change(ctx, wanted, "", func(
		store *C.banger_store, wanted, _ *C.char, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int {
		return C.banger_kernel_remove(store, wanted, cancel, failure)
	})
}
