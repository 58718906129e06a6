package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheTableHasAColumnForEachSizeAndIsKept(t *testing.T) {
	var stdout, stderr bytes.Buffer
	out := t.TempDir()
	args := []string{"-dir", t.TempDir(), "-out", out, "-logs", "3000/1000,3k/3k", "-sides", "1k,2k,3k", "-sagas", "200", "-samples", "20"}
	if err := run(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var cells []int
	for row := range strings.Lines(stdout.String()) {
		if strings.HasPrefix(row, "|") {
			cells = append(cells, strings.Count(row, "|")-2)
		}
	}
	if len(cells) != 19+14+16 || cells[0] != 2 || cells[18] != 2 || cells[19] != 3 || cells[32] != 3 || cells[33] != 1 {
		t.Errorf("cells of the rows: %v\n%s", cells, &stdout)
	}
	if empty := regexp.MustCompile(`\| (–|0|0 ms|NaN.*) \|`).FindString(stdout.String()); empty != "" {
		t.Errorf("%q in\n%s", empty, &stdout)
	}
	names, err := filepath.Glob(filepath.Join(out, "growth-*.md"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if kept, err := os.ReadFile(names[0]); err != nil || string(kept) != stdout.String() {
		t.Errorf("kept %v:\n%s", err, kept)
	}
}

func TestASizeThatIsNoneIsAnError(t *testing.T) {
	for _, args := range [][]string{{"-logs", "1M"}, {"-logs", "10/20"}, {"-sides", "0"}, {"-sides", "1G"}, {"-sagas", "0"}, {"-samples", "0"}} {
		if err := run(t.Context(), append(args, "-out", ""), &bytes.Buffer{}, &bytes.Buffer{}); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
