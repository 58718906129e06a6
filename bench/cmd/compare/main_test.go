package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/sagas"
)

func TestMain(m *testing.M) {
	if !sagas.Child(context.Background()) {
		os.Exit(m.Run())
	}
}

// Every contestant of every row takes a turn, and every goal is measured. The figures mean nothing.
func TestTheQuickComparisonKeepsATableAChartAndAllFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some twenty seconds")
	}
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	args := []string{"-quick", "-v", "-dir", t.TempDir(), "-out", out}
	if err := run(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	table, chart := read(t, out, ".md"), read(t, out, ".svg")
	if table != stdout.String() {
		t.Error("the table that was kept is not the one that was printed")
	}
	requireXML(t, chart)
	kept, err := load(onlyFile(t, out, ".json"))
	if err != nil {
		t.Fatal(err)
	}
	requireGoals(t, kept, table, chart)
	for _, row := range kept.Rows {
		for _, c := range row.Contestants {
			if _, ok := row.Rounds[0][c.Name][row.Unit]; !ok {
				t.Errorf("%s: %s has no %s", row.Name, c.Name, row.Unit)
			}
			if !strings.Contains(table, "| "+c.Name+" |") || !strings.Contains(table, c.Promise) {
				t.Errorf("%s: the table lacks %s or its promise", row.Name, c.Name)
			}
		}
	}
	again := t.TempDir()
	if err := run(t.Context(), []string{"-from", onlyFile(t, out, ".json"), "-out", again}, io.Discard, &stderr); err != nil {
		t.Fatal(err)
	}
	if read(t, again, ".md") != table || read(t, again, ".svg") != chart {
		t.Error("what is made of the figures that were kept is not what was made of those that were measured")
	}
	if err := run(t.Context(), append(args, "-pages", "nothing", "-rows", "^open$"), io.Discard, io.Discard); err == nil {
		t.Error("a part of the rows was written into a page")
	}
}

// requireGoals requires that each goal was measured, and is in the table and in the chart.
func requireGoals(t *testing.T, r results, table, chart string) {
	t.Helper()
	if !r.whole() {
		t.Errorf("%d goals were measured, of %d", len(r.verdicts()), len(goals))
	}
	for _, v := range r.verdicts() {
		for _, name := range []string{v.ours, v.theirs} { // how much it is means nothing, and may be 0
			if _, ok := v.of.Rounds[0][name][v.unit]; !ok && name != "" {
				t.Errorf("%s: %s has no %s", v.row, name, v.unit)
			}
		}
		if !strings.Contains(table, "| "+v.title(v.of)+" |") || !strings.Contains(chart, html.EscapeString(v.title(v.of))) {
			t.Errorf("the table or the chart lacks %q", v.title(v.of))
		}
	}
}

func requireXML(t *testing.T, s string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(s)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// onlyFile is the one file with an ending in a directory.
func onlyFile(t *testing.T, dir, ending string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "compare-*"+ending))
	if err != nil || len(names) != 1 {
		t.Fatalf("files that end in %s: %v, %v", ending, names, err)
	}
	return names[0]
}

func read(t *testing.T, dir, ending string) string {
	t.Helper()
	content, err := os.ReadFile(onlyFile(t, dir, ending))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAPatternThatMatchesNoRowIsAnError(t *testing.T) {
	err := run(t.Context(), []string{"-rows", "^nothing$", "-dir", t.TempDir(), "-out", t.TempDir()}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no row matches") {
		t.Fatal(err)
	}
}

// Hours of measuring must not be lost with the last row.
func TestTheRowsBeforeOneThatFailsArePrintedAndKept(t *testing.T) {
	broken := errors.New("broken")
	row := func(name string, err error) delivery.Row {
		return delivery.Row{Name: name, Title: "the row " + name, Unit: "events/s", Contestants: []delivery.Contestant{{
			Name: "Penstock", Run: func(context.Context, delivery.Turn) (delivery.Result, error) {
				return delivery.Result{"events/s": 1}, err
			},
		}}}
	}
	s := settings{
		dir: t.TempDir(), out: t.TempDir(), pages: []string{"nothing"}, names: regexp.MustCompile("."), rounds: 1, quick: true,
		rows: []delivery.Row{row("fine", nil), row("broken", broken), row("never", nil)},
	}
	var stdout bytes.Buffer
	if err := s.run(t.Context(), &stdout, io.Discard); !errors.Is(err, broken) {
		t.Error(err)
	}
	kept, err := load(onlyFile(t, s.out, ".json"))
	if err != nil || len(kept.Rows) != 1 || kept.Rows[0].Name != "fine" {
		t.Errorf("%v, %v", kept.Rows, err)
	}
	if table := read(t, s.out, ".md"); table != stdout.String() || !strings.Contains(table, "the row fine") {
		t.Errorf("kept %q, printed %q", table, &stdout)
	}
}
