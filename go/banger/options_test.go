package banger

import (
	"errors"
	"io/fs"
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

// What docs/ffi.md names in its column of Go exists.
func TestTableOfFunctions(t *testing.T) {
	page, err := os.ReadFile("../../docs/ffi.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("only the repository has docs/ffi.md")
	} else if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	_, table, _ := strings.Cut(string(page), "| CLI | Rust | C | Go | Python |")
	table, _, _ = strings.Cut(table, "\n\n")
	named := 0
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 6 {
			continue
		}
		for _, name := range regexp.MustCompile("`([A-Za-z.]+)`").FindAllStringSubmatch(cells[4], -1) {
			declared := `func ` + name[1] + `\(`
			if owner, method, found := strings.Cut(name[1], "."); found {
				declared = `func \(\w+ \*` + owner + `\) ` + method + `\(`
			}
			if !regexp.MustCompile(declared).MatchString(source.String()) {
				t.Errorf("there is no %s", name[1])
			}
			named++
		}
	}
	if named < 40 {
		t.Errorf("the table names %d functions", named)
	}
}
