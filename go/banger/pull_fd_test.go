package banger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/banger-project/banger/go/banger"
)

func TestPullToFD(t *testing.T) {
	store, reference := openStore(t), layout(t, smallImage())
	options := []banger.Option{banger.WithInject(false), banger.WithSizeBytes(32 << 20)}
	path := filepath.Join(t.TempDir(), "wanted.ext4")
	wanted, err := store.PullToFile(t.Context(), reference, path, options...)
	if err != nil {
		t.Fatal(err)
	}
	wanted.Close()
	bytesWanted, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	file, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("old"), 40<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	// What has no name any more is written, too.
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
	image, err := store.PullToFD(t.Context(), reference, file, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if image.Path() != fmt.Sprintf("/dev/fd/%d", file.Fd()) || image.SizeBytes() != 32<<20 {
		t.Errorf("the image is %s", image.JSON())
	}
	if at, err := file.Seek(0, io.SeekCurrent); err != nil || at != 5 {
		t.Errorf("the position is %d, %v", at, err)
	}
	if found, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<40)); err != nil || !bytes.Equal(found, bytesWanted) {
		t.Errorf("%d bytes that differ from a pull to a file, %v", len(found), err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = store.PullToFD(ctx, reference, file, append(options, banger.WithProgress(func(event banger.Event) {
		if event.Kind == banger.EventLayerDone {
			cancel()
		}
	}))...)
	// The end of the pull may come first.
	if info, statErr := file.Stat(); statErr != nil || err != nil && info.Size() != 0 {
		t.Errorf("cancelled: %v, and then %v, %v", err, info, statErr)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	_, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := store.PullToFD(t.Context(), reference, writer, options...); codeOf(err) != 508 ||
		kindOf(err) != banger.KindArgument || !strings.Contains(err.Error(), "is a pipe") {
		t.Errorf("a pipe: %v", err)
	}
	file.Close()
	if _, err := store.PullToFD(t.Context(), reference, file, options...); err == nil || !strings.Contains(err.Error(), "closed file") {
		t.Errorf("a file that is closed: %v", err)
	}
}

func TestGuestBinary(t *testing.T) {
	store, reference := openStore(t), layout(t, smallImage())
	machine, known := map[string]byte{"amd64": 62, "arm64": 183}[runtime.GOARCH]
	if !known {
		skip(t, "no ELF header for "+runtime.GOARCH)
	}
	// The header of a static executable.
	binary := append([]byte("\x7fELF\x02\x01"), make([]byte, 58)...)
	binary[18] = machine
	pull := func(binary []byte) (*banger.Image, error) {
		return store.Pull(t.Context(), reference, banger.WithInit("banger"), banger.WithGuestBinary(binary))
	}
	for _, again := range []bool{false, true} {
		image, err := pull(binary)
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		if image.Unchanged() != again {
			t.Errorf("unchanged: %v", image.Unchanged())
		}
		files, err := banger.OpenFS(image.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		if found, err := files.ReadFile(agentPath[1:]); err != nil || !bytes.Equal(found, binary) {
			t.Errorf("in the image: %q, %v", found, err)
		}
	}
	other, err := pull(append(binary, "another"...))
	if err != nil || other.Unchanged() {
		t.Fatalf("with another binary: %v", err)
	}
	other.Close()
	binary[18] ^= 0xff
	if _, err := pull(binary); codeOf(err) != 812 || !strings.Contains(err.Error(), "another processor") {
		t.Errorf("a binary for another processor: %v", err)
	}
}
