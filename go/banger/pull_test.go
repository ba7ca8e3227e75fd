package banger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banger-project/banger/go/banger"
)

func TestPull(t *testing.T) {
	store := openStore(t)
	reference := layout(t, smallImage())
	var kinds []banger.EventKind
	pull := func() *banger.Image {
		image, err := store.Pull(t.Context(), reference, banger.WithName("small"), banger.WithInject(false),
			banger.WithSizeBytes(32<<20), banger.WithProgress(func(event banger.Event) {
				kinds = append(kinds, event.Kind)
				if !json.Valid([]byte(event.JSON)) {
					t.Errorf("not JSON: %s", event.JSON)
				}
			}))
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	image := pull()
	if kinds[0] != banger.EventResolving || kinds[len(kinds)-1] != banger.EventDone {
		t.Errorf("kinds of events: %v", kinds)
	}
	if image.Name() != "small" || image.SizeBytes() != 32<<20 || image.Unchanged() {
		t.Errorf("the image is %s", image.JSON())
	}
	if info, err := os.Stat(image.Path()); err != nil || info.Size() != 32<<20 {
		t.Errorf("its file: %v, %v", info, err)
	}
	var record struct{ ID, Digest, Path string }
	if err := json.Unmarshal(image.JSON(), &record); err != nil {
		t.Fatal(err)
	}
	if record.ID != image.ID() || record.Digest != image.Digest() || record.Path != image.Path() {
		t.Errorf("the record is %+v", record)
	}

	again := pull()
	if !again.Unchanged() || again.ID() != image.ID() {
		t.Errorf("the second pull made %s", again.JSON())
	}
	if err := store.Remove(t.Context(), "small"); kindOf(err) != banger.KindInUse {
		t.Errorf("remove of an image in use: %v", err)
	}
	for _, image := range []*banger.Image{image, again, again} {
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := store.Remove(t.Context(), "small"); err != nil {
		t.Error(err)
	}
	if _, err := store.Find(t.Context(), "small"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("find after remove: %v", err)
	}
}

func TestPushedImagesArePulledByteForByte(t *testing.T) {
	store := openStore(t)
	image, err := store.Pull(t.Context(), layout(t, smallImage()), banger.WithName("small"), banger.WithInject(false))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	target := "oci:" + filepath.Join(t.TempDir(), "artifact") + ":small"
	push := func() (pushed struct {
		Digest  string
		Sent    uint64 `json:"sent_blobs"`
		Present uint64 `json:"present_blobs"`
		Windows uint64
	}) {
		document, err := store.Push(t.Context(), "small", target, banger.WithJobs(2))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(document, &pushed); err != nil {
			t.Fatal(err)
		}
		return pushed
	}
	first := push()
	if first.Sent != first.Windows+1 || first.Present != 0 {
		t.Errorf("the first push: %+v", first)
	}
	if again := push(); again.Sent != 0 || again.Digest != first.Digest {
		t.Errorf("the second push: %+v after %+v", again, first)
	}
	pulled, err := store.Pull(t.Context(), target, banger.WithName("other"))
	if err != nil {
		t.Fatal(err)
	}
	defer pulled.Close()
	var record struct{ Artifact struct{ Digest string } }
	if err := json.Unmarshal(pulled.JSON(), &record); err != nil || record.Artifact.Digest != first.Digest {
		t.Errorf("the record is %s (%v)", pulled.JSON(), err)
	}
	want, err := os.ReadFile(image.Path())
	if err != nil {
		t.Fatal(err)
	}
	if found, err := os.ReadFile(pulled.Path()); err != nil || !bytes.Equal(want, found) {
		t.Errorf("the file has other bytes (%v)", err)
	}
	if _, err := store.Push(t.Context(), "missing", target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a push of a missing image: %v", err)
	}
	_, err = store.Push(t.Context(), "small", target, banger.WithMountFrom("oci:somewhere"))
	if kindOf(err) != banger.KindArgument {
		t.Errorf("a mount from a layout: %v", err)
	}
}

func TestCommittedDisksArePulledAgain(t *testing.T) {
	store := openStore(t)
	image, err := store.Pull(t.Context(), layout(t, smallImage()), banger.WithName("small"), banger.WithInject(false))
	if err != nil {
		t.Fatal(err)
	}
	image.Close()
	disk := filepath.Join(t.TempDir(), "disk.ext4")
	if err := store.Export(t.Context(), "small", disk, false); err != nil {
		t.Fatal(err)
	}
	rootfs, err := banger.EditRootfs(disk)
	if err != nil {
		t.Fatal(err)
	}
	if err := rootfs.WriteFile(t.Context(), "/new", []byte("new\n"), nil); err != nil {
		t.Fatal(err)
	}
	if err := rootfs.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	rootfs.Close()
	target := "oci:" + filepath.Join(t.TempDir(), "layout") + ":1"
	commit := func(given ...banger.Option) (committed struct {
		Digest     string
		BaseLayers uint64 `json:"base_layers"`
		Sent       uint64 `json:"sent_blobs"`
	}) {
		given = append(given, banger.WithSourceDateEpoch(1_700_000_000), banger.WithJobs(2))
		document, err := store.Commit(t.Context(), disk, "small", target, given...)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(document, &committed); err != nil {
			t.Fatal(err)
		}
		return committed
	}
	first := commit(banger.WithCommitMessage("why"), banger.WithCommitAuthor("me"))
	if first.BaseLayers != 2 || first.Sent != 4 {
		t.Errorf("the commit: %+v", first)
	}
	if again := commit(banger.WithCommitMessage("why"), banger.WithCommitAuthor("me")); again.Digest != first.Digest {
		t.Errorf("the second commit: %+v after %+v", again, first)
	}
	if whole := commit(banger.WithCommitSquash(true), banger.WithCommitCompression("zstd")); whole.BaseLayers != 0 {
		t.Errorf("the whole disk: %+v", whole)
	}
	pulled, err := store.Pull(t.Context(), target, banger.WithName("again"), banger.WithInject(false))
	if err != nil {
		t.Fatal(err)
	}
	defer pulled.Close()
	found, err := banger.OpenRootfs(pulled.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	if text, err := found.ReadFile("/new"); err != nil || string(text) != "new\n" {
		t.Errorf("the new file: %q, %v", text, err)
	}
	if _, err := store.Commit(t.Context(), disk, "missing", target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing base: %v", err)
	}
	_, err = store.Commit(t.Context(), disk, "small", target, banger.WithCommitCompression("xz"))
	if kindOf(err) != banger.KindArgument {
		t.Errorf("an unknown compression: %v", err)
	}
}

func TestStore(t *testing.T) {
	store := openStore(t)
	image, err := store.Pull(t.Context(), layout(t, smallImage()), banger.WithName("one"), banger.WithInject(false))
	if err != nil {
		t.Fatal(err)
	}
	image.Close()
	if err := store.Rename(t.Context(), "one", "two"); err != nil {
		t.Fatal(err)
	}
	clone, err := store.Clone(t.Context(), "two", "three")
	if err != nil {
		t.Fatal(err)
	}
	clone.Close()
	disk := filepath.Join(t.TempDir(), "vm7.ext4")
	machine, err := store.Clone(t.Context(), "two", disk, banger.WithHostname("vm7"),
		banger.WithSSHKey("ssh-ed25519 AAAA me"), banger.WithCloneEnv("PORT=80"), banger.WithNetworkDNS("10.0.0.1"),
		banger.WithClonePut("pull_test.go:/srv/test.go"), banger.WithCloneIdentity("new"))
	if err != nil {
		t.Fatal(err)
	}
	if machine.Path() != disk {
		t.Errorf("the clone is at %s", machine.Path())
	}
	machine.Close()
	rootfs, err := banger.OpenRootfs(disk)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/etc/hostname": "vm7\n", "/root/.ssh/authorized_keys": "ssh-ed25519 AAAA me\n", "/etc/environment": "PORT=80\n",
		"/etc/banger-network.conf": "dns=10.0.0.1\nhostname=vm7\n",
	} {
		if got, err := rootfs.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	rootfs.Close()
	if _, err := store.Clone(t.Context(), "two", "four", banger.WithSSHKey("no key")); err == nil {
		t.Error("a clone with a key that is none")
	}
	if _, err := store.Clone(t.Context(), "two", "three"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("clone to a name that is taken: %v", err)
	}
	list, err := store.List()
	if err != nil || strings.Count(string(list), `"path"`) != 2 {
		t.Errorf("list: %s, %v", list, err)
	}
	verified, err := store.Verify(t.Context(), "three")
	if err != nil || !strings.Contains(string(verified), `"problems":[]`) {
		t.Errorf("verify: %s, %v", verified, err)
	}
	file := filepath.Join(t.TempDir(), "exported.ext4")
	if err := store.Export(t.Context(), "two", file, false); err != nil {
		t.Fatal(err)
	}
	if err := store.Export(t.Context(), "two", file, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("export to a file that exists: %v", err)
	}
	blobs, err := store.CacheList()
	if err != nil || !strings.Contains(string(blobs), "sha256:") && !strings.Contains(string(blobs), "blobs") {
		t.Errorf("cache: %s, %v", blobs, err)
	}
	pruned, err := store.CachePrune(banger.WithAll(true), banger.WithDryRun(true))
	if err != nil || !strings.Contains(string(pruned), `"dry_run":true`) {
		t.Errorf("prune: %s, %v", pruned, err)
	}
	if checked, err := store.CacheVerify(context.Background(), true); err != nil || !strings.Contains(string(checked), `"damaged":[]`) {
		t.Errorf("verify: %s, %v", checked, err)
	}
	if _, err := store.Prune(context.Background()); codeOf(err) != 511 {
		t.Errorf("prune without a choice: %v", err)
	}
	dry, err := store.Prune(context.Background(), banger.WithOlderThan(1000*time.Hour), banger.WithDryRun(true))
	if err != nil || !strings.Contains(string(dry), `"removed":[]`) {
		t.Errorf("prune: %s, %v", dry, err)
	}
	if _, err := store.Pull(context.Background(), "oci:/nowhere", banger.WithVerifyKey("/no/such/key")); codeOf(err) != 1229 {
		t.Errorf("a key that does not exist: %v", err)
	}
	if _, err := store.Pull(context.Background(), "oci:/nowhere", banger.WithPolicy("/no/such/policy")); codeOf(err) != 1228 {
		t.Errorf("a policy that does not exist: %v", err)
	}
	if _, err := store.CachePrune(banger.WithName("x")); codeOf(err) != 512 {
		t.Errorf("an option that prune does not use: %v", err)
	}
}

// Of 64 goroutines that pull 8 images some are cancelled at a random time; the others get whole images.
func TestManyPulls(t *testing.T) {
	const images, goroutines = 8, 64
	random := rand.New(rand.NewPCG(seed(t), 0))
	served := map[string]*testImage{}
	for i := range images {
		served[fmt.Sprintf("image%d", i)] = noiseImage(uint64(i), 256<<10)
	}
	host := registry(t, served, func(w http.ResponseWriter, r *http.Request, data []byte) {
		for len(data) > 0 {
			n := min(len(data), 16<<10)
			if _, err := w.Write(data[:n]); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			data = data[n:]
			time.Sleep(time.Millisecond)
		}
	})
	store := openStore(t)
	var pulled, cancelled int
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range goroutines {
		var delay time.Duration = -1
		if random.IntN(2) == 0 {
			delay = time.Duration(random.IntN(300)) * time.Millisecond
		}
		// Half of them make an image again that is there already.
		force := random.IntN(2) == 0
		group.Go(func() {
			ctx := t.Context()
			if delay >= 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, delay)
				defer cancel()
			}
			events := 0
			number := i % images
			image, err := store.Pull(ctx, fmt.Sprintf("%s/image%d", host, number), banger.WithInject(false),
				banger.WithName(fmt.Sprintf("image%d", number)), banger.WithSizeBytes(16<<20), banger.WithForce(force),
				banger.WithProgress(func(banger.Event) { events++ }))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if delay < 0 || !errors.Is(err, context.DeadlineExceeded) || codeOf(err) != 505 {
					t.Errorf("pull %d: %v", i, err)
				}
				cancelled++
				return
			}
			defer image.Close()
			pulled++
			if events == 0 {
				t.Errorf("pull %d told of nothing", i)
			}
			files, err := banger.OpenFS(image.Path())
			if err != nil {
				t.Errorf("pull %d: %v", i, err)
				return
			}
			defer files.Close()
			if got, err := files.ReadFile("number"); err != nil || string(got) != fmt.Sprint(number) {
				t.Errorf("pull %d has image %q, %v", i, got, err)
			}
		})
	}
	group.Wait()
	t.Logf("%d pulled, %d cancelled", pulled, cancelled)
	if pulled == 0 {
		t.Error("no pull came to its end")
	}
}

