// Command compare measures how fast events are stored, read, delivered, handled and remembered, and
// sagas carried out, by Penstock and by others in the same run. It prints what is wanted and what
// was reached, and keeps that, a chart and every single figure:
//
//	go run ./cmd/compare                      # everything, in 20 minutes; leave the machine alone
//	go run ./cmd/compare -rows reactor        # the rows whose name matches
//	go run ./cmd/compare -quick               # whether it works; the figures mean nothing
//	go run ./cmd/compare -from results/compare-1234567.json   # of what was kept, without measuring
//
// Files are written to results/compare-*.md, .svg and .json, and named after the commit; with
// -pages, table and chart go into pages too, between marks that are there. Logs are written to the
// directory of the environment's TMPDIR, or to -dir, which should lie on the disk that is of
// interest.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/report"
	"github.com/penstock-io/penstock/bench/sagas"
	"github.com/penstock-io/penstock/bench/storage"
)

func main() {
	if sagas.Child(context.Background()) {
		return
	}
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	dir, out string
	from     string
	pages    []string
	names    *regexp.Regexp
	rows     []delivery.Row
	rounds   int
	turn     time.Duration
	quick    bool
	verbose  bool
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.dir, "dir", os.TempDir(), "directory for logs, on the disk that is of interest")
	flags.StringVar(&s.out, "out", "results", "directory for table, chart and figures")
	flags.StringVar(&s.from, "from", "", "figures that were kept, to make table and chart of without measuring")
	pages := flags.String("pages", "", "pages to write table and chart into, with commas between them")
	names := flags.String("rows", ".", "regular expression: the rows to measure")
	flags.IntVar(&s.rounds, "rounds", 9, "turns of each contestant")
	flags.DurationVar(&s.turn, "turn", 400*time.Millisecond, "how long a contestant is measured in a turn")
	flags.BoolVar(&s.quick, "quick", false, "one round of the least of everything, to see that it works")
	flags.BoolVar(&s.verbose, "v", false, "tell of each turn on standard error")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.pages = strings.FieldsFunc(*pages, func(r rune) bool { return r == ',' })
	s.rows = slices.Concat(storage.Rows(storage.Full()), delivery.Rows(delivery.Full()), sagas.Rows(sagas.Full()))
	if s.quick {
		s.rows = slices.Concat(storage.Rows(storage.Quick()), delivery.Rows(delivery.Quick()), sagas.Rows(sagas.Quick()))
		s.rounds, s.turn = 1, 50*time.Millisecond
	}
	s.names, err = regexp.Compile(*names)
	return s, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return s.run(ctx, stdout, stderr)
}

// run prints, keeps and publishes. What was measured before an error is printed and kept, too.
func (s settings) run(ctx context.Context, stdout, stderr io.Writer) error {
	var r results
	var err error
	if s.from != "" {
		r, err = load(s.from)
	} else {
		r, err = s.measure(ctx, stderr)
	}
	if len(r.Rows) == 0 {
		return err
	}
	_, wrong := io.WriteString(stdout, r.markdown())
	if err = errors.Join(err, wrong, s.keep(r, stderr)); err != nil || len(s.pages) == 0 {
		return err
	}
	if s.quick || !r.whole() {
		return errors.New("not all goals were measured: the pages stay as they are")
	}
	return r.publish(s.pages, s.out)
}

// load reads figures that were kept.
func load(name string) (r results, err error) {
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// measure returns beside an error the rows that were measured before it.
func (s settings) measure(ctx context.Context, stderr io.Writer) (r results, err error) {
	dir, remove, err := report.Scratch(s.dir, "penstock-compare-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	o := delivery.Options{Dir: dir, Rounds: s.rounds, Time: s.turn, Settle: !s.quick}
	if s.verbose {
		o.Log = stderr
	}
	r = results{Scene: report.Describe(dir), Rounds: s.rounds, Turn: s.turn.String()}
	for _, row := range s.rows {
		if !s.names.MatchString(row.Name) {
			continue
		}
		fmt.Fprintf(stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), row.Title)
		m, err := row.Measure(ctx, o)
		if err != nil {
			return r, err
		}
		r.Rows = append(r.Rows, newRow(m))
	}
	if len(r.Rows) == 0 {
		return r, fmt.Errorf("no row matches %q", s.names)
	}
	return r, nil
}

// keep writes the files of a run.
func (s settings) keep(r results, stderr io.Writer) error {
	figures, err := r.json()
	if err != nil {
		return err
	}
	return report.Keep(stderr, s.out, r.name(), map[string][]byte{
		".md": []byte(r.markdown()), ".svg": r.chart(), ".json": figures,
	})
}
