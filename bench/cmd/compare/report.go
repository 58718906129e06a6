package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/report"
)

// results are what a run has measured: every figure of every round. This is what is kept, and all
// else is made of it.
type results struct {
	Scene  report.Scene `json:"scene"`
	Rounds int          `json:"rounds"`
	Turn   string       `json:"turn"`
	Rows   []row        `json:"rows"`
}

type row struct {
	Name        string           `json:"name"`
	Title       string           `json:"title"`
	Does        string           `json:"does"`
	Unit        string           `json:"unit"`
	Contestants []contestant     `json:"contestants"`
	Rounds      []delivery.Round `json:"rounds"`
}

type contestant struct {
	Name    string `json:"name"`
	Durable bool   `json:"durable"`
	Promise string `json:"promise"`
}

func newRow(m delivery.Measured) row {
	r := row{Name: m.Row.Name, Title: m.Row.Title, Does: m.Row.Does, Unit: m.Row.Unit, Rounds: m.Rounds}
	for _, c := range m.Row.Contestants {
		r.Contestants = append(r.Contestants, contestant{Name: c.Name, Durable: c.Durable, Promise: c.Promise})
	}
	return r
}

func (r results) name() string { return "compare-" + r.Scene.Commit }

func (r results) json() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	return append(b, '\n'), err
}

// verdict is a goal, and what was reached of it.
type verdict struct {
	goal
	of    row
	value float64
}

// verdicts are those of the rows that were measured.
func (r results) verdicts() (list []verdict) {
	for _, g := range goals {
		for _, of := range r.Rows {
			if of.Name == g.row {
				list = append(list, verdict{g, of, g.reached(of.Rounds)})
			}
		}
	}
	return list
}

// whole reports whether no goal is missing.
func (r results) whole() bool { return len(r.verdicts()) == len(goals) }

func (r results) scene() string { return fmt.Sprintf("%s. %s", r.Scene, r.way()) }

func (r results) way() string {
	return fmt.Sprintf("Medians of %d rounds, turns of %s; only ratios count.", r.Rounds, r.Turn)
}

// table has a line for each goal: what was reached of it, and the figures behind that.
func (r results) table() string {
	var out strings.Builder
	out.WriteString("| work | Penstock | beside it | got | goal | |\n|---|---|---|---|---|---|\n")
	group := ""
	for _, v := range r.verdicts() {
		if v.group != group {
			group = v.group
			fmt.Fprintf(&out, "| **%s** | | | | | |\n", group)
		}
		met := "met"
		if !v.met(v.value) {
			met = "**missed**"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | %s |\n",
			v.title(v.of), v.figure(v.ours), v.beside(), v.got(v.value), v.wanted(), met)
	}
	return out.String()
}

// figure is that of a contestant, with its unit.
func (v verdict) figure(contestant string) string {
	n, ok := delivery.Figure(v.of.Rounds, contestant, v.unit)
	if !ok {
		return "–"
	}
	return figures.Short(n) + unit(v.unit)
}

// beside are the figures of the one that Penstock is compared with, and of the limit.
func (v verdict) beside() string {
	var list []string
	for _, name := range slices.Compact([]string{v.theirs, limit}) {
		if n, ok := delivery.Figure(v.of.Rounds, name, v.unit); ok {
			list = append(list, name+" "+figures.Short(n))
		}
	}
	return strings.Join(list, ", ")
}

// markdown is the table of all goals, and for each row one of all contestants.
func (r results) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n\n%s", r.scene(), r.table())
	for _, row := range r.Rows {
		row.contestants(&out)
	}
	return out.String()
}

func (r row) contestants(out *strings.Builder) {
	fmt.Fprintf(out, "\n**%s** (`%s`): %s.\n\n", r.Title, r.Name, r.Does)
	fmt.Fprintf(out, "| contestant | %s | Penstock does | more | durable | what its acknowledgement promises |\n|---|---|---|---|---|---|\n", r.Unit)
	for _, c := range r.Contestants {
		durable := "no"
		if c.Durable {
			durable = "yes"
		}
		times := ""
		if c.Name != we {
			times = figures.Short(delivery.Ratio(r.Rounds, r.Unit, we, c.Name)) + " ×"
		}
		v, _ := delivery.Figure(r.Rounds, c.Name, r.Unit)
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", c.Name, figures.Short(v), times, r.more(c.Name), durable, c.Promise)
	}
}

// more lists the figures of a contestant but that of the row.
func (r row) more(contestant string) string {
	var list []string
	for _, unit := range slices.Sorted(maps.Keys(r.Rounds[0][contestant])) {
		if unit != r.Unit {
			v, _ := delivery.Figure(r.Rounds, contestant, unit)
			list = append(list, unit+" "+figures.Short(v))
		}
	}
	return strings.Join(list, ", ")
}
