package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// shelf is what is left of a SKU, and who got the last one.
type shelf struct {
	Left int
	Last string
}

func (shelf) Kind() string { return "shop.shelf" }

func bySKU(p placed) string { return p.SKU }

// restock puts ten pieces on the shelf when it is asked for the first time, and then takes one off
// for each order.
func restock(_ context.Context, e reactor.Event[placed], s *shelf, out *reactor.Reactions) error {
	if s.Last == "" {
		s.Left = 10
	}
	s.Last = e.Body.Order
	if s.Left > 0 {
		s.Left--
		out.Append(store.At("stock:"+e.Body.SKU, "shop"), reserved{Order: e.Body.Order})
	}
	return nil
}

// stateOf is what the reactor "r" keeps for a key.
func stateOf(t *testing.T, st *store.Store, key string) shelf {
	t.Helper()
	s, err := reactor.State[shelf](st, nil, "r", key)
	require.NoError(t, err)
	return s
}

// catchUpAll steps until everything is handled.
func catchUpAll(t *testing.T, run *cursor.Runner) {
	t.Helper()
	for {
		out, err := run.Step(t.Context(), 0, 0)
		require.NoError(t, err)
		if out.CaughtUp {
			return
		}
	}
}

// A handler that reads what is left, and a hundred orders that wait for ten pieces: each is decided
// on what the ones before have left, with one call of the handler each.
func TestAHandlerWithStateReservesWhatThereIs(t *testing.T) {
	for _, lanes := range []int{0, 8} {
		for _, size := range []int{1, 7, 0} {
			st := openStore(t)
			calls := 0
			r := reactor.New("r", reactor.OnState(bySKU, func(
				ctx context.Context, e reactor.Event[placed], s *shelf, out *reactor.Reactions,
			) error {
				calls++
				return restock(ctx, e, s, out)
			}))
			r.Lanes, r.BatchSize = lanes, size
			for n := range 200 {
				_, err := st.Append(t.Context(), store.At(fmt.Sprint("order:", n), "shop"), store.Any,
					placed{Order: fmt.Sprint(n), SKU: []string{"lamp", "desk"}[n%2]})
				require.NoError(t, err)
			}
			catchUpAll(t, runner(t, st, r))
			require.Equal(t, 200, calls)
			require.Len(t, read(t, st, "stock.reserved"), 20)
			require.Equal(t, shelf{Last: "198"}, stateOf(t, st, "lamp"))
			require.Equal(t, shelf{Last: "199"}, stateOf(t, st, "desk"))
		}
	}
}

func TestStateIsKeptOverARestartAndARename(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "lamp"})
	catchUpAll(t, runner(t, st, reactor.New("r", reactor.OnState(bySKU, restock))))
	renamed := reactor.New("shelves", reactor.OnState(bySKU, restock))
	renamed.Formerly = []string{"r"}
	appendAll(t, st, placed{"3", "lamp"})
	catchUpAll(t, runner(t, st, renamed))
	s, err := reactor.State[shelf](st, nil, "shelves", "lamp")
	require.NoError(t, err)
	require.Equal(t, shelf{Left: 7, Last: "3"}, s)
}

func TestTheStateThatAFailedHandlerLeavesIsDropped(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "lamp"}, placed{"3", "lamp"})
	down := true
	run := runner(t, st, reactor.New("r", reactor.OnState(bySKU, func(
		ctx context.Context, e reactor.Event[placed], s *shelf, out *reactor.Reactions,
	) error {
		if err := restock(ctx, e, s, out); err != nil {
			return err
		}
		if down && e.Body.Order == "2" {
			return errors.New("down")
		}
		return nil
	})))
	require.Error(t, step(t, run))
	require.Equal(t, shelf{Left: 9, Last: "1"}, stateOf(t, st, "lamp"))
	down = false
	require.NoError(t, step(t, run))
	require.Equal(t, shelf{Left: 7, Last: "3"}, stateOf(t, st, "lamp"))
	require.Len(t, read(t, st, "stock.reserved"), 3)
}

func TestAStateThatIsZeroAgainIsNotKept(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "lamp"})
	run := runner(t, st, reactor.New("r", reactor.OnState(bySKU, func(
		_ context.Context, e reactor.Event[placed], s *shelf, _ *reactor.Reactions,
	) error {
		*s = shelf{Left: 2 - s.Left}
		return nil
	})))
	_, err := run.Step(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Equal(t, 1, keptValues(t, st))
	require.NoError(t, step(t, run))
	require.Zero(t, keptValues(t, st))
	require.Zero(t, stateOf(t, st, "lamp"))
}

