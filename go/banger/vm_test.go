package banger_test

import (
	"testing"
	"time"

	"github.com/banger-project/banger/go/banger"
)

// What needs a machine is shown by the boots; here is what fails before.
func TestMachinesThatDoNotStart(t *testing.T) {
	store := openStore(t)
	ctx := t.Context()
	if _, err := store.RunVM(ctx, "none", "", banger.WithExecArgv("true")); kindOf(err) != banger.KindNotFound {
		t.Errorf("an image that is not there: %v", err)
	}
	if _, err := store.RunVM(ctx, "none", ""); kindOf(err) != banger.KindArgument {
		t.Errorf("without a program: %v", err)
	}
	options := []banger.Option{
		banger.WithExecArgv("true"), banger.WithVMForward("8080:80"), banger.WithVMFirstBoot(true),
		banger.WithVMBootTimeout(time.Minute), banger.WithVMTimeout(time.Hour), banger.WithVMQEMU("/no/such"),
	}
	if _, err := store.RunVM(ctx, "none", "", options...); kindOf(err) != banger.KindNotFound {
		t.Errorf("all options: %v", err)
	}
	_, err := store.RunVM(ctx, "none", "", banger.WithExecArgv("true"), banger.WithVMForward("80"))
	if kindOf(err) != banger.KindArgument {
		t.Errorf("a port: %v", err)
	}
	steps := banger.WithBuildStep("run:true", "env:A=1")
	if _, err := store.BuildImage(ctx, "none", "new", "", steps, banger.WithBuildNoCache(true)); kindOf(err) != banger.KindNotFound {
		t.Errorf("a base that is not there: %v", err)
	}
	if _, err := store.BuildImage(ctx, "none", "new", "", banger.WithBuildStep("walk")); kindOf(err) != banger.KindArgument {
		t.Errorf("a step: %v", err)
	}
	if _, err := store.BuildImage(ctx, "none", "a/b", "", steps); kindOf(err) != banger.KindArgument {
		t.Errorf("a name: %v", err)
	}
}
