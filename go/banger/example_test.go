package banger_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/banger-project/banger/go/banger"
)

// Pull an image with progress; Ctrl-C stops it.
func ExampleStore_Pull() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	store, err := banger.OpenStore("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	image, err := store.Pull(ctx, "debian:bookworm", banger.WithProgress(func(event banger.Event) {
		if event.Kind == banger.EventBlobProgress {
			fmt.Printf("%s: %d of %d bytes\n", event.Digest, event.DoneBytes, event.SizeBytes)
		}
	}))
	switch {
	case errors.Is(err, context.Canceled):
		return
	case errors.Is(err, fs.ErrNotExist):
		log.Fatal("there is no such image")
	case err != nil:
		log.Fatal(err)
	}
	defer image.Close()
	fmt.Println(image.Path())
}

// Build a file system of a directory, change it, and read it.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	source, file := filepath.Join(dir, "source"), filepath.Join(dir, "rootfs.ext4")
	if err := os.MkdirAll(filepath.Join(source, "etc"), 0o755); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := banger.Build(ctx, source, file, banger.WithSizeBytes(16<<20)); err != nil {
		log.Fatal(err)
	}

	rootfs, err := banger.EditRootfs(file)
	if err != nil {
		log.Fatal(err)
	}
	defer rootfs.Close()
	if err := rootfs.WriteFile(ctx, "/etc/hostname", []byte("vm1\n"), nil); err != nil {
		log.Fatal(err)
	}
	if err := rootfs.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	hostname, err := rootfs.ReadFile("/etc/hostname")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", hostname)
	// Output: vm1
}

// Walk through an ext4 file with package io/fs.
func ExampleOpenFS() {
	files, err := banger.OpenFS("rootfs.ext4")
	if err != nil {
		log.Fatal(err)
	}
	defer files.Close()
	err = fs.WalkDir(files, "etc", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Println(path, info.Mode(), info.Sys().(*banger.Stat).UID)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// Decide by the kind of an error.
func ExampleError() {
	_, err := banger.OpenRootfs("/nowhere/rootfs.ext4")
	var e *banger.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind, errors.Is(err, fs.ErrNotExist))
	}
	// Output: not-found true
}

// Run a program in a virtual machine.
func ExampleGuest_Run() {
	guest, err := banger.NewGuest("/run/vm1/vsock.sock:5000")
	if err != nil {
		log.Fatal(err)
	}
	defer guest.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := guest.WaitReady(ctx, time.Minute); err != nil {
		log.Fatal(err)
	}
	result, err := guest.Run(ctx, []string{"uname", "-r"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s%s", result.Output, result.ErrorOutput)
	fmt.Println(result.ExitStatus)
}

// Run a program in a virtual machine and see what it writes at once.
func ExampleGuest_Exec() {
	guest, err := banger.NewGuest("/run/vm1/vsock.sock:5000")
	if err != nil {
		log.Fatal(err)
	}
	defer guest.Close()
	process, err := guest.Exec(context.Background(), []string{"dmesg", "--follow"}, banger.WithExecTimeout(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer process.Close()
	status, err := process.Copy(os.Stdout, os.Stderr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status)
}
