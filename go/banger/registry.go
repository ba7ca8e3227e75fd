package banger

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"unsafe"
)

// Inspect returns the document of `banger image inspect --json`: what manifest and configuration of an image tell,
// without a download of its layers. Options are as for [Store.MetadataOfImage].
func (s *Store) Inspect(ctx context.Context, reference string, given ...Option) ([]byte, error) {
	return s.documentTask(ctx, "reference", reference, given, func(
		store *C.banger_store, reference *C.char, options *C.banger_options, cancel *C.banger_cancel,
		function C.banger_progress_fn, user unsafe.Pointer, json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_image_inspect(store, reference, options, cancel, function, user, json, failure)
	})
}

// Login checks a credential at a registry, HOST or HOST:PORT, and keeps it where podman and docker find it; it returns
// the document of `banger login --json`. Options: [WithUser] and [WithPassword], or [WithIdentityToken], the place
// ([WithAuthFile]), and those of the connection.
func (s *Store) Login(ctx context.Context, registry string, given ...Option) ([]byte, error) {
	return s.logged(ctx, registry, given, func(
		store *C.banger_store, registry *C.char, options *C.banger_options, cancel *C.banger_cancel,
		json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_login(store, registry, options, cancel, json, failure)
	})
}

// Logout removes the credentials of a registry, or with "" those of all registries; it returns the document of `banger
// logout --json`. Options: [WithAuthFile], [WithHelperDir], [WithHelperTimeout].
func (s *Store) Logout(ctx context.Context, registry string, given ...Option) ([]byte, error) {
	return s.logged(ctx, registry, given, func(
		store *C.banger_store, registry *C.char, options *C.banger_options, cancel *C.banger_cancel,
		json **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_logout(store, registry, options, cancel, json, failure)
	})
}

func (s *Store) logged(
	ctx context.Context, registry string, given []Option, call func(
		store *C.banger_store, registry *C.char, options *C.banger_options, cancel *C.banger_cancel,
		json **C.banger_string, failure **C.banger_error,
	) C.int,
) ([]byte, error) {
	text, free, err := optionalText("registry", registry)
	if err != nil {
		return nil, err
	}
	defer free()
	var json *C.banger_string
	err = withOptions(given, func(options *C.banger_options, _ *progress) error {
		return s.handle.share(func(store *C.banger_store) error {
			return callContext(ctx, func(cancel *C.banger_cancel, failure **C.banger_error) C.int {
				return call(store, text, options, cancel, &json, failure)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(json), nil
}
