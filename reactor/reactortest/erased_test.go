package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// signedUp says something of a person, and greeted and forgotten are the answers.
type signedUp struct{ Name string }

func (signedUp) Kind() string { return "person.signed-up" }

type greeted struct{ Name string }

func (greeted) Kind() string { return "person.greeted" }

type unknown struct{ By string }

func (unknown) Kind() string { return "person.unknown" }

func greet(_ context.Context, e reactor.Event[signedUp], out *reactor.Reactions) error {
	if e.Body.Name == "" {
		return errors.New("an erased event has come as another one")
	}
	out.Append(e.Coordinate, greeted(e.Body))
	return nil
}

func noName(_ context.Context, e reactor.Event[signedUp], out *reactor.Reactions) error {
	by, erased := e.Erased()
	if !erased || e.Body.Name != "" || len(e.Payload) > 0 {
		return errors.New("no erased event")
	}
	out.Append(e.Coordinate, unknown{By: by.By})
	return nil
}

func person(n int) store.Coordinate { return store.At(fmt.Sprint("person:", n), "people") }

func signUp(n int) store.Payload { return reactortest.At(person(n), signedUp{fmt.Sprint("N", n)}) }

func TestAHandlerOfErasedEventsGetsThemWithoutTheirBody(t *testing.T) {
	welcome := reactor.New("welcome", reactor.On(greet), reactor.OnErased(noName))
	got := reactortest.React(t, welcome,
		signedUp{"Ada"}, reactortest.Erased(signedUp{"Bob"}), reactortest.Erased(reactortest.At(person(1), signedUp{"Cy"})))
	at := store.At("entity", "test")
	require.Equal(t, []reactor.Reaction{
		{At: at, Payload: greeted{"Ada"}}, {At: at, Payload: unknown{"reactortest"}}, {At: person(1), Payload: unknown{"reactortest"}},
	}, got)
	pass := reactor.New("pass", reactor.On(greet))
	require.Len(t, reactortest.React(t, pass, reactortest.Erased(signedUp{"Bob"}), signedUp{"Ada"}), 1)
}

// In its turn, whatever is handled beside it.
func TestErasedEventsComeInTheirTurn(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, batch := range []int{1, 2, 0} {
			welcome := reactor.New("welcome", reactor.OnErased(noName), reactor.On(greet))
			welcome.Lanes, welcome.BatchSize = lanes, batch
			run := reactortest.Start(t, welcome)
			for range 2 {
				run.Given(signUp(1), signUp(2), signUp(3))
			}
			reactortest.Erase(run, "person:2")
			run.Given(signUp(2), signUp(1))
			run.Settle()
			of := make(map[string][]string)
			for e, err := range run.Store().Read(t.Context(), store.Region{Scope: "people"}, store.Beginning()) {
				require.NoError(t, err)
				if e.Kind != (signedUp{}).Kind() {
					of[e.Coordinate.Entity] = append(of[e.Coordinate.Entity], e.Kind)
				}
			}
			require.Equal(t, map[string][]string{
				"person:1": {"person.greeted", "person.greeted", "person.greeted"},
				"person:2": {"person.unknown", "person.unknown", "person.greeted"},
				"person:3": {"person.greeted", "person.greeted"},
			}, of)
		}
	}
}

// An event that was parked and erased since comes to the other handler with its replay, and what
// was held after it follows.
func TestAParkedEventThatWasErasedIsReplayedAsSuch(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, told := range []bool{false, true} {
			reject := func(_ context.Context, e reactor.Event[signedUp], out *reactor.Reactions) error {
				return reactor.Park(errors.New("no " + e.Body.Name))
			}
			routes := []reactor.Route{reactor.On(reject)}
			if told {
				routes = append(routes, reactor.OnErased(noName))
			}
			welcome := reactor.New("welcome", routes...)
			welcome.Lanes = lanes
			run := reactortest.Start(t, welcome)
			run.Given(signUp(1), signUp(2), signUp(1))
			run.Settle()
			require.Len(t, run.Parked("welcome"), 3)
			reactortest.Erase(run, "person:1")
			require.Equal(t, checkpoint.ErasedText, run.Parked("welcome")[0].Error)
			run.Replay("welcome", cursor.ParkedFilter{Key: "person:1"})
			run.Settle()
			require.Len(t, run.Parked("welcome"), 1)
			want := []store.Payload{}
			if told {
				gone := reactortest.At(person(1), unknown{"reactortest"})
				want = append(want, gone, gone)
			}
			run.Then(want...)
		}
	}
}

// A rewound reactor gets again, as erased, what it has handled before; its answer is dropped, as
// that to any replay, unless the rewind says otherwise.
func TestARewindBringsErasedEventsAgain(t *testing.T) {
	for _, emit := range []bool{false, true} {
		replayed := 0
		welcome := reactor.New("welcome", reactor.On(greet),
			reactor.OnErased(func(ctx context.Context, e reactor.Event[signedUp], out *reactor.Reactions) error {
				if e.Replayed() {
					replayed++
				}
				require.NotEmpty(t, e.EffectKey())
				return noName(ctx, e, out)
			}))
		run := reactortest.Start(t, welcome)
		run.Given(signUp(1), signUp(2))
		run.Settle()
		run.Then(reactortest.At(person(1), greeted{"N1"}), reactortest.At(person(2), greeted{"N2"}))
		reactortest.Erase(run, "person:1")
		run.Apply("welcome", checkpoint.Rewind{To: 0, Emit: emit})
		run.Settle()
		require.Equal(t, 1, replayed)
		if emit {
			run.Then(reactortest.At(person(1), unknown{"reactortest"}), reactortest.At(person(2), greeted{"N2"}))
		} else {
			run.Then()
		}
	}
}

// Whatever is cut off, an event is answered once: as it was when it was handled.
func TestEachEventIsAnsweredOnceBesideErasuresAndPowerCuts(t *testing.T) {
	welcome := func() supervision.Child { return reactor.New("welcome", reactor.On(greet), reactor.OnErased(noName)) }
	reactortest.EveryCrash(t, welcome, func(run *reactortest.Run) {
		run.Given(signUp(1), signUp(2))
		run.Settle()
		run.Then(reactortest.At(person(1), greeted{"N1"}), reactortest.At(person(2), greeted{"N2"}))
		run.Given(signUp(1))
		reactortest.Erase(run, "person:1")
		run.Settle()
		run.Then(reactortest.At(person(1), unknown{"reactortest"}))
	})
}

// A worker of erasures learns of events that others have handled long ago.
func TestAReactorOfErasuresLearnsOfEachOfThem(t *testing.T) {
	var got []store.ErasureAudit
	forget := reactor.New("forget", reactor.On(func(_ context.Context, e reactor.Event[store.ErasureAudit], _ *reactor.Reactions) error {
		got = append(got, e.Body)
		return nil
	}))
	forget.Region.Scope = store.ReservedScope
	run := reactortest.Start(t, forget)
	run.Given(signUp(1), signUp(2), signUp(1))
	reactortest.Erase(run, "person:1")
	reactortest.Erase(run, "person:2")
	run.Settle()
	require.Len(t, got, 2)
	require.Equal(t, "person:1", got[0].Entity)
	require.Equal(t, []int{2, 1}, []int{got[0].Events, got[1].Events})
	require.Equal(t, []store.Position{1, 3}, []store.Position{got[0].First, got[0].Last})
	e, err := run.Store().GetAt(t.Context(), 3)
	require.NoError(t, err)
	by, _ := e.Erased()
	require.Equal(t, got[0].Erasure, by.Erasure)
}