// A registry that says nothing does not keep a call that is cancelled.
func TestCancelWhileSilent(t *testing.T) {
	silent := make(chan struct{}, 64)
	host := registry(t, map[string]*testImage{"a": noiseImage(0, 4096)},
		func(w http.ResponseWriter, r *http.Request, _ []byte) {
			silent <- struct{}{}
			<-r.Context().Done()
		})
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("no longer wanted")
	var asked time.Time
	go func() {
		<-silent
		asked = time.Now()
		cancel(reason)
	}()
	_, err := openStore(t).Pull(ctx, host+"/a", banger.WithInject(false))
	took := time.Since(asked)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || kindOf(err) != banger.KindCancelled {
		t.Errorf("error: %v", err)
	}
	t.Logf("back after %v", took)
	if took > 10*time.Second {
		t.Errorf("it took %v to cancel", took)
	}
	cancelledBefore, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	if _, err := openStore(t).Pull(cancelledBefore, host+"/a"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	for range 100 {
		// The goroutines of HTTP connections end by themselves.
		if runtime.NumGoroutine() <= before+8 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d now", before, runtime.NumGoroutine())
}

// A progress function that panics stops the call, and the panic comes out of it.
func TestPanicInProgress(t *testing.T) {
	store := openStore(t)
	reference := layout(t, smallImage())
	type private struct{ number int }
	for number := range 3 {
		var seen int
		func() {
			defer func() {
				if got := recover(); got != (private{number}) {
					t.Errorf("the panic is %v", got)
				}
			}()
			_, err := store.Pull(t.Context(), reference, banger.WithInject(false),
				banger.WithProgress(func(banger.Event) {
					if seen++; seen > number {
						panic(private{number})
					}
				}))
			t.Errorf("the call returned: %v", err)
		}()
		if seen != number+1 {
			t.Errorf("%d events were told, not %d", seen, number+1)
		}
	}
	// The store is as good as before.
	image, err := store.Pull(t.Context(), reference, banger.WithInject(false))
	if err != nil {
		t.Fatal(err)
	}
	image.Close()
}

func TestBuild(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "built.ext4")
	if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(options ...banger.Option) ([]byte, error) {
		options = append(options, banger.WithSizeBytes(16<<20), banger.WithLabel("go"))
		return banger.Build(t.Context(), dir, file, options...)
	}
	document, err := build()
	if err != nil || !strings.Contains(string(document), `"label":"go"`) {
		t.Fatalf("%s, %v", document, err)
	}
	if _, err := build(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the file exists: %v", err)
	}
	if _, err := build(banger.WithForce(true)); err != nil {
		t.Errorf("with force: %v", err)
	}
	files, err := banger.OpenFS(file)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if got, err := files.ReadFile("hello"); err != nil || string(got) != "hello\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestBuildDataDisk(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data.ext4")
	build := func(options ...banger.Option) ([]byte, error) {
		options = append(options, banger.WithHeadroomBytes(1<<20), banger.WithJournalBytes(0))
		return banger.Build(t.Context(), "", file, append(options, banger.WithReservedBlocks(2))...)
	}
	if _, err := build(); kindOf(err) != banger.KindArgument {
		t.Errorf("no source: %v", err)
	}
	document, err := build(banger.WithOwnIdentity(true))
	if err != nil || !strings.Contains(string(document), `"source_kind":"empty"`) {
		t.Fatalf("%s, %v", document, err)
	}
}

