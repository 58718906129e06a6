package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/bench/delivery"
)

// Every contestant of every row takes a turn. What it measures means nothing.
func TestTheQuickComparisonKeepsATableAChartAndAllFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some twenty seconds")
	}
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"-quick", "-v", "-dir", t.TempDir(), "-out", out}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	table := read(t, out, ".md")
	if table != stdout.String() {
		t.Error("the table that was kept is not the one that was printed")
	}
	chart := read(t, out, ".svg")
	for decoder := xml.NewDecoder(strings.NewReader(chart)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	var figures kept
	if err := json.Unmarshal([]byte(read(t, out, ".json")), &figures); err != nil {
		t.Fatal(err)
	}
	rows := rows(delivery.Quick())
	if len(figures.Rows) != len(rows) {
		t.Fatalf("%d rows were kept, want %d", len(figures.Rows), len(rows))
	}
	for i, row := range rows {
		if !strings.Contains(chart, row.Title) {
			t.Errorf("the chart has no panel %q", row.Title)
		}
		for _, c := range row.Contestants {
			if _, ok := figures.Rows[i].Rounds[0][c.Name][row.Unit]; !ok {
				t.Errorf("%s: %s has no %s", row.Name, c.Name, row.Unit)
			}
			if !strings.Contains(table, "| "+c.Name+" |") || !strings.Contains(table, c.Promise) {
				t.Errorf("%s: the table lacks %s or its promise", row.Name, c.Name)
			}
		}
	}
}

// read returns the one file with an ending in a directory.
func read(t *testing.T, dir, ending string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "compare-*"+ending))
	if err != nil || len(names) != 1 {
		t.Fatalf("files that end in %s: %v, %v", ending, names, err)
	}
	content, err := os.ReadFile(names[0])
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
