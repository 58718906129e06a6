package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type (
	opened struct{ Book string }
	noted  struct { // by the name of the book
		Book string
		N    int
	}
	wired struct { // by its account
		Account string
		N       int
	}
	audited struct { // once the book is at its audit
		Book string
		N    int
	}
	audit struct{ Book string }
)

func (opened) Kind() string  { return "book.opened" }
func (noted) Kind() string   { return "book.noted" }
func (wired) Kind() string   { return "book.wired" }
func (audited) Kind() string { return "book.audited" }
func (audit) Kind() string   { return "book.audit" }

// book is an instance that keeps the positions of all that it was told, in the order of that.
type book struct{ Entries []store.Position }

// ledgers are books whose handlers fail at what is broken.
type ledgers struct {
	broken map[int]bool
	run    *reactortest.Run
	saga   *saga.Saga[book]
	t      *testing.T
	random *rand.Rand
	n      int // of the last entry
}

var errBroken = errors.New("broken")

func (l *ledgers) enter(tx *saga.Tx[book], at store.Position, n int) error {
	if l.broken[n] {
		return errBroken
	}
	tx.State.Entries = append(tx.State.Entries, at)
	return nil
}

// version makes one that continues what the versions before have begun.
func (l *ledgers) version(v uint32) *saga.Saga[book] {
	s := saga.New("books",
		saga.Start(func(e opened) string { return e.Book }, func(_ context.Context, e reactor.Event[opened], tx *saga.Tx[book]) error {
			tx.Alias("account", "of "+e.Body.Book)
			tx.Goto("open")
			return l.enter(tx, e.Position, 0)
		}),
		saga.On(func(e noted) string { return e.Book }, func(_ context.Context, e reactor.Event[noted], tx *saga.Tx[book]) error {
			return l.enter(tx, e.Position, e.Body.N)
		}),
		saga.Via("account", func(e wired) string { return e.Account }, func(_ context.Context, e reactor.Event[wired], tx *saga.Tx[book]) error {
			return l.enter(tx, e.Position, e.Body.N)
		}),
		saga.On(func(e audit) string { return e.Book }, func(_ context.Context, e reactor.Event[audit], tx *saga.Tx[book]) error {
			tx.Goto("audit")
			return l.enter(tx, e.Position, 0)
		}),
		saga.On(func(e audited) string { return e.Book }, func(_ context.Context, e reactor.Event[audited], tx *saga.Tx[book]) error {
			return l.enter(tx, e.Position, e.Body.N)
		}, saga.In("audit")),
	)
	s.Version, s.Missing, s.Unexpected = v, saga.Defer, saga.Defer
	s.Policy.Attempts, s.Policy.Outage.Off = 2, true
	for former := range v {
		s.With(l.version(former))
	}
	return s
}

// step does something: mostly it appends an input, by a key or by an alias, at times too early.
func (l *ledgers) step() {
	l.n++
	name := fmt.Sprint("b", l.random.IntN(3))
	in, why := l.saga.In(l.run.Store()), checkpoint.Request{By: "ana"}
	switch l.random.IntN(16) {
	case 0, 1:
		l.given(opened{name})
	case 2, 3, 4:
		l.given(noted{name, l.n})
	case 5, 6:
		l.given(wired{"of " + name, l.n})
	case 7:
		l.given(audited{name, l.n})
	case 8:
		l.given(audit{name})
	case 9:
		l.broken[l.n+1+l.random.IntN(4)] = true
	case 10:
		_, _ = in.Suspend(l.t.Context(), name, why) // where there is none it does not fit
	case 11:
		_, _ = in.Resume(l.t.Context(), name, why)
	case 12:
		l.run.Crash(l.random.Uint64())
	case 13:
		l.run.CrashAt(1 + l.random.IntN(20))
	case 14:
		if v := l.saga.Version; v < 3 { // a deploy
			l.saga = l.version(v + 1)
			l.run.Crash(l.random.Uint64())
		}
	default:
		if l.random.IntN(4) == 0 {
			clear(l.broken)
			l.replay()
		}
		l.run.Advance(time.Duration(l.random.IntN(40)) * time.Second)
	}
}

