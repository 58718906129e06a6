package cursor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// selectable has three keys in a log of two kinds, of which the odd events are "a.x":
//
//	a   1 failed, 4 held for it
//	b   2 failed and is about to be handled again, 6 held for it
//	c   3 held and about to be handled again, as what it was held for is gone
//	d   5 failed last
func selectable(t *testing.T) (*store.Store, *parkedList) {
	st := openInternal(t)
	for i := range 6 {
		kind := []string{"a.x", "b.x"}[i%2]
		_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any, store.Raw{Type: kind, Data: []byte("{}")})
		require.NoError(t, err)
	}
	return st, parkedOf(
		checkpoint.Parked{Position: 1, Key: "a", Error: "connection refused", Since: noon},
		checkpoint.Parked{Position: 2, Key: "b", Error: "no SKU", Replaying: true, Since: noon.Add(time.Hour)},
		checkpoint.Parked{Position: 3, Key: "c", Held: true, Replaying: true, Since: noon},
		checkpoint.Parked{Position: 4, Key: "a", Held: true, Since: noon},
		checkpoint.Parked{Position: 5, Key: "d", Error: "request refused", Since: noon.Add(2 * time.Hour)},
		checkpoint.Parked{Position: 6, Key: "b", Held: true, Replaying: true, Since: noon},
	)
}

func TestAFilterSelectsTheKeysOfEventsThatAllItsFieldsApplyTo(t *testing.T) {
	st, list := selectable(t)
	for name, c := range map[string]struct {
		filter   ParkedFilter
		replayed []store.Position // nil: none is there
		dropped  []store.Position
	}{
		"the event that failed":      {ParkedFilter{Position: 1}, []store.Position{1, 4}, []store.Position{1}},
		"a held one":                 {ParkedFilter{Position: 4}, nil, nil},
		"one that is not":            {ParkedFilter{Position: 9}, nil, nil},
		"a key":                      {ParkedFilter{Key: "a"}, []store.Position{1, 4}, []store.Position{1}},
		"a key of which none failed": {ParkedFilter{Key: "c"}, []store.Position{3}, nil},
		"a key that is not":          {ParkedFilter{Key: "e"}, nil, nil},
		"all":                        {ParkedFilter{All: true}, []store.Position{1, 2, 3, 4, 5, 6}, []store.Position{1, 2, 5}},
		"a text":                     {ParkedFilter{Error: "refused"}, []store.Position{1, 4, 5}, []store.Position{1, 5}},
		"a text in other letters":    {ParkedFilter{Error: "Refused"}, []store.Position{}, []store.Position{}},
		"a kind":                     {ParkedFilter{Kind: "a.x"}, []store.Position{1, 3, 4, 5}, []store.Position{1, 5}},
		"a time":                     {ParkedFilter{Before: noon.Add(time.Hour)}, []store.Position{1, 3, 4}, []store.Position{1}},
		"a text and a time": {
			ParkedFilter{Error: "refused", Before: noon.Add(90 * time.Minute)}, []store.Position{1, 4}, []store.Position{1},
		},
		"a kind and a key":          {ParkedFilter{Kind: "a.x", Key: "d"}, []store.Position{5}, []store.Position{5}},
		"a kind and another's key":  {ParkedFilter{Kind: "b.x", Key: "d"}, nil, nil},
		"an event of another key":   {ParkedFilter{Position: 1, Key: "d"}, nil, nil},
		"an event with its text":    {ParkedFilter{Position: 1, Error: "refused"}, []store.Position{1, 4}, []store.Position{1}},
		"the oldest that waits":     {ParkedFilter{All: true, Max: 1}, []store.Position{1, 4}, []store.Position{1}},
		"the oldest that wait":      {ParkedFilter{All: true, Max: 2}, []store.Position{1, 4, 5}, []store.Position{1, 2}},
		"the oldest of a kind":      {ParkedFilter{Kind: "a.x", Max: 1}, []store.Position{1, 4}, []store.Position{1}},
		"more than there are":       {ParkedFilter{Kind: "b.x", Max: 9}, []store.Position{}, []store.Position{2}},
		"one that is replayed, now": {ParkedFilter{Position: 2}, []store.Position{2, 6}, []store.Position{2}},
	} {
		check := func(err error, want, of []store.Position) {
			if want == nil {
				require.ErrorIs(t, err, ErrNotParked, name)
				return
			}
			require.NoError(t, err, name)
			require.ElementsMatch(t, want, of, name)
		}
		o, err := replayOrder(t.Context(), st, list, c.filter)
		check(err, c.replayed, positionsOf(o.touched()))
		require.True(t, slices.IsSorted(positionsOf(o.touched())), name)
		o, err = discardOrder(t.Context(), st, list, c.filter)
		var chosen []store.Position
		for _, e := range o.chosen {
			chosen = append(chosen, e.Position)
		}
		check(err, c.dropped, chosen)
	}
}

