package cursor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// inPlace is what programs do to the slice that they were called with.
var inPlace = map[string]func(events []store.Event){
	"sorts": func(events []store.Event) { slices.Reverse(events) },
	"filters": func(events []store.Event) {
		_ = slices.DeleteFunc(events, func(e store.Event) bool { return e.Position%2 == 1 })
	},
	"clears": func(events []store.Event) { clear(events) },
	"drops payloads": func(events []store.Event) {
		for i := range events {
			events[i].Payload = nil
		}
	},
}

// Whatever a handler does to its slice of events, a batch that fails comes again whole and in
// order, and the window has room for as much as before.
func TestABatchThatAHandlerChangedInPlaceComesAgainWhole(t *testing.T) {
	for name, change := range inPlace {
		for _, lanes := range []int{1, 2} {
			for _, good := range []int{0, 3} {
				t.Run(fmt.Sprintf("%s, lanes %d, good %d", name, lanes, good), func(t *testing.T) {
					failOnceInPlace(t, change, lanes, good)
				})
			}
		}
	}
}

// failOnceInPlace has eight events handled. The first batch fails after so many good ones, without
// naming an event where that is none.
func failOnceInPlace(t *testing.T, change func([]store.Event), lanes, good int) {
	t.Helper()
	st := openInternal(t)
	for range 8 {
		appendSized(t, st, "order:1", 10)
	}
	failure := errors.New("broken")
	if good > 0 {
		failure = FailedAt(good, failure)
	}
	failed := false
	var handled []store.Position
	handle := func(_ context.Context, b *Batch) (Action, error) {
		n := len(b.Events)
		if !failed {
			n = good
		}
		for _, e := range b.Events[:n] {
			require.Len(t, e.Payload, 10)
			handled = append(handled, e.Position)
		}
		change(b.Events)
		if !failed {
			failed = true
			return Continue, failure
		}
		return Continue, nil
	}
	r, err := NewRunner(t.Context(), st, Worker{Name: "w", Lanes: lanes, Handle: handle})
	require.NoError(t, err)
	for range 10 {
		_, _ = r.Step(t.Context(), 0, 0)
	}
	require.True(t, failed)
	require.Equal(t, []store.Position{1, 2, 3, 4, 5, 6, 7, 8}, handled)
	require.Equal(t, st.Head(), r.Progress().Position)
	require.Zero(t, r.win.bytes)
}
