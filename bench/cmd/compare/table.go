package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/bench/delivery"
)

// table gives the results in Markdown.
func (k kept) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Delivery, at %s\n\n%s; medians of %d rounds; logs of %d events; turns of %s.\n",
		k.Version, strings.Join(k.Machine, "; "), k.Rounds, k.Events, k.Turn)
	for _, m := range k.Rows {
		tableOf(&b, m)
	}
	return b.String()
}

func tableOf(b *strings.Builder, m delivery.Measured) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n| | %s | beside Penstock | what is promised |\n|---|%s---|---|\n",
		m.Row, strings.ToUpper(m.What[:1])+m.What[1:], strings.Join(m.Figures, " | "), strings.Repeat("---|", len(m.Figures)))
	ours := 0.0
	for _, r := range m.Results {
		if r.Contestant == "penstock" {
			ours = r.Figures[0]
		}
	}
	for _, r := range m.Results {
		fmt.Fprintf(b, "| %s |", r.Contestant)
		for _, f := range r.Figures {
			fmt.Fprintf(b, " %s |", short(f))
		}
		ratio := ""
		if ours > 0 && r.Contestant != "penstock" {
			ratio = short(r.Figures[0]/ours) + " x"
		}
		fmt.Fprintf(b, " %s | %s |\n", ratio, r.Promise)
	}
	for _, t := range m.Targets {
		fmt.Fprintf(b, "\nWanted: %s; got %s: %s.\n", wanted(t), short(t.Got), verdict(t))
	}
}

func wanted(t delivery.Verdict) string {
	relation := map[string]string{">=": "at least", "<=": "at most"}[t.Relation]
	if t.Against == "" {
		return fmt.Sprintf("%s %s", relation, short(t.Bound))
	}
	return fmt.Sprintf("%s %s x %s", relation, short(t.Bound), t.Against)
}

func verdict(t delivery.Verdict) string {
	if t.Met {
		return "met"
	}
	return "**missed**"
}

// short gives three digits or so.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.0f k", v/1e3)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}
