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
	var drawn []workerMove
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) +(.+?)  +(\w+)(?:$|  )`).FindAllStringSubmatch(section, -1) {
		drawn = append(drawn, workerMove{from: phaseNamed(t, m[1]), to: phaseNamed(t, m[3]), when: m[2]})
	}
	require.Equal(t, workerMoves, drawn)
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
			allowed := from == to
			for _, m := range workerMoves {
				allowed = allowed || m.from == from && m.to == to
			}
			if allowed {
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
	for _, m := range workerMoves {
		reached[m.to], left[m.from] = true, true
	}
	for p := range workerPhases {
		require.True(t, reached[p] && left[p], p.String())
	}
	require.Equal(t, "phase 99", workerPhase(99).String())
}
