// Command growth measures what must not grow: what one entity and one key cost in a log of many,
// how fast new ones are written, what opening takes, the heap; and the same of side values, with
// the disk that endless checkpoints take. It prints a table with a column for each size, and keeps
// it in results/growth-*.md:
//
//	go run ./cmd/growth                              # 1 M and 10 M of each: 5 GB of disk
//	go run ./cmd/growth -logs 50M/10M -sides ""      # 50 M events of 10 M entities: 25 GB
//	go run ./cmd/growth -logs "" -sides "" -sagas 1M # 1 M instances of a saga: 3 GB
//	go run ./cmd/growth -logs 3k/1k -sides 2k -sagas 1k # whether it works; figures mean nothing
//
// Nothing is synced but what is said to be, and all is read from the page cache: the first reading
// of an entity is the first since the store was opened. Logs are written to the directory of the
// environment's TMPDIR, or to -dir, one after the other, and removed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-io/penstock/bench/growth"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/report"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	dir, out string
	logs     []growth.Log
	sides    []growth.Sides
	sagas    []growth.Sagas
	samples  int
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("growth", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.dir, "dir", os.TempDir(), "directory for logs, on the disk that is of interest")
	flags.StringVar(&s.out, "out", "results", "directory for the table, empty for none")
	logs := flags.String("logs", "1M/1M,10M/1M,10M/10M", "sizes of logs: events/entities, with commas between them")
	sides := flags.String("sides", "1M,10M", "numbers of side values, with commas between them")
	sagas := flags.String("sagas", "100k", "numbers of instances of a saga that wait, with commas between them")
	flags.IntVar(&s.samples, "samples", 2000, "how often each thing is measured")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	for size := range fields(*logs) {
		l := growth.Log{Samples: s.samples}
		events, entities, _ := strings.Cut(size, "/")
		if l.Events, err = count(events); err != nil {
			return s, err
		}
		if l.Entities, err = count(entities); err != nil {
			return s, err
		}
		if l.Entities > l.Events {
			return s, fmt.Errorf("%s: more entities than events", size)
		}
		s.logs = append(s.logs, l)
	}
	for size := range fields(*sides) {
		n, err := count(size)
		if err != nil {
			return s, err
		}
		s.sides = append(s.sides, growth.Sides{Values: n, Samples: s.samples})
	}
	for size := range fields(*sagas) {
		n, err := count(size)
		if err != nil {
			return s, err
		}
		s.sagas = append(s.sagas, growth.Sagas{Instances: n, Samples: s.samples})
	}
	if s.samples < 1 {
		return s, errors.New("there must be at least one sample")
	}
	return s, nil
}

func fields(list string) func(yield func(string) bool) {
	return strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' })
}

// count reads a number such as 1000, 200k or 10M.
func count(s string) (int, error) {
	scale := 1
	for suffix, times := range map[string]int{"k": 1000, "M": 1_000_000} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, scale = number, times
		}
	}
	n, err := strconv.Atoi(s)
	if err == nil && n < 1 {
		err = fmt.Errorf("%q is not a size", s)
	}
	return n * scale, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, remove, err := report.Scratch(s.dir, "penstock-growth-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	r := results{Scene: report.Describe(dir)}
	for _, l := range s.logs {
		if err := r.addLog(ctx, l, filepath.Join(dir, "log"), stderr); err != nil {
			return err
		}
	}
	for _, sides := range s.sides {
		if err := r.addSides(ctx, sides, filepath.Join(dir, "sides"), stderr); err != nil {
			return err
		}
	}
	for _, sagas := range s.sagas {
		if err := r.addSagas(ctx, sagas, filepath.Join(dir, "sagas"), stderr); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(stdout, r.markdown()); err != nil || s.out == "" {
		return err
	}
	return report.Keep(stderr, s.out, "growth-"+r.Scene.Commit, map[string][]byte{".md": []byte(r.markdown())})
}

// addLog measures a log in a directory, which it removes.
func (r *results) addLog(ctx context.Context, l growth.Log, dir string, stderr io.Writer) (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l.Dir = dir
	tell(stderr, "a log of %d events of %d entities", l.Events, l.Entities)
	filled, err := l.Fill(ctx)
	if err != nil {
		return err
	}
	machine.Settle()
	asked, err := l.Ask(ctx, "new")
	r.logs = append(r.logs, logResult{l, filled, asked})
	return err
}

// addSides measures side values in a directory, which it removes.
func (r *results) addSides(ctx context.Context, s growth.Sides, dir string, stderr io.Writer) (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s.Dir = dir
	tell(stderr, "%d side values", s.Values)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	figures, err := s.Measure(ctx)
	r.sides = append(r.sides, sidesResult{s, figures})
	return err
}

// addSagas measures instances of a saga in a directory, which it removes.
func (r *results) addSagas(ctx context.Context, s growth.Sagas, dir string, stderr io.Writer) (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s.Dir = dir
	tell(stderr, "%d instances of a saga", s.Instances)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	figures, err := s.Measure(ctx)
	r.sagas = append(r.sagas, sagaResult{s, figures})
	return err
}

func tell(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
