package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"unsafe"
)

// documentFunction is a function of the library that takes a text, tells its progress and gives a document.
type documentFunction func(
	store *C.banger_store, text *C.char, options *C.banger_options, cancel *C.banger_cancel,
	function C.banger_progress_fn, user unsafe.Pointer, json **C.banger_string, failure **C.banger_error,
) C.int

// documentTask makes a call that tells its progress, and returns its document. name is that of the argument.
func (s *Store) documentTask(
	ctx context.Context, name, argument string, given []Option, run documentFunction,
) ([]byte, error) {
	text, free, err := cText(name, argument)
	if err != nil {
		return nil, err
	}
	defer free()
	var json *C.banger_string
	err = withOptions(given, func(options *C.banger_options, tell *progress) error {
		return s.handle.share(func(store *C.banger_store) error {
			return tell.run(ctx, func() { C.banger_string_free(json) }, func(
				function C.banger_progress_fn, user unsafe.Pointer, cancel *C.banger_cancel, failure **C.banger_error,
			) C.int {
				return run(store, text, options, cancel, function, user, &json, failure)
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(json), nil
}
