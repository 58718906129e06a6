package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// named is the naive list.
func named(events []Event, f Field, prefix string) (names []Name) {
	counts := make(map[string]int)
	for _, e := range events {
		name := map[Field]string{ScopeNames: e.Coordinate.Scope, KindNames: e.Kind, CategoryNames: categoryOf(e.Kind)}[f]
		if f == EntityNames {
			levels := strings.Split(e.Coordinate.Entity, ":")
			n := strings.Count(prefix, ":") + 1
			if len(levels) < n {
				continue
			}
			name = strings.Join(levels[:n], ":")
		}
		if strings.HasPrefix(name, prefix) {
			counts[name]++
		}
	}
	for name, n := range counts {
		names = append(names, Name{name, n})
	}
	slices.SortFunc(names, func(a, b Name) int { return strings.Compare(a.Text, b.Text) })
	return names
}

func TestNamesAreThoseOfTheEventsWithTheirNumbers(t *testing.T) {
	for seed := range uint64(4) / min(thinning, 2) {
		if seed == 1 {
			cachesOfOne(t)
		}
		random := rand.New(rand.NewPCG(seed, 10))
		disk := vfs.NewMemory()
		s := openLog(t, disk, smallSegments(SyncNever))
		beside := openLog(t, disk, Options{ReadOnly: true})
		for range 4 {
			for range 40 {
				entity := []string{"order", "order:1", "order:2:item", "stock:lamp", "a:b:c:d:e:f:g:h:i:j"}[random.IntN(5)]
				if random.IntN(2) == 0 {
					entity = fmt.Sprint("order:", random.IntN(12))
				}
				kind := []string{"order.placed", "order.paid", "plain", "stock.reserved"}[random.IntN(4)]
				b := Batch{Events: []Proposal{{
					At: At(entity, fmt.Sprint("scope", random.IntN(3))), Payload: Raw{Type: kind, Data: make([]byte, random.IntN(4000))},
				}}}
				if random.IntN(20) == 0 {
					b = Batch{Events: []Proposal{Audit("order:audited", Raw{Type: "penstock.asked"})}}
				}
				write(t, s, b)
			}
			events := all(t, s, Region{}) // without those of the reserved scope
			for _, st := range []*Store{s, beside} {
				for _, c := range []struct {
					field  Field
					prefix string
				}{
					{EntityNames, ""},
					{EntityNames, "o"},
					{EntityNames, "order:"},
					{EntityNames, "order:1"},
					{EntityNames, "order:2:"},
					{EntityNames, "x:"},
					{EntityNames, "a:b:c:d:e:f:g:"},
					{ScopeNames, ""},
					{ScopeNames, "p"},
					{KindNames, ""},
					{KindNames, "order."},
					{CategoryNames, ""},
				} {
					names, more, err := Names(t.Context(), st, c.field, c.prefix, 50)
					require.NoError(t, err)
					require.False(t, more)
					require.Equal(t, named(events, c.field, c.prefix), names, "%d %q", c.field, c.prefix)
				}
			}
			s = reopen(t, s)
		}
	}
}

func TestAListOfNamesIsBoundedAndSaysSo(t *testing.T) {
	s := memoryLog(t)
	for i := range 300 {
		put(t, s, fmt.Sprint("order:", i))
	}
	put(t, s, "zebra")
	names, more, err := Names(t.Context(), s, EntityNames, "order:", 10)
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, names, 10)
	require.Equal(t, 1, names[0].Events)
	names, more, err = Names(t.Context(), s, EntityNames, "", 2)
	require.NoError(t, err)
	require.False(t, more, "as many as there are")
	require.Equal(t, []Name{{"order", 300}, {"zebra", 1}}, names)
	names, more, err = Names(t.Context(), s, EntityNames, "order:299", 1)
	require.NoError(t, err)
	require.True(t, more, "what begins otherwise is not looked at forever")
	require.Empty(t, names)
	names, more, err = Names(t.Context(), s, EntityNames, "a:b:c:d:e:f:g:h:", 1)
	require.NoError(t, err)
	require.False(t, more)
	require.Empty(t, names)
	_, _, err = Names(t.Context(), s, EntityNames, "", 0)
	require.ErrorIs(t, err, ErrInvalid)
	_, _, err = Names(t.Context(), s, CategoryNames+1, "", 1)
	require.ErrorIs(t, err, ErrInvalid)
	require.NoError(t, s.Close())
	_, _, err = Names(t.Context(), s, KindNames, "", 1)
	require.ErrorIs(t, err, ErrClosed)
}
