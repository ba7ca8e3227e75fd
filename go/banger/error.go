package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"syscall"
)

// Kind is what a program decides by when a call fails. Later versions may add kinds.
type Kind int

// The kinds of failures.
const (
	// KindCancelled: the caller asked to stop.
	KindCancelled Kind = C.BANGER_KIND_CANCELLED
	// KindNotFound: a file, image, name or path does not exist.
	KindNotFound Kind = C.BANGER_KIND_NOT_FOUND
	// KindExists: something exists already in the place of what was to be made.
	KindExists Kind = C.BANGER_KIND_EXISTS
	// KindAccess: a server or the host refuses access.
	KindAccess Kind = C.BANGER_KIND_ACCESS
	// KindNetwork: a server cannot be reached, or does not answer as it has to.
	KindNetwork Kind = C.BANGER_KIND_NETWORK
	// KindNoSpace: the disk, the quota or the image is full.
	KindNoSpace Kind = C.BANGER_KIND_NO_SPACE
	// KindLimit: the input costs more than a limit allows.
	KindLimit Kind = C.BANGER_KIND_LIMIT
	// KindInUse: another process or goroutine uses the file.
	KindInUse Kind = C.BANGER_KIND_IN_USE
	// KindDamaged: the input is damaged or malformed.
	KindDamaged Kind = C.BANGER_KIND_DAMAGED
	// KindUnsupported: the input is sound, but has something that banger does not support.
	KindUnsupported Kind = C.BANGER_KIND_UNSUPPORTED
	// KindArgument: an argument or option has a value that makes no sense.
	KindArgument Kind = C.BANGER_KIND_ARGUMENT
	// KindGuest: a guest answered with an error, or not at all.
	KindGuest Kind = C.BANGER_KIND_GUEST
	// KindInternal: the host failed otherwise, or banger has a fault.
	KindInternal Kind = C.BANGER_KIND_INTERNAL
)

var kindNames = map[Kind]string{
	KindCancelled:   "cancelled",
	KindNotFound:    "not-found",
	KindExists:      "exists",
	KindAccess:      "access",
	KindNetwork:     "network",
	KindNoSpace:     "no-space",
	KindLimit:       "limit",
	KindInUse:       "in-use",
	KindDamaged:     "damaged",
	KindUnsupported: "unsupported",
	KindArgument:    "argument",
	KindGuest:       "guest",
	KindInternal:    "internal",
}

// String returns the name of the kind, as JSON documents have it.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "kind " + strconv.Itoa(int(k))
}

// Error is why a call failed.
type Error struct {
	// Code stays the same in all versions; docs/json.md lists the codes.
	Code int
	// Kind is what a program decides by.
	Kind Kind
	// Transient says whether the same call may succeed later without any change by the caller.
	Transient bool
	// Errno is the error number of the host; 0 where the host did not fail.
	Errno syscall.Errno
	// Message tells what failed and on what, in one line.
	Message string
	// Advice tells what the caller can do; "" where there is nothing.
	Advice string

	json string
	// cause is the error of the context that ended the call.
	cause error
}

// Error returns the message, and the advice behind it.
func (e *Error) Error() string {
	if e.Advice == "" {
		return "banger: " + e.Message
	}
	return "banger: " + e.Message + "; " + e.Advice
}

// JSON returns the error as a document: version, code, kind, message, advice and context.
func (e *Error) JSON() []byte { return []byte(e.json) }

// Is reports whether target is the error of package io/fs or errors that means the kind of e.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Kind == KindNotFound
	case fs.ErrExist:
		return e.Kind == KindExists
	case fs.ErrPermission:
		return e.Kind == KindAccess
	case errors.ErrUnsupported:
		return e.Kind == KindUnsupported
	}
	return false
}

// Unwrap returns the error of the context that ended the call, and the error number of the host.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	if e.Errno != 0 {
		errs = append(errs, e.Errno)
	}
	return errs
}

// call runs a function of the C library and takes its error.
func call(function func(failure **C.banger_error) C.int) error {
	var failure *C.banger_error
	if function(&failure) == 0 {
		return nil
	}
	defer C.banger_error_free(failure)
	return &Error{
		Code:      int(C.banger_error_code(failure)),
		Kind:      Kind(C.banger_error_kind(failure)),
		Transient: bool(C.banger_error_is_transient(failure)),
		Errno:     syscall.Errno(C.banger_error_errno(failure)),
		Message:   C.GoString(C.banger_error_message(failure)),
		Advice:    C.GoString(C.banger_error_advice(failure)),
		json:      C.GoString(C.banger_error_json(failure)),
	}
}

// callContext runs a function of the C library and cancels it when ctx ends. The goroutine that does so has ended
// when this returns.
func callContext(
	ctx context.Context, function func(cancel *C.banger_cancel, failure **C.banger_error) C.int,
) error {
	if ctx.Done() == nil {
		return call(func(failure **C.banger_error) C.int { return function(nil, failure) })
	}
	cancel := C.banger_cancel_new()
	defer C.banger_cancel_free(cancel)
	if ctx.Err() != nil {
		// The goroutine below may come too late for a short call.
		C.banger_cancel_cancel(cancel)
	}
	returned, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
			C.banger_cancel_cancel(cancel)
		case <-returned:
		}
	}()
	// Deferred, as a progress function that panics leaves through here.
	defer func() {
		close(returned)
		<-watched
	}()
	return withCause(ctx, call(func(failure **C.banger_error) C.int { return function(cancel, failure) }))
}

// withCause gives err the error of ctx, if that is why the call was cancelled.
func withCause(ctx context.Context, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) && e.Kind == KindCancelled && ctx.Err() != nil {
		e.cause = ctx.Err()
		if cause := context.Cause(ctx); cause != e.cause {
			e.cause = errors.Join(e.cause, cause)
		}
	}
	return err
}
