package banger_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/banger-project/banger/go/banger"
)

// seed returns the seed of a random test: BANGER_SEED, a fixed one with CI=true, else one of the clock. It is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	value := uint64(time.Now().UnixNano())
	if os.Getenv("CI") == "true" {
		value = 1
	}
	if text := os.Getenv("BANGER_SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			t.Fatalf("BANGER_SEED: %v", err)
		}
		value = parsed
	}
	t.Logf("BANGER_SEED=%d", value)
	return value
}

// openStore opens a store in a directory of the test.
func openStore(t testing.TB) *banger.Store {
	t.Helper()
	dir := t.TempDir()
	store, err := banger.OpenStore(filepath.Join(dir, "state"), filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// testImage is an OCI image: its blobs by digest, and the manifest among them.
type testImage struct {
	blobs    map[string][]byte
	manifest string
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func (i *testImage) add(data []byte) map[string]any {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	i.blobs[digest] = data
	return map[string]any{"digest": digest, "size": len(data)}
}

func (i *testImage) addJSON(mediaType string, value any) map[string]any {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	descriptor := i.add(data)
	descriptor["mediaType"] = mediaType
	return descriptor
}

// makeImage makes an image of one layer for each of the tars.
func makeImage(layers ...[]byte) *testImage {
	image := &testImage{blobs: map[string][]byte{}}
	var descriptors, diffIDs []any
	for _, layer := range layers {
		var compressed bytes.Buffer
		writer := gzip.NewWriter(&compressed)
		_, _ = writer.Write(layer)
		_ = writer.Close()
		descriptor := image.add(compressed.Bytes())
		descriptor["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
		descriptors = append(descriptors, descriptor)
		diffIDs = append(diffIDs, fmt.Sprintf("sha256:%x", sha256.Sum256(layer)))
	}
	config := image.addJSON("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Cmd": []string{"/bin/true"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	manifest := image.addJSON(manifestType, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": descriptors,
	})
	image.manifest = manifest["digest"].(string)
	return image
}

// tarEntry is a file, or a directory with "/" at its end, or a symlink.
type tarEntry struct {
	name, content, target string
	mode                  int64
}

func makeLayer(entries ...tarEntry) []byte {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, entry := range entries {
		header := &tar.Header{
			Name: entry.name, Mode: 0o644, Size: int64(len(entry.content)), Typeflag: tar.TypeReg,
			ModTime: time.Unix(1_700_000_000, 0),
		}
		switch {
		case strings.HasSuffix(entry.name, "/"):
			header.Typeflag, header.Mode = tar.TypeDir, 0o755
		case entry.target != "":
			header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, entry.target, 0o777
		}
		if entry.mode != 0 {
			header.Mode = entry.mode
		}
		if err := writer.WriteHeader(header); err != nil {
			panic(err)
		}
		if _, err := writer.Write([]byte(entry.content)); err != nil {
			panic(err)
		}
	}
	if err := writer.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// smallImage is an image with a few files of each kind.
func smallImage() *testImage {
	return makeImage(
		makeLayer(
			tarEntry{name: "etc/"}, tarEntry{name: "bin/"}, tarEntry{name: "empty/"}, tarEntry{name: "root/", mode: 0o700},
			tarEntry{name: "etc/os-release", content: "ID=example\n"},
			tarEntry{name: "bin/true", content: "#!/bin/sh\n", mode: 0o755},
			tarEntry{name: "data", content: strings.Repeat("0123456789abcdef", 1024)},
		),
		makeLayer(
			tarEntry{name: "etc/hostname", content: "example\n"},
			tarEntry{name: "etc/mtab", target: "/etc/hostname"},
			tarEntry{name: "link", target: "etc"},
		),
	)
}

// noiseImage is an image whose one layer has size bytes that do not compress.
func noiseImage(number uint64, size int) *testImage {
	noise := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(number)}).Read(noise)
	return makeImage(makeLayer(
		tarEntry{name: "number", content: fmt.Sprint(number)},
		tarEntry{name: "noise", content: string(noise)},
	))
}

// layout writes the image as an OCI layout and returns the reference of it.
func layout(t testing.TB, image *testImage) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{map[string]any{
		"mediaType": manifestType, "digest": image.manifest, "size": len(image.blobs[image.manifest]),
		"annotations": map[string]string{"org.opencontainers.image.ref.name": "latest"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for digest, data := range image.blobs {
		files["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")] = data
	}
	if err := os.MkdirAll(filepath.Join(dir, "blobs/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "oci:" + dir + ":latest"
}

// registry serves images by their repository. serve writes a blob; nil writes it at once.
func registry(t testing.TB, images map[string]*testImage, serve func(http.ResponseWriter, *http.Request, []byte)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/v2/")
		repository, rest, _ := strings.Cut(path, "/")
		image := images[repository]
		kind, name, _ := strings.Cut(rest, "/")
		if path == "" {
			return
		}
		if image == nil {
			http.Error(w, `{"errors":[{"code":"NAME_UNKNOWN"}]}`, http.StatusNotFound)
			return
		}
		if kind == "manifests" && !strings.HasPrefix(name, "sha256:") {
			name = image.manifest
		}
		data, ok := image.blobs[name]
		if !ok {
			http.Error(w, `{"errors":[{"code":"BLOB_UNKNOWN"}]}`, http.StatusNotFound)
			return
		}
		w.Header().Set("Docker-Content-Digest", name)
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		if kind == "manifests" {
			w.Header().Set("Content-Type", manifestType)
		}
		switch {
		case r.Method == http.MethodHead:
		case kind == "blobs" && serve != nil:
			serve(w, r, data)
		default:
			_, _ = w.Write(data)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}
