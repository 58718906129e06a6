// Command compare measures what it costs to hand events to a worker, Penstock beside its peers in the same run, prints the table,
// and keeps it with a chart and the raw figures in a folder.
//
//	go run ./cmd/compare                   # in the folder bench; some minutes; leave the machine alone meanwhile
//	go run ./cmd/compare -quick            # seconds: to see that everything runs; its figures mean nothing
//	go run ./cmd/compare -rows "react"     # only the rows whose names begin so
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/machine"
)

type options struct {
	rounds int
	env    delivery.Env
	rows   string
	out    string
	quick  bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how many `rounds`; a figure is their median")
	flag.IntVar(&o.env.Events, "events", 200_000, "`events` of the logs that are handled")
	flag.DurationVar(&o.env.Turn, "turn", time.Second, "how long a turn lasts where it lasts for a time")
	flag.StringVar(&o.env.Dir, "dir", "", "a `directory` on the disk that is of interest (default: that of temporary files)")
	flag.StringVar(&o.rows, "rows", "", "only the rows whose `names` begin so")
	flag.StringVar(&o.out, "out", "results", "the `folder` for table, chart and figures; empty: none are kept")
	flag.BoolVar(&o.quick, "quick", false, "one short round")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// kept is what is written as JSON.
type kept struct {
	Version string
	Machine []string
	Rounds  int
	Events  int
	Turn    string
	Rows    []delivery.Measured
}

func run(o options) (err error) {
	if o.quick {
		o.rounds, o.env.Events, o.env.Turn = 1, 2000, 50*time.Millisecond
	}
	if o.env.Dir, err = os.MkdirTemp(o.env.Dir, "penstock-compare-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.env.Dir)) }()
	var rows []delivery.Row
	for _, r := range delivery.Rows() {
		if strings.HasPrefix(r.Name, o.rows) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return fmt.Errorf("no row begins with %q", o.rows)
	}
	k := kept{Version: version(), Rounds: o.rounds, Events: o.env.Events, Turn: o.env.Turn.String()}
	var about strings.Builder
	if err := machine.Describe(&about, o.env.Dir); err != nil {
		return err
	}
	k.Machine = strings.Split(strings.TrimSpace(about.String()), "\n")
	if k.Rows, err = delivery.Measure(rows, o.rounds, o.env, func(what string) { fmt.Fprintln(os.Stderr, what) }); err != nil {
		return err
	}
	table := k.table()
	fmt.Print(table)
	if o.out == "" {
		return nil
	}
	return k.keep(o.out, table)
}

// keep writes the table, the chart and the figures.
func (k kept) keep(dir, table string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := filepath.Join(dir, "delivery-"+k.Version)
	figures, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(name+".md", []byte(table), 0o644),
		os.WriteFile(name+".json", append(figures, '\n'), 0o644),
		chart(k.Rows, name+".svg"))
}

// version names the state of the repository that was measured.
func version() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
