package reactor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

func remind(d time.Duration) reactor.Route {
	return reactor.On(func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		out.After(d, shop, cancelled{Order: e.Body.Order})
		out.Append(shop, reserved{Order: e.Body.Order})
		return nil
	})
}

func TestReactReturnsWhenAnEventIsDue(t *testing.T) {
	e := event(1, `{"Order":"42"}`)
	e.Time = store.Timestamp(1000 << 16) // 1 s after 1970
	got, err := reactor.New("r", remind(time.Minute)).React(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, []reactor.Reaction{
		{At: shop, Payload: reserved{Order: "42"}},
		{At: shop, Payload: cancelled{Order: "42"}, Due: time.Unix(61, 0).UTC()},
	}, got)
}

func TestWhatIsDueLaterBeginsAChainAndWhatIsDueNowDoesNot(t *testing.T) {
	deep := event(1, `{}`)
	deep.Depth = 64
	repeat := func(d time.Duration) error {
		r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
			out.After(d, shop, placed{})
			return nil
		}))
		_, err := r.React(t.Context(), deep)
		return err
	}
	require.NoError(t, repeat(time.Second))
	require.ErrorIs(t, repeat(time.Millisecond), reactor.ErrLoop)
	require.ErrorIs(t, repeat(-time.Hour), reactor.ErrLoop)
}

func TestAScheduledEventCountsAmongTheReactions(t *testing.T) {
	r := reactor.New("r", remind(time.Minute))
	r.MaxReactions = 1
	_, err := react(t, r)
	require.ErrorIs(t, err, reactor.ErrLoop)

	r = reactor.New("r", remind(time.Minute))
	r.Volatile = true
	_, err = react(t, r)
	require.ErrorIs(t, err, reactor.ErrVolatile)

	r = reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		out.After(time.Hour, store.At("", ""), placed{})
		return nil
	}))
	_, err = react(t, r)
	require.ErrorIs(t, err, reactor.ErrReaction)
}

// What one event emits for later another one of the same call takes back, unless it fails.
func TestReactReturnsNothingThatIsCancelled(t *testing.T) {
	var ticket cursor.Ticket
	r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		if e.Position == 1 {
			ticket = out.After(time.Minute, shop, cancelled{Order: "42"})
			return nil
		}
		out.Cancel(ticket)
		out.Cancel(ticket)
		out.Cancel("")
		out.Cancel(out.After(time.Minute, shop, reserved{Order: "42"}))
		if e.Position == 3 {
			return errors.New("sick")
		}
		return nil
	}))
	got, err := r.React(t.Context(), event(1, `{}`), event(2, `{}`))
	require.NoError(t, err)
	require.Empty(t, got)
	got, err = r.React(t.Context(), event(1, `{}`), event(3, `{}`))
	require.Error(t, err)
	require.Len(t, got, 1)
}

func TestWhatCannotBeCancelledFailsTheEvent(t *testing.T) {
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[placed], out *reactor.Reactions) error {
		out.Cancel("no ticket")
		return nil
	}))
	_, err := react(t, r)
	require.ErrorIs(t, err, reactor.ErrReaction)
	require.ErrorIs(t, err, store.ErrInvalid)
	r.Volatile = true
	_, err = react(t, r)
	require.ErrorIs(t, err, reactor.ErrVolatile)
}
