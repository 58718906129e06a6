package store

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// smallWorld is every event that differs from the others in what a region of drawSmallRegion can
// tell apart.
func smallWorld() (events []Event) {
	for _, entity := range []string{"a", "a:b", "a:b:c", "a:bc", "ab"} {
		for _, scope := range []string{"s", "t", ReservedScope} {
			for _, kind := range []string{"x.a", "x.b", "x.other", "x", "y.a", "y.other", "z"} {
				for version := uint64(1); version <= 5; version++ {
					events = append(events, Event{Coordinate: At(entity, scope), Kind: kind, Version: version})
				}
			}
		}
	}
	return events
}

func drawSmallRegion(t *rapid.T, label string) Region {
	for {
		r := Region{
			Entity:     rapid.SampledFrom([]string{"", "a", "a:b", "a:b:c"}).Draw(t, label+" entity"),
			Scope:      rapid.SampledFrom([]string{"", "s", ReservedScope}).Draw(t, label+" scope"),
			MinVersion: rapid.Uint64Range(0, 4).Draw(t, label+" min"),
			MaxVersion: rapid.Uint64Range(0, 4).Draw(t, label+" max"),
		}
		if rapid.Bool().Draw(t, label+" by category") {
			r.Category = rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, label+" category")
		} else {
			r.Kinds = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x.a", "x.b", "x", "y.a"}), 0, 3, rapid.ID[string]).
				Draw(t, label+" kinds")
		}
		if r.Validate() == nil {
			return r
		}
	}
}

func TestARegionContainsAnotherIfAndOnlyIfItMatchesAllOfItsEvents(t *testing.T) {
	events := smallWorld()
	rapid.Check(t, func(t *rapid.T) {
		r, other := drawSmallRegion(t, "region"), drawSmallRegion(t, "other")
		outside := slices.IndexFunc(events, func(e Event) bool { return other.Matches(e) && !r.Matches(e) })
		require.Equal(t, outside < 0, r.Contains(other), "%v contains %v", r, other)
		require.True(t, r.Contains(r))
	})
}

func TestEveryEventOfARegionHasATermOfTheRegion(t *testing.T) {
	events := smallWorld()
	rapid.Check(t, func(t *rapid.T) {
		r := drawSmallRegion(t, "region")
		terms := r.Terms()
		require.NotEmpty(t, terms)
		for _, e := range events {
			if r.Matches(e) {
				has := slices.ContainsFunc(slices.Collect(e.Terms()), func(x Term) bool { return slices.Contains(terms, x) })
				require.True(t, has, "%v, event %v of kind %s", r, e.Coordinate, e.Kind)
			}
		}
	})
}

func TestTheTermsOfAnEventAreItsLevelsItsScopeItsKindAndItsCategoryEachOnce(t *testing.T) {
	e := Event{Coordinate: At("a:b:c", "s"), Kind: "x.y"}
	require.Equal(t, []Term{
		{},
		{termScope, "s"},
		{termKind, "x.y"},
		{termCategory, "x"},
		{termEntity, "a"},
		{termEntity, "a:b"},
		{termEntity, "a:b:c"},
	}, slices.Collect(e.Terms()))
	for range e.Terms() {
		break // ending early is allowed
	}
}

func TestGoingThroughTheTermsOfAnEventAllocatesNothing(t *testing.T) {
	e, n := Event{Coordinate: At("a:b:c", "s"), Kind: "x.y"}, 0
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for x := range e.Terms() {
			n += len(x.text)
		}
	}))
	require.NotZero(t, n)
}
