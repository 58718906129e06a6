package drive

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestTheDiagramOfAnOutageIsItsTable(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, section, found := strings.Cut(regexp.MustCompile(`(?m)^// ?`).ReplaceAllString(string(text), ""), "# An outage\n")
	require.True(t, found)
	_, section, found = strings.Cut(section, "all the moves between them:")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n# ")
	var drawn []outageMove
	for _, m := range regexp.MustCompile(`(?m)^\t(\w+) +(.+?)  +(\w+)(?:$|  )`).FindAllStringSubmatch(section, -1) {
		drawn = append(drawn, outageMove{from: outagePhaseNamed(t, m[1]), to: outagePhaseNamed(t, m[3]), when: m[2]})
	}
	require.Equal(t, outageMoves, drawn)
}

func outagePhaseNamed(t *testing.T, name string) outagePhase {
	t.Helper()
	i := slices.Index(outagePhaseNames[:], name)
	require.GreaterOrEqual(t, i, 0, "no phase is named %q", name)
	return outagePhase(i)
}

func TestAMoveThatTheTableOfOutagesDoesNotHavePanics(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	require.Panics(t, func() { o.turn(&dependency{}, outageOut) })
}

// happening is one thing that was reported of a dependency, as the model keeps it.
type happening struct {
	kind  happeningKind
	event store.Position
	key   string
}

type happeningKind uint8

const (
	hasFailed happeningKind = iota
	isUsedUp
	wasHandled
	wasForgotten
)

// outageModel is the rules of outages over the list of all that happened to one dependency, read
// from the start for each question.
type outageModel struct {
	policy supervision.OutagePolicy
	all    []happening
}

// read returns the phase, the events that fail, and which of these failed in the outage.
func (m *outageModel) read() (phase outagePhase, failing, out map[store.Position]bool) {
	failing, out = make(map[store.Position]bool), make(map[store.Position]bool)
	old := make(map[store.Position]bool) // failed before the last success, too
	var recent []happening               // since the last success
	for _, h := range m.all {
		switch h.kind {
		case hasFailed:
			failing[h.event] = true
		case isUsedUp:
			fails := 0
			for _, r := range recent {
				if r.kind == hasFailed && r.event == h.event {
					fails++
				}
			}
			if fails == 0 || phase != outageOut && old[h.event] && fails < m.policy.Failures {
				continue // something was handled while it failed
			}
		case wasHandled, wasForgotten:
			delete(failing, h.event)
			delete(out, h.event)
			delete(old, h.event)
			recent = slices.DeleteFunc(recent, func(r happening) bool { return r.event == h.event && r.kind == hasFailed })
			if h.kind == wasHandled || len(failing) == 0 {
				phase, recent, out = outageCalm, nil, make(map[store.Position]bool)
				maps.Copy(old, failing)
			}
			continue
		}
		recent = append(recent, h)
		before := phase
		if phase = max(phase, outageSuspect); m.enough(recent) {
			phase = outageOut
		}
		if phase == outageOut && (h.kind == hasFailed || before != outageOut) {
			out[h.event] = true
		}
	}
	return phase, failing, out
}

func (m *outageModel) enough(recent []happening) bool {
	fails, once, often, usedUp := make(map[store.Position]int), make(map[string]bool), make(map[string]bool), 0
	for _, h := range recent {
		if h.kind == isUsedUp {
			usedUp++
			continue
		}
		once[h.key] = true
		if fails[h.event]++; fails[h.event] >= m.policy.Failures {
			often[h.key] = true
		}
	}
	return usedUp >= m.policy.UsedUp || len(often) >= m.policy.Keys || len(once) >= m.policy.Keys*m.policy.Failures
}