func TestAnEmptyListIsNoErrorWhereNothingWasNamed(t *testing.T) {
	for _, f := range []ParkedFilter{{All: true}, {Error: "x"}, {Kind: "a.x"}, {Before: noon}} {
		o, err := replayOrder(t.Context(), nil, &parkedList{}, f)
		require.NoError(t, err)
		require.Empty(t, o.touched())
	}
}

func TestAFilterThatBreaksARuleSelectsNothing(t *testing.T) {
	_, list := selectable(t)
	for field, f := range map[string]ParkedFilter{
		"filter of parked events": {Max: 3},
		"All":                     {All: true, Kind: "a.x"},
		"Max":                     {All: true, Max: -1},
		"Key bytes":               {Key: strings.Repeat("k", maxFilterBytes+1)},
		"Error bytes":             {Error: strings.Repeat("e", maxFilterBytes+1)},
		"Error":                   {Error: "\xff"},
		"Kind":                    {Kind: "\xff"},
	} {
		_, err := replayOrder(t.Context(), nil, list, f)
		var invalid *store.InvalidError
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
	for _, f := range []ParkedFilter{{}, {Before: time.Time{}.Local()}} {
		_, err := discardOrder(t.Context(), nil, list, f)
		require.ErrorIs(t, err, store.ErrInvalid, "nothing that was not said is taken for all")
	}
}

func TestMoreThanAThousandEventsMustBeAskedFor(t *testing.T) {
	list := &parkedList{}
	for i := range maxUnbounded + 1 {
		list.add(&checkpoint.Parked{Position: store.Position(i + 1), Key: fmt.Sprint(i), Error: "broken", Since: noon})
	}
	for _, f := range []ParkedFilter{{All: true}, {Error: "broken"}, {Before: noon.Add(time.Hour)}} {
		_, err := replayOrder(t.Context(), nil, list, f)
		require.Equal(t, &store.InvalidError{
			Field: "parked events without a Max", Limit: maxUnbounded, Value: int64(maxUnbounded + 1),
		}, err)
		f.Max = maxUnbounded + 1
		o, err := replayOrder(t.Context(), nil, list, f)
		require.NoError(t, err)
		require.Len(t, o.chosen, maxUnbounded+1)
	}
	list.drop("0", 1)
	o, err := discardOrder(t.Context(), nil, list, ParkedFilter{All: true})
	require.NoError(t, err)
	require.Len(t, o.chosen, maxUnbounded)
}

func TestAFilterSaysWhatItSelects(t *testing.T) {
	require.Equal(t, "all, at most 10", ParkedFilter{All: true, Max: 10}.String())
	require.Equal(t, `event 3, key "a\xff", error with "refused", kind "a.x", parked before 2026-01-01T12:00:00Z`,
		ParkedFilter{Position: 3, Key: "a\xff", Error: "refused", Kind: "a.x", Before: noon.Local()}.String())
	require.Equal(t, "nothing", ParkedFilter{}.String())
}
