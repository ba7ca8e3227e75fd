package banger_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banger-project/banger/go/banger"
)

// archiveOf returns the tar of the layout of a reference, and its directory.
func archiveOf(t *testing.T, reference string) ([]byte, string) {
	t.Helper()
	dir := strings.TrimPrefix(reference, "oci:")
	if _, err := os.Stat(dir); err != nil {
		dir = dir[:strings.LastIndex(dir, ":")]
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := writer.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes(), dir
}

func TestSources(t *testing.T) {
	store, reference := openStore(t), layout(t, smallImage())
	options := []banger.Option{banger.WithInject(false), banger.WithSizeBytes(32 << 20)}
	wanted, err := store.Pull(t.Context(), reference, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer wanted.Close()
	archive, dir := archiveOf(t, reference)
	path := filepath.Join(t.TempDir(), "layout.tar")
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	blobs := options
	entries, err := os.ReadDir(filepath.Join(dir, "blobs/sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		blob, err := os.Open(filepath.Join(dir, "blobs/sha256", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer blob.Close()
		blobs = append(blobs, banger.WithBlob("sha256:"+entry.Name(), blob))
	}
	pinned := "registry.invalid/app@" + wanted.Digest()
	for _, test := range []struct {
		name, reference string
		options         []banger.Option
	}{
		{"reader", "oci-archive:-", append(options, banger.WithInput(bytes.NewReader(archive)))},
		{"file", "oci-archive:-", append(options, banger.WithInput(file))},
		{"blobs", pinned, blobs},
	} {
		image, err := store.Pull(t.Context(), test.reference, append(test.options, banger.WithName(test.name))...)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if image.Digest() != wanted.Digest() {
			t.Errorf("%s: %s is not %s", test.name, image.Digest(), wanted.Digest())
		}
		image.Close()
	}
	for _, test := range []struct {
		reference string
		code      int
		options   []banger.Option
	}{
		{"oci-archive:-", 1160, nil},
		{"oci-archive:-", 1160, []banger.Option{banger.WithInput(bytes.NewReader(nil))}},
		{"docker-daemon:app", 1161, []banger.Option{banger.WithDockerHost("/none")}},
		{"podman:app", 1161, []banger.Option{banger.WithPodmanHost("unix:///none")}},
		{"containers-storage:app", 1162, []banger.Option{banger.WithStorageRoot("/none")}},
		{"containers-storage:app", 1162, []banger.Option{banger.WithUserSources(false)}},
	} {
		_, err := store.Pull(t.Context(), test.reference, test.options...)
		var e *banger.Error
		if !errors.As(err, &e) || e.Code != test.code {
			t.Errorf("%s: %v is not %d", test.reference, err, test.code)
		}
	}
}
