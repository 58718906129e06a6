package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
)

// goal is something that Penstock is to reach: a figure of a row, or its ratio to that of another
// contestant in the same round.
type goal struct {
	group     string // of goals that are shown together
	row, what string // what of the row, where that is not its first figure
	unit      string
	ours      string
	theirs    string // empty for the figure itself
	relation  string // ">=" or "<="
	bound     float64
}

// Contestants that goals name.
const (
	we       = "Penstock"
	scan     = "Penstock, Scan"
	smallLog = "Penstock, small log"
	limit    = "limit"
	pebble   = "Pebble"
	jetAll   = "JetStream, sync always"
	jet      = "JetStream, default"
	weCrash  = "Penstock, process-crash safe"
	dbos     = "DBOS, SQLite FULL"
	dbosDef  = "DBOS, SQLite default"
	flows    = "go-workflows, SQLite, polls 1 ms"
	flowsDef = "go-workflows, SQLite, default"
)

// Groups of goals.
const (
	storing    = "Appending"
	reading    = "Reading"
	finding    = "Finding, opening, memory"
	delivering = "Delivering"
	continuing = "Sagas"
)

// goals are all of them.
var goals = []goal{
	{storing, "append-1", "", "ev/s", we, limit, ">=", 1.1},
	{storing, "append-16", "", "ev/s", we, pebble, ">=", 1.9},
	{storing, "append-256", "", "ev/s", we, pebble, ">=", 1.5},
	{storing, "append-256", "processor time", "cpu-us/ev", we, pebble, "<=", 0.65},
	{storing, "append-1024", "", "ev/s", we, pebble, ">=", 1.5},
	{storing, "append-1024", "processor time", "cpu-us/ev", we, pebble, "<=", 0.65},
	{storing, "append-unsynced-1", "", "ev/s", we, pebble, ">=", 1},
	{storing, "append-unsynced-1000", "", "ev/s", we, pebble, ">=", 1.5},
	{reading, "read", "", "ev/s", we, pebble, ">=", 2.5},
	{reading, "read", "by Scan", "ev/s", scan, pebble, ">=", 5.5},
	{reading, "read-matching", "just opened", "first-ev/s", we, pebble, ">=", 3},
	{reading, "read-matching", "again", "ev/s", we, pebble, ">=", 3},
	{reading, "read-matching", "again, by Scan", "ev/s", scan, pebble, ">=", 8},
	{reading, "wake-up", "p50", "p50-us", we, limit, "<=", 1.5},
	{reading, "wake-up", "p99", "p99-us", we, limit, "<=", 2},
	{finding, "entities", "read, just opened", "cold-us", we, "", "<=", 1000},
	{finding, "entities", "read again", "warm-us", we, "", "<=", 50},
	{finding, "entities", "append to a new one, extra", "new-extra-us", we, "", "<=", 20},
	{finding, "entities", "append with a new key, extra", "key-extra-us", we, "", "<=", 20},
	{finding, "entities", "heap of the writer", "writer-heap-MB", we, "", "<=", 64},
	{finding, "entities", "heap of the store opened again", "heap-MB", we, "", "<=", 64},
	{finding, "open", "after a clean close", "ms", we, "", "<=", 10},
	{finding, "open", "after a kill", "killed-ms", we, "", "<=", 50},
	{delivering, "checkpoints", "", "ckpt/s", we, pebble, ">=", 1.3},
	{delivering, "checkpoints-many", "", "ckpt/s", we, pebble, ">=", 1},
	{delivering, "catch-up", "", "ev/s", we, jet, ">=", 12},
	{delivering, "catch-up", "a small log beside it", "ev/s", smallLog, we, ">=", 0.8},
	{delivering, "reactor", "", "ev/s", we, limit, ">=", 0.9},
	{delivering, "reactor", "", "ev/s", we, jetAll, ">=", 8},
	{delivering, "reactor", "", "ev/s", we, jet, ">=", 3},
	{delivering, "reaction", "p50", "p50-us", we, limit, "<=", 1.15}, // which is two syncs
	{delivering, "reaction", "p50", "p50-us", we, jetAll, "<=", 0.83},
	{delivering, "idle", "memory", "bytes/worker", we, "", "<=", 4000},
	{delivering, "idle", "goroutines", "goroutines/worker", we, "", "<=", 0.01},
	{delivering, "idle", "append beside 10,000 × beside one", "x-one", we, "", "<=", 1.05},
	{delivering, "idle", "append that wakes one × that wakes none", "x-none", we, limit, "<=", 1.1},
	{continuing, "saga-steps", "", "sagas/s", we, dbos, ">=", 30},
	{continuing, "saga-steps", "", "sagas/s", we, flows, ">=", 50},
	{continuing, "saga-steps", "", "sagas/s", we, limit, ">=", 0.4},
	{continuing, "saga-steps", "process-crash safe", "sagas/s", weCrash, dbosDef, ">=", 15},
	{continuing, "saga-idle", "p50", "p50-us", we, dbos, "<=", 0.4},
	{continuing, "saga-idle", "p50", "p50-us", we, flowsDef, "<=", 0.005},
	{continuing, "saga-idle", "p50 in bare syncs", "syncs", we, "", "<=", 12},
	{continuing, "saga-disk", "", "bytes/saga", we, "", "<=", 3000},
	{continuing, "saga-signal", "p50 in bare syncs", "syncs", we, "", "<=", 3},
	{continuing, "saga-signal", "p99", "p99-us", we, "", "<=", 2000},
	{continuing, "saga-signal", "beside 100,000 × beside 1000", "x-few", we, "", "<=", 1.1},
	{continuing, "saga-waiting", "memory", "bytes/instance", we, "", "<=", 350},
	{continuing, "saga-waiting", "goroutines of all", "goroutines", we, "", "<=", 10},
	{continuing, "saga-waiting", "list those that are stuck", "stuck-us", we, "", "<=", 1000},
	{continuing, "saga-timers", "p50", "p50-us", we, "", "<=", 2000},
	{continuing, "saga-timers", "p99", "p99-us", we, "", "<=", 20_000},
	{continuing, "saga-overdue", "", "us/timer", we, "", "<=", 50},
	{continuing, "saga-overdue", "p99 of signals meanwhile × after it", "x-idle", we, "", "<=", 10},
	{continuing, "saga-inputs", "the last × the first", "x-first", we, "", "<=", 1.1},
	{continuing, "saga-killed", "", "us/saga", we, "", "<=", 100},
}

