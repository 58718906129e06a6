// Command table makes a table of the output of the benchmarks: a line for each target, with the
// median of what was measured.
//
//	go run ./table < results/f00ba4.txt
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/bench/figures"
)

func main() {
	rows, err := parse(os.Stdin)
	if err == nil {
		err = write(os.Stdout, rows)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// row is one benchmark with all values of each unit.
type row struct {
	name   string
	values map[string][]float64
}

// result is a line of the testing package: name, iterations, then pairs of value and unit.
var result = regexp.MustCompile(`^Benchmark(\S+?)(-\d+)?\s+\d+\s+(.*)$`)

func parse(r io.Reader) (rows []*row, err error) {
	byName := make(map[string]*row)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		m := result.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		b := byName[m[1]]
		if b == nil {
			b = &row{name: m[1], values: make(map[string][]float64)}
			byName[b.name] = b
			rows = append(rows, b)
		}
		if err := b.take(strings.Fields(m[3])); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (b *row) take(pairs []string) error {
	for ; len(pairs) > 1; pairs = pairs[2:] {
		v, err := strconv.ParseFloat(pairs[0], 64)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		b.values[pairs[1]] = append(b.values[pairs[1]], v)
	}
	return nil
}

func write(w io.Writer, rows []*row) error {
	var out strings.Builder
	fmt.Fprintln(&out, "| row | measured | wanted | got | |\n|---|---|---|---|---|")
	for _, b := range rows {
		measured, targets := b.split()
		if len(targets) == 0 {
			targets = []target{{}}
		}
		for i, t := range targets {
			name := b.name
			if i > 0 {
				name, measured = "", ""
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", name, measured, t.wanted(), t.got(), t.verdict())
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// target is a unit such as "x-pebble>=2" with the median of its values. The zero target stands for
// none.
type target struct {
	unit, relation, bound string
	value                 float64
}

func (t target) wanted() string {
	return strings.TrimSpace(t.unit + " " + figures.Wanted(t.relation, t.bound))
}

func (t target) got() string {
	if t.relation == "" {
		return ""
	}
	return figures.Short(t.value)
}

func (t target) verdict() string {
	bound, _ := strconv.ParseFloat(t.bound, 64) // none without a relation
	return figures.Verdict(t.value, t.relation, bound)
}

// split parts the figures from those that are wanted to reach something.
func (b *row) split() (measured string, targets []target) {
	var list []string
	for unit, values := range b.values {
		t := target{unit: unit, value: figures.Median(values)}
		for _, relation := range []string{">=", "<="} {
			if name, bound, ok := strings.Cut(unit, relation); ok {
				t.unit, t.relation, t.bound = name, relation, bound
			}
		}
		if t.relation == "" {
			list = append(list, unit+" "+figures.Short(t.value))
		} else {
			targets = append(targets, t)
		}
	}
	slices.Sort(list)
	slices.SortFunc(targets, func(x, y target) int { return strings.Compare(x.unit, y.unit) })
	return strings.Join(list, ", "), targets
}
