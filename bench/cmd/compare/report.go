package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
)

// report is what a run has measured, and where.
type report struct {
	Machine map[string]string
	Rounds  int
	Turn    string
	Rows    []delivery.Measured
}

func describe(dir string) map[string]string {
	return map[string]string{
		"cpu": machine.Processor(), "cores": strconv.Itoa(runtime.GOMAXPROCS(0)), "go": runtime.Version(),
		"kernel": machine.Kernel(), "fs": machine.FileSystem(dir), "os": runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// markdown is a table of all targets, and for each row one of all contestants.
func (r report) markdown() string {
	var out strings.Builder
	m := r.Machine
	fmt.Fprintf(&out, "%s, %s cores, %s, %s, Go %s; medians of %d rounds, turns of %s. Only ratios count.\n\n",
		m["cpu"], m["cores"], m["kernel"], m["fs"], strings.TrimPrefix(m["go"], "go"), r.Rounds, r.Turn)
	out.WriteString("| row | wanted | got | |\n|---|---|---|---|\n")
	for _, m := range r.Rows {
		name := m.Row.Name
		for _, t := range m.Row.Targets {
			fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", name, wanted(t), figures.Short(m.Reached(t)),
				figures.Verdict(m.Reached(t), t.Relation, t.Bound))
			name = ""
		}
	}
	for _, m := range r.Rows {
		contestants(&out, m)
	}
	return out.String()
}

func wanted(t delivery.Target) string {
	if t.Relation == "" {
		return t.Name
	}
	return t.Name + " " + figures.Wanted(t.Relation, strconv.FormatFloat(t.Bound, 'f', -1, 64))
}

func contestants(out *strings.Builder, m delivery.Measured) {
	fmt.Fprintf(out, "\n**%s** (`%s`): %s.\n\n", m.Row.Title, m.Row.Name, m.Row.Does)
	fmt.Fprintf(out, "| contestant | %s | more | durable | what its acknowledgement promises |\n|---|---|---|---|---|\n", m.Row.Unit)
	for _, c := range m.Row.Contestants {
		durable := "no"
		if c.Durable {
			durable = "yes"
		}
		v, _ := m.Figure(c.Name, m.Row.Unit)
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", c.Name, figures.Short(v), more(m, c.Name), durable, c.Promise)
	}
}

// more lists the figures of a contestant but that of the row.
func more(m delivery.Measured, contestant string) string {
	var list []string
	for unit := range m.Rounds[0][contestant] {
		if unit == m.Row.Unit {
			continue
		}
		v, _ := m.Figure(contestant, unit)
		list = append(list, unit+" "+figures.Short(v))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// kept is a report in a file: everything but medians, which can be made of it.
type kept struct {
	Machine map[string]string `json:"machine"`
	Rounds  int               `json:"rounds"`
	Turn    string            `json:"turn"`
	Rows    []keptRow         `json:"rows"`
}

type keptRow struct {
	Name        string           `json:"name"`
	Does        string           `json:"does"`
	Unit        string           `json:"unit"`
	Contestants []keptContestant `json:"contestants"`
	Rounds      []delivery.Round `json:"rounds"`
}

type keptContestant struct {
	Name    string `json:"name"`
	Durable bool   `json:"durable"`
	Promise string `json:"promise"`
}

func (r report) json() ([]byte, error) {
	k := kept{Machine: r.Machine, Rounds: r.Rounds, Turn: r.Turn}
	for _, m := range r.Rows {
		row := keptRow{Name: m.Row.Name, Does: m.Row.Does, Unit: m.Row.Unit, Rounds: m.Rounds}
		for _, c := range m.Row.Contestants {
			row.Contestants = append(row.Contestants, keptContestant{Name: c.Name, Durable: c.Durable, Promise: c.Promise})
		}
		k.Rows = append(k.Rows, row)
	}
	b, err := json.MarshalIndent(k, "", "  ")
	return append(b, '\n'), err
}
