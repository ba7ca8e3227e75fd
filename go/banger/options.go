package banger

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"io"
	"os"
	"syscall"
	"time"
)

// Option changes how a call works. A call fails with code 512 where it does not use an option that it gets.
type Option func(*settings)

// settings are the options of one call.
type settings struct {
	values   []setting
	cleanups []func()
	progress func(Event)
}

// setting writes an option for C.
type setting func(options *C.banger_options) error

// WithProgress tells function of each event of the call. It runs on the goroutine of the caller, only during the
// call, so it needs no locks. Cancel the context of the call to stop it. A panic of function stops the call and
// comes out of it. It must not call [runtime.Goexit], as the FailNow of a test does.
func WithProgress(function func(Event)) Option {
	return func(s *settings) { s.progress = function }
}

func (s *settings) add(value setting) { s.values = append(s.values, value) }

func textOption(key C.int, text string) Option {
	return func(s *settings) {
		s.add(func(options *C.banger_options) error { return setText(options, key, text, false) })
	}
}

func listOption(key C.int, texts []string) Option {
	return func(s *settings) {
		for _, text := range texts {
			s.add(func(options *C.banger_options) error { return setText(options, key, text, true) })
		}
	}
}

// setText sets the option key, or adds to it.
func setText(options *C.banger_options, key C.int, text string, add bool) error {
	copied, free, err := cText("the text of an option", text)
	if err != nil {
		return err
	}
	defer free()
	return call(func(failure **C.banger_error) C.int {
		if add {
			return C.banger_options_add_string(options, key, copied, failure)
		}
		return C.banger_options_set_string(options, key, copied, failure)
	})
}

func numberOption(key C.int, n uint64) Option {
	return func(s *settings) {
		s.add(func(options *C.banger_options) error { return setNumber(options, key, n) })
	}
}

func setNumber(options *C.banger_options, key C.int, n uint64) error {
	return call(func(failure **C.banger_error) C.int {
		return C.banger_options_set_u64(options, key, C.uint64_t(n), failure)
	})
}

// fileOption gives set a descriptor of file, which stays open during the call.
func fileOption(file *os.File, set func(options *C.banger_options, fd int) error) Option {
	return func(s *settings) {
		s.add(func(options *C.banger_options) error {
			return withFD(file, func(fd C.int) error {
				copied, err := syscall.Dup(int(fd))
				if err != nil {
					return err
				}
				syscall.CloseOnExec(copied)
				s.cleanups = append(s.cleanups, func() { _ = syscall.Close(copied) })
				return set(options, copied)
			})
		})
	}
}

// inputOption gives set a descriptor that has what reader gives.
func inputOption(reader io.Reader, set func(options *C.banger_options, fd int) error) Option {
	if file, ok := reader.(*os.File); ok {
		return fileOption(file, set)
	}
	return func(s *settings) {
		s.add(func(options *C.banger_options) error {
			out, in, err := os.Pipe()
			if err != nil {
				return err
			}
			go func() {
				defer in.Close()
				_, _ = io.Copy(in, reader)
			}()
			s.cleanups = append(s.cleanups, func() { _ = out.Close() })
			var inner settings
			fileOption(out, set)(&inner)
			err = inner.values[0](options)
			s.cleanups = append(s.cleanups, inner.cleanups...)
			return err
		})
	}
}

func durationOption(key C.int, d time.Duration) Option {
	return numberOption(key, milliseconds(d))
}

// milliseconds rounds up, so that no wait becomes shorter.
func milliseconds(d time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}

func bytesOption(key C.int, data []byte) Option {
	return func(s *settings) {
		s.add(func(options *C.banger_options) error {
			return call(func(failure **C.banger_error) C.int {
				return C.banger_options_set_bytes(options, key, bytePointer(data), C.size_t(len(data)), failure)
			})
		})
	}
}

func flagOption(key C.int, on bool) Option {
	return func(s *settings) {
		s.add(func(options *C.banger_options) error {
			return call(func(failure **C.banger_error) C.int {
				return C.banger_options_set_bool(options, key, C.bool(on), failure)
			})
		})
	}
}

// withOptions runs function with the options for C, and with the progress function.
func withOptions(given []Option, function func(options *C.banger_options, tell *progress) error) error {
	var s settings
	for _, option := range given {
		option(&s)
	}
	defer func() {
		for _, cleanup := range s.cleanups {
			cleanup()
		}
	}()
	options := C.banger_options_new()
	defer C.banger_options_free(options)
	for _, value := range s.values {
		if err := value(options); err != nil {
			return err
		}
	}
	return function(options, &progress{tell: s.progress})
}
