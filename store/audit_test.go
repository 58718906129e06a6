package store

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// parked is an audit event as one of Penstock's packages has it.
type parked struct{ Position Position }

func (parked) Kind() string { return "penstock.parked" }

var audits = Region{Scope: ReservedScope}

func TestAnAuditEventIsCommittedAndSeenOnlyByARegionThatNamesItsScope(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "order:1")
	r := write(t, s, Batch{
		Events: []Proposal{Audit("worker:mail", parked{1}), {At: At("order:2", "test"), Payload: note{}}},
		Sides:  []SideWrite{{Key: "checkpoint", Value: []byte("1")}},
	})
	for range 2 {
		require.Equal(t, Position(3), s.Head())
		require.Equal(t, "1", sideText(s, "checkpoint"))
		for _, blind := range []Region{{}, {Category: "penstock"}, {Kinds: []string{"penstock.parked"}}} {
			require.NotContains(t, entities(all(t, s, blind)), "worker:mail", blind)
			page, err := s.ReadPage(t.Context(), blind, 1, 0, 10)
			require.NoError(t, err)
			require.Equal(t, Position(3), page.Scanned)
			require.NotContains(t, entities(page.Events), "worker:mail", blind)
		}
		require.Empty(t, all(t, s, Region{Entity: "worker:mail"}))
		require.Equal(t, []string{"order:1", "order:2"}, entities(all(t, s, Region{})))

		got := all(t, s, audits)
		require.Len(t, got, 1)
		require.Equal(t, r.Events[0], Recorded{ID: got[0].ID, Position: got[0].Position, Version: got[0].Version})
		require.Equal(t, At("worker:mail", ReservedScope), got[0].Coordinate)
		require.Equal(t, "penstock.parked", got[0].Kind)
		var body parked
		require.NoError(t, got[0].Decode(&body))
		require.Equal(t, parked{1}, body)
		require.Equal(t, got, all(t, s, Region{Entity: "worker", Scope: ReservedScope, Category: "penstock"}))
		s = reopen(t, s)
	}
}

func TestAnAuditEventMovesTheHeadAndWakesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLog(t, vfs.NewMemory(), Options{})
		got := waitFor(t.Context(), s, 0)
		synctest.Wait()
		require.Empty(t, got)
		write(t, s, Batch{Events: []Proposal{Audit("worker:mail", parked{})}})
		synctest.Wait()
		require.Equal(t, waited{head: 1}, <-got)
	})
}

func TestAuditEventsOfAWorkerCountVersionsAndHonourExpectations(t *testing.T) {
	s := memoryLog(t)
	first := Audit("worker:mail", parked{1})
	first.Expect = Absent
	second := Audit("worker:mail", parked{2})
	second.Expect = Exactly(1)
	write(t, s, Batch{Events: []Proposal{first, second, Audit("worker:other", parked{3})}})
	r := write(t, s, Batch{Events: eventsOf("worker:mail")})
	require.Equal(t, uint64(3), r.Events[0].Version, "an entity has one history over all scopes")
	s = reopen(t, s)
	_, err := s.Commit(t.Context(), Batch{Events: []Proposal{first}})
	require.Equal(t, &ConflictError{Entity: "worker:mail", Expected: Absent, Actual: 3}, err)
	v, err := s.Version(t.Context(), "worker:mail")
	require.NoError(t, err)
	require.Equal(t, uint64(3), v)
}

func TestAnAuditEventCarriesItsCauseAndHeadersAndRepeatsUnderItsKey(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "order:1")
	cause, err := s.GetAt(t.Context(), 1)
	require.NoError(t, err)
	p := Audit("worker:mail", parked{1})
	p.Causation, p.Headers = cause.Causation(), map[string]string{"why": "because"}
	encoded, err := p.Encode()
	require.NoError(t, err)
	r := write(t, s, Batch{IdempotencyKey: "k", Events: []Proposal{encoded}})
	again := write(t, s, Batch{IdempotencyKey: "k", Events: []Proposal{p}})
	require.True(t, again.Duplicate)
	require.Equal(t, r.Events, again.Events)
	_, err = s.Commit(t.Context(), Batch{IdempotencyKey: "k", Events: []Proposal{Audit("worker:other", parked{1})}})
	require.ErrorIs(t, err, ErrIdempotencyKeyReused)

	got := all(t, s, audits)
	require.Len(t, got, 1)
	require.Equal(t, cause.ID, got[0].Cause)
	require.Equal(t, cause.Correlation, got[0].Correlation)
	require.Equal(t, uint32(1), got[0].Depth)
	require.Equal(t, map[string]string{"why": "because"}, got[0].Headers())
	require.NotEqual(t, uuid.Nil, got[0].Correlation)
}

