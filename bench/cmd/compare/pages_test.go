package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/report"
)

// some are results of one goal that is met and one that is missed.
func some() results {
	return results{Scene: report.Scene{Commit: "1234567"}, Rows: []row{{
		Name: "append-16", Title: "Appends", Rounds: []delivery.Round{{we: {"ev/s": 40_000}, pebble: {"ev/s": 20_000}, limit: {"ev/s": 50_000}}},
	}, {
		Name: "open", Title: "Opening", Rounds: []delivery.Round{{we: {"ms": 7, "killed-ms": 100}}},
	}}}
}

func TestTheTablePutsWhatWasReachedBesideTheGoal(t *testing.T) {
	table := some().table()
	for _, line := range []string{
		"| Appends | 40 k/s | Pebble 20 k, limit 50 k | 2 × Pebble | ≥ 1.9 × Pebble | met |\n",
		"| Opening: after a clean close | 7 ms |  | 7 ms | ≤ 10 ms | met |\n",
		"| Opening: after a kill | 100 ms |  | 100 ms | ≤ 50 ms | **missed** |\n",
	} {
		if !strings.Contains(table, line) {
			t.Errorf("no %q in\n%s", line, table)
		}
	}
}

func TestTableAndChartGoBetweenTheMarksOfAPageAndNowhereElse(t *testing.T) {
	const page = "# A\n" + tableMark + "old\n" + endMark + "text\n" + chartMark + endMark + "end\n"
	r := some()
	got, err := r.published(page, filepath.Join("bench", "README.md"), filepath.Join("bench", "results"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got, "old") || !strings.Contains(got, r.table()+endMark+"text\n"+chartMark) ||
		!strings.HasPrefix(got, "# A\n"+tableMark) || !strings.HasSuffix(got, "(results/compare-1234567.svg)\n"+endMark+"end\n") {
		t.Errorf("got\n%s", got)
	}
	if again, err := r.published(got, "bench/README.md", "bench/results"); err != nil || again != got {
		t.Errorf("a second time: %v\n%s", err, again)
	}
	above, err := r.published(page, filepath.Join("..", "README.md"), "results") // as from the Makefile
	if dir, _ := os.Getwd(); err != nil || !strings.Contains(above, "("+filepath.Base(dir)+"/results/compare-1234567.svg)") {
		t.Errorf("the page above: %v\n%s", err, above)
	}
	for _, broken := range []string{"no marks\n", tableMark + "no end\n"} {
		if _, err := r.published(broken, "README.md", "bench/results"); err == nil {
			t.Errorf("no error for %q", broken)
		}
	}
}

// What pages say was measured is what the kept figures say, and all of it.
func TestPagesShowWhatWasKept(t *testing.T) {
	kept := filepath.Join("..", "..", "results")
	for _, page := range []string{filepath.Join("..", "..", "README.md"), filepath.Join("..", "..", "..", "README.md")} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		content := string(b)
		if !strings.Contains(content, tableMark) && !strings.Contains(content, chartMark) {
			t.Errorf("%s has no marks", page)
		}
		name := regexp.MustCompile(`\]\(\S*results/(compare-[\w-]+)\.`).FindStringSubmatch(content)
		if name == nil {
			continue // nothing was published yet
		}
		r, err := load(filepath.Join(kept, name[1]+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.published(content, page, kept); err != nil || again != content {
			t.Errorf("%s does not show what %s has: %v", page, name[1], err)
		}
	}
}
