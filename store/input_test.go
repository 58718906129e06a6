package store

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

type badJSON struct{ C chan int }

func (badJSON) Kind() string { return "bad" }

type kindless struct{}

func (kindless) Kind() string { return "" }

// long is a text of n bytes.
func long(n int) string { return strings.Repeat("x", n) }

// proposing makes a good batch of one event and changes it.
func proposing(change func(*Proposal)) Batch {
	p := Proposal{At: At("a", "test"), Payload: note{}}
	change(&p)
	return Batch{Events: []Proposal{p}}
}

func raw(r Raw) Batch { return proposing(func(p *Proposal) { p.Payload = r }) }

func entity(e string) Batch { return proposing(func(p *Proposal) { p.At.Entity = e }) }

func scope(s string) Batch { return proposing(func(p *Proposal) { p.At.Scope = s }) }

func header(name, value string) Batch {
	return proposing(func(p *Proposal) { p.Headers = map[string]string{"ok": "ok", name: value} })
}

func sideOf(writes ...SideWrite) Batch { return Batch{Sides: writes} }

func keyOf(key string) Batch { return Batch{IdempotencyKey: key, Events: eventsOf("a")} }

func where(r Region) Batch {
	return Batch{Events: eventsOf("a"), Conditions: []Condition{{After: math.MaxUint64}, {Region: r, After: math.MaxUint64}}}
}

func TestInputThatBreaksARuleIsRefusedByFieldAndWritesNothing(t *testing.T) {
	s := memoryLog(t)
	rules := []struct {
		field string
		batch Batch
	}{
		{"batch", Batch{}},
		{"batch", Batch{Conditions: []Condition{{}}}},
		{"entity", entity("")},
		{"entity", entity("a\nb")},
		{"entity", entity("a\x7f")},
		{"entity", entity("a\x00")},
		{"entity", entity("a\xff")},
		{"scope", scope("")},
		{"scope", scope("a\tb")},
		{"scope", scope("\xc3")},
		{"scope", scope(ReservedScope)},
		{"payload", proposing(func(p *Proposal) { p.Payload = nil })},
		{"kind", proposing(func(p *Proposal) { p.Payload = kindless{} })},
		{"kind", raw(Raw{})},
		{"kind", raw(Raw{Type: "a\rb"})},
		{"kind", raw(Raw{Type: "\xff"})},
		{"codec", raw(Raw{Type: "a", Codec: "a\x1f"})},
		{"codec", raw(Raw{Type: "a", Codec: "\xff"})},
		{"header name", header("", "v")},
		{"header name", header("a\nb", "v")},
		{"header name", header("\xff", "v")},
		{"idempotency key", keyOf("a\nb")},
		{"idempotency key", keyOf("\xff")},
		{"idempotency key", Batch{IdempotencyKey: "key", Sides: []SideWrite{{Key: "k"}}}},
		{"side key", sideOf(SideWrite{})},
		{"side key", sideOf(SideWrite{Key: "a\x01"})},
		{"side key", sideOf(SideWrite{Key: "\xff"})},
		{"side key", sideOf(SideWrite{Key: "a"}, SideWrite{Key: "b"}, SideWrite{Key: "a", Delete: true})},
		{"region entity", where(Region{Entity: "\n"})},
		{"region scope", where(Region{Scope: "\n"})},
		{"region kind", where(Region{Kinds: []string{"a", ""}})},
		{"region category", where(Region{Category: "\n"})},
		{"region category", where(Region{Category: "a", Kinds: []string{"a.b"}})},
		{"region versions", where(Region{MinVersion: 2, MaxVersion: 1})},
	}
	for i, rule := range rules {
		t.Run(fmt.Sprint(i, " ", rule.field), func(t *testing.T) {
			untouched(t, s, func() {
				_, err := s.Commit(t.Context(), rule.batch)
				require.ErrorIs(t, err, ErrInvalid)
				var invalid *InvalidError
				require.ErrorAs(t, err, &invalid)
				require.Equal(t, rule.field, invalid.Field)
				require.NotEmpty(t, invalid.Rule)
				require.Contains(t, err.Error(), rule.field)
			})
		})
	}
	untouched(t, s, func() {
		_, err := s.Append(t.Context(), At("a", "test"), Any, badJSON{})
		require.ErrorContains(t, err, `"bad"`)
	})
}

