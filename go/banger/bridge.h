// What Go cannot say: a pointer that is a number, and a callback with a const argument.

#ifndef BANGER_GO_BRIDGE_H
#define BANGER_GO_BRIDGE_H

#include <banger.h>
#include <stdint.h>

// Calls the progress function of the Go handle that `handle` holds.
int banger_go_progress(const banger_event *event, void *handle);

// Returns the number of a Go handle as a pointer.
static inline void *banger_go_handle(uintptr_t handle) { return (void *)handle; }

#endif
