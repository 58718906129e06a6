package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/penstock-io/penstock/reactor/saga"
)

// display shows the instances: as a table that is drawn over itself on a terminal, as a line for
// each that has ended elsewhere.
type display struct {
	status   *os.File
	terminal bool
	height   int             // lines of the table that stands there
	began    bool            // it has shown something
	told     map[string]bool // those that have ended
}

func newDisplay(status *os.File) *display {
	return &display{status: status, terminal: term.IsTerminal(int(status.Fd())), told: make(map[string]bool)}
}

// show shows all instances, of so many orders. Those that had ended when the program began have no
// line.
func (d *display) show(all []saga.Instance[order], orders int) {
	if d.terminal {
		d.draw(all, orders)
		return
	}
	for i := range all {
		o := &all[i]
		if !o.Life.Ended() || d.told[o.Key] {
			continue
		}
		d.told[o.Key] = true
		if d.began {
			fmt.Fprintln(d.status, line(o))
		}
	}
	d.began = true
}

// line says how an instance has ended.
func line(o *saga.Instance[order]) string {
	s := fmt.Sprintf("%s %v after %v", o.Key, o.Life, o.Ended.Sub(o.Began).Round(time.Millisecond))
	if why := because(o); why != "" {
		s += ": " + why
	}
	return s
}

// because says why an instance does not go forward any more, or what it is stuck at.
func because(o *saga.Instance[order]) string {
	var failure *saga.FailureError
	switch {
	case errors.As(o.Err, &failure) && failure.Step != "":
		return failure.Step + " " + failure.Text
	case errors.As(o.Err, &failure):
		return failure.Text
	case o.Err != nil:
		return o.Err.Error()
	}
	return ""
}

// draw draws the table over the one before. It is as high as that, or higher.
func (d *display) draw(all []saga.Instance[order], orders int) {
	rows, width := 12, 0
	if w, h, err := term.GetSize(int(d.status.Fd())); err == nil {
		rows, width = min(rows, h-7), w
	}
	lines := strings.Split(render(all, orders, max(rows, 1), width), "\n")
	for len(lines) < d.height {
		lines = append(lines, "")
	}
	var out strings.Builder
	if d.height > 0 {
		out.WriteString(text.CursorUp.Sprintn(d.height))
	}
	for _, l := range lines {
		out.WriteString(l + text.EraseLine.Sprint() + "\r\n")
	}
	d.height = len(lines)
	_, _ = d.status.WriteString(out.String())
}

// render returns the table: how many orders there are of each life, and those that are under way,
// then those that have ended last, at most so many rows of so many columns; 0 means any width.
func render(all []saga.Instance[order], orders, rows, width int) string {
	counts := make(map[saga.Life]int)
	for i := range all {
		counts[all[i].Life]++
	}
	shown := slices.Clone(all)
	slices.SortStableFunc(shown, func(a, b saga.Instance[order]) int {
		switch {
		case !a.Life.Ended() && !b.Life.Ended():
			return a.Began.Compare(b.Began)
		case a.Life.Ended() && b.Life.Ended():
			return b.Ended.Compare(a.Ended)
		case a.Life.Ended():
			return 1
		}
		return -1
	})
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.Style().Format.Header = text.FormatDefault
	w.Style().Size.WidthMax = width
	w.SetTitle(fmt.Sprintf("%d of %d orders: %s", len(all), orders, describe(counts)))
	w.SetColumnConfigs([]table.ColumnConfig{ // so that columns do not move
		{Name: "order", WidthMin: 5},
		{Name: "is", WidthMin: len("compensating")},
		{Name: "because", WidthMin: becauseWidth, WidthMax: becauseWidth, WidthMaxEnforcer: snip},
	})
	head := table.Row{"order", "is"}
	for _, s := range steps() {
		head = append(head, s)
	}
	w.AppendHeader(append(head, "because"))
	for i := range shown[:min(rows, len(shown))] {
		w.AppendRow(row(&shown[i]))
	}
	return w.Render()
}

const becauseWidth = 32

func snip(s string, width int) string { return text.Snip(s, width, "…") }

func row(o *saga.Instance[order]) table.Row {
	status := make(map[string]string)
	for _, s := range o.Steps {
		status[s.Name] = marks[s.Status]
	}
	r := table.Row{o.Key, o.Life.String()}
	for _, s := range steps() {
		r = append(r, status[s])
	}
	return append(r, because(o))
}

// marks of a step, by its status.
//
//nolint:gochecknoglobals // a table
var marks = map[string]string{"requested": "…", "done": "✓", "refused": "✗", "unknown": "?", "withdrawn": "-", "undone": "↶"}
