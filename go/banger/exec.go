package banger

// #include "bridge.h"
import "C"

import (
	"context"
	"io"
	"syscall"
	"unsafe"
)

// Process is a program that runs in a guest. One goroutine reads what it does with [Process.Next] or
// [Process.Copy]; others may write to it and signal it meanwhile. Close it after use.
type Process struct {
	exec   *handle[*C.banger_exec]
	input  *handle[*C.banger_exec_input]
	cancel *handle[*C.banger_cancel]
	ctx    context.Context
	// unwatch ends the watch over ctx.
	unwatch func() bool
	pid     int
}

// Exec starts a program in the guest. argv is the program and its arguments. The end of ctx kills the program.
//
// Options: as for [Guest.Run], and [WithExecStdin] to write to its standard input.
func (g *Guest) Exec(ctx context.Context, argv []string, given ...Option) (*Process, error) {
	p := &Process{ctx: ctx}
	free := func(cancel *C.banger_cancel) { C.banger_cancel_free(cancel) }
	p.cancel = newHandle("Process", C.banger_cancel_new(), free)
	// The handle, and not the process, so that a process that is forgotten can be collected.
	cancel := p.cancel
	p.unwatch = context.AfterFunc(ctx, func() {
		_ = cancel.share(func(cancel *C.banger_cancel) error {
			C.banger_cancel_cancel(cancel)
			return nil
		})
	})
	if err := p.start(g, append([]Option{WithExecArgv(argv...)}, given...)); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Process) start(g *Guest, given []Option) error {
	var exec *C.banger_exec
	err := withOptions(given, func(options *C.banger_options, _ *progress) error {
		return g.handle.share(func(guest *C.banger_guest) error {
			return p.cancel.share(func(cancel *C.banger_cancel) error {
				return p.call(func(failure **C.banger_error) C.int {
					return C.banger_exec_start(guest, options, cancel, &exec, failure)
				})
			})
		})
	})
	if err != nil {
		return err
	}
	p.exec = newHandle("Process", exec, func(exec *C.banger_exec) { C.banger_exec_free(exec) })
	p.pid = int(C.banger_exec_pid(exec))
	var input *C.banger_exec_input
	err = p.call(func(failure **C.banger_error) C.int { return C.banger_exec_open_input(exec, &input, failure) })
	if err != nil {
		return err
	}
	p.input = newHandle("Process", input, func(input *C.banger_exec_input) { C.banger_exec_input_free(input) })
	return nil
}

func (p *Process) call(function func(failure **C.banger_error) C.int) error {
	return withCause(p.ctx, call(function))
}

// Close ends the connection, which kills a program that still runs. It ends the calls that wait.
func (p *Process) Close() error {
	p.unwatch()
	_ = p.cancel.share(func(cancel *C.banger_cancel) error {
		C.banger_cancel_cancel(cancel)
		return nil
	})
	if p.input != nil {
		p.input.close()
	}
	if p.exec != nil {
		p.exec.close()
	}
	p.cancel.close()
	return nil
}

// PID returns the process id of the program in the guest.
func (p *Process) PID() int { return p.pid }

// ExecEvent is one thing that a program did.
type ExecEvent struct {
	// Output and ErrorOutput are bytes that it wrote, nil if it wrote nothing there. A terminal has Output only.
	Output, ErrorOutput []byte
	// Exit tells how it ended; nil before that. Nothing follows.
	Exit *ExitStatus
}

// Next waits for what the program does next.
func (p *Process) Next() (event ExecEvent, err error) {
	err = p.exec.own(func(exec *C.banger_exec) error {
		var done C.banger_exec_event
		err := p.call(func(failure **C.banger_error) C.int {
			return C.banger_exec_next(exec, C.BANGER_FOREVER, &done, C.sizeof_banger_exec_event, failure)
		})
		if err != nil {
			return err
		}
		data := append([]byte{}, unsafe.Slice((*byte)(done.data), int(done.length))...)
		switch done.kind {
		case C.BANGER_EXEC_OUTPUT:
			event.Output = data
		case C.BANGER_EXEC_ERROR_OUTPUT:
			event.ErrorOutput = data
		case C.BANGER_EXEC_ENDED:
			var exit C.banger_exit
			err := p.call(func(failure **C.banger_error) C.int {
				return C.banger_exec_exit(exec, &exit, C.sizeof_banger_exit, failure)
			})
			if err != nil {
				return err
			}
			status := exitStatus(&exit)
			event.Exit = &status
		}
		return nil
	})
	return event, err
}

// Copy writes what the program writes to output and errorOutput until it ends, and tells how it ended. A nil Writer
// drops the bytes.
func (p *Process) Copy(output, errorOutput io.Writer) (ExitStatus, error) {
	for {
		event, err := p.Next()
		if err != nil {
			return ExitStatus{}, err
		}
		if event.Exit != nil {
			return *event.Exit, nil
		}
		for _, stream := range []struct {
			data   []byte
			writer io.Writer
		}{{event.Output, output}, {event.ErrorOutput, errorOutput}} {
			if len(stream.data) == 0 || stream.writer == nil {
				continue
			}
			if _, err := stream.writer.Write(stream.data); err != nil {
				return ExitStatus{}, err
			}
		}
	}
}

// Write writes to the standard input or the terminal of the program. It waits while the program does not take the
// bytes, as long as another goroutine reads what it does.
func (p *Process) Write(data []byte) (int, error) {
	err := p.send(func(input *C.banger_exec_input, failure **C.banger_error) C.int {
		return C.banger_exec_input_write(input, bytePointer(data), C.size_t(len(data)), failure)
	})
	if err != nil {
		return 0, err
	}
	return len(data), nil
}

// CloseInput ends the standard input of the program; on a terminal it sends the end-of-file character.
func (p *Process) CloseInput() error {
	return p.send(func(input *C.banger_exec_input, failure **C.banger_error) C.int {
		return C.banger_exec_input_close(input, failure)
	})
}

// Signal sends a signal to the process group of the program.
func (p *Process) Signal(signal syscall.Signal) error {
	return p.send(func(input *C.banger_exec_input, failure **C.banger_error) C.int {
		return C.banger_exec_input_signal(input, C.int(signal), failure)
	})
}

// Resize gives the terminal of the program another size.
func (p *Process) Resize(rows, columns uint16) error {
	return p.send(func(input *C.banger_exec_input, failure **C.banger_error) C.int {
		return C.banger_exec_input_resize(input, C.uint16_t(rows), C.uint16_t(columns), failure)
	})
}

func (p *Process) send(function func(input *C.banger_exec_input, failure **C.banger_error) C.int) error {
	return p.input.share(func(input *C.banger_exec_input) error {
		return p.call(func(failure **C.banger_error) C.int { return function(input, failure) })
	})
}
