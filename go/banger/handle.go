package banger

import (
	"fmt"
	"io/fs"
	"runtime"
	"sync"
)

// handle owns an object of the C library. Calls that share the object run together; one that needs it alone
// waits for the others. Closing waits for the calls that run.
type handle[P comparable] struct {
	mu      sync.RWMutex
	pointer P
	free    func(P)
	cleanup runtime.Cleanup
	// name is what an error calls the object.
	name string
}

func newHandle[P comparable](name string, pointer P, free func(P)) *handle[P] {
	h := &handle[P]{pointer: pointer, free: free, name: name}
	h.cleanup = runtime.AddCleanup(h, free, pointer)
	return h
}

// share runs call with the object, beside other calls.
func (h *handle[P]) share(call func(P) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if err := h.check(); err != nil {
		return err
	}
	return call(h.pointer)
}

// own runs call with the object, while no other call uses it.
func (h *handle[P]) own(call func(P) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check(); err != nil {
		return err
	}
	return call(h.pointer)
}

func (h *handle[P]) check() error {
	var none P
	if h.pointer == none {
		return fmt.Errorf("banger: use of a closed %s: %w", h.name, fs.ErrClosed)
	}
	return nil
}

// close frees the object. It may be called again.
func (h *handle[P]) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var none P
	if h.pointer == none {
		return
	}
	h.cleanup.Stop()
	h.free(h.pointer)
	h.pointer = none
}
