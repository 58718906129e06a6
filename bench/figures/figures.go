// Package figures does the arithmetic of measurements, and writes them for people.
package figures

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Median sorts values.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile sorts values.
func Quantile[T float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	if n := len(values); q == 0.5 && n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

// Micros of a duration.
func Micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Millis of a duration.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// PerSecond is how many of n fit into a second.
func PerSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// Rounded returns five digits, which is more than a measurement is worth.
func Rounded(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	if err != nil {
		return v // infinite
	}
	return short
}

// Short returns three digits or so.
func Short(v float64) string {
	switch {
	case math.IsInf(v, 0), math.IsNaN(v): // something was not done at all
		return "–"
	case v >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0f k", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

// Verdict says whether a value is at least (">=") or at most ("<=") what is wanted. No relation
// means that nothing is.
func Verdict(value float64, relation string, bound float64) string {
	switch {
	case relation == "":
		return ""
	case relation == ">=" && value >= bound, relation == "<=" && value <= bound:
		return "met"
	default:
		return "**missed**"
	}
}

// Wanted writes a relation and its bound for people.
func Wanted(relation, bound string) string {
	return strings.NewReplacer(">=", "≥", "<=", "≤").Replace(relation) + " " + bound
}
