// Pull makes the disk of a virtual machine: it pulls an image into FILE with a progress bar, writes hostname, ssh key
// and network into it, makes it boot, and prints the image's record as JSON. PROGRAM is what runs in the machine if the
// image has no init. Ctrl-C stops it and leaves no file. With SOURCE_DATE_EPOCH the disk is reproducible.
//
// examples/c, examples/rust and examples/python are the same program.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/banger-project/banger/go/banger"
)

const usage = "usage: pull REFERENCE FILE HOSTNAME KEY ADDRESS GATEWAY [PROGRAM ARGUMENT...]"

// machine is what the arguments tell.
type machine struct {
	reference, file, hostname, key, address, gateway string
	program                                          []string
}

func main() {
	if len(os.Args) < 7 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	args := os.Args[1:]
	m := machine{args[0], args[1], args[2], args[3], args[4], args[5], args[6:]}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	record, err := run(ctx, m)
	var failure *banger.Error
	switch {
	case err == nil:
		fmt.Println(record)
	case errors.Is(err, context.Canceled):
		os.Exit(130)
	case errors.As(err, &failure):
		fmt.Fprintf(os.Stderr, "error %d: %s\n", failure.Code, failure.Message)
		if failure.Advice != "" {
			fmt.Fprintf(os.Stderr, "  %s\n", failure.Advice)
		}
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run returns the record of the image.
func run(ctx context.Context, m machine) (string, error) {
	store, err := banger.OpenStore("", "")
	if err != nil {
		return "", err
	}
	defer store.Close()
	time, err := sourceDateEpoch()
	if err != nil {
		return "", err
	}
	var b bar
	if info, err := os.Stderr.Stat(); err == nil {
		b.isTerminal = info.Mode()&os.ModeCharDevice != 0
	}
	// What makes it boot comes below, in one commit with the rest.
	options := append([]banger.Option{banger.WithInject(false), banger.WithProgress(b.tell)}, time...)
	image, err := store.PullToFile(ctx, m.reference, m.file, options...)
	b.endLine()
	if err != nil {
		return "", err
	}
	defer image.Close()
	if err := prepare(ctx, m, time); err != nil {
		return "", err
	}
	return string(image.JSON()), nil
}

// sourceDateEpoch returns the option for the time of what is written; the library does not read the environment for it.
func sourceDateEpoch() ([]banger.Option, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return nil, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 64)
	return []banger.Option{banger.WithSourceDateEpoch(seconds)}, err
}

// prepare writes all that is the machine's own, and makes the file system boot: all of it, or nothing.
func prepare(ctx context.Context, m machine, time []banger.Option) error {
	rootfs, err := banger.EditRootfs(m.file, time...)
	if err != nil {
		return err
	}
	defer rootfs.Close()
	if err := rootfs.WriteFile(ctx, "/etc/hostname", []byte(m.hostname+"\n"), nil); err != nil {
		return err
	}
	for _, dir := range []string{"/root", "/root/.ssh"} {
		err := rootfs.Mkdir(dir, &banger.Attributes{Mode: 0o700})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	key := &banger.Attributes{Mode: 0o600}
	if err := rootfs.WriteFile(ctx, "/root/.ssh/authorized_keys", []byte(m.key+"\n"), key); err != nil {
		return err
	}
	err = rootfs.WriteNetwork(
		banger.WithNetworkAddress(m.address), banger.WithNetworkGateway(m.gateway), banger.WithHostname(m.hostname))
	if err != nil {
		return err
	}
	if _, err := rootfs.Inject(ctx, banger.WithExecArgv(m.program...)); err != nil {
		return err
	}
	return rootfs.Commit(ctx)
}

// bar shows on standard error how much of all layers is unpacked.
type bar struct {
	isTerminal, isDrawn bool
	total               uint64
	done                map[int]uint64
}

func (b *bar) tell(event banger.Event) {
	switch event.Kind {
	case banger.EventResolved:
		b.total, b.done = event.SizeBytes, map[int]uint64{}
	case banger.EventLayerProgress:
		b.done[event.Layer] = event.DoneBytes
		var sum uint64
		for _, done := range b.done {
			sum += done
		}
		b.draw(int(min(sum, b.total) * 100 / max(b.total, 1)))
	case banger.EventWarning, banger.EventRetry:
		b.endLine()
		fmt.Fprintln(os.Stderr, "note:", event.Message)
	case banger.EventDone:
		b.draw(100)
	}
}

func (b *bar) draw(percent int) {
	const width = 40
	if b.isTerminal {
		fmt.Fprintf(os.Stderr, "\r[%-*s] %3d %%", width, strings.Repeat("#", percent*width/100), percent)
		b.isDrawn = true
	}
}

func (b *bar) endLine() {
	if b.isDrawn {
		fmt.Fprintln(os.Stderr)
		b.isDrawn = false
	}
}
