package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime/cgo"
	"unsafe"
)

// EventKind is what an event tells. Later versions may add kinds.
type EventKind int

// The kinds of events.
const (
	// EventIdle: nothing happened for 200 ms.
	EventIdle EventKind = C.BANGER_EVENT_IDLE
	// EventResolving: the reference is being turned into a digest.
	EventResolving EventKind = C.BANGER_EVENT_RESOLVING
	// EventResolved: the image is known, with Digest and the SizeBytes of all layers.
	EventResolved EventKind = C.BANGER_EVENT_RESOLVED
	// EventBlobStarted: a blob starts to come in.
	EventBlobStarted EventKind = C.BANGER_EVENT_BLOB_STARTED
	// EventBlobWaiting: another process downloads the blob; this one waits for it.
	EventBlobWaiting EventKind = C.BANGER_EVENT_BLOB_WAITING
	// EventPullWaiting: another pull of an image of this name runs; this one waits for it.
	EventPullWaiting EventKind = C.BANGER_EVENT_PULL_WAITING
	// EventBlobProgress: more of a blob came in.
	EventBlobProgress EventKind = C.BANGER_EVENT_BLOB_PROGRESS
	// EventBlobDone: a blob is whole, checked, and in the cache.
	EventBlobDone EventKind = C.BANGER_EVENT_BLOB_DONE
	// EventRetry: a request failed and is tried again; Message says what and why.
	EventRetry EventKind = C.BANGER_EVENT_RETRY
	// EventLayerProgress: a layer is being applied.
	EventLayerProgress EventKind = C.BANGER_EVENT_LAYER_PROGRESS
	// EventLayerDone: a layer is applied.
	EventLayerDone EventKind = C.BANGER_EVENT_LAYER_DONE
	// EventDirectoryProgress: more of a directory of the host was read.
	EventDirectoryProgress EventKind = C.BANGER_EVENT_DIRECTORY_PROGRESS
	// EventWarning: something was changed or left out; Message says what and why.
	EventWarning EventKind = C.BANGER_EVENT_WARNING
	// EventBuilding: the file system is being written.
	EventBuilding EventKind = C.BANGER_EVENT_BUILDING
	// EventDone: all is done.
	EventDone EventKind = C.BANGER_EVENT_DONE
	// EventOther: something that this version has no kind for; JSON tells it.
	EventOther EventKind = C.BANGER_EVENT_OTHER
	// EventStep: a step of a build begins; Message is the step.
	EventStep EventKind = C.BANGER_EVENT_STEP
	// EventStepOutput: the program of a step writes; Message is a part of its output.
	EventStepOutput EventKind = C.BANGER_EVENT_STEP_OUTPUT
)

// Event tells what a call does.
type Event struct {
	// Kind is what the event tells.
	Kind EventKind
	// Layer is the position of the layer, 0 for the base.
	Layer int
	// DoneBytes of SizeBytes are done.
	DoneBytes, SizeBytes uint64
	// Digest is that of the image or blob.
	Digest string
	// Message is the text of a warning or a retry.
	Message string
	// JSON is the event as a document, as `banger --progress json` prints it.
	JSON string
}

// progress is a call's progress function, and the panic that came out of it.
type progress struct {
	tell     func(Event)
	panicked bool
	value    any
}

// start returns what a C function gets as its callback and its user_data. finish ends the use of both, and panics
// in the place of the progress function that panicked.
func (p *progress) start() (function C.banger_progress_fn, userData cgo.Handle, finish func()) {
	if p.tell == nil {
		return nil, 0, func() {}
	}
	handle := cgo.NewHandle(p)
	return C.banger_progress_fn(C.banger_go_progress), handle, func() {
		handle.Delete()
		if p.panicked {
			panic(p.value)
		}
	}
}

// run makes a call that tells its progress. free frees its result where the progress function panicked: nobody gets it.
func (p *progress) run(
	ctx context.Context, free func(),
	call func(
		function C.banger_progress_fn, user unsafe.Pointer, cancel *C.banger_cancel, failure **C.banger_error,
	) C.int,
) error {
	function, userData, finish := p.start()
	defer finish()
	defer func() {
		if p.panicked {
			free()
		}
	}()
	user := C.banger_go_handle(C.uintptr_t(userData))
	return callContext(ctx, func(cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return call(function, user, cancel, failure)
	})
}

//export bangerGoProgress
func bangerGoProgress(event *C.banger_event, userData C.uintptr_t) (stop C.int) {
	p := cgo.Handle(userData).Value().(*progress)
	stop, p.panicked = 1, true
	defer func() { p.value = recover() }()
	p.tell(Event{
		Kind:      EventKind(C.banger_event_kind(event)),
		Layer:     int(C.banger_event_layer(event)),
		DoneBytes: uint64(C.banger_event_done_bytes(event)),
		SizeBytes: uint64(C.banger_event_size_bytes(event)),
		Digest:    C.GoString(C.banger_event_digest(event)),
		Message:   C.GoString(C.banger_event_message(event)),
		JSON:      C.GoString(C.banger_event_json(event)),
	})
	stop, p.panicked = 0, false
	return
}
