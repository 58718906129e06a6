package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// The vocabulary is small, so that expectations, regions and keys meet.
var (
	modelEntities = []string{"a", "a:1", "a:1:x", "a:2", "ab", "b", "b:" + strings.Repeat("l:", 9) + "deep"}
	modelScopes   = []string{"s", "t"}
	modelKinds    = []string{"k.a", "k.b", "k", "l.a", "m"}
	modelSides    = []string{"p/1", "p/2", "q"}
	modelKeys     = []string{"key 1", "key 2", "key 3", "key 4", "key 5"}
)

// plainLog is what a log means: slices and maps.
type plainLog struct {
	events   []Event
	versions map[string]uint64
	sides    map[string]SideValue
	keys     map[string]plainKey
	sequence uint64
	first    Position // what is before it was dropped
}

type plainKey struct {
	batch   Batch
	content string
	receipt Receipt
}

// dropped is the error of those who ask for a position.
func (l *plainLog) dropped(p Position) error { return &DroppedError{Position: p, First: l.first} }

// content is what two commits with one key must agree in.
func content(b Batch) string {
	var text strings.Builder
	for _, p := range b.Events {
		r := p.Payload.(Raw)
		fmt.Fprintf(&text, "%q %q %q %q %q %v\n", p.At.Entity, p.At.Scope, r.Type, r.Codec, r.Data, p.Headers)
	}
	return text.String()
}

// refusal is the error that the log answers b with, nil when it accepts.
func (l *plainLog) refusal(b Batch) error {
	ahead := maps.Clone(l.versions)
	for _, p := range b.Events {
		if v := ahead[p.At.Entity]; !p.Expect.accepts(v) {
			return &ConflictError{Entity: p.At.Entity, Expected: p.Expect, Actual: v}
		}
		ahead[p.At.Entity]++
	}
	for _, c := range b.Conditions {
		if c.After+1 < l.first {
			return l.dropped(c.After + 1)
		}
		for _, e := range l.events {
			if e.Position > c.After && plainMatch(c.Region, e) {
				return &ConflictError{Condition: &c, Position: e.Position}
			}
		}
	}
	for _, side := range b.Sides {
		if v := l.sides[side.Key].Revision; !side.Expect.accepts(v) {
			return &ConflictError{SideKey: side.Key, Expected: side.Expect, Actual: v}
		}
	}
	return nil
}

// commit takes in a batch that was accepted with receipt r.
func (l *plainLog) commit(t *rapid.T, b Batch, r Receipt) {
	l.sequence++
	require.Equal(t, l.sequence, r.Sequence)
	require.Len(t, r.Events, len(b.Events))
	for i, p := range b.Events {
		raw := p.Payload.(Raw)
		l.versions[p.At.Entity]++
		e := Event{
			ID: r.Events[i].ID, Position: Position(len(l.events) + 1), Coordinate: p.At, Kind: raw.Type, Codec: raw.Codec,
			SchemaVersion: raw.SchemaVersion, Version: l.versions[p.At.Entity], Payload: raw.Data,
			Cause: p.Causation.Cause, Correlation: p.Causation.Correlation, Depth: p.Causation.Depth,
		}
		if e.Correlation == uuid.Nil {
			e.Correlation = e.ID
		}
		require.Equal(t, Recorded{ID: e.ID, Position: e.Position, Version: e.Version}, r.Events[i])
		l.events = append(l.events, e)
	}
	for _, side := range b.Sides {
		if side.Delete {
			delete(l.sides, side.Key)
		} else {
			l.sides[side.Key] = SideValue{Key: side.Key, Value: side.Value, Revision: r.Sequence}
		}
	}
	if b.IdempotencyKey != "" {
		l.keys[b.IdempotencyKey] = plainKey{b, content(b), r}
	}
}

// plainMatch is the meaning of a region, spelled out.
func plainMatch(r Region, e Event) bool {
	category, _, _ := strings.Cut(e.Kind, ".")
	return (r.Entity == "" || e.Coordinate.Entity == r.Entity || strings.HasPrefix(e.Coordinate.Entity, r.Entity+":")) &&
		(r.Scope == "" || e.Coordinate.Scope == r.Scope) &&
		(len(r.Kinds) == 0 || slices.Contains(r.Kinds, e.Kind)) &&
		(r.Category == "" || category == r.Category) &&
		e.Version >= r.MinVersion && (r.MaxVersion == 0 || e.Version <= r.MaxVersion)
}

