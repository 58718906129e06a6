package drive

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDiagramOfAWorkerIsItsTable(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, section, found := strings.Cut(regexp.MustCompile(`(?m)^// ?`).ReplaceAllString(string(text), ""), "# A worker\n")
	require.True(t, found)
	_, section, found = strings.Cut(section, "all the moves between them:")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n# ")
	drawn := make(map[workerPhase]map[workerPhase]string)
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) +(.+?)  +(\w+)(?:$|  )`).FindAllStringSubmatch(section, -1) {
		from, to := phaseNamed(t, m[1]), phaseNamed(t, m[3])
		if drawn[from] == nil {
			drawn[from] = make(map[workerPhase]string)
		}
		require.Empty(t, drawn[from][to], m[0])
		drawn[from][to] = m[2]
	}
	require.Equal(t, workerTable, drawn)
}

func phaseNamed(t *testing.T, name string) workerPhase {
	for p := range workerPhases {
		if p.String() == name {
			return p
		}
	}
	t.Fatalf("no phase is named %q", name)
	return 0
}

func TestAWorkerRefusesAMoveThatIsNotInItsTable(t *testing.T) {
	for from := range workerPhases {
		for to := range workerPhases {
			w := Worker{phase: from}
			if _, allowed := workerTable[from][to]; allowed || from == to {
				w.enter(to)
				require.Equal(t, to, w.phase)
			} else {
				require.Panics(t, func() { w.enter(to) }, "%s to %s", from, to)
			}
		}
	}
}

func TestEachPhaseOfAWorkerCanBeReachedAndLeft(t *testing.T) {
	reached := map[workerPhase]bool{workerAcquiring: true}
	left := map[workerPhase]bool{workerDown: true}
	for from, follows := range workerTable {
		left[from] = left[from] || len(follows) > 0
		for to := range follows {
			reached[to] = true
		}
	}
	for p := range workerPhases {
		require.True(t, reached[p] && left[p], p.String())
	}
	require.Equal(t, "phase 99", workerPhase(99).String())
}
