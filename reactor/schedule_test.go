package reactor_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A clock moves while a handler runs: what is due in a second from when the handler asked is.
func TestWhatIsDueInASecondBeginsAChainThoughTheClockMoves(t *testing.T) {
	var reads atomic.Int64
	st, err := storetest.Open(store.Options{Clock: func() time.Time { return time.UnixMilli(reads.Add(1)) }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		out.After(cursor.NewChain, shop, e.Body)
		return nil
	}))
	r.MaxDepth = 1
	run := runner(t, st, r)
	appendAll(t, st, placed{"1", "lamp"})
	for range 3 {
		require.NoError(t, step(t, run))
		reads.Add(2000)
		n, err := cursor.Ring(t.Context(), run, st.Now())
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	events := read(t, st, "order.placed")
	require.Len(t, events, 4)
	for _, e := range events[1:] {
		require.EqualValues(t, 1, e.Depth)
	}
}

// eraseOrder erases the order 42, and has something happen after it was found out what of it is
// kept and scheduled.
func eraseOrder(t *testing.T, st *store.Store, r *reactor.Reactor, meanwhile func()) {
	t.Helper()
	sides := reactor.ErasedSides(st, r)
	_, err := store.Erase(t.Context(), st, store.Erasure{
		Entity: shop.Entity, Reason: "asked for", By: "an officer",
		Sides: func(ctx context.Context, erased func(store.Position) bool) ([]store.SideWrite, error) {
			list, err := sides(ctx, erased)
			meanwhile()
			return list, err
		},
	})
	require.NoError(t, err)
}

func TestWhatIsScheduledDuringAnErasureIsNotWritten(t *testing.T) {
	for _, onErased := range []bool{false, true} {
		st := openStore(t)
		routes := []reactor.Route{remindAt(store.At("bill:1", "shop"))}
		if onErased {
			routes = append(routes, reactor.OnErased(ignore[placed]))
		}
		r := reactor.New("r", routes...)
		run := runner(t, st, r)
		appendAll(t, st, placed{"a secret", "lamp"})
		_, err := st.Append(t.Context(), store.At("order:43", "shop"), store.Any, placed{"another", "lamp"})
		require.NoError(t, err)
		eraseOrder(t, st, r, func() { catchUpAll(t, run) })
		_, err = cursor.Ring(t.Context(), run, st.Now().Add(2*time.Hour))
		require.NoError(t, err)
		require.Equal(t, []string{"another"}, orders(t, read(t, st, "stock.reserved")))
		for side, err := range st.Sides("due/") {
			require.NoError(t, err)
			t.Error("is still there", side.Key)
		}
	}
}

// remindAt reserves an hour later.
func remindAt(at store.Coordinate) reactor.Route {
	return reactor.On(func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		out.After(time.Hour, at, reserved{Order: e.Body.Order})
		return nil
	})
}

// A handler of erased events knows what it makes: it may be a deadline.
func TestWhatIsScheduledForAnErasedEventIsWritten(t *testing.T) {
	st := openStore(t)
	r := reactor.New("r", reactor.On(ignore[placed]), reactor.OnErased(func(
		_ context.Context, _ reactor.Event[placed], out *reactor.Reactions,
	) error {
		out.After(time.Hour, store.At("files", "shop"), reserved{Order: "look again"})
		return nil
	}))
	appendAll(t, st, placed{"a secret", "lamp"})
	eraseOrder(t, st, r, func() {})
	run := runner(t, st, r)
	catchUpAll(t, run)
	_, err := cursor.Ring(t.Context(), run, st.Now().Add(2*time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{"look again"}, orders(t, read(t, st, "stock.reserved")))
}
