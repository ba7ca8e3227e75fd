package banger_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/banger-project/banger/go/banger"
)

// kernelImage writes an arm64 Image that does not run.
func kernelImage(t *testing.T) string {
	t.Helper()
	content := append(make([]byte, 56), "ARM\x64\x00\x00\x00\x00Linux version 6.1.0-test (x)\x00"...)
	path := filepath.Join(t.TempDir(), "Image")
	if err := os.WriteFile(path, append(content, bytes.Repeat([]byte("x"), 1000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKernels(t *testing.T) {
	store := openStore(t)
	path := kernelImage(t)
	events := 0
	tell := banger.WithProgress(func(banger.Event) { events++ })
	document, err := store.ImportKernel(t.Context(), path, banger.WithName("one"), tell)
	if err != nil {
		t.Fatal(err)
	}
	var kernel struct {
		ID, Release, Path string
		Unchanged         bool
	}
	if err := json.Unmarshal(document, &kernel); err != nil {
		t.Fatal(err)
	}
	if kernel.Release != "6.1.0-test" || kernel.Unchanged || events == 0 {
		t.Errorf("%+v, %d events", kernel, events)
	}
	if _, err := os.Stat(filepath.Join(kernel.Path, "Image")); err != nil {
		t.Error(err)
	}
	if shown, err := store.ShowKernel(kernel.ID); err != nil || !bytes.Contains(shown, []byte(`"one"`)) {
		t.Errorf("%s: %v", shown, err)
	}
	if listed, err := store.ListKernels(); err != nil || !bytes.Contains(listed, []byte(kernel.ID)) {
		t.Errorf("%s: %v", listed, err)
	}
	testBundle(t, store)
	file := filepath.Join(t.TempDir(), "rootfs.ext4")
	if _, err := banger.Build(t.Context(), t.TempDir(), file, banger.WithSizeBytes(16<<20)); err != nil {
		t.Fatal(err)
	}
	image, err := store.Register(t.Context(), file, banger.WithName("with-kernel"), banger.WithKernelRef("one"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if _, err := os.Stat(filepath.Join(filepath.Dir(image.Path()), "kernel", "Image")); err != nil {
		t.Error(err)
	}
	if _, err := store.Register(t.Context(), path); kindOf(err) == banger.KindInternal || err == nil {
		t.Errorf("a file that is not ext4: %v", err)
	}
	if err := store.RemoveKernel(t.Context(), "one"); err != nil {
		t.Error(err)
	}
	if _, err := store.ShowKernel("one"); kindOf(err) != banger.KindNotFound {
		t.Errorf("a removed kernel: %v", err)
	}
	if _, err := store.ImportKernel(t.Context(), path, banger.WithMaxKernelBytes(100)); kindOf(err) != banger.KindLimit {
		t.Errorf("a kernel beyond the limit: %v", err)
	}
}

// testBundle packs the kernel "one" and pulls it again.
func testBundle(t *testing.T, store *banger.Store) {
	t.Helper()
	layout := filepath.Join(t.TempDir(), "bundle")
	source := banger.WithKernelSourceURL("https://example.org/linux")
	document, err := store.PackKernels(t.Context(), "one", layout, source, banger.WithKernelTag("1"),
		banger.WithKernelLicence("GPL-2.0-only"), banger.WithKernelSourceCommit("0123abc"))
	if err != nil || !bytes.Contains(document, []byte("https://example.org/linux")) {
		t.Fatalf("%s: %v", document, err)
	}
	if _, err := store.PackKernels(t.Context(), "one", layout, banger.WithKernelAlso("one")); kindOf(err) != banger.KindArgument {
		t.Errorf("a layout that exists: %v", err)
	}
	arm64 := banger.WithPlatform("linux/arm64")
	pulled, err := store.PullKernel(t.Context(), "oci:"+layout+":1", banger.WithName("two"), arm64)
	if err != nil || !bytes.Contains(pulled, []byte("0123abc")) {
		t.Errorf("%s: %v", pulled, err)
	}
	if err := store.RemoveKernel(t.Context(), "two"); err != nil {
		t.Error(err)
	}
	catalog := filepath.Join(t.TempDir(), "kernels.toml")
	if err := os.WriteFile(catalog, []byte("# empty\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.PullKernel(t.Context(), "one", banger.WithKernelCatalog(catalog)); kindOf(err) != banger.KindNotFound {
		t.Errorf("a name that no catalog has: %v", err)
	}
	address := "https://127.0.0.1:1/vmlinux"
	if _, err := store.ImportKernel(t.Context(), address); kindOf(err) != banger.KindArgument {
		t.Errorf("an address without a digest: %v", err)
	}
	if _, err := store.ImportKernel(t.Context(), address, banger.WithKernelSHA256("0")); kindOf(err) != banger.KindArgument {
		t.Errorf("a digest that is none: %v", err)
	}
}