// reached is the median of what was reached.
func (g goal) reached(rounds []delivery.Round) float64 {
	if g.theirs != "" {
		return delivery.Ratio(rounds, g.unit, g.ours, g.theirs)
	}
	v, _ := delivery.Figure(rounds, g.ours, g.unit)
	return v
}

// wanted says what is, in short.
func (g goal) wanted() string {
	return figures.Wanted(g.relation, strconv.FormatFloat(g.bound, 'f', -1, 64)) + g.of()
}

// got says what was reached, in short.
func (g goal) got(value float64) string { return figures.Short(value) + g.of() }

// of is what a ratio is to, and the unit of a figure.
func (g goal) of() string {
	if g.theirs != "" {
		return " × " + g.theirs
	}
	return unit(g.unit)
}

// unit is that of a figure, for people, with a space before it: rates have none but the second.
func unit(figure string) string {
	switch {
	case strings.HasSuffix(figure, "/s"):
		return "/s"
	case strings.HasPrefix(figure, "bytes/"):
		return " B"
	case strings.HasSuffix(figure, "-us"), strings.HasPrefix(figure, "us/"), strings.HasPrefix(figure, "cpu-us"):
		return " µs"
	case figure == "ms", strings.HasSuffix(figure, "-ms"):
		return " ms"
	case figure == "syncs":
		return " syncs"
	case strings.HasSuffix(figure, "-MB"):
		return " MB"
	}
	return ""
}

// met says whether a value is good enough.
func (g goal) met(value float64) bool { return g.times(value) >= 1 }

// times is how many times as good as the goal a value is.
func (g goal) times(value float64) float64 {
	if g.relation == "<=" {
		return g.bound / max(value, g.bound/1000)
	}
	return value / g.bound
}

// title names the goal.
func (g goal) title(r row) string {
	if g.what == "" {
		return r.Title
	}
	return fmt.Sprintf("%s: %s", r.Title, g.what)
}
