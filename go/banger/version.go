package banger

// #cgo pkg-config: banger
// #cgo CFLAGS: -std=gnu11 -Wall
// #include "bridge.h"
import "C"

// Features is a set of what the C library was built with.
type Features uint64

// What the C library may be built with.
const (
	// FeatureGuestAMD64: the library holds a guest binary for amd64.
	FeatureGuestAMD64 Features = C.BANGER_FEATURE_GUEST_AMD64
	// FeatureGuestARM64: the library holds a guest binary for arm64.
	FeatureGuestARM64 Features = C.BANGER_FEATURE_GUEST_ARM64
	// FeatureE2fsprogs: the library has the backend that runs mkfs.ext4 and debugfs.
	FeatureE2fsprogs Features = C.BANGER_FEATURE_E2FSPROGS
)

// Version returns the version of the C library, as "0.1.0".
func Version() string { return C.GoString(C.banger_version()) }

// LibraryFeatures returns what the C library was built with.
func LibraryFeatures() Features { return Features(C.banger_features()) }
