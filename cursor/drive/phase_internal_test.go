package drive

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// drawn returns the moves that the package comment lists between a heading and the next one.
func drawn(t *testing.T, from, to string) (list []string) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, part, found := strings.Cut(string(text), from)
	require.True(t, found, from)
	part, _, found = strings.Cut(part, to)
	require.True(t, found, to)
	row := regexp.MustCompile(`(?m)^//\t([A-Z]\w+) +([a-z]+(?: [a-z]+)?) +([A-Z]\w+)(?:  .*)?$`)
	for _, m := range row.FindAllStringSubmatch(part, -1) {
		list = append(list, strings.Join(m[1:], " "))
	}
	return list
}

// rows lists the moves of a table.
func rows[P, M interface {
	comparable
	fmt.Stringer
}](table map[P]map[M]P) (list []string) {
	for p, moves := range table {
		for m, next := range moves {
			list = append(list, fmt.Sprint(p, " ", m, " ", next))
		}
	}
	return list
}

func TestThePackageCommentListsExactlyTheMovesOfALeafAndOfARound(t *testing.T) {
	require.ElementsMatch(t, drawn(t, "all the moves between them:", "Leaves are started and stopped"),
		rows(leafTable))
	require.ElementsMatch(t, drawn(t, "and all the moves:\n", "A restart of a group"),
		rows(roundTable))
}

func TestTheCommentOfMayBecomeListsWhichStateFollowsWhich(t *testing.T) {
	states := []State{Starting, Idle, Running, Retrying, Outage, Full, Throttled, Restarting, Paused, Halted, Ended, Stopped}
	working := []State{Idle, Running, Retrying, Outage, Full, Throttled, Paused}
	want := map[State][]State{
		Starting:   states,
		Restarting: {Starting, Restarting, Halted, Ended, Stopped},
		Halted:     {Starting, Restarting},
		Stopped:    {Halted, Ended, Stopped},
	}
	for _, s := range working {
		want[s] = states[1:]
	}
	for _, s := range states {
		var got []State
		for _, next := range states {
			if s.MayBecome(next) {
				got = append(got, next)
			}
		}
		require.Equal(t, want[s], got, s)
	}
	require.Equal(t, "paused", Paused.String())
	require.Equal(t, "unknown", State(99).String())
}

func TestAMoveThatTheTableDoesNotHavePanics(t *testing.T) {
	tree := grown("t(a b)")
	require.PanicsWithValue(t, "drive: leaf t/a in Down cannot be begun", func() { tree.leaves[0].move(leafBegun) })
	require.PanicsWithValue(t, "drive: round in Over cannot be due", func() { (&round{stage: roundOver}).turn(roundDue) })
}