func (l *ledgers) given(p store.Payload) {
	l.run.Given(reactortest.At(store.At("books", "test"), p))
	if l.random.IntN(2) == 0 {
		l.run.Step("books")
	}
}

// replay has all that is parked handled again.
func (l *ledgers) replay() {
	if len(l.run.Parked("books")) > 0 {
		l.run.Replay("books", cursor.ParkedFilter{All: true})
	}
}

// finish mends all, and lets all be handled.
func (l *ledgers) finish() {
	clear(l.broken)
	for range 5 {
		for _, name := range []string{"b0", "b1", "b2"} {
			_, _ = l.saga.In(l.run.Store()).Resume(l.t.Context(), name, checkpoint.Request{By: "ana"})
		}
		l.replay()
		l.run.Advance(2 * time.Minute)
	}
	require.Empty(l.t, l.run.Parked("books"))
}

// check requires that each input was handled once, or recorded because no book came in time, or
// waits for the audit of its book; and those that wait for no phase in the order of the log, behind
// the one that starts.
func (l *ledgers) check() {
	where, inputs, begun := l.read()
	held := 0
	for o, err := range l.saga.In(l.run.Store()).List() {
		require.NoError(l.t, err)
		held += o.Held
		var ordered []store.Position
		for _, at := range o.State.Entries {
			where[at] = append(where[at], "in "+o.Key)
			if k := inputs[at].Kind; k != "book.audited" && k != "book.opened" {
				ordered = append(ordered, at)
			}
		}
		require.True(l.t, slices.IsSorted(ordered), "%s: %v", o.Key, ordered)
	}
	for at, e := range inputs {
		if len(where[at]) == 0 && e.Kind == "book.audited" {
			held--
			continue
		}
		require.Len(l.t, where[at], 1, "event %d, %s: %v", at, e.Kind, where[at])
		if where[at][0] == "recorded: no instance came in time" {
			var b struct{ Book, Account string }
			require.NoError(l.t, json.Unmarshal(e.Payload, &b))
			came, ever := begun[b.Book+strings.TrimPrefix(b.Account, "of ")]
			require.True(l.t, !ever || came.Sub(e.Time.Time()) > 50*time.Second, "event %d: it came after %s", at, came.Sub(e.Time.Time()))
		}
	}
	require.Zero(l.t, held)
}

// read returns the inputs in the log, why they were recorded, and when each book was opened first.
func (l *ledgers) read() (where map[store.Position][]string, inputs map[store.Position]store.Event, begun map[string]time.Time) {
	where, inputs, begun = make(map[store.Position][]string), make(map[store.Position]store.Event), make(map[string]time.Time)
	for e, err := range l.run.Store().Read(l.t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(l.t, err)
		switch e.Kind {
		case "book.opened":
			o, err := reactor.Decode[opened](nil, e)
			require.NoError(l.t, err)
			if _, ever := begun[o.Book]; !ever {
				begun[o.Book] = e.Time.Time()
			}
			inputs[e.Position] = e
		case "book.noted", "book.wired", "book.audited", "book.audit":
			inputs[e.Position] = e
		case "saga.books.recorded":
			var p struct {
				Input store.Position `json:"input"`
				Why   string         `json:"why"`
			}
			require.NoError(l.t, json.Unmarshal(e.Payload, &p))
			where[p.Input] = append(where[p.Input], "recorded: "+p.Why)
		}
	}
	return where, inputs, begun
}

// None is lost, none is handled twice, and those of an instance are handled in the order of the
// log: whatever finds them, waits, fails, crashes, is parked, suspended and deployed.
func TestEachInputIsHandledOnceInTheOrderOfTheLog(t *testing.T) {
	for seed := range uint64(less(20)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			l := &ledgers{t: t, broken: make(map[int]bool), random: rand.New(rand.NewPCG(seed, 11))}
			l.saga = l.version(0)
			l.run = reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return l.saga }))
			l.run.Shuffle(seed)
			for range 80 {
				l.step()
			}
			l.finish()
			l.check()
		})
	}
}
