package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Guest is a client of the agent in a virtual machine. Goroutines may share it. Each call is a connection of its own,
// so it stays valid when the guest reboots.
//
// A call ends by its time limit, and soon after its context, also while the guest or the VMM is silent. A guest is
// not trusted: text of it may hold control characters.
type Guest struct {
	handle *handle[*C.banger_guest]
}

// NewGuest makes a client of the agent at address: "PATH:PORT", the Unix socket in which a VMM offers the vsock of
// the guest; "vsock:CID:PORT", "unix:PATH" or "tcp:ADDRESS:PORT". The port is 5000 if it is missing. It connects to
// nothing yet.
//
// Options: [WithConnectTimeout], [WithReplyTimeout], [WithMaxCopyBytes], [WithMaxOutputBytes].
func NewGuest(address string, given ...Option) (*Guest, error) {
	text, freeText, err := cText("address", address)
	if err != nil {
		return nil, err
	}
	defer freeText()
	var guest *C.banger_guest
	err = withOptions(given, func(options *C.banger_options, _ *progress) error {
		return call(func(failure **C.banger_error) C.int {
			return C.banger_guest_new(text, options, &guest, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	return &Guest{newHandle("Guest", guest, func(guest *C.banger_guest) { C.banger_guest_free(guest) })}, nil
}

// Close frees the client.
func (g *Guest) Close() error {
	g.handle.close()
	return nil
}

// Health asks whether the agent is there. The document has agent_version, protocol and uptime_ms.
func (g *Guest) Health(ctx context.Context) ([]byte, error) {
	return g.document(ctx, func(
		guest *C.banger_guest, cancel *C.banger_cancel, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_guest_health(guest, cancel, out, failure)
	})
}

// WaitReady asks again and again until the agent answers, for at most timeout. The document is that of Health.
func (g *Guest) WaitReady(ctx context.Context, timeout time.Duration) ([]byte, error) {
	return g.document(ctx, func(
		guest *C.banger_guest, cancel *C.banger_cancel, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_guest_wait_ready(guest, C.uint64_t(milliseconds(timeout)), cancel, out, failure)
	})
}

// Info asks what the guest is and how far it has come. The document is that of `banger guest info --json`.
func (g *Guest) Info(ctx context.Context) ([]byte, error) {
	return g.document(ctx, func(
		guest *C.banger_guest, cancel *C.banger_cancel, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_guest_info(guest, cancel, out, failure)
	})
}

// SetNetwork configures the network of the guest. The document has interface.
//
// Options: as for [Rootfs.WriteNetwork], and [WithNetworkPersist] to keep it for later boots.
func (g *Guest) SetNetwork(ctx context.Context, given ...Option) (json []byte, err error) {
	err = withOptions(given, func(options *C.banger_options, _ *progress) (err error) {
		json, err = g.document(ctx, func(
			guest *C.banger_guest, cancel *C.banger_cancel, out **C.banger_string, failure **C.banger_error,
		) C.int {
			return C.banger_guest_set_network(guest, options, cancel, out, failure)
		})
		return err
	})
	return json, err
}

// Grow grows the root file system of the guest to the size of its block device. The document has before_bytes and
// after_bytes.
func (g *Guest) Grow(ctx context.Context) ([]byte, error) {
	return g.document(ctx, func(
		guest *C.banger_guest, cancel *C.banger_cancel, out **C.banger_string, failure **C.banger_error,
	) C.int {
		return C.banger_guest_grow(guest, cancel, out, failure)
	})
}

// PowerOff powers the guest off. It goes down after the answer.
func (g *Guest) PowerOff(ctx context.Context) error { return g.shutdown(ctx, false) }

// Reboot reboots the guest. It goes down after the answer.
func (g *Guest) Reboot(ctx context.Context) error { return g.shutdown(ctx, true) }

func (g *Guest) shutdown(ctx context.Context, reboot bool) error {
	return g.run(ctx, func(guest *C.banger_guest, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_guest_shutdown(guest, C.bool(reboot), cancel, failure)
	})
}

// ExitStatus is how a program ended.
type ExitStatus struct {
	// Exited says that it exited, with Status.
	Exited bool
	// Status is 0 to 255.
	Status int
	// Signal is the number, on Linux, of the signal that killed it; 0 if it exited.
	Signal int
}

// Success reports whether the program exited with status 0.
func (s ExitStatus) Success() bool { return s.Exited && s.Status == 0 }

// String returns "exit status 1", or "killed by signal 9".
func (s ExitStatus) String() string {
	switch {
	case s.Exited:
		return fmt.Sprintf("exit status %d", s.Status)
	case s.Signal != 0:
		return fmt.Sprintf("killed by signal %d", s.Signal)
	}
	return "ended in an unknown way"
}

func exitStatus(exit *C.banger_exit) ExitStatus {
	return ExitStatus{
		Exited: exit.kind == C.BANGER_EXIT_EXITED, Status: int(exit.status), Signal: int(exit.signal),
	}
}

// Wait waits until the program that banger-init runs has ended, and tells how. Only ctx limits the time.
func (g *Guest) Wait(ctx context.Context) (ExitStatus, error) {
	var exit C.banger_exit
	err := g.run(ctx, func(guest *C.banger_guest, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return C.banger_guest_wait(guest, C.BANGER_FOREVER, cancel, &exit, C.sizeof_banger_exit, failure)
	})
	if err != nil {
		return ExitStatus{}, err
	}
	return exitStatus(&exit), nil
}

// CopyIn writes the file path of the guest with all bytes that can be read from file, from its position on, and
// returns their number. file may be a pipe. An earlier file of the guest stays until everything has arrived.
//
// Options: [WithCopyMode], [WithCopyUID], [WithCopyGID], [WithCopyParents].
func (g *Guest) CopyIn(ctx context.Context, path string, file *os.File, given ...Option) (int64, error) {
	text, free, err := cText("path", path)
	if err != nil {
		return 0, err
	}
	defer free()
	var copied C.uint64_t
	err = withOptions(given, func(options *C.banger_options, _ *progress) error {
		return withFD(file, func(fd C.int) error {
			return g.run(ctx, func(guest *C.banger_guest, cancel *C.banger_cancel, failure **C.banger_error) C.int {
				return C.banger_guest_copy_in_fd(guest, text, fd, options, cancel, &copied, failure)
			})
		})
	})
	return int64(copied), err
}

// CopyOut writes the bytes of the file path of the guest to file, which may be a pipe. The document has bytes, their
// number. A file larger than [WithMaxCopyBytes] (default: 64 GiB) is [KindLimit].
func (g *Guest) CopyOut(ctx context.Context, path string, file *os.File) (json []byte, err error) {
	text, free, err := cText("path", path)
	if err != nil {
		return nil, err
	}
	defer free()
	err = withFD(file, func(fd C.int) (err error) {
		json, err = g.document(ctx, func(
			guest *C.banger_guest, cancel *C.banger_cancel, out **C.banger_string, failure **C.banger_error,
		) C.int {
			return C.banger_guest_copy_out_fd(guest, text, fd, cancel, out, failure)
		})
		return err
	})
	return json, err
}

// ExecResult is what a program in a guest left.
type ExecResult struct {
	ExitStatus
	// Output and ErrorOutput are what it wrote to standard output and standard error.
	Output, ErrorOutput []byte
}

// Run runs a program in the guest to its end, without input. argv is the program and its arguments. A program that
// fails is no error: look at the ExitStatus. More output than [WithMaxOutputBytes] of [NewGuest] (default: 64 MiB)
// is [KindLimit].
//
// Options: [WithExecEnv], [WithExecClearEnv], [WithExecUser], [WithExecWorkingDir], [WithExecTimeout],
// [WithExecRows] and [WithExecColumns].
func (g *Guest) Run(ctx context.Context, argv []string, given ...Option) (*ExecResult, error) {
	var output, errorOutput *C.banger_string
	var exit C.banger_exit
	given = append([]Option{WithExecArgv(argv...)}, given...)
	err := withOptions(given, func(options *C.banger_options, _ *progress) error {
		return g.run(ctx, func(guest *C.banger_guest, cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return C.banger_guest_run(
				guest, options, cancel, &output, &errorOutput, &exit, C.sizeof_banger_exit, failure)
		})
	})
	if err != nil {
		return nil, err
	}
	return &ExecResult{exitStatus(&exit), takeBytes(output), takeBytes(errorOutput)}, nil
}

// run runs a function that ctx cancels.
func (g *Guest) run(
	ctx context.Context,
	function func(guest *C.banger_guest, cancel *C.banger_cancel, failure **C.banger_error) C.int,
) error {
	return g.handle.share(func(guest *C.banger_guest) error {
		return callContext(ctx, func(cancel *C.banger_cancel, failure **C.banger_error) C.int {
			return function(guest, cancel, failure)
		})
	})
}

// document runs a function that ctx cancels and that answers with a document.
func (g *Guest) document(
	ctx context.Context,
	function func(
		guest *C.banger_guest, cancel *C.banger_cancel, out **C.banger_string, failure **C.banger_error,
	) C.int,
) ([]byte, error) {
	var out *C.banger_string
	err := g.run(ctx, func(guest *C.banger_guest, cancel *C.banger_cancel, failure **C.banger_error) C.int {
		return function(guest, cancel, &out, failure)
	})
	if err != nil {
		return nil, err
	}
	return takeBytes(out), nil
}
