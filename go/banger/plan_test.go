package banger_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banger-project/banger/go/banger"
)

func TestCheckAndBootPlan(t *testing.T) {
	store := openStore(t)
	disk := filepath.Join(t.TempDir(), "disk.ext4")
	if _, err := banger.Build(t.Context(), t.TempDir(), disk, banger.WithSizeBytes(16<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.CheckKernel(t.Context(), disk, ""); kindOf(err) != banger.KindNotFound {
		t.Errorf("without a kernel: %v", err)
	}
	if _, err := store.ImportKernel(t.Context(), kernelImage(t), banger.WithName("one")); err != nil {
		t.Fatal(err)
	}
	document, err := store.CheckKernel(t.Context(), disk, "", banger.WithVMM("vz"), banger.WithCheckFor("docker"))
	if err != nil {
		t.Fatal(err)
	}
	var check struct {
		VMM, Outcome string
		Profiles     []string
		Findings     []struct{ Subject, Outcome, Message string }
	}
	if err := json.Unmarshal(document, &check); err != nil {
		t.Fatal(err)
	}
	// The image has no init.
	if check.VMM != "vz" || check.Outcome != "error" || len(check.Profiles) != 1 || check.Findings[0].Subject != "init" {
		t.Errorf("%+v", check)
	}
	document, err = store.BootPlan(
		t.Context(), disk, "one", banger.WithVMM("firecracker"), banger.WithBootCPUs(2), banger.WithBootMemoryMiB(256),
		banger.WithBootRoot("/dev/vda"), banger.WithBootReadOnly(true), banger.WithBootVsock("/run/v.sock"),
		banger.WithBootCID(7), banger.WithBootTap("tap0"), banger.WithBootMAC("06:00:00:00:00:01"),
		banger.WithBootAppend("quiet", "panic=1"), banger.WithBootInitrd("/initrd"),
		banger.WithNetworkAddress("10.0.0.2/24"),
	)
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Plan struct {
			CommandLine string `json:"command_line"`
			CPUs        int
		}
		Configuration map[string]any
	}
	if err := json.Unmarshal(document, &plan); err != nil {
		t.Fatal(err)
	}
	line := plan.Plan.CommandLine
	if plan.Plan.CPUs != 2 || !strings.Contains(line, "root=/dev/vda ro") || !strings.HasSuffix(line, "quiet panic=1") {
		t.Errorf("%+v", plan)
	}
	if plan.Configuration["vsock"] == nil || plan.Configuration["network-interfaces"] == nil {
		t.Errorf("%+v", plan.Configuration)
	}
	document, err = store.BootPlan(
		t.Context(), disk, "", banger.WithBootAcceleration("tcg"), banger.WithBootDisk("nvme"),
	)
	if err != nil || !strings.Contains(string(document), `"nvme,drive=rootfs,serial=rootfs"`) {
		t.Errorf("%s, %v", document, err)
	}
	if _, err = store.BootPlan(t.Context(), disk, "", banger.WithVMM("xen")); kindOf(err) != banger.KindArgument {
		t.Errorf("an unknown monitor: %v", err)
	}
}

func TestDoctor(t *testing.T) {
	document, err := openStore(t).Doctor()
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Version int
		Usable  bool
		Items   []struct {
			Name, Status, Found string
			NeededFor           string `json:"needed_for"`
		}
	}
	if err := json.Unmarshal(document, &report); err != nil {
		t.Fatal(err)
	}
	if report.Version != 1 || !report.Usable || len(report.Items) < 5 || report.Items[0].Name != "state directory" {
		t.Errorf("%+v", report)
	}
}