func TestOnlyWhatAuditMadeEntersTheReservedScopeAndOnlyAsItWasMade(t *testing.T) {
	s := memoryLog(t)
	audit := func(change func(*Proposal)) Proposal {
		p := Audit("worker:mail", parked{1})
		change(&p)
		return p
	}
	for name, c := range map[string]struct {
		proposal Proposal
		field    string
	}{
		"made by hand":        {Proposal{At: At("worker:mail", ReservedScope), Payload: parked{1}}, "scope"},
		"another entity":      {audit(func(p *Proposal) { p.At.Entity = "worker:other" }), "audit coordinate"},
		"another scope":       {audit(func(p *Proposal) { p.At.Scope = "test" }), "audit coordinate"},
		"no scope":            {audit(func(p *Proposal) { p.At.Scope = "" }), "scope"},
		"kind of a caller":    {Audit("worker:mail", note{}), "audit kind"},
		"kind without dot":    {Audit("worker:mail", Raw{Type: "penstock"}), "audit kind"},
		"kind that resembles": {Audit("worker:mail", Raw{Type: "penstocks.parked"}), "audit kind"},
		"no kind":             {Audit("worker:mail", Raw{}), "kind"},
		"no payload":          {Audit("worker:mail", nil), "payload"},
		"bad worker":          {Audit("a\nb", parked{1}), "entity"},
	} {
		untouched(t, s, func() {
			_, err := s.Commit(t.Context(), Batch{Events: []Proposal{c.proposal}})
			var invalid *InvalidError
			require.ErrorAs(t, err, &invalid, name)
			require.Equal(t, c.field, invalid.Field, name)
			_, encoding := c.proposal.Encode()
			require.Equal(t, err, encoding, name)
		})
	}
	untouched(t, s, func() {
		_, err := s.Commit(t.Context(), Batch{Events: []Proposal{Audit(long(MaxEntityBytes+1), parked{1})}})
		require.Equal(t, &InvalidError{Field: "entity bytes", Limit: MaxEntityBytes, Value: int64(MaxEntityBytes + 1)}, err)
	})
	write(t, s, Batch{Events: []Proposal{{At: At("worker:mail", "test"), Payload: parked{1}}}}) // any kind, elsewhere
}

func TestEventsOfTheReservedScopeAreCountedOnlyForARegionThatNamesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := open(vfs.NewMemory(), "log", smallSegments(SyncNever), true)
		require.NoError(t, err)
		defer s.Close()
		large := strings.Repeat("x", minSegmentBytes/8) // so that there are sealed segments
		for range rapid.IntRange(1, 40).Draw(t, "commits") {
			p := Proposal{At: At("worker:mail", "shop"), Payload: Raw{Type: "penstock.parked", Data: []byte(`"` + large + `"`)}}
			if rapid.Bool().Draw(t, "audit") {
				p = Audit("worker:mail", Raw{Type: "penstock.parked", Data: []byte(`{}`)})
			}
			_, err := s.Commit(t.Context(), Batch{Events: []Proposal{p}})
			require.NoError(t, err)
		}
		after := Position(rapid.Uint64Range(0, uint64(s.Head())).Draw(t, "after"))
		limit := rapid.SampledFrom([]int{0, 1, 5, math.MaxInt}).Draw(t, "limit")
		for _, r := range []Region{
			{}, {Entity: "worker"}, {Category: "penstock"}, {Kinds: []string{"a", "penstock.parked"}}, audits, {Scope: "shop"},
		} {
			want := 0
			for _, err := range s.Read(t.Context(), r, After(after)) {
				require.NoError(t, err)
				want++
			}
			n, err := s.Count(t.Context(), r, after, 0, limit)
			require.NoError(t, err)
			require.Equal(t, min(limit, want), n, "%s", r)
		}
	})
}
