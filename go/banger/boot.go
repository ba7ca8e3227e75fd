package banger

// #include "bridge.h"
import "C"

import "context"

// Inject puts the programs of the guest into the file system and changes what keeps it from booting. It returns the
// document of `banger rootfs inject --json`. Commit afterwards; after an error close without a commit.
//
// Options: [WithInit], [WithGuestDir], [WithGuestBinary], [WithArchitecture], [WithHostname], [WithSourceDateEpoch], and for the program
// that banger-init runs [WithExecArgv], [WithExecEnv], [WithExecUser] and [WithExecWorkingDir].
func (r *Rootfs) Inject(ctx context.Context, given ...Option) ([]byte, error) {
	var json *C.banger_string
	err := withOptions(given, func(options *C.banger_options, _ *progress) error {
		return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return C.banger_rootfs_inject(rootfs, options, cancel, &json, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(json), nil
}

// WriteNetwork writes /etc/banger-network.conf, which the guest reads at each boot. Commit afterwards.
//
// Options: [WithNetworkInterface], [WithNetworkAddress], [WithNetworkGateway], [WithNetworkDNS], [WithHostname].
func (r *Rootfs) WriteNetwork(given ...Option) error {
	return withOptions(given, func(options *C.banger_options, _ *progress) error {
		return r.handle.share(func(rootfs *C.banger_rootfs) error {
			return call(func(failure **C.banger_error) C.int {
				return C.banger_rootfs_write_network(rootfs, options, failure)
			})
		})
	})
}

// ApplyOwnership gives each path of metadata its permissions, owner, time and extended attributes, and makes the
// devices, FIFOs and sockets that an unprivileged copy could not make. It returns a document with changed, unchanged
// and mismatches. Commit afterwards; after an error close without a commit.
func (r *Rootfs) ApplyOwnership(ctx context.Context, metadata *Metadata) ([]byte, error) {
	var json *C.banger_string
	err := metadata.handle.share(func(metadata *C.banger_metadata) error {
		return r.run(ctx, func(rootfs *C.banger_rootfs, cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return C.banger_rootfs_apply_ownership(rootfs, metadata, cancel, &json, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(json), nil
}
