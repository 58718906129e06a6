package reactortest

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// maxAligned bounds the product of the lengths of two lists that are compared line by line.
	maxAligned = 1 << 20
	// maxDifferent is how many lines of a difference are shown.
	maxDifferent = 60
)

// difference shows what two lists do not have in common, in their order: - is missing, + was not
// wanted. A line that is somewhere else is shown twice.
func difference[G, W any](got []G, want []W, same func(G, W) bool) string {
	var d differing
	for len(got) > 0 && len(want) > 0 && same(got[0], want[0]) {
		d.common++
		got, want = got[1:], want[1:]
	}
	tail := 0
	for len(got) > 0 && len(want) > 0 && same(got[len(got)-1], want[len(want)-1]) {
		tail++
		got, want = got[:len(got)-1], want[:len(want)-1]
	}
	ahead := alike(got, want, same)
	for i, j := 0, 0; i < len(got) || j < len(want); {
		switch {
		case i < len(got) && j < len(want) && ahead != nil && same(got[i], want[j]):
			d.common++
			i, j = i+1, j+1
		case i == len(got) || j < len(want) && (ahead == nil || ahead[i][j+1] >= ahead[i+1][j]):
			d.line("-", want[j])
			j++
		default:
			d.line("+", got[i])
			i++
		}
	}
	d.common += tail
	return d.String()
}

// alike returns how many lines of got[i:] and want[j:] can be paired in their order, for all i and
// j; nil where the lists are too long.
func alike[G, W any](got []G, want []W, same func(G, W) bool) [][]int {
	if len(got)*len(want) > maxAligned {
		return nil
	}
	ahead := make([][]int, len(got)+1)
	for i := range ahead {
		ahead[i] = make([]int, len(want)+1)
	}
	for i, g := range slices.Backward(got) {
		for j, w := range slices.Backward(want) {
			ahead[i][j] = max(ahead[i+1][j], ahead[i][j+1])
			if same(g, w) {
				ahead[i][j] = ahead[i+1][j+1] + 1
			}
		}
	}
	return ahead
}

// differing collects the lines of a difference.
type differing struct {
	lines  []string
	common int // since the last line
}

func (d *differing) line(sign string, what any) {
	d.rest()
	d.lines = append(d.lines, fmt.Sprint("  ", sign, " ", what))
}

// rest says how much is the same since the last line.
func (d *differing) rest() {
	if d.common > 0 {
		d.lines = append(d.lines, fmt.Sprintf("    (%d the same)", d.common))
	}
	d.common = 0
}

func (d *differing) String() string {
	d.rest()
	if more := len(d.lines) - maxDifferent; more > 0 {
		d.lines = append(d.lines[:maxDifferent], fmt.Sprintf("    (and %d lines more)", more))
	}
	return "  - is missing, + was not wanted\n" + strings.Join(d.lines, "\n")
}