// machine runs a store and a plain log side by side.
type machine struct {
	disk   *vfs.Memory
	store  *Store
	reader *Store // beside it, nil while there is none
	mode   SyncMode
	bare   bool // no side value is kept in memory
	model  plainLog
}

func (m *machine) open(t *rapid.T) {
	o := smallSegments(m.mode)
	o.sidesOnDisk = m.bare
	s, err := open(m.disk, logDir, o, false)
	require.NoError(t, err)
	m.store = s
}

func (m *machine) draw(t *rapid.T) (b Batch) {
	for range rapid.IntRange(0, 4).Draw(t, "events") {
		b.Events = append(b.Events, m.drawProposal(t))
	}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(modelSides), 0, 2, rapid.ID[string]).Draw(t, "sides") {
		b.Sides = append(b.Sides, SideWrite{
			Key: key, Value: bytes.Repeat([]byte{byte(m.model.sequence)}, rapid.SampledFrom([]int{0, 5, 64, 65, 600, 3000}).Draw(t, "length")), Delete: rapid.IntRange(0, 3).Draw(t, "delete") == 0,
			Expect: drawExpect(t, m.model.sides[key].Revision),
		})
	}
	if len(b.Events)+len(b.Sides) == 0 {
		b.Events = append(b.Events, m.drawProposal(t))
	}
	if len(b.Events) > 0 && rapid.IntRange(0, 3).Draw(t, "with key") == 0 {
		b.IdempotencyKey = rapid.SampledFrom(modelKeys).Draw(t, "key")
	}
	if rapid.IntRange(0, 4).Draw(t, "with condition") == 0 {
		b.Conditions = []Condition{{Region: drawRegion(t), After: m.drawPosition(t, "after")}}
	}
	b.Lazy = rapid.Bool().Draw(t, "lazy")
	return b
}

func (m *machine) drawProposal(t *rapid.T) Proposal {
	p := Proposal{
		At: At(rapid.SampledFrom(modelEntities).Draw(t, "entity"), rapid.SampledFrom(modelScopes).Draw(t, "scope")),
	}
	p.Expect = drawExpect(t, m.model.versions[p.At.Entity])
	size := rapid.SampledFrom([]int{0, 1, 40, 3000, 20000, 70000}).Draw(t, "size")
	p.Payload = Raw{
		Type: rapid.SampledFrom(modelKinds).Draw(t, "kind"), Codec: rapid.SampledFrom([]string{"json", "c"}).Draw(t, "codec"),
		SchemaVersion: rapid.Uint16Max(2).Draw(t, "schema"), Data: bytes.Repeat([]byte{byte(len(m.model.events))}, size),
	}
	if rapid.Bool().Draw(t, "with header") {
		p.Headers = map[string]string{"h": rapid.SampledFrom([]string{"", "v"}).Draw(t, "header")}
	}
	if n := len(m.model.events); n > 0 && rapid.Bool().Draw(t, "caused") {
		p.Causation = m.model.events[rapid.IntRange(0, n-1).Draw(t, "cause")].Causation()
	}
	return p
}

// drawExpect draws one that holds, mostly.
func drawExpect(t *rapid.T, actual uint64) Expect {
	switch rapid.IntRange(0, 9).Draw(t, "expect") {
	case 0:
		return Absent
	case 1:
		return Exactly(actual + 1)
	case 2, 3:
		return Exactly(actual)
	default:
		return Any
	}
}

func drawRegion(t *rapid.T) (r Region) {
	maybe := func(name string, from []string) string {
		return rapid.SampledFrom(append([]string{"", ""}, from...)).Draw(t, name)
	}
	r.Entity = maybe("region entity", append(modelEntities, "a:1:", "b:l:l", "c"))
	r.Scope = maybe("region scope", append(modelScopes, "u"))
	switch rapid.IntRange(0, 3).Draw(t, "by kind") {
	case 0:
		r.Kinds = rapid.SliceOfN(rapid.SampledFrom(append(modelKinds, "none")), 1, 3).Draw(t, "region kinds")
	case 1:
		r.Category = rapid.SampledFrom([]string{"k", "l", "m", "none"}).Draw(t, "region category")
	}
	if rapid.IntRange(0, 3).Draw(t, "by version") == 0 {
		r.MinVersion = rapid.Uint64Range(0, 4).Draw(t, "min version")
		r.MaxVersion = rapid.SampledFrom([]uint64{0, r.MinVersion + 3}).Draw(t, "max version")
	}
	return r
}

