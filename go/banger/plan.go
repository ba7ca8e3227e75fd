package banger

// #include "bridge.h"
import "C"

import (
	"context"
)

// CheckKernel checks whether a kernel can start an image, and returns the document of `banger kernel check --json`;
// its outcome is "error" if it cannot. image is a managed image or the path of an ext4 file; a text with a slash is
// always a path. An empty kernel is the image's own, or the only one for its processor. Options: [WithVMM], [WithCheckFor].
func (s *Store) CheckKernel(ctx context.Context, image, kernel string, given ...Option) ([]byte, error) {
	return s.planned(ctx, image, kernel, given, func(
		store *C.banger_store, image, kernel *C.char, options *C.banger_options, cancel *C.banger_cancel,
		json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_kernel_check(store, image, kernel, options, cancel, json, failure)
	})
}

// BootPlan plans the start of an image by a virtual machine monitor, and returns the document of `banger image
// boot-plan --json`. image and kernel are as for [Store.CheckKernel]. Options: [WithVMM] and those that begin with
// WithBoot or WithNetwork.
func (s *Store) BootPlan(ctx context.Context, image, kernel string, given ...Option) ([]byte, error) {
	return s.planned(ctx, image, kernel, given, func(
		store *C.banger_store, image, kernel *C.char, options *C.banger_options, cancel *C.banger_cancel,
		json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_boot_plan(store, image, kernel, options, cancel, json, failure)
	})
}

// Doctor returns the document of `banger doctor --json`: what this machine has and lacks.
func (s *Store) Doctor() ([]byte, error) {
	return s.document(func(store *C.banger_store, out **C.banger_string, failure **C.banger_error) C.int {
		return C.banger_doctor(store, out, failure)
	})
}

func (s *Store) planned(
	ctx context.Context, image, kernel string, given []Option, call func(
		store *C.banger_store, image, kernel *C.char, options *C.banger_options, cancel *C.banger_cancel,
		json **C.banger_string, failure **C.banger_error,
	) C.int,
) ([]byte, error) {
	imageText, free, err := cText("image", image)
	if err != nil {
		return nil, err
	}
	defer free()
	kernelText, freeKernel, err := optionalText("kernel", kernel)
	if err != nil {
		return nil, err
	}
	defer freeKernel()
	var json *C.banger_string
	err = withOptions(given, func(options *C.banger_options, _ *progress) error {
		return s.handle.share(func(store *C.banger_store) error {
			return callContext(ctx, func(cancel *C.banger_cancel, failure **C.banger_error) C.int {
				return call(store, imageText, kernelText, options, cancel, &json, failure)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(json), nil
}