// Random reports of one dependency. What is parked has tests of its own.
func TestOutagesAreWhatTheirRulesSay(t *testing.T) {
	outs, charged := 0, 0
	for seed := range uint64(1000) {
		dice := rand.New(rand.NewPCG(seed, 0))
		policy := &supervision.Policy{Outage: supervision.OutagePolicy{
			Keys: 1 + dice.IntN(3), Failures: 1 + dice.IntN(3), UsedUp: 1 + dice.IntN(3),
		}}
		o, m, now := newOutages(policy, dice.Float64), &outageModel{policy: policy.Outage}, begun
		for range 40 {
			now = now.Add(time.Duration(dice.IntN(60)) * time.Second)
			h := happening{kind: happeningKind(dice.IntN(4)), event: store.Position(1 + dice.IntN(6))}
			if h.kind == wasHandled && dice.IntN(4) > 0 {
				h.kind = hasFailed
			}
			h.key = fmt.Sprint(h.event % 4)
			s := cursor.Subject{Event: h.event, Key: h.key, Dependency: "d"}
			before, _, failedOut := m.read()
			m.all = append(m.all, h)
			phase, failing, out := m.read()
			switch h.kind {
			case hasFailed:
				require.Equal(t, phase == outageOut, o.failure(now, s, errBroken) != attempt, "seed %d", seed)
			case isUsedUp:
				require.Equal(t, phase == outageOut && failing[h.event], o.usedUp(now, h.event) == excused, "seed %d", seed)
			case wasHandled:
				o.success(now, s)
			case wasForgotten:
				o.forget(h.event)
			}
			requireOutages(t, o, phase, failing, fmt.Sprint("seed ", seed))
			if turns := o.taken(); before != phase && (before == outageOut || phase == outageOut) {
				require.Len(t, turns, 1, "seed %d", seed)
				require.Equal(t, phase == outageOut, turns[0].out)
				delete(failedOut, h.event)
				if phase == outageOut {
					outs++
					require.NotEmpty(t, out)
				} else {
					charged += len(failedOut)
					require.Len(t, turns[0].charged, len(failedOut), "seed %d", seed)
				}
			} else {
				require.Empty(t, turns, "seed %d", seed)
			}
		}
	}
	require.Greater(t, outs, 300)
	require.Greater(t, charged, 100)
}

func requireOutages(t *testing.T, o *outages, phase outagePhase, failing map[store.Position]bool, what string) {
	t.Helper()
	require.Len(t, o.events, len(failing), what)
	d := o.of["d"]
	if len(failing) == 0 {
		require.Nil(t, d, what)
		require.False(t, o.watching())
		return
	}
	require.Equal(t, phase.String(), d.phase.String(), what)
	require.Equal(t, phase == outageOut, len(o.reasons()) == 1, what)
	require.Equal(t, phase == outageOut, !o.next().IsZero(), "%s: it is probed", what)
	for event := range failing {
		require.Equal(t, phase == outageOut, o.out(event), what)
	}
}

// failed reports a failure of an event, each with a key of its own unless they are said to share
// one.
func (o *outages) failed(now time.Time, event store.Position, key ...string) bool {
	return o.failure(now, subject(event, key...), errBroken) != attempt
}

func subject(event store.Position, key ...string) cursor.Subject {
	return cursor.Subject{Event: event, Key: strings.Join(append(key, fmt.Sprint(event))[:1], ""), Dependency: "d"}
}

func TestThreeKeysThatFailTwiceWithNothingHandledInBetweenAreAnOutage(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	for event := store.Position(1); event <= 3; event++ {
		require.False(t, o.failed(begun, event))
	}
	require.False(t, o.failed(begun, 1))
	require.False(t, o.failed(begun, 2))
	o.success(begun, subject(9))
	require.False(t, o.failed(begun, 3), "that was handled in between")
	for _, event := range []store.Position{11, 12, 13, 11, 12, 13} {
		require.False(t, o.failed(begun, event, "same"), "of one key")
	}
	require.False(t, o.failed(begun, 1))
	require.False(t, o.failed(begun, 1))
	require.True(t, o.failed(begun, 3))
	require.True(t, o.failed(begun, 7), "one that is new waits at once")
	turns := o.taken()
	require.Len(t, turns, 1)
	reason := turns[0].of.reason()
	require.ErrorIs(t, reason, supervision.ErrOutage)
	require.ErrorIs(t, reason, errBroken)
	require.Equal(t, "d", reason.Dependency)
}

func TestEachEventThatFailedInAnOutageIsChargedOnceAtItsEnd(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	for range 2 {
		for event := store.Position(1); event <= 3; event++ {
			o.failed(begun, event)
		}
	}
	for range 5 {
		o.failed(begun, 4)
	}
	o.taken()
	o.success(begun, subject(2))
	turns := o.taken()
	require.Len(t, turns, 1)
	require.Equal(t, []store.Position{3, 4}, turns[0].charged, "3 began it; 1 failed before, which counted")
	require.False(t, o.out(4))
}
