package store

import (
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
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

func meta(name, value string) Batch {
	return proposing(func(p *Proposal) { p.Meta = map[string]string{"ok": "ok", name: value} })
}

func sideOf(writes ...SideWrite) Batch { return Batch{Sides: writes} }

func keyOf(key string) Batch { return Batch{IdempotencyKey: key, Events: eventsOf("a")} }

func where(r Region) Batch {
	return Batch{Events: eventsOf("a"), Conditions: []Condition{{After: math.MaxUint64}, {Region: r, After: math.MaxUint64}}}
}

func TestInputThatBreaksARuleIsRefusedByFieldAndWritesNothing(t *testing.T) {
	s := memoryLog(t)
	const empty, control, utf8 = "must not be empty", "must not hold control characters", "must be UTF-8"
	const misleading = "must not hold line separators or marks of direction"
	rules := []struct {
		field, rule string
		value       any
		batch       Batch
	}{
		{"batch", "must hold an event or a side value", nil, Batch{}},
		{"batch", "must hold an event or a side value", nil, Batch{Conditions: []Condition{{}}}},
		{"entity", empty, nil, entity("")},
		{"entity", control, "a\nb", entity("a\nb")},
		{"entity", control, "a\x7f", entity("a\x7f")},
		{"entity", control, "a\x00", entity("a\x00")},
		{"entity", utf8, "a\xff", entity("a\xff")},
		{"entity", utf8, "a\x9b", entity("a\x9b")},
		{"entity", control, "a\u0085", entity("a\u0085")},
		{"entity", control, "a\u009b2J", entity("a\u009b2J")},
		{"entity", misleading, "a\u2028", entity("a\u2028")},
		{"entity", misleading, "a\u202eb", entity("a\u202eb")},
		{"scope", control, "a\u009b", scope("a\u009b")},
		{"scope", misleading, "\u2066a", scope("\u2066a")},
		{"kind", control, "a\u0085", raw(Raw{Type: "a\u0085"})},
		{"kind", misleading, "a\u2029", raw(Raw{Type: "a\u2029"})},
		{"codec", control, "a\u0085", raw(Raw{Type: "a", Codec: "a\u0085"})},
		{"header name", control, "a\u0085", header("a\u0085", "v")},
		{"header name", misleading, "a\u200f", header("a\u200f", "v")},
		{"meta name", empty, nil, meta("", "v")},
		{"meta name", utf8, "\xff", meta("\xff", "v")},
		{"meta name", control, "a\u0085", meta("a\u0085", "v")},
		{"idempotency key", control, "a\u009b", keyOf("a\u009b")},
		{"side key", misleading, "a\u2028", sideOf(SideWrite{Key: "a\u2028"})},
		{"scope", empty, nil, scope("")},
		{"scope", control, "a\tb", scope("a\tb")},
		{"scope", utf8, "\xc3", scope("\xc3")},
		{"scope", "is reserved", ReservedScope, scope(ReservedScope)},
		{"payload", "must not be nil", nil, proposing(func(p *Proposal) { p.Payload = nil })},
		{"kind", empty, nil, proposing(func(p *Proposal) { p.Payload = kindless{} })},
		{"kind", empty, nil, raw(Raw{})},
		{"kind", control, "a\rb", raw(Raw{Type: "a\rb"})},
		{"kind", utf8, "\xff", raw(Raw{Type: "\xff"})},
		{"codec", control, "a\x1f", raw(Raw{Type: "a", Codec: "a\x1f"})},
		{"codec", utf8, "\xff", raw(Raw{Type: "a", Codec: "\xff"})},
		{"header name", empty, nil, header("", "v")},
		{"header name", control, "a\nb", header("a\nb", "v")},
		{"header name", utf8, "\xff", header("\xff", "v")},
		{"idempotency key", control, "a\nb", keyOf("a\nb")},
		{"idempotency key", utf8, "\xff", keyOf("\xff")},
		{"idempotency key", "needs an event in the batch", "key", Batch{IdempotencyKey: "key", Sides: []SideWrite{{Key: "k"}}}},
		{"side key", empty, nil, sideOf(SideWrite{})},
		{"side key", control, "a\x01", sideOf(SideWrite{Key: "a\x01"})},
		{"side key", utf8, "\xff", sideOf(SideWrite{Key: "\xff"})},
		{"side key", "stands twice in the batch", "a", sideOf(SideWrite{Key: "a"}, SideWrite{Key: "b"}, SideWrite{Key: "a", Delete: true})},
		{"region entity", control, "\n", where(Region{Entity: "\n"})},
		{"region scope", control, "\n", where(Region{Scope: "\n"})},
		{"region kind", empty, nil, where(Region{Kinds: []string{"a", ""}})},
		{"region category", control, "\n", where(Region{Category: "\n"})},
		{"region category", "excludes kinds", "a", where(Region{Category: "a", Kinds: []string{"a.b"}})},
		{"region versions", "minimum must not exceed maximum", nil, where(Region{MinVersion: 2, MaxVersion: 1})},
	}
	for i, rule := range rules {
		t.Run(fmt.Sprint(i, " ", rule.field), func(t *testing.T) {
			untouched(t, s, func() {
				_, err := s.Commit(t.Context(), rule.batch)
				require.ErrorIs(t, err, ErrInvalid)
				require.Equal(t, &InvalidError{Field: rule.field, Rule: rule.rule, Value: rule.value}, err)
				require.Contains(t, err.Error(), rule.field)
				require.Contains(t, err.Error(), rule.rule)
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
	{"meta bytes", maxHeaderBytes, func(n int) Batch { return meta("name", long(n-len("nameokok"))) }},
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
				require.Equal(t, &InvalidError{Field: l.field, Limit: int64(l.limit), Value: int64(l.limit) + 1}, err)
				require.Contains(t, err.Error(), fmt.Sprint(l.limit))
			})
			write(t, s, l.batch(l.limit))
		})
	}
}

func TestABatchIsLimitedInAllAndTheLargestIsReadBack(t *testing.T) {
	s := memoryLog(t)
	const overhead = 4 * (112 + wal.SaltSize + len("atestajson")) // of four events without payload
	large := func(last int) Batch {
		var b Batch
		for _, n := range []int{MaxPayloadBytes, MaxPayloadBytes, MaxPayloadBytes, last} {
			b.Events = append(b.Events, raw(Raw{Type: "a", Data: make([]byte, n)}).Events...)
		}
		return b
	}
	untouched(t, s, func() {
		_, err := s.Commit(t.Context(), large(MaxPayloadBytes-overhead+1))
		require.Equal(t, &InvalidError{Field: "batch bytes", Limit: MaxBatchBytes, Value: int64(MaxBatchBytes + 1)}, err)
	})
	write(t, s, large(MaxPayloadBytes-overhead))
	require.Equal(t, Position(4), s.Head())
	e, err := s.GetAt(t.Context(), 4)
	require.NoError(t, err)
	require.Len(t, e.Payload, MaxPayloadBytes-overhead)
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	const (
		interval = "must be at least 1ms"
		small    = "must be at least 64 KiB"
		modes    = "must be between 0600 and 0666"
	)
	for _, c := range []struct {
		options Options
		want    InvalidError
	}{
		{Options{Sync: SyncNever + 1}, InvalidError{Field: "sync mode", Rule: "unknown"}},
		{Options{SyncEvery: time.Millisecond - 1}, InvalidError{Field: "sync interval", Rule: interval, Value: time.Millisecond - 1}},
		{Options{SyncEvery: -time.Second}, InvalidError{Field: "sync interval", Rule: interval, Value: -time.Second}},
		{Options{SegmentBytes: minSegmentBytes - 1}, InvalidError{Field: "segment bytes", Rule: small, Value: int64(minSegmentBytes - 1)}},
		{Options{SegmentBytes: -1}, InvalidError{Field: "segment bytes", Rule: small, Value: int64(-1)}},
		{
			Options{SegmentBytes: maxSegmentBytes + 1},
			InvalidError{Field: "segment bytes", Limit: maxSegmentBytes, Value: int64(maxSegmentBytes + 1)},
		},
		{
			Options{SegmentBytes: math.MaxInt64},
			InvalidError{Field: "segment bytes", Limit: maxSegmentBytes, Value: int64(math.MaxInt64)},
		},
		{Options{FileMode: 0o400}, InvalidError{Field: "file mode", Rule: modes, Value: fs.FileMode(0o400)}},
		{Options{FileMode: 0o060}, InvalidError{Field: "file mode", Rule: modes, Value: fs.FileMode(0o060)}},
		{Options{FileMode: 0o700}, InvalidError{Field: "file mode", Rule: modes, Value: fs.FileMode(0o700)}},
		{Options{FileMode: 0o601}, InvalidError{Field: "file mode", Rule: modes, Value: fs.FileMode(0o601)}},
		{Options{FileMode: fs.ModeSetuid | 0o600}, InvalidError{Field: "file mode", Rule: modes, Value: fs.ModeSetuid | 0o600}},
	} {
		c.options.Device = &vfs.Device{FS: vfs.NewMemory()}
		_, err := Open(logDir, c.options)
		require.Equal(t, &c.want, err)
	}
	for _, o := range []Options{
		{SyncEvery: time.Millisecond},
		{SegmentBytes: minSegmentBytes},
		{SegmentBytes: maxSegmentBytes},
		{Sync: SyncInterval},
		{Sync: SyncNever},
		{FileMode: 0o600},
		{FileMode: 0o666},
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
	refused := &InvalidError{Field: "region entity", Rule: "must not hold control characters", Value: "\n"}
	_, err := s.ReadPage(t.Context(), bad, 0, 0, 1)
	require.Equal(t, refused, err)
	_, err = s.Count(t.Context(), bad, 0, 0, 1)
	require.Equal(t, refused, err)
	for _, err := range s.Read(t.Context(), bad, Beginning()) {
		require.Equal(t, refused, err)
	}
	for _, limit := range []int{0, -1} {
		_, err = s.ReadPage(t.Context(), Region{}, 0, 0, limit)
		require.Equal(t, &InvalidError{Field: "limit", Rule: "must be at least 1", Value: limit}, err)
	}
}

// Names that are refused by now may lie in a log.
func TestNamesThatNoCommitMayHaveAnyMoreAreReadLikeOthers(t *testing.T) {
	s := memoryLog(t)
	const odd = "a\u0085\u202eb"
	req := newRequest()
	good := entity("a")
	require.NoError(t, req.encode(&good, &s.emitters))
	d := wal.Draft{Entity: odd, Scope: odd, Kind: odd, Codec: "json", Payload: []byte("{}")}
	req.records = wal.AppendEvent(nil, &d)
	req.size = len(req.records)
	e := &req.events[0]
	e.terms, e.size, e.content = index.Terms{Entity: odd, Scope: odd, Kind: odd}, req.size, wal.Content(req.records)
	require.NoError(t, s.committer.submit(t.Context(), req))
	require.NoError(t, req.err)

	s = reopen(t, s)
	for _, r := range []Region{{}, {Entity: odd}, {Scope: odd}, {Kinds: []string{odd}}, {Category: odd}} {
		events := all(t, s, r)
		require.Len(t, events, 1, "%+v", r)
		require.Equal(t, At(odd, odd), events[0].Coordinate)
	}
	require.Equal(t, uint64(1), version(t, s, odd))
	_, err := s.Append(t.Context(), At(odd, "test"), Any, note{})
	require.ErrorIs(t, err, ErrInvalid)
}
