// Fleet makes the disks of many virtual machines of one image, each with its own hostname, ssh key and network.
//
// It pulls the image once. Each disk is a copy of it with holes, by reflink where the host can, and one commit. It
// needs no root and no mounts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/banger-project/banger/go/banger"
)

func main() {
	state := flag.String("state", "", "directory of the images; default: the user's own")
	cache := flag.String("cache", "", "directory of downloaded blobs; default: the user's own")
	count := flag.Int("n", 20, "number of disks")
	jobs := flag.Int("jobs", runtime.NumCPU(), "number of disks at a time")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: fleet [flags] REFERENCE DIR")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 || *count < 0 || *count > 16_000 || *jobs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *state, *cache, flag.Arg(0), flag.Arg(1), *count, *jobs); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, state, cache, reference, dir string, count, jobs int) error {
	store, err := banger.OpenStore(state, cache)
	if err != nil {
		return err
	}
	defer store.Close()
	image, err := store.Pull(ctx, reference)
	if err != nil {
		return err
	}
	// It stays where it is until the last copy is made.
	defer image.Close()

	begin := time.Now()
	slots := make(chan struct{}, jobs)
	errs := make([]error, count)
	changes := make([]time.Duration, count)
	var group sync.WaitGroup
	for number := range count {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			file := filepath.Join(dir, fmt.Sprintf("vm%d.ext4", number))
			if err := store.Export(ctx, image.ID(), file, true); err != nil {
				errs[number] = err
				return
			}
			copied := time.Now()
			errs[number] = prepare(ctx, file, number)
			changes[number] = time.Since(copied)
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var change time.Duration
	for _, one := range changes {
		change += one
	}
	fmt.Printf("%d disks in %d ms; the changes of a disk took %.1f ms\n",
		count, time.Since(begin).Milliseconds(), change.Seconds()*1000/float64(max(count, 1)))
	return nil
}

// prepare gives the disk of a machine its hostname, key and network.
func prepare(ctx context.Context, file string, number int) error {
	rootfs, err := banger.EditRootfs(file)
	if err != nil {
		return err
	}
	defer rootfs.Close()
	hostname := fmt.Sprintf("vm%d", number)
	if err := rootfs.WriteFile(ctx, "/etc/hostname", []byte(hostname+"\n"), nil); err != nil {
		return err
	}
	for _, dir := range []string{"/root", "/root/.ssh"} {
		err := rootfs.Mkdir(dir, &banger.Attributes{Mode: 0o700})
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	key := fmt.Appendf(nil, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample%d %s\n", number, hostname)
	err = rootfs.WriteFile(ctx, "/root/.ssh/authorized_keys", key, &banger.Attributes{Mode: 0o600})
	if err != nil {
		return err
	}
	// Each machine has a network of four addresses: the host has the first that can be used.
	network := func(host int) string {
		address := number*4 + host
		return fmt.Sprintf("172.16.%d.%d", address/256, address%256)
	}
	err = rootfs.WriteNetwork(
		banger.WithNetworkAddress(network(2)+"/30"), banger.WithNetworkGateway(network(1)), banger.WithHostname(hostname))
	if err != nil {
		return err
	}
	return rootfs.Commit(ctx)
}