func (m *machine) drawPosition(t *rapid.T, name string) Position {
	return Position(rapid.IntRange(0, len(m.model.events)+2).Draw(t, name))
}

func (m *machine) Commit(t *rapid.T) {
	b := m.draw(t)
	r, err := m.store.Commit(context.Background(), b)
	if known, ok := m.model.keys[b.IdempotencyKey]; ok {
		if known.content != content(b) {
			require.Equal(t, &IdempotencyKeyReusedError{
				Key: b.IdempotencyKey, Sequence: known.receipt.Sequence, Position: known.receipt.Events[0].Position,
			}, err)
			return
		}
		m.requireStored(t, known, r, err)
		return
	}
	if want := m.model.refusal(b); want != nil {
		require.Equal(t, want, err)
		return
	}
	require.NoError(t, err)
	require.False(t, r.Duplicate)
	m.model.commit(t, b, r)
}

func (m *machine) requireStored(t *rapid.T, known plainKey, r Receipt, err error) {
	require.NoError(t, err)
	require.True(t, r.Duplicate)
	require.Equal(t, known.receipt.Events, r.Events)
	require.Equal(t, known.receipt.Sequence, r.Sequence)
}

// Retry repeats a commit with a key as a caller would who never got the answer.
func (m *machine) Retry(t *rapid.T) {
	if len(m.model.keys) == 0 {
		t.Skip("no key yet")
	}
	key := rapid.SampledFrom(slices.Sorted(maps.Keys(m.model.keys))).Draw(t, "key")
	known := m.model.keys[key]
	b := Batch{IdempotencyKey: key}
	for i, recorded := range known.receipt.Events {
		if recorded.Position < m.model.first {
			b.Events = append(b.Events, known.batch.Events[i])
			b.Events[i].Expect = Absent
			continue
		}
		e, err := m.store.GetAt(context.Background(), recorded.Position)
		require.NoError(t, err)
		b.Events = append(b.Events, Proposal{
			At: e.Coordinate, Headers: e.Headers(), Expect: Absent,
			Payload: Raw{Type: e.Kind, Codec: e.Codec, SchemaVersion: e.SchemaVersion, Data: e.Payload},
		})
	}
	r, err := m.store.Commit(context.Background(), b)
	m.requireStored(t, known, r, err)
}

// Reopen closes and opens the store.
func (m *machine) Reopen(t *rapid.T) {
	require.NoError(t, m.store.Close())
	m.mode, m.bare = SyncMode(rapid.IntRange(0, 2).Draw(t, "mode")), rapid.Bool().Draw(t, "bare")
	m.open(t)
}

// Kill opens what the operating system would have kept of a killed process.
func (m *machine) Kill(t *rapid.T) {
	m.forgetReader(t)
	m.disk = m.disk.Image(vfs.KeepAll)
	_ = m.store.Close() // ends its background work, on the disk that is no more
	m.model.sequence += sequenceLeap
	m.open(t)
}

