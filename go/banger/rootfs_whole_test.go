package banger_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/banger-project/banger/go/banger"
)

// decoded returns a document, or fails the test.
func decoded(t *testing.T, document []byte, err error) map[string]any {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(document, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestEditScript(t *testing.T) {
	rootfs, err := banger.EditRootfs(pulledFile(t, smallImage()))
	if err != nil {
		t.Fatal(err)
	}
	defer rootfs.Close()
	const write = `{"op": "write", "path": "/script", "content": "made\n"}`
	script := func(operations string) []byte {
		return []byte(`{"schemaVersion": 1, "operations": [` + operations + `]}`)
	}
	document, err := rootfs.EditScript(t.Context(), script(write), banger.WithDryRun(true))
	if trial := decoded(t, document, err); trial["dry_run"] != true {
		t.Errorf("%v", trial)
	}
	_, err = rootfs.EditScript(t.Context(), script(write+`, {"op": "remove", "path": "/nothing"}`))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := rootfs.ReadFile("/script"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	document, err = rootfs.EditScript(t.Context(), script(write))
	decoded(t, document, err)
	if got, err := rootfs.ReadFile("/script"); err != nil || string(got) != "made\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPutIfMatch(t *testing.T) {
	rootfs, err := banger.EditRootfs(pulledFile(t, smallImage()))
	if err != nil {
		t.Fatal(err)
	}
	defer rootfs.Close()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("put\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	present, err := rootfs.ReadFile("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	_, err = rootfs.Put(t.Context(), source, "/etc/hostname", banger.WithPutIfMatch("absent"))
	var failure *banger.Error
	if !errors.As(err, &failure) || failure.Code != 1342 {
		t.Errorf("%v", err)
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(present))
	document, err := rootfs.Put(t.Context(), source, "/etc/hostname",
		banger.WithPutIfMatch(digest), banger.WithPutMode("600"), banger.WithPutOwner("7:8"), banger.WithPutParents(true))
	decoded(t, document, err)
	stat, err := rootfs.Lstat("/etc/hostname")
	if err != nil || stat.UID != 7 || stat.GID != 8 {
		t.Errorf("%+v, %v", stat, err)
	}
}

func TestWholeFileSystem(t *testing.T) {
	file := pulledFile(t, smallImage())
	document, err := banger.RepairRootfs(t.Context(), file)
	if report := decoded(t, document, err); report["repair_count"] != 0.0 || report["problem_count"] != 0.0 {
		t.Errorf("%v", report)
	}
	rootfs, err := banger.OpenRootfs(file)
	if err != nil {
		t.Fatal(err)
	}
	defer rootfs.Close()
	document, err = rootfs.Usage()
	if usage := decoded(t, document, err); usage["file_system_bytes"] != float64(64<<20) {
		t.Errorf("%v", usage)
	}
	document, err = rootfs.DiskUsage(t.Context(), "/", banger.WithUsageDetail("summary"))
	if usage := decoded(t, document, err); len(usage["paths"].([]any)) != 1 {
		t.Errorf("%v", usage)
	}
	document, err = rootfs.Find(t.Context(), "/", banger.WithFindName("host*"), banger.WithFindType("file"),
		banger.WithFindPath("/etc/*"), banger.WithFindSize("+0"), banger.WithFindNewer("@0"),
		banger.WithFindPerm("-400"), banger.WithFindMaxDepth(3))
	if found := decoded(t, document, err); len(found["entries"].([]any)) != 1 {
		t.Errorf("%v", found)
	}
	document, err = rootfs.Find(t.Context(), "/", banger.WithFindUID(4242), banger.WithFindGID(4242))
	if found := decoded(t, document, err); len(found["entries"].([]any)) != 0 {
		t.Errorf("%v", found)
	}
	destination := filepath.Join(t.TempDir(), "copy")
	document, err = rootfs.Get(t.Context(), "/etc", destination)
	decoded(t, document, err)
	inside, err := rootfs.ReadFile("/etc/hostname")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(destination, "hostname")); err != nil || string(got) != string(inside) {
		t.Errorf("%q, %v", got, err)
	}
	same, err := banger.OpenRootfs(file)
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	document, err = rootfs.Diff(t.Context(), same)
	if report := decoded(t, document, err); len(report["differences"].([]any)) != 0 {
		t.Errorf("%v", report)
	}
}
