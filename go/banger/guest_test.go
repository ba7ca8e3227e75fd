package banger_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/banger-project/banger/go/banger"
)

const agentPath = "/usr/local/bin/banger-vsock-agent"

// startAgent runs the agent of the library on this machine, in the place of one in a guest.
func startAgent(t *testing.T) *banger.Guest {
	t.Helper()
	feature := map[string]banger.Features{"amd64": banger.FeatureGuestAMD64, "arm64": banger.FeatureGuestARM64}
	if banger.LibraryFeatures()&feature[runtime.GOARCH] == 0 {
		skip(t, "the library has no guest for "+runtime.GOARCH)
	}
	rootfs, err := banger.EditRootfs(pulledFile(t, smallImage()))
	if err != nil {
		t.Fatal(err)
	}
	defer rootfs.Close()
	_, err = rootfs.Inject(t.Context(), banger.WithInit("banger"), banger.WithArchitecture(runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	binary, err := rootfs.FS().ReadFile(agentPath[1:])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program, socket := filepath.Join(dir, filepath.Base(agentPath)), filepath.Join(dir, "agent.sock")
	if err := os.WriteFile(program, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	agent := exec.Command(program, "--listen", "unix:"+socket)
	agent.Stderr = &log
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
		if t.Failed() {
			t.Logf("the agent said: %s", log.String())
		}
	})
	guest, err := banger.NewGuest("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { guest.Close() })
	if ready, err := guest.WaitReady(t.Context(), 30*time.Second); err != nil || !strings.Contains(string(ready), "agent_version") {
		t.Fatalf("%s, %v", ready, err)
	}
	return guest
}

func TestGuest(t *testing.T) {
	guest, ctx := startAgent(t), t.Context()
	if health, err := guest.Health(ctx); err != nil || !strings.Contains(string(health), "uptime_ms") {
		t.Errorf("health: %s, %v", health, err)
	}
	info, err := guest.Info(ctx)
	if err != nil {
		t.Fatalf("info: %v", err)
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if text := string(info); !strings.Contains(text, strings.TrimSpace(string(kernel))) || !strings.Contains(text, `"uptime_ms":`) {
		t.Errorf("info: %s", text)
	}
	result, err := guest.Run(ctx, []string{"/bin/sh", "-c", "echo out $NAME; echo err >&2; exit 3"},
		banger.WithExecEnv("NAME=value"))
	if err != nil {
		t.Fatal(err)
	}
	if string(result.Output) != "out value\n" || string(result.ErrorOutput) != "err\n" || result.Status != 3 ||
		!result.Exited || result.Success() || result.ExitStatus.String() != "exit status 3" {
		t.Errorf("%+v", result)
	}
	if _, err := guest.Run(ctx, []string{"/no/such/program"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	if _, err := guest.Run(ctx, nil); kindOf(err) != banger.KindArgument {
		t.Errorf("no argv: %v", err)
	}

	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, bytes.Repeat([]byte("copy"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	there := filepath.Join(t.TempDir(), "made/there")
	if n, err := guest.CopyIn(ctx, there, file, banger.WithCopyMode(0o640), banger.WithCopyParents(true)); err != nil || n != 400_000 {
		t.Errorf("copy in: %d, %v", n, err)
	}
	if info, err := os.Stat(there); err != nil || info.Mode() != 0o640 {
		t.Errorf("what came in: %v, %v", info, err)
	}
	back, err := os.Create(filepath.Join(t.TempDir(), "back"))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if document, err := guest.CopyOut(ctx, there, back); err != nil || !strings.Contains(string(document), "400000") {
		t.Errorf("copy out: %s, %v", document, err)
	}
	if info, err := back.Stat(); err != nil || info.Size() != 400_000 {
		t.Errorf("what came out: %v, %v", info, err)
	}
	if _, err := guest.CopyOut(ctx, "/no/such/file", back); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copy of nothing: %v", err)
	}
}

func TestExec(t *testing.T) {
	guest := startAgent(t)
	process, err := guest.Exec(t.Context(), []string{"/bin/cat"}, banger.WithExecStdin(true))
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	if process.PID() == 0 {
		t.Error("it has no process id")
	}
	text := strings.Repeat("through cat\n", 50_000)
	go func() {
		if _, err := io.Copy(process, strings.NewReader(text)); err != nil {
			t.Error(err)
		}
		if err := process.CloseInput(); err != nil {
			t.Error(err)
		}
	}()
	var output bytes.Buffer
	status, err := process.Copy(&output, nil)
	if err != nil || !status.Success() || output.String() != text {
		t.Errorf("%v, %d bytes, %v", status, output.Len(), err)
	}

	sleeper, err := guest.Exec(t.Context(), []string{"/bin/sleep", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	defer sleeper.Close()
	if err := sleeper.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	status, err = sleeper.Copy(nil, nil)
	if err != nil || status.Exited || status.Signal != int(syscall.SIGTERM) {
		t.Errorf("%v, %v", status, err)
	}

	terminal, err := guest.Exec(t.Context(), []string{"/bin/stty", "size"}, banger.WithExecRows(33), banger.WithExecColumns(77))
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	output.Reset()
	if status, err := terminal.Copy(&output, nil); err != nil || !strings.Contains(output.String(), "33 77") {
		t.Errorf("%v, %q, %v", status, output.String(), err)
	}
}

// A program on a terminal hears of another size, and gets what a terminal makes of its input.
func TestResizeTerminal(t *testing.T) {
	guest := startAgent(t)
	script := `trap 'stty size; exit 7' WINCH; test -t 0 && stty size; while :; do sleep 0.05; done`
	terminal, err := guest.Exec(t.Context(), []string{"/bin/sh", "-c", script}, banger.WithExecRows(33), banger.WithExecColumns(77))
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var output string
	for {
		event, err := terminal.Next()
		if err != nil {
			t.Fatalf("%v, after %q", err, output)
		}
		if event.Exit != nil {
			if event.Exit.Status != 7 {
				t.Errorf("it ended with %v", event.Exit)
			}
			break
		}
		if event.ErrorOutput != nil {
			t.Errorf("a terminal has no error output: %q", event.ErrorOutput)
		}
		before := strings.Contains(output, "33 77\r\n")
		output += string(event.Output)
		if !before && strings.Contains(output, "33 77\r\n") {
			if err := terminal.Resize(44, 88); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !strings.Contains(output, "44 88\r\n") {
		t.Errorf("%q", output)
	}

	cat, err := guest.Exec(t.Context(), []string{"/bin/cat"}, banger.WithExecRows(5), banger.WithExecColumns(50))
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	if _, err := cat.Write([]byte("typed\n")); err != nil {
		t.Fatal(err)
	}
	if err := cat.CloseInput(); err != nil {
		t.Fatal(err)
	}
	var typed bytes.Buffer
	if status, err := cat.Copy(&typed, nil); err != nil || !status.Success() || strings.Count(typed.String(), "typed\r\n") != 2 {
		t.Errorf("%v, %q, %v", status, typed.String(), err)
	}

	pipe, err := guest.Exec(t.Context(), []string{"/bin/sleep", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := pipe.Resize(1, 1); err != nil {
		// The guest says so where it looks at the request, or it drops it.
		t.Logf("a resize without a terminal: %v", err)
	}
}

// The end of the context ends what waits for a program, and the program. So does Close.
func TestCancelExec(t *testing.T) {
	guest := startAgent(t)
	ctx, cancel := context.WithCancel(t.Context())
	process, err := guest.Exec(ctx, []string{"/bin/sleep", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := process.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
	process.Close()
	process.Close()
	if _, err := process.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := guest.Run(ctx, []string{"/bin/sleep", "1000"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("run: %v", err)
	}

	closed, err := guest.Exec(t.Context(), []string{"/bin/sleep", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { closed.Close() })
	if _, err := closed.Next(); kindOf(err) != banger.KindCancelled && !errors.Is(err, fs.ErrClosed) {
		t.Errorf("next while it is closed: %v", err)
	}
}

// A VMM that accepts and says nothing does not keep a call that is cancelled.
func TestSilentGuest(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "vmm.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	guest, err := banger.NewGuest(socket + ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	for name, do := range map[string]func(context.Context) error{
		"health": func(ctx context.Context) error { return second(guest.Health(ctx)) },
		"ready":  func(ctx context.Context) error { return second(guest.WaitReady(ctx, time.Hour)) },
		"wait":   func(ctx context.Context) error { return second(guest.Wait(ctx)) },
		"grow":   func(ctx context.Context) error { return second(guest.Grow(ctx)) },
		"off":    guest.PowerOff,
		"reboot": guest.Reboot,
		"exec":   func(ctx context.Context) error { return second(guest.Exec(ctx, []string{"x"})) },
		"network": func(ctx context.Context) error {
			return second(guest.SetNetwork(ctx, banger.WithNetworkAddress("10.0.0.2/24")))
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		err := do(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
