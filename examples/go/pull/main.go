// Pull makes a disk of a virtual machine: it pulls an image with a progress bar, writes a hostname, an ssh key and a
// network into it, makes it boot, and prints the record of the image. Ctrl-C stops it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/banger-project/banger/go/banger"
)

type machine struct {
	hostname, key, address, gateway string
}

func main() {
	var m machine
	state := flag.String("state", "", "directory of the images; default: the user's own")
	cache := flag.String("cache", "", "directory of downloaded blobs; default: the user's own")
	flag.StringVar(&m.hostname, "hostname", "vm", "hostname of the machine")
	flag.StringVar(&m.key, "key", "ssh-ed25519 AAAA… me@example", "ssh key of root")
	flag.StringVar(&m.address, "address", "172.16.0.2/30", "address of the machine")
	flag.StringVar(&m.gateway, "gateway", "172.16.0.1", "default route of the machine")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: pull [flags] REFERENCE FILE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *state, *cache, flag.Arg(0), flag.Arg(1), m); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if errors.Is(err, context.Canceled) {
			os.Exit(130)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, state, cache, reference, file string, m machine) error {
	store, err := banger.OpenStore(state, cache)
	if err != nil {
		return err
	}
	defer store.Close()
	var bar progressBar
	image, err := store.PullToFile(ctx, reference, file,
		banger.WithInject(false), banger.WithProgress(bar.tell))
	bar.end()
	if err != nil {
		return err
	}
	defer image.Close()
	if err := prepare(ctx, image.Path(), m); err != nil {
		return err
	}
	var record bytes.Buffer
	if err := json.Indent(&record, image.JSON(), "", "  "); err != nil {
		return err
	}
	fmt.Println(record.String())
	return nil
}

// prepare writes what is the machine's own into the file system, and makes it boot: all of it, or nothing.
func prepare(ctx context.Context, file string, m machine) error {
	rootfs, err := banger.EditRootfs(file)
	if err != nil {
		return err
	}
	defer rootfs.Close()
	if err := rootfs.WriteFile(ctx, "/etc/hostname", []byte(m.hostname+"\n"), nil); err != nil {
		return err
	}
	for _, dir := range []string{"/root", "/root/.ssh"} {
		err := rootfs.Mkdir(dir, &banger.Attributes{Mode: 0o700})
		if err != nil && !errors.Is(err, os.ErrExist) {
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
	if _, err := rootfs.Inject(ctx, banger.WithInit("banger"), banger.WithArchitecture("amd64")); err != nil {
		return err
	}
	return rootfs.Commit(ctx)
}

// progressBar shows on standard error how much of all layers together is downloaded and unpacked.
type progressBar struct {
	downloaded  map[string]uint64
	unpacked    map[int]uint64
	total       uint64
	isDone      bool
	isDisplayed bool
}

func (b *progressBar) tell(event banger.Event) {
	switch event.Kind {
	case banger.EventResolved:
		b.total = event.SizeBytes
		b.downloaded, b.unpacked = map[string]uint64{}, map[int]uint64{}
	case banger.EventBlobProgress:
		b.downloaded[event.Digest] = event.DoneBytes
	case banger.EventLayerProgress:
		b.unpacked[event.Layer] = event.DoneBytes
	case banger.EventDone:
		b.isDone = true
	case banger.EventWarning, banger.EventRetry:
		b.end()
		fmt.Fprintln(os.Stderr, "note:", event.Message)
	}
	const width = 40
	unpacked := percent(b.unpacked, b.total)
	if b.isDone {
		unpacked = 100
	}
	bar := bytes.Repeat([]byte("#"), unpacked*width/100)
	fmt.Fprintf(os.Stderr, "\r[%-*s] %3d %%", width, bar, unpacked)
	if len(b.downloaded) > 0 {
		fmt.Fprintf(os.Stderr, ", downloaded %3d %%", percent(b.downloaded, b.total))
	}
	b.isDisplayed = true
}

func percent[K comparable](parts map[K]uint64, total uint64) int {
	var done uint64
	for _, part := range parts {
		done += part
	}
	if total == 0 {
		return 0
	}
	return int(min(done, total) * 100 / total)
}

func (b *progressBar) end() {
	if b.isDisplayed {
		fmt.Fprintln(os.Stderr)
		b.isDisplayed = false
	}
}
