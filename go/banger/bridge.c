#include "bridge.h"
#include "_cgo_export.h"

int banger_go_progress(const banger_event *event, void *handle) {
    return bangerGoProgress((banger_event *)event, (uintptr_t)handle);
}
