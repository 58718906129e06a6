package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
)

// It takes some seconds, and shows that every contestant still runs. What it measures means nothing.
func TestEveryContestantHasATurn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers and databases")
	}
	out := t.TempDir()
	o := options{quick: true, out: out, env: delivery.Env{Dir: t.TempDir(), Turn: time.Second}}
	if err := run(o); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{".md", ".json", ".svg"} {
		files, err := filepath.Glob(filepath.Join(out, "delivery-*"+ending))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v %v", ending, files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range delivery.Rows() {
			for _, c := range row.Contestants {
				if len(row.Contestants) > 1 && !strings.Contains(string(text), c.Name) {
					t.Errorf("%s lacks %q", files[0], c.Name)
				}
			}
		}
	}
}
