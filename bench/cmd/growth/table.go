package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/growth"
	"github.com/penstock-io/penstock/bench/report"
)

// results are what a run has measured, a column each.
type results struct {
	Scene report.Scene
	logs  []logResult
	sides []sidesResult
	sagas []sagaResult
}

type logResult struct {
	size   growth.Log
	filled growth.Filled
	asked  growth.Asked
}

type sidesResult struct {
	size    growth.Sides
	figures growth.SideFigures
}

type sagaResult struct {
	size    growth.Sagas
	figures growth.SagaFigures
}

// line is a row of a table: what it is about, and a cell for each column.
type line struct {
	name  string
	cells []string
}

// lines turns columns into rows. Each column has the same names.
func lines(columns ...[]line) []line {
	rows := columns[0]
	for _, column := range columns[1:] {
		for i := range rows {
			rows[i].cells = append(rows[i].cells, column[i].cells...)
		}
	}
	return rows
}

func cell(name, format string, args ...any) line {
	return line{name, []string{fmt.Sprintf(format, args...)}}
}

func (r results) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s.\n\n", r.Scene)
	out.WriteString("Of what was done often: median / p99 / longest; processor time of the process and bytes allocated for each.\n")
	var columns [][]line
	for _, l := range r.logs {
		columns = append(columns, l.column())
	}
	write(&out, columns)
	columns = nil
	for _, s := range r.sides {
		columns = append(columns, s.column())
	}
	write(&out, columns)
	columns = nil
	for _, s := range r.sagas {
		columns = append(columns, s.column())
	}
	write(&out, columns)
	return out.String()
}

func write(out *strings.Builder, columns [][]line) {
	if len(columns) == 0 {
		return
	}
	out.WriteByte('\n')
	for i, row := range lines(columns...) {
		fmt.Fprintf(out, "| %s | %s |\n", row.name, strings.Join(row.cells, " | "))
		if i == 0 {
			fmt.Fprintf(out, "|---%s|\n", strings.Repeat("|---", len(row.cells)))
		}
	}
}

func short[T int | int64 | float64](n T) string { return figures.Short(float64(n)) }

func millis(d time.Duration) string { return figures.Short(figures.Millis(d)) + " ms" }

func megabytes[T int64 | float64](n T) string { return figures.Short(float64(n)/1e6) + " MB" }

// column begins with its title.
func (l logResult) column() []line {
	f, a := l.filled, l.asked
	list := []line{
		cell("", "%s events, %s entities, %s keys", short(l.size.Events), short(l.size.Entities), short((l.size.Events+2)/3)),
		cell("written, three events with a key in a commit", "%s events/s", short(figures.PerSecond(l.size.Events, f.Took))),
		cell("new entities, the first / the last tenth of them", "%s / %s per second", short(f.FirstTenth), short(f.LastTenth)),
		cell("the longest commit meanwhile", "%s", millis(f.LongestCommit)),
		cell("disk", "%s in %d segments", megabytes(f.Disk), a.Segments),
		cell("the largest heap of the writer", "%s", megabytes(f.Heap)),
		cell("opened after a clean close / a kill", "%s / %s", millis(a.Opening), millis(f.AfterKill)),
		cell("the very first entity that is read", "%s", millis(a.First)),
	}
	for _, s := range a.Samples {
		list = append(list, cell(s.Name, "%s", s))
	}
	return append(list, cell("heap after all of this", "%s", megabytes(a.Heap)))
}

// column begins with its title.
func (s sidesResult) column() []line {
	f := s.figures
	return []line{
		cell("", "%s side values", short(s.size.Values)),
		cell("written, 1000 of 100 bytes in a commit", "%s per second", short(figures.PerSecond(s.size.Values, f.Filling))),
		cell("heap for each", "%s B", short(f.Heap)),
		cell("opened after a clean close / a kill", "%s / %s", millis(f.OpenClean), millis(f.OpenKilled)),
		cell("look one up", "%s", f.Look),
		cell("list those of a prefix that none has", "%s", f.Unmatched.List),
		cell("the longest commit meanwhile", "%s", millis(f.Unmatched.Commit)),
		cell("list all of them", "%s", millis(f.All.List.Median)),
		cell("the longest commit meanwhile", "%s", millis(f.All.Commit)),
		worn("disk after half as many checkpoints of 100 keys", f.Half),
		worn("disk after as many", f.Overwritten),
		worn("disk after a tenth, of 1 KiB, in segments of 64 KiB", f.SmallSegments),
		cell("heap of 200 values of 1 MiB", "%s", megabytes(f.LargeHeap)),
	}
}

// column begins with its title.
func (s sagaResult) column() []line {
	f, n := s.figures, s.size.Instances
	meanwhile, idle := figures.Quantile(f.Overdue.Meanwhile, 0.99), figures.Quantile(f.Overdue.Idle, 0.99)
	return []line{
		cell("", "%s instances of a saga that wait, a timer and an alias each", short(n)),
		cell("begun, 1000 in a commit, not synced", "%s per second; %s µs, %s B for each", short(figures.PerSecond(n, f.Filling)),
			short(figures.Micros(f.Each.CPU)), short(f.Each.Bytes)),
		cell("disk for each", "%s B", short(f.Disk/int64(n))),
		cell("heap for each, opened again; goroutines of all", "%s B; %d", short(f.Heap), f.Goroutines),
		cell("opened after a clean close / a kill", "%s / %s", millis(f.OpenClean), millis(f.OpenKilled)),
		cell("opened, until a signal was handled", "%s", millis(f.Ready)),
		cell("signal, beside 1000 instances, synced", "%s", f.Few),
		cell("signal, beside all", "%s", f.Many),
		cell("list those that are stuck: none", "%s", f.Stuck.List),
		cell("the longest commit meanwhile, synced", "%s", millis(f.Stuck.Commit)),
		cell("list all of them", "%s", millis(f.All.List.Median)),
		cell("the longest commit meanwhile, synced", "%s", millis(f.All.Commit)),
		cell("a twentieth as many timers due within a second: how late", "%s", f.Late),
		cell("a tenth as many overdue when the log is opened: until all have fired", "%s", millis(f.Overdue.Took)),
		cell("p99 of signals to others meanwhile / after it", "%s / %s", millis(meanwhile), millis(idle)),
	}
}

func worn(name string, w growth.Worn) line {
	return cell(name, "%s in %d segments; %s µs, %s B for each of %s", megabytes(w.Disk), w.Segments,
		short(figures.Micros(w.Each.CPU)), short(w.Each.Bytes), short(w.Checkpoints))
}