// Read compares a pass over a region, from anywhere, in pages of any size.
func (m *machine) Read(t *rapid.T) {
	ctx := context.Background()
	region, after, upTo := drawRegion(t), m.drawPosition(t, "after"), m.drawPosition(t, "up to")
	limit := rapid.SampledFrom([]int{1, 2, 7, 1000}).Draw(t, "limit")
	if upTo == 0 {
		upTo = Position(len(m.model.events))
	}
	last := min(upTo, m.store.Head())
	if before := m.model.first - 1; after < before && (after > 0 || last < before) {
		if after < last {
			_, err := m.store.ReadPage(ctx, region, after, upTo, limit)
			require.Equal(t, m.model.dropped(after+1), err)
			_, err = m.store.Count(ctx, region, after, upTo, limit)
			require.Equal(t, m.model.dropped(after+1), err)
		}
		if after > 0 {
			for _, err := range m.store.Read(ctx, region, After(after)) {
				require.Equal(t, m.model.dropped(after+1), err)
			}
		}
		return
	}
	var want, rest []Event
	for _, e := range m.model.events {
		if e.Position > after && e.Position >= m.model.first && plainMatch(region, e) {
			rest = append(rest, e)
			if e.Position <= upTo {
				want = append(want, e)
			}
		}
	}
	var got []Event
	for at := after; at < min(upTo, m.store.Head()); {
		page, err := m.store.ReadPage(ctx, region, at, upTo, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Events), limit)
		require.Greater(t, page.Scanned, at)
		require.LessOrEqual(t, page.Scanned, upTo)
		if n := len(page.Events); n > 0 {
			require.LessOrEqual(t, page.Events[n-1].Position, page.Scanned)
		}
		got, at = append(got, page.Events...), page.Scanned
	}
	requireSame(t, want, got)
	got = nil
	for e, err := range m.store.Read(ctx, region, After(after)) {
		require.NoError(t, err)
		got = append(got, e)
	}
	requireSame(t, rest, got)

	n, err := m.store.Count(ctx, region, after, upTo, limit)
	require.NoError(t, err)
	if region.Indexed() {
		require.Equal(t, min(limit, len(want)), n)
	} else {
		require.GreaterOrEqual(t, n, min(limit, len(want)))
	}
}

// requireSame compares events as far as the model knows them.
func requireSame(t *rapid.T, want, got []Event) {
	require.Len(t, got, len(want))
	for i := range got {
		e := got[i]
		require.NotZero(t, e.Time)
		e.Time, e.record, e.emitter = 0, nil, nil
		require.True(t, bytes.Equal(want[i].Payload, e.Payload), "payload of event %d", e.Position)
		e.Payload = want[i].Payload
		require.Equal(t, want[i], e)
	}
}

// Point looks up single events and times.
func (m *machine) Point(t *rapid.T) {
	ctx := context.Background()
	p := m.drawPosition(t, "position")
	e, err := m.store.GetAt(ctx, p)
	if p == 0 || int(p) > len(m.model.events) {
		require.ErrorIs(t, err, ErrNotFound)
		return
	}
	anchor, failed := m.store.AnchorAt(ctx, p)
	if p >= m.model.first-1 {
		require.NoError(t, failed)
		require.Equal(t, m.model.events[p-1].ID, anchor.Event)
	} else {
		require.Equal(t, m.model.dropped(p), failed)
	}
	if p < m.model.first {
		require.Equal(t, m.model.dropped(p), err)
		_, err = m.store.Get(ctx, m.model.events[p-1].ID)
		require.ErrorIs(t, err, ErrDropped)
		require.ErrorIs(t, err, ErrNotFound)
		return
	}
	require.NoError(t, err)
	requireSame(t, m.model.events[p-1:p], []Event{e})
	byID, err := m.store.Get(ctx, e.ID)
	require.NoError(t, err)
	require.Equal(t, e, byID)
	since, err := m.store.Resolve(ctx, Since(e.Time.Time()))
	require.NoError(t, err)
	require.Less(t, since, p)
}

// Retain drops what lies before a position, up to the last segment.
func (m *machine) Retain(t *rapid.T) {
	before := m.drawPosition(t, "before")
	if rapid.Bool().Draw(t, "all") {
		before = m.store.Head() + 1
	}
	report, err := Retain(context.Background(), m.store, nil, RetainOptions{Before: before})
	require.NoError(t, err)
	require.GreaterOrEqual(t, report.First, m.model.first)
	require.Equal(t, uint64(report.First-m.model.first), report.Events)
	require.LessOrEqual(t, report.First, max(m.model.first, before))
	m.model.first = report.First
	require.Equal(t, report.First, m.store.first())
}

