package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// goldenDir is a directory with the two segments that the format's golden files hold: a sealed one
// and the last.
func goldenDir(t *testing.T) string {
	t.Helper()
	return directoryOf(t, "v1.seg", "v1-open.seg")
}

// directoryOf is a directory whose segments are golden files.
func directoryOf(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for number, name := range names {
		b, err := os.ReadFile(filepath.Join("internal", "wal", "testdata", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(segmentPath(dir, uint32(number+1)), b, 0o600))
	}
	return dir
}

func requireGolden(t *testing.T, s *Store, segments int) {
	t.Helper()
	require.Equal(t, Origin{Store: uuid.MustParse("11223344-5566-4788-99aa-bbccddeeff01"), Incarnation: 1}, s.Origin())
	stats := s.Stats()
	require.Equal(t, []any{Position(5), segments, uint32(segments), uint64(6), 2},
		[]any{stats.Head, stats.Segments, stats.Segment, stats.Sequence, stats.SideValues})
	events := all(t, s, Region{})
	require.Equal(t, []string{"order:1", "stock:lamp", "order:1", "order:2", "order:1"}, entities(events))
	requireOrder(t, events)
	requireChains(t, events)
	require.Equal(t, map[string]string{"tenant": "münchen", "trace": ""}, events[1].Headers())
	require.Equal(t, events[0].ID, events[1].Cause)
	require.Equal(t, []byte{0, 1, 2, 0xff}, events[2].Payload)
	require.Equal(t, "binary", events[2].Codec)
	require.EqualValues(t, 3, events[1].SchemaVersion)
	require.Equal(t, []string{"order:1", "order:1", "order:2", "order:1"}, entities(all(t, s, Region{Category: "order"})))
	require.Equal(t, "at 5", sideText(s, "checkpoint"))
	require.Equal(t, "\x00\x01", sideText(s, "kept"))
	require.Equal(t, "-", sideText(s, "gone"))
}

func TestADirectoryOfVersionOneOpensAndAcceptsCommits(t *testing.T) {
	dir := goldenDir(t)
	r := diskLog(t, dir, Options{ReadOnly: true})
	requireGolden(t, r, 2)
	require.NoError(t, r.Close())

	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
	requireGolden(t, s, 3) // nothing is added to a segment of version 1
	place := Batch{IdempotencyKey: "place-1", Events: []Proposal{
		{At: At("order:1", "shop"), Payload: Raw{Type: "order.placed", Data: []byte(`{"sku":"lamp"}`)}},
	}}
	stored := write(t, s, place)
	require.True(t, stored.Duplicate)
	require.Equal(t, Receipt{
		Origin: s.Origin(), Sequence: 1, Duplicate: true, Events: []Recorded{{ID: all(t, s, Region{})[0].ID, Position: 1, Version: 1}},
	}, stored)
	place.Events[0].At.Scope = "other"
	_, err := s.Commit(t.Context(), place)
	require.ErrorIs(t, err, ErrIdempotencyKeyReused)

	next, err := s.Append(t.Context(), At("order:1", "shop"), Exactly(3), note{})
	require.NoError(t, err)
	require.Equal(t, Position(6), next.Position())
	require.Equal(t, uint64(7), next.Sequence)
	_, err = s.Append(t.Context(), At("order:2", "branch"), Exactly(1), note{})
	require.NoError(t, err)
	requireChains(t, all(t, s, Region{}))
}

func TestAnyByteOfAGoldenDirectoryMattersOrIsDerived(t *testing.T) {
	dir := goldenDir(t)
	name := segmentPath(dir, 2)
	good, err := os.ReadFile(name)
	require.NoError(t, err)
	end := wal.SegmentHeaderSize
	for n := wal.BatchLength(good[end:]); n > 0; n = wal.BatchLength(good[end:]) {
		end += n
	}
	// The last batch is the closing mark, and says that all before it was durable: nothing of it may
	// change.
	for at := 0; at < end-wal.BatchHeaderSize; at += 3 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x10
		require.NoError(t, os.WriteFile(name, bad, 0o600))
		_, err := Open(dir, Options{ReadOnly: true})
		require.Error(t, err, "byte %d", at)
	}
}

func TestAKeyIsComparedByTheRuleOfTheTimeWhenItWasStored(t *testing.T) {
	dir := directoryOf(t, "v1-meta.seg", "v1-meta-open.seg")
	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
	events := all(t, s, Region{})
	requireChains(t, events)
	require.Nil(t, events[0].Meta())
	for _, e := range events[1:] {
		require.Equal(t, map[string]string{"baggage": "ünter=1", "traceparent": "00-4bf92f-00f067-01"}, e.Meta())
		require.Equal(t, map[string]string{"tenant": "a"}, e.Headers())
	}
	_, emitted := events[2].Emitter()
	require.True(t, emitted)

	retry := func(key string, n int, schema uint16, tenant string) error {
		b := Batch{IdempotencyKey: key}
		for range n {
			b.Events = append(b.Events, Proposal{
				At: At("order:1", "shop"), Headers: map[string]string{"tenant": tenant}, Meta: map[string]string{"traceparent": "another"},
				Payload: Raw{Type: "order.placed", SchemaVersion: schema, Data: []byte(`{"sku":"lamp"}`)},
			})
		}
		r, err := s.Commit(t.Context(), b)
		require.Equal(t, err == nil, r.Duplicate)
		return err
	}
	require.NoError(t, retry("before", 1, 3, "a"))
	require.ErrorIs(t, retry("before", 1, 4, "a"), ErrIdempotencyKeyReused)
	require.ErrorIs(t, retry("before", 1, 3, "b"), ErrIdempotencyKeyReused)
	for _, schema := range []uint16{0, 3, 4} {
		require.NoError(t, retry("since", 2, schema, "a"))
		require.ErrorIs(t, retry("since", 2, schema, "b"), ErrIdempotencyKeyReused)
		require.ErrorIs(t, retry("since", 1, schema, "a"), ErrIdempotencyKeyReused)
	}
	require.Equal(t, Position(4), s.Head())
}
