package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"unsafe"
)

// RunVM runs a program in a virtual machine with a copy of a managed image, without input, and returns the document of
// `banger vm run --json`: how it ended, stdout and stderr. The machine and the copy are gone when it returns. An empty
// kernel is that of the image, else the only one for its processor. It needs QEMU. Options: [WithExecArgv] and the others that begin
// with WithExec, [WithMaxOutputBytes], [WithSizeBytes], [WithHostname], [WithBootCPUs], [WithBootMemoryMiB],
// [WithBootAppend], [WithBootAcceleration], and those that begin with WithVM.
func (s *Store) RunVM(ctx context.Context, image, kernel string, given ...Option) ([]byte, error) {
	var json *C.banger_string
	err := s.machine(ctx, image, "", kernel, given, func(call machineCall) C.int {
		return C.banger_vm_run(
			call.store, call.image, call.kernel, call.options, call.cancel, call.progress, call.user, &json, call.failure)
	}, func() { C.banger_string_free(json) })
	if err != nil {
		return nil, err
	}
	return takeBytes(json), nil
}

// BuildImage builds the managed image name from the managed image base, by steps in a virtual machine, as `banger
// image build` does. An older image of the name is replaced; if it was built by the same steps, it stays, and
// [Image.Unchanged] tells so. kernel is as for [Store.RunVM]. Options: [WithBuildStep], [WithBuildNoCache],
// [WithSizeBytes], [WithHostname], [WithBootCPUs], [WithBootMemoryMiB], [WithBootAppend], [WithBootAcceleration],
// [WithVMBootTimeout], [WithVMQEMU].
func (s *Store) BuildImage(ctx context.Context, base, name, kernel string, given ...Option) (*Image, error) {
	var image *C.banger_image
	err := s.machine(ctx, base, name, kernel, given, func(call machineCall) C.int {
		return C.banger_image_build(
			call.store, call.image, call.name, call.kernel, call.options, call.cancel, call.progress, call.user, &image,
			call.failure)
	}, func() { C.banger_image_free(image) })
	if err != nil {
		return nil, err
	}
	return newImage(image), nil
}

// machineCall has what a call with a virtual machine takes.
type machineCall struct {
	store               *C.banger_store
	image, name, kernel *C.char
	options             *C.banger_options
	cancel              *C.banger_cancel
	progress            C.banger_progress_fn
	user                unsafe.Pointer
	failure             **C.banger_error
}

// machine makes a call with progress. free frees its result where the progress function panicked.
func (s *Store) machine(
	ctx context.Context, image, name, kernel string, given []Option, call func(machineCall) C.int, free func(),
) error {
	var made machineCall
	for _, one := range []struct {
		what, text string
		to         **C.char
	}{{"image", image, &made.image}, {"name", name, &made.name}, {"kernel", kernel, &made.kernel}} {
		text, freeText, err := optionalText(one.what, one.text)
		if err != nil {
			return err
		}
		defer freeText()
		*one.to = text
	}
	return withOptions(given, func(options *C.banger_options, tell *progress) error {
		return s.handle.share(func(store *C.banger_store) error {
			made.store, made.options = store, options
			return tell.run(ctx, free, func(
				function C.banger_progress_fn, user unsafe.Pointer, cancel *C.banger_cancel, failure **C.banger_error,
			) C.int {
				made.progress, made.user, made.cancel, made.failure = function, user, cancel, failure
				return call(made)
			})
		})
	})
}