// limits lists each limit, with a batch that has so much of it.
var limits = []struct {
	field string
	limit int
	batch func(n int) Batch
}{
	{"entity bytes", MaxEntityBytes, func(n int) Batch { return entity(long(n)) }},
	{"scope bytes", MaxScopeBytes, func(n int) Batch { return scope(long(n)) }},
	{"kind bytes", MaxKindBytes, func(n int) Batch { return raw(Raw{Type: long(n)}) }},
	{"codec bytes", maxCodecBytes, func(n int) Batch { return raw(Raw{Type: "a", Codec: long(n)}) }},
	{"idempotency key bytes", MaxIdempotencyKeyBytes, func(n int) Batch { return keyOf(long(n)) }},
	{"header bytes", maxHeaderBytes, func(n int) Batch { return header("name", long(n-len("nameokok"))) }},
	{"payload bytes", MaxPayloadBytes, func(n int) Batch { return raw(Raw{Type: "a", Data: make([]byte, n)}) }},
	{"side key bytes", maxSideKeyBytes, func(n int) Batch { return sideOf(SideWrite{Key: long(n)}) }},
	{"side value bytes", maxSideValueBytes, func(n int) Batch { return sideOf(SideWrite{Key: "k", Value: make([]byte, n)}) }},
	{"batch events", MaxBatchEvents, func(n int) Batch {
		b := Batch{Events: make([]Proposal, n)}
		for i := range b.Events {
			b.Events[i] = Proposal{At: At("a", "test"), Payload: Raw{Type: "a"}}
		}
		return b
	}},
	{"batch side values", maxBatchSides, func(n int) (b Batch) {
		for i := range n {
			b.Sides = append(b.Sides, SideWrite{Key: fmt.Sprint(i)})
		}
		return b
	}},
	{"region entity bytes", MaxEntityBytes, func(n int) Batch { return where(Region{Entity: long(n)}) }},
	{"region scope bytes", MaxScopeBytes, func(n int) Batch { return where(Region{Scope: long(n)}) }},
	{"region kind bytes", MaxKindBytes, func(n int) Batch { return where(Region{Kinds: []string{long(n)}}) }},
	{"region category bytes", MaxKindBytes, func(n int) Batch { return where(Region{Category: long(n)}) }},
}

func TestALimitMayBeReachedAndNotExceeded(t *testing.T) {
	s := memoryLog(t)
	for _, l := range limits {
		t.Run(l.field, func(t *testing.T) {
			untouched(t, s, func() {
				_, err := s.Commit(t.Context(), l.batch(l.limit+1))
				require.ErrorIs(t, err, ErrInvalid)
				var exceeded *LimitError
				require.ErrorAs(t, err, &exceeded)
				require.Equal(t, LimitError{Field: l.field, Limit: int64(l.limit), Value: int64(l.limit) + 1}, *exceeded)
				require.Contains(t, err.Error(), fmt.Sprint(l.limit))
			})
			write(t, s, l.batch(l.limit))
		})
	}
}

func TestABatchIsLimitedInAllAndTheLargestIsReadBack(t *testing.T) {
	s := memoryLog(t)
	const overhead = 4 * (112 + len("atestajson")) // of four events without payload
	large := func(last int) Batch {
		var b Batch
		for _, n := range []int{MaxPayloadBytes, MaxPayloadBytes, MaxPayloadBytes, last} {
			b.Events = append(b.Events, raw(Raw{Type: "a", Data: make([]byte, n)}).Events...)
		}
		return b
	}
	untouched(t, s, func() {
		_, err := s.Commit(t.Context(), large(MaxPayloadBytes-overhead+1))
		var exceeded *LimitError
		require.ErrorAs(t, err, &exceeded)
		require.Equal(t, LimitError{Field: "batch bytes", Limit: MaxBatchBytes, Value: MaxBatchBytes + 1}, *exceeded)
	})
	write(t, s, large(MaxPayloadBytes-overhead))
	require.Equal(t, Position(4), s.Head())
	e, err := s.GetAt(t.Context(), 4)
	require.NoError(t, err)
	require.Len(t, e.Payload, MaxPayloadBytes-overhead)
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	for _, o := range []Options{
		{Sync: SyncNever + 1},
		{SyncEvery: time.Millisecond - 1},
		{SyncEvery: -time.Second},
		{SegmentBytes: minSegmentBytes - 1},
		{SegmentBytes: -1},
		{SegmentBytes: maxSegmentBytes + 1},
		{SegmentBytes: math.MaxInt64},
	} {
		o.Device = &vfs.Device{FS: vfs.NewMemory()}
		_, err := Open(logDir, o)
		require.ErrorIs(t, err, ErrInvalid, "%+v", o)
	}
	for _, o := range []Options{
		{SyncEvery: time.Millisecond},
		{SegmentBytes: minSegmentBytes},
		{SegmentBytes: maxSegmentBytes},
		{Sync: SyncInterval},
		{Sync: SyncNever},
	} {
		o.Device = &vfs.Device{FS: vfs.NewMemory()}
		s, err := Open(logDir, o)
		require.NoError(t, err, "%+v", o)
		require.NoError(t, s.Close())
	}
}

func TestReadsRefuseBadRegionsAndLimits(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	bad := Region{Entity: "\n"}
	_, err := s.ReadPage(t.Context(), bad, 0, 0, 1)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = s.Count(t.Context(), bad, 0, 0, 1)
	require.ErrorIs(t, err, ErrInvalid)
	for _, err := range s.Read(t.Context(), bad, Beginning()) {
		require.ErrorIs(t, err, ErrInvalid)
	}
	for _, limit := range []int{0, -1} {
		_, err = s.ReadPage(t.Context(), Region{}, 0, 0, limit)
		var invalid *InvalidError
		require.True(t, errors.As(err, &invalid))
		require.Equal(t, "limit", invalid.Field)
	}
}
