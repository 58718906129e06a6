package storetest

import (
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func envelopeLaws() []law {
	const about = "envelope"
	return []law{
		{about: about, says: "an event says what its proposal said", test: eventsSay},
		{about: about, says: "an event without a cause starts a correlation, an effect continues it", test: effectsContinue},
		{about: about, says: "every way to read an event finds the same", test: readingsAgree},
		{about: about, says: "the hash covers the content and the past of the entity", test: hashesCover},
	}
}

// proposals have all that an event may carry, and next to nothing.
func proposals() []store.Proposal {
	return []store.Proposal{
		{
			At: store.At("order:42", "shop"), Payload: store.Raw{Type: "order.placed", Codec: "own", SchemaVersion: 7, Data: []byte{0, 1, 255}},
			Headers: map[string]string{"b": "2", "a": "", "ä": "ü"}, Meta: map[string]string{"traceparent": "00-1"},
			Causation: store.Causation{Cause: uuid.MustParse("01890000-0000-7000-8000-000000000001"), Correlation: uuid.MustParse("01890000-0000-7000-8000-000000000002"), Depth: 3},
			Emitter:   &store.Emitter{Worker: "w", Build: "b", Epoch: 4, Attempt: 2},
			Bypass:    "a reason",
		},
		{At: store.At("a", "s"), Payload: store.Raw{Type: "k"}},
		{At: store.At(strings.Repeat("é", store.MaxEntityBytes/2), strings.Repeat("s", store.MaxScopeBytes)), Payload: store.Raw{
			Type: strings.Repeat("k", store.MaxKindBytes), Data: []byte(strings.Repeat("x", 100_000)),
		}},
		{At: store.At("a", "s"), Payload: named{Name: "n"}},
	}
}

// named is a payload that is encoded as JSON.
type named struct{ Name string }

func (named) Kind() string { return "thing.named" }

func eventsSay(x *scene) {
	before := x.Reader.Origin()
	x.commit(store.Batch{Events: proposals()})
	events := x.seen(store.Region{})
	require.Len(x, events, len(proposals()))
	for i, p := range proposals() {
		e := events[i]
		says(x, p, e)
		require.Equal(x, p.Bypass, e.Bypass())
		by, emitted := e.Emitter()
		require.Equal(x, p.Emitter != nil, emitted)
		if emitted {
			require.Equal(x, *p.Emitter, by)
		}
	}
	require.Equal(x, []byte(`{"Name":"n"}`), events[3].Payload)
	var n named
	require.NoError(x, events[3].Decode(&n))
	require.Equal(x, named{Name: "n"}, n)
	require.Equal(x, before, x.Reader.Origin())
}

// says requires that an event says what a proposal says.
func says(x *scene, p store.Proposal, e store.Event) {
	x.Helper()
	if raw, ok := p.Payload.(store.Raw); ok {
		codec := raw.Codec
		if codec == "" {
			codec = store.CodecJSON
		}
		require.Equal(x, codec, e.Codec)
		require.Equal(x, raw.SchemaVersion, e.SchemaVersion)
		require.Equal(x, string(raw.Data), string(e.Payload))
	}
	require.Equal(x, p.At, e.Coordinate)
	require.Equal(x, p.Payload.Kind(), e.Kind)
	require.Equal(x, p.Headers, e.Headers())
	require.Equal(x, p.Meta, e.Meta())
	require.Equal(x, p.Causation.Cause, e.Cause)
	require.Equal(x, p.Causation.Depth, e.Depth)
	want := p.Causation.Correlation
	if want == uuid.Nil {
		want = e.ID
	}
	require.Equal(x, want, e.Correlation)
}

func effectsContinue(x *scene) {
	x.append("a")
	cause := x.seen(store.Region{})[0]
	require.Equal(x, []any{uuid.Nil, cause.ID, uint32(0)}, []any{cause.Cause, cause.Correlation, cause.Depth})
	p := eventsAt("b")[0]
	p.Causation = cause.Causation()
	x.commit(store.Batch{Events: []store.Proposal{p}})
	effect := x.seen(store.Region{})[1]
	require.Equal(x, []any{cause.ID, cause.ID, uint32(1)}, []any{effect.Cause, effect.Correlation, effect.Depth})
}

func readingsAgree(x *scene) {
	x.commit(store.Batch{Events: proposals()})
	x.append("a", "b")
	events := x.seen(store.Region{})
	i := 0
	for e, err := range x.Reader.Scan(x.ctx, store.Region{}, store.Beginning()) {
		require.NoError(x, err)
		sameEvent(x, events[i], *e)
		i++
	}
	require.Len(x, events, i)
	page, err := x.Reader.ReadPage(x.ctx, store.Region{}, 0, 0, 100)
	require.NoError(x, err)
	require.Len(x, page.Events, i)
	require.Equal(x, x.Reader.Head(), page.Scanned)
	for i, e := range events {
		sameEvent(x, e, page.Events[i])
		at, err := x.Reader.GetAt(x.ctx, e.Position)
		require.NoError(x, err)
		sameEvent(x, e, at)
		by, err := x.Reader.Get(x.ctx, e.ID)
		require.NoError(x, err)
		sameEvent(x, e, by)
	}
	for _, p := range []store.Position{0, x.Reader.Head() + 1, math.MaxUint64} {
		_, err := x.Reader.GetAt(x.ctx, p)
		require.ErrorIs(x, err, store.ErrNotFound)
	}
	for _, id := range []uuid.UUID{uuid.Nil, uuid.Max, uuid.New()} {
		_, err := x.Reader.Get(x.ctx, id)
		require.ErrorIs(x, err, store.ErrNotFound)
	}
}

func hashesCover(x *scene) {
	x.append("a", "a", "b")
	seen := map[[32]byte]bool{{}: true}
	for _, e := range x.seen(store.Region{}) {
		require.False(x, seen[e.Hash()], "two events have one hash, or none")
		seen[e.Hash()] = true
	}
}

func readingLaws() []law {
	const about = "reading"
	return []law{
		{about: about, says: "a region is what its fields say", test: regions},
		{about: about, says: "reading begins where it is told", test: beginnings},
		{about: about, says: "reading ends at the head as it was", test: readingEnds},
		{about: about, says: "pages add up to the region", test: pagesAddUp},
		{about: about, says: "events that were read stay as they are", test: eventsStay},
		{about: about, says: "a region that breaks a rule is refused", test: badRegions},
	}
}

func regions(x *scene) {
	for _, at := range []store.Coordinate{
		store.At("order", "s"), store.At("order:1", "s"), store.At("order:1:x", "t"), store.At("orders", "s"), store.At("order:1", "t"),
	} {
		for _, kind := range []string{"order.placed", "order.paid", "order", "orders.placed"} {
			_, err := x.Writer.Append(x.ctx, at, store.Any, store.Raw{Type: kind})
			require.NoError(x, err)
		}
	}
	events := x.seen(store.Region{})
	for _, r := range []store.Region{
		{},
		{Entity: "order"},
		{Entity: "order:1"},
		{Entity: "order:"},
		{Entity: "ord"},
		{Scope: "t"},
		{Kinds: []string{"order.paid"}},
		{Kinds: []string{"order", "none", "orders.placed", "order"}},
		{Category: "order"},
		{Entity: "order:1", MinVersion: 3, MaxVersion: 6},
		{Entity: "order:1", Scope: "t", Category: "order", MinVersion: 5},
		{MaxVersion: 1},
		{Scope: "none"},
	} {
		var want []store.Position
		for _, e := range events {
			if within(r, e) {
				want = append(want, e.Position)
			}
		}
		require.Equal(x, want, x.positions(r), "%s", r)
		n, err := x.Reader.Count(x.ctx, r, 0, 0, math.MaxInt)
		require.NoError(x, err)
		if r.Indexed() {
			require.Equal(x, len(want), n, "%s", r)
		} else {
			require.GreaterOrEqual(x, n, len(want), "%s", r)
		}
	}
}

// within is the meaning of a region, spelled out.
func within(r store.Region, e store.Event) bool {
	category, _, _ := strings.Cut(e.Kind, ".")
	kinds := len(r.Kinds) == 0
	for _, kind := range r.Kinds {
		kinds = kinds || kind == e.Kind
	}
	return (r.Entity == "" || e.Coordinate.Entity == r.Entity || strings.HasPrefix(e.Coordinate.Entity, r.Entity+":")) &&
		(e.Coordinate.Scope == r.Scope || r.Scope == "" && e.Coordinate.Scope != store.ReservedScope) &&
		kinds && (r.Category == "" || r.Category == category) &&
		e.Version >= r.MinVersion && (r.MaxVersion == 0 || e.Version <= r.MaxVersion)
}

func beginnings(x *scene) {
	x.append("a", "b", "c", "d")
	third := x.seen(store.Region{})[2]
	since := third.Time.Time()
	first := store.Position(0) // the last one that is older
	for _, e := range x.seen(store.Region{}) {
		if e.Time.Time().Before(since) {
			first = e.Position
		}
	}
	for about, c := range map[string]struct {
		from store.From
		want store.Position
	}{
		"the beginning": {store.Beginning(), 0}, "a position": {store.After(3), 3}, "now": {store.Now(), 4},
		"beyond the head": {store.After(9), 9}, "a time": {store.Since(since), first},
		"a time ago": {store.Since(since.Add(-time.Hour)), 0}, "a time to come": {store.Since(since.Add(time.Hour)), 4},
	} {
		p, err := x.Reader.Resolve(x.ctx, c.from)
		require.NoError(x, err)
		require.Equal(x, c.want, p, about)
		events, err := collect(x.Reader.Read(x.ctx, store.Region{}, c.from))
		require.NoError(x, err)
		require.Len(x, events, int(4-min(c.want, 4)), about)
	}
}

func readingEnds(x *scene) {
	x.append("a", "b", "c")
	n := 0
	for e, err := range x.Reader.Read(x.ctx, store.Region{}, store.Beginning()) {
		require.NoError(x, err)
		x.append(e.Coordinate.Entity)
		require.Less(x, n, 3, "it follows its own writing")
		n++
	}
	require.Equal(x, 3, n)
	for _, err := range x.Reader.Read(x.ctx, store.Region{}, store.Beginning()) {
		require.NoError(x, err)
		break // left early
	}
	require.Len(x, x.seen(store.Region{}), 6)
}

func pagesAddUp(x *scene) {
	for range 10 {
		x.append("a", "b", "a:1")
	}
	r := store.Region{Entity: "a"}
	want := x.positions(r)
	for _, limit := range []int{1, 3, 1000} {
		var got []store.Position
		for after := store.Position(0); after < 30; {
			page, err := x.Reader.ReadPage(x.ctx, r, after, 0, limit)
			require.NoError(x, err)
			require.LessOrEqual(x, len(page.Events), limit)
			require.Greater(x, page.Scanned, after, "a page that does not move on")
			require.LessOrEqual(x, page.Scanned, store.Position(30))
			for _, e := range page.Events {
				require.Greater(x, e.Position, after)
				require.LessOrEqual(x, e.Position, page.Scanned)
				got = append(got, e.Position)
			}
			after = page.Scanned
		}
		require.Equal(x, want, got)
	}
	page, err := x.Reader.ReadPage(x.ctx, r, 2, 7, 100)
	require.NoError(x, err)
	require.Len(x, page.Events, 4, "3, 4, 6, 7")
	require.Equal(x, store.Position(7), page.Scanned)
	_, err = x.Reader.ReadPage(x.ctx, r, 0, 0, 0)
	require.ErrorIs(x, err, store.ErrInvalid)
	n, err := x.Reader.Count(x.ctx, r, 2, 7, 3)
	require.NoError(x, err)
	require.Equal(x, 3, n, "it stops at the limit")
}

func eventsStay(x *scene) {
	x.commit(store.Batch{Events: proposals()})
	events := x.seen(store.Region{})
	for range 20 {
		x.commit(store.Batch{Events: proposals()})
		x.seen(store.Region{})
	}
	for i, p := range proposals() {
		says(x, p, events[i])
	}
}

func badRegions(x *scene) {
	x.append("a")
	for _, r := range []store.Region{
		{Entity: "\n"},
		{Scope: strings.Repeat("s", store.MaxScopeBytes+1)},
		{Kinds: []string{""}},
		{Category: "a", Kinds: []string{"a.b"}},
		{MinVersion: 2, MaxVersion: 1},
	} {
		_, err := collect(x.Reader.Read(x.ctx, r, store.Beginning()))
		require.ErrorIs(x, err, store.ErrInvalid)
		_, err = collect(x.Reader.Scan(x.ctx, r, store.Beginning()))
		require.ErrorIs(x, err, store.ErrInvalid)
		_, err = x.Reader.ReadPage(x.ctx, r, 0, 0, 1)
		require.ErrorIs(x, err, store.ErrInvalid)
		_, err = x.Reader.Count(x.ctx, r, 0, 0, 1)
		require.ErrorIs(x, err, store.ErrInvalid)
		_, err = x.Writer.Commit(x.ctx, store.Batch{Events: eventsAt("a"), Conditions: []store.Condition{{Region: r}}})
		require.ErrorIs(x, err, store.ErrInvalid)
	}
	_, err := x.Reader.Version(x.ctx, "")
	require.ErrorIs(x, err, store.ErrInvalid)
	require.Equal(x, store.Position(1), x.Reader.Head())
}
