package actors_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// linked has the second event of each three tell whose the third one is: the first of another one
// is handled meanwhile.
func linked(n int) (list []store.Proposal) {
	for i := range n {
		for _, what := range []string{"other", "tells", "asks"} {
			list = append(list, store.Proposal{
				At: store.At(fmt.Sprint("in:", what, i), "test"), Payload: store.Raw{Type: "in.made", Data: []byte("1")},
			})
		}
	}
	return list
}

// Lanes fail, and are handled again, and still each event finds what the one before it has told.
func TestLanesFindTheKeysThatEventsBeforeHaveTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		st := memory(t, store.Options{})
		var mu sync.Mutex
		failed := make(map[store.Position]bool)
		found := 0
		w := cursor.Worker{
			Name: "w", Region: inputs, Lanes: 8, BatchSize: 4, Stateful: true,
			Resolve: func(e store.Event, side func(string) ([]byte, bool, error)) (string, bool, error) {
				id, asks := strings.CutPrefix(e.Coordinate.Entity, "in:asks")
				if !asks {
					return e.Coordinate.Entity, true, nil
				}
				key, known, err := side(id)
				return string(key), known, err
			},
			Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				reactAll("w", b)
				for i, e := range b.Events {
					mu.Lock()
					first := !failed[e.Position] && e.Position%7 == 0
					failed[e.Position] = true
					mu.Unlock()
					if first {
						return cursor.Continue, cursor.FailedAt(i, errBroken)
					}
					if id, tells := strings.CutPrefix(e.Coordinate.Entity, "in:tells"); tells {
						if err := b.Put(i, id, []byte(e.Coordinate.Entity)); err != nil {
							return cursor.Continue, err
						}
					}
					if id, asks := strings.CutPrefix(e.Coordinate.Entity, "in:asks"); asks {
						if _, told, err := b.Side(i, id); err != nil || !told {
							return cursor.Continue, cursor.FailedAt(i, fmt.Errorf("%q is not told: %w", id, err))
						}
						mu.Lock()
						found++
						mu.Unlock()
					}
				}
				return cursor.Continue, nil
			},
		}
		w.Policy.Outage.Off = true
		sys := start(t, st, w)
		var receipt store.Receipt
		for list := linked(n); len(list) > 0; list = list[30:] {
			receipt = appendAll(t, st, list[:30]...)
		}
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		require.Equal(t, n, found)
		require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
		s := statusOf(t, sys, "w")
		require.Zero(t, s.Parked)
		require.Zero(t, s.Restarts)
	})
}
