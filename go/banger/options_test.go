package banger

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every option of the header has a function here.
func TestOptionKeys(t *testing.T) {
	include, err := exec.Command("pkg-config", "--variable=includedir", "banger").Output()
	if err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(include)), "banger.h"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("option_keys.go")
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`(?m)^ +(BANGER_OPT_\w+) = \w+,`).FindAllStringSubmatch(string(header), -1)
	if len(keys) < 70 {
		t.Errorf("the header has %d options", len(keys))
	}
	for _, key := range keys {
		if key[1] != "BANGER_OPT_FORCE_32BIT" && !strings.Contains(string(source), "C."+key[1]+",") {
			t.Errorf("%s has no function", key[1])
		}
	}
}