func TestErrors(t *testing.T) {
	store := openStore(t)
	host := registry(t, nil, nil)
	pull := func(reference string, options ...banger.Option) error {
		_, err := store.Pull(t.Context(), reference, options...)
		return err
	}
	_, openErr := banger.OpenRootfs(filepath.Join(t.TempDir(), "none"))
	_, storeErr := banger.OpenStore("a\x00b", "")
	_, fileErr := store.PullToFile(t.Context(), layout(t, smallImage()), filepath.Join(t.TempDir(), "no/where"))
	for _, test := range []struct {
		name string
		err  error
		code int
		kind banger.Kind
		is   error
	}{
		{"no image", pull(host + "/none"), 101, banger.KindNotFound, fs.ErrNotExist},
		{"no reference", pull("::"), 100, banger.KindArgument, nil},
		{"NUL in a reference", pull("a\x00b"), 511, banger.KindArgument, nil},
		{"NUL in an option", pull("a", banger.WithName("a\x00b")), 511, banger.KindArgument, nil},
		{"no UTF-8", pull("a\xff"), 511, banger.KindArgument, nil},
		{"option of another call", pull("a", banger.WithExecArgv("x")), 512, banger.KindArgument, nil},
		{"NUL in a path", storeErr, 511, banger.KindArgument, nil},
		{"no file", openErr, 0, banger.KindNotFound, fs.ErrNotExist},
		{"no directory", fileErr, 0, banger.KindNotFound, fs.ErrNotExist},
	} {
		var e *banger.Error
		if !errors.As(test.err, &e) {
			t.Errorf("%s: %v", test.name, test.err)
			continue
		}
		if test.code != 0 && e.Code != test.code || e.Kind != test.kind {
			t.Errorf("%s: code %d, kind %v: %v", test.name, e.Code, e.Kind, e)
		}
		if test.is != nil && !errors.Is(test.err, test.is) {
			t.Errorf("%s: %v is not %v", test.name, test.err, test.is)
		}
		if errors.Is(test.err, fs.ErrPermission) || errors.Is(test.err, context.Canceled) {
			t.Errorf("%s is too much: %v", test.name, test.err)
		}
		var document struct {
			Version, Code int
			Kind, Message string
			Context       map[string]string
		}
		if err := json.Unmarshal(e.JSON(), &document); err != nil {
			t.Errorf("%s: %s: %v", test.name, e.JSON(), err)
		}
		if document.Version != 1 || document.Code != e.Code || document.Kind != e.Kind.String() ||
			document.Message != e.Message {
			t.Errorf("%s: %s", test.name, e.JSON())
		}
	}
}

func TestClosed(t *testing.T) {
	store := openStore(t)
	for range 2 {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := store.Pull(t.Context(), "a"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("pull of a closed store: %v", err)
	}
	if _, err := store.List(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("list of a closed store: %v", err)
	}
}

// What is forgotten is freed by the garbage collector: the lease of an image ends.
func TestForgottenImage(t *testing.T) {
	store := openStore(t)
	reference := layout(t, smallImage())
	if _, err := store.Pull(t.Context(), reference, banger.WithName("a"), banger.WithInject(false)); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 200 {
		runtime.GC()
		if err = store.Remove(t.Context(), "a"); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the image is still in use: %v", err)
}

func TestVersion(t *testing.T) {
	if strings.Count(banger.Version(), ".") != 2 {
		t.Errorf("version %q", banger.Version())
	}
	if banger.LibraryFeatures()&^(banger.FeatureGuestAMD64|banger.FeatureGuestARM64|banger.FeatureE2fsprogs) != 0 {
		t.Errorf("features %b", banger.LibraryFeatures())
	}
}

func kindOf(err error) banger.Kind {
	var e *banger.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func codeOf(err error) int {
	var e *banger.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