func keptValues(t *testing.T, st *store.Store) (n int) {
	t.Helper()
	for _, err := range st.Sides(checkpoint.KeptPrefix("r")) {
		require.NoError(t, err)
		n++
	}
	return n
}

// Lanes take the key of the state for the order of events, whatever their entities are.
func TestTheKeyOfAStateKeepsEventsInOrder(t *testing.T) {
	r := reactor.New("r", reactor.OnState(bySKU, restock), reactor.On(ignore[cancelled]))
	w, err := r.CursorWorker()
	require.NoError(t, err)
	require.True(t, w.Stateful)
	require.Equal(t, "lamp", w.Key(event(1, `{"SKU":"lamp"}`)))
	require.Equal(t, shop.Entity, w.Key(event(1, `{`)), "one that cannot be read")
	other := event(1, `{}`)
	other.Kind = cancelled{}.Kind()
	require.Equal(t, shop.Entity, w.Key(other), "one without a state")
}

func TestWhatIsWrongWithAStateIsAnErrorOfTheDefinition(t *testing.T) {
	own := reactor.New("r", reactor.OnState(bySKU, restock))
	own.Key = func(store.Event) string { return "" }
	volatile := reactor.New("r", reactor.OnState(bySKU, restock))
	volatile.Volatile = true
	missing := reactor.New("r", reactor.OnState(bySKU, restock))
	missing.Types = reactor.NewTypes(reactor.TypeOf[placed]())
	for _, r := range []*reactor.Reactor{
		own, volatile, missing,
		reactor.New("r", reactor.OnState[shelf, placed](nil, restock)),
		reactor.New("r", reactor.OnState[shelf](bySKU, nil)),
	} {
		_, err := r.CursorWorker()
		require.True(t, errors.Is(err, reactor.ErrDefinition) || errors.Is(err, cursor.ErrWorker), "%v", err)
	}
}

// newerShelf is the shelf of a later program.
type newerShelf struct{ Pieces int }

func (newerShelf) Kind() string          { return "shop.shelf" }
func (newerShelf) SchemaVersion() uint16 { return 2 }

func TestAStateIsRaisedToThePresentVersion(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	catchUpAll(t, runner(t, st, reactor.New("r", reactor.OnState(bySKU, restock))))

	types := reactor.NewTypes(reactor.TypeOf[placed](), reactor.TypeOf[newerShelf](
		reactor.UpcastFrom(1, func(old shelf) (newerShelf, error) { return newerShelf{Pieces: old.Left}, nil })))
	appendAll(t, st, placed{"2", "lamp"})
	newer := reactor.New("r", reactor.OnState(bySKU, func(
		_ context.Context, _ reactor.Event[placed], s *newerShelf, _ *reactor.Reactions,
	) error {
		s.Pieces--
		return nil
	}))
	newer.Types = types
	catchUpAll(t, runner(t, st, newer))
	s, err := reactor.State[newerShelf](st, types, "r", "lamp")
	require.NoError(t, err)
	require.Equal(t, newerShelf{Pieces: 8}, s)

	// The program before does not know what to make of it: a person decides.
	appendAll(t, st, placed{"3", "lamp"})
	err = step(t, runner(t, st, reactor.New("r", reactor.OnState(bySKU, restock))))
	directive, ok := supervision.DirectiveOf(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, supervision.ActionPark, directive.Action)
	_, err = reactor.State[shelf](st, nil, "r", "lamp")
	require.ErrorIs(t, err, reactor.ErrPayload)
}

func TestAStateThatIsDamagedFailsItsEvents(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	run := runner(t, st, reactor.New("r", reactor.OnState(bySKU, restock)))
	key := checkpoint.KeptPrefix("r") + "shop.shelf/lamp"
	for _, bad := range [][]byte{{}, {0}, {1}, {1, 0x80}, {1, 0, 9, 'x'}, {1, 0xff, 0xff, 0xff, 1}, append([]byte{1, 0, 4}, "json{"...), {2}} {
		_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: key, Value: bad}}})
		require.NoError(t, err)
		require.Error(t, step(t, run), "%q", bad)
	}
	_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: key, Delete: true}}})
	require.NoError(t, err)
	require.NoError(t, step(t, run))
}

