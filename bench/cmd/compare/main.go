// Command compare measures how fast events are stored, read, delivered, handled and remembered, by
// Penstock and by others in the same run. It prints a table with what is wanted and what was
// reached, and keeps that, a chart and every single figure:
//
//	go run ./cmd/compare                      # everything; leave the machine alone for half an hour
//	go run ./cmd/compare -rows reactor        # the rows whose name matches
//	go run ./cmd/compare -quick               # whether it works; the figures mean nothing
//
// Files are written to results/compare-*.md, .svg and .json, and named after the commit. Logs are
// written to the directory of the environment's TMPDIR, or to -dir, which should lie on the disk
// that is of interest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/storage"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	dir, out string
	rows     *regexp.Regexp
	rounds   int
	turn     time.Duration
	sizes    delivery.Sizes
	quick    bool
	verbose  bool
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.dir, "dir", os.TempDir(), "directory for logs, on the disk that is of interest")
	flags.StringVar(&s.out, "out", "results", "directory for table, chart and figures")
	rows := flags.String("rows", ".", "regular expression: the rows to measure")
	flags.IntVar(&s.rounds, "rounds", 5, "turns of each contestant")
	flags.DurationVar(&s.turn, "turn", time.Second, "how long a contestant is measured in a turn")
	events := flags.Int("events", delivery.Full().Events, "events of the large log")
	flags.BoolVar(&s.quick, "quick", false, "one round of the least of everything, to see that it works")
	flags.BoolVar(&s.verbose, "v", false, "tell of each turn on standard error")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.sizes = delivery.Full()
	s.sizes.Events = *events
	if s.quick {
		s.sizes, s.rounds, s.turn = delivery.Quick(), 1, 50*time.Millisecond
	}
	s.rows, err = regexp.Compile(*rows)
	return s, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "penstock-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := delivery.Options{Dir: dir, Rounds: s.rounds, Time: s.turn, Settle: !s.quick}
	if s.verbose {
		o.Log = stderr
	}
	r := report{Machine: describe(dir), Rounds: s.rounds, Turn: s.turn.String()}
	for _, row := range rows(s.sizes) {
		if !s.rows.MatchString(row.Name) {
			continue
		}
		fmt.Fprintf(stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), row.Title)
		m, err := row.Measure(ctx, o)
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, m)
	}
	if len(r.Rows) == 0 {
		return fmt.Errorf("no row matches %q", s.rows)
	}
	if _, err := io.WriteString(stdout, r.markdown()); err != nil {
		return err
	}
	return r.keep(s.out, "compare-"+commit())
}

// rows are all rows.
func rows(s delivery.Sizes) []delivery.Row {
	return append(storage.Rows(s.Events), delivery.Rows(s)...)
}

// keep writes the files of a report.
func (r report) keep(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	chart, err := r.chart()
	if err != nil {
		return err
	}
	figures, err := r.json()
	if err != nil {
		return err
	}
	for suffix, content := range map[string][]byte{".md": []byte(r.markdown()), ".svg": chart, ".json": figures} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// commit names the state of the work tree, as far as git knows it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