// Whole verifies the log, reads the chain of each entity, and compares a reader beside the writer.
func (m *machine) Whole(t *rapid.T) {
	report, err := Verify(context.Background(), m.store, VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.Zero(t, report.Unlinked)
	for _, entity := range modelEntities {
		var want, got []Event
		for _, e := range m.model.events[m.model.first-1:] {
			if e.Coordinate.Entity == entity {
				want = append(want, e)
			}
		}
		for e, err := range History(context.Background(), m.store, entity) {
			if isDropped(err) {
				require.Empty(t, want)
				break
			}
			require.NoError(t, err)
			got = append(got, e)
		}
		requireSame(t, want, got)
	}
	if m.reader == nil {
		o := m.store.options
		o.ReadOnly = true
		m.reader, err = open(m.disk, logDir, o, false)
		require.NoError(t, err)
	}
	m.reader.catchUp()
	m.reader.files.closeIdle() // else it may go on with what it has open
	require.Equal(t, digest(m.store), digest(m.reader))
	require.Equal(t, m.model.first, m.reader.first())
}

// forgetReader closes the reader beside the writer.
func (m *machine) forgetReader(t *rapid.T) {
	if m.reader != nil {
		require.NoError(t, m.reader.Close())
		m.reader = nil
	}
}

// Check compares what must agree after every step.
func (m *machine) Check(t *rapid.T) {
	require.Equal(t, Position(len(m.model.events)), m.store.Head())
	require.Equal(t, m.model.sequence, m.store.Stats().Sequence)
	m.requireSides(t, "", "", 0)
}

// requireSides compares a range of side values.
func (m *machine) requireSides(t *rapid.T, from, to string, limit int) {
	var want, got []SideValue
	for _, key := range slices.Sorted(maps.Keys(m.model.sides)) {
		if key >= from && (to == "" || key < to) && (limit == 0 || len(want) < limit) {
			want = append(want, m.model.sides[key])
		}
	}
	for v, err := range m.store.SideRange(from, to, limit) {
		require.NoError(t, err)
		got = append(got, v)
	}
	require.Len(t, got, len(want))
	for i, v := range got {
		require.Equal(t, want[i].Key, v.Key)
		require.Equal(t, want[i].Revision, v.Revision)
		require.True(t, bytes.Equal(want[i].Value, v.Value))
	}
}

// Sides compares a range, and each value by itself.
func (m *machine) Sides(t *rapid.T) {
	bounds := rapid.SampledFrom([]string{"", "p/", "p/1", "p/2", "q", "r"})
	m.requireSides(t, bounds.Draw(t, "from"), bounds.Draw(t, "to"), rapid.IntRange(0, 3).Draw(t, "limit"))
	m.store.tasks.Wait() // a rewriting moves what is counted
	var live, want int64
	for _, g := range *m.store.segments.Load() {
		live += m.store.sides.liveBytes(g.number)
	}
	for _, key := range modelSides {
		v, found, err := m.store.Side(key)
		require.NoError(t, err)
		side, exists := m.model.sides[key]
		require.Equal(t, exists, found)
		require.Equal(t, side.Revision, v.Revision)
		place, _ := m.store.sides.get(key)
		require.False(t, m.bare && place.Inline)
		if exists {
			want += int64(24 + len(key) + len(side.Value))
		}
	}
	require.Equal(t, want, live)
}

func TestAStoreAgreesWithAPlainLogOverAnySequenceOfCalls(t *testing.T) {
	t.Run("large caches", agreesWithAPlainLog)
	t.Run("caches of one", func(t *testing.T) {
		cachesOfOne(t)
		agreesWithAPlainLog(t)
	})
}

func agreesWithAPlainLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{disk: vfs.NewMemory(), model: plainLog{
			versions: map[string]uint64{}, sides: map[string]SideValue{}, keys: map[string]plainKey{}, first: 1,
		}}
		m.open(t)
		defer func() { _ = m.store.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"": m.Check, "commit": m.Commit, "commit again": m.Commit, "commit once more": m.Commit, "retry": m.Retry,
			"reopen": m.Reopen, "kill": m.Kill, "read": m.Read, "point": m.Point,
			"many": m.Many, "sides": m.Sides, "measure": m.Measure,
			"retain": m.Retain, "whole": m.Whole,
		})
		var events []Event
		for e, err := range m.store.Read(t.Context(), Region{}, Beginning()) {
			require.NoError(t, err)
			events = append(events, e)
		}
		m.forgetReader(t)
		requireChainsAfter(t, m.store, events)
		requireEveryKey(t, m)
	})
}

// requireEveryKey requires that each key is known and refuses other content.
func requireEveryKey(t *rapid.T, m *machine) {
	for key, known := range m.model.keys {
		_, err := m.store.Commit(context.Background(), Batch{IdempotencyKey: key, Events: []Proposal{{
			At: At("never", "s"), Payload: Raw{Type: "k"},
		}}})
		var conflict *IdempotencyKeyReusedError
		require.True(t, errors.As(err, &conflict))
		require.Equal(t, known.receipt.Sequence, conflict.Sequence)
	}
}