// mine is a state that says what stays of it.
type mine struct {
	Name   string
	Orders int
}

func (mine) Kind() string   { return "shop.customer" }
func (m mine) Erased() mine { return mine{Orders: m.Orders} }

func TestAnErasureReachesTheStatesThatWereMadeOfWhatItErases(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "desk"}, placed{"3", "lamp"})
	shelves := reactor.New("r", reactor.OnState(bySKU, restock))
	customers := reactor.New("customers", reactor.OnState(bySKU, func(
		_ context.Context, e reactor.Event[placed], m *mine, _ *reactor.Reactions,
	) error {
		*m = mine{Name: e.Body.Order, Orders: m.Orders + 1}
		return nil
	}))
	idle := reactor.New("idle", reactor.OnState(bySKU, restock))
	run := runner(t, st, shelves)
	catchUpAll(t, run)
	catchUpAll(t, runner(t, st, customers))

	_, err := store.Erase(t.Context(), st, store.Erasure{
		Events: []uuid.UUID{read(t, st, "order.placed")[0].ID}, Reason: "asked for", By: "an officer",
		Sides: reactor.ErasedSides(st, shelves, customers, idle),
	})
	require.NoError(t, err)
	require.Zero(t, stateOf(t, st, "lamp"))
	require.Equal(t, shelf{Left: 9, Last: "2"}, stateOf(t, st, "desk"))
	m, err := reactor.State[mine](st, nil, "customers", "lamp")
	require.NoError(t, err)
	require.Equal(t, mine{Orders: 2}, m)

	appendAll(t, st, placed{"4", "lamp"})
	catchUpAll(t, run)
	require.Equal(t, shelf{Left: 9, Last: "4"}, stateOf(t, st, "lamp"))
}

// What a handler makes of an event that is erased while it is at it is in no state and no reaction.
func TestAHandlerThatIsAtAnErasedEventLeavesNothingOfIt(t *testing.T) {
	for _, lanes := range []int{0, 4} {
		for n := range 6 {
			st := openStore(t)
			appendAll(t, st, placed{"0", "lamp"}, placed{"1", "lamp"}, placed{"2", "lamp"})
			var r *reactor.Reactor
			erased, asks := false, n >= 3
			n %= 3
			routes := []reactor.Route{reactor.OnState(bySKU, func(
				ctx context.Context, e reactor.Event[placed], s *shelf, out *reactor.Reactions,
			) error {
				if e.Body.Order == fmt.Sprint(n) && !erased {
					erased = true
					_, err := store.Erase(ctx, st, store.Erasure{
						Events: []uuid.UUID{e.ID}, Reason: "asked for", By: "an officer", Sides: reactor.ErasedSides(st, r),
					})
					require.NoError(t, err)
				}
				return restock(ctx, e, s, out)
			})}
			if asks {
				routes = append(routes, reactor.OnErased(ignore[placed]))
			}
			r = reactor.New("r", routes...)
			r.Lanes = lanes
			catchUpAll(t, runner(t, st, r))
			require.Equal(t, shelf{Left: 8, Last: []string{"2", "2", "1"}[n]}, stateOf(t, st, "lamp"))
			require.Len(t, read(t, st, "stock.reserved"), 2)
		}
	}
}

func TestReactKeepsStateFromOneEventToTheNext(t *testing.T) {
	r := reactor.New("r", reactor.OnState(bySKU, restock))
	var events []store.Event
	for n := range store.Position(12) {
		events = append(events, event(n+1, fmt.Sprintf(`{"Order":"%d","SKU":"lamp"}`, n)))
	}
	got, err := r.React(t.Context(), events...)
	require.NoError(t, err)
	require.Len(t, got, 10)
	got, err = r.React(t.Context(), append(events, event(13, `{`))...)
	require.ErrorIs(t, err, reactor.ErrPayload)
	require.Len(t, got, 10, "those before it")
}

// What a log has stays readable: these are the bytes of a state of the present format.
func TestTheBytesOfAStateAreThoseOfItsFormat(t *testing.T) {
	st := openStore(t)
	appendAll(t, st, placed{"1", "lamp"})
	catchUpAll(t, runner(t, st, reactor.New("r", reactor.OnState(bySKU, restock))))
	side, found, err := st.Side("kept/r/shop.shelf/lamp")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "\x01\x00\x04json"+`{"Left":9,"Last":"1"}`, string(side.Value))
}
