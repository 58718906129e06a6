package wal_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// The golden files are two segments of one log as version 1 writes them: v1.seg is sealed,
// v1-open.seg is the one after it, with zeros ahead and a clean end. They must be readable for
// ever; -update is for a change of this test, never for a change of the format.
var update = flag.Bool("update", false, "write the golden files again")

const (
	sealedFile = "testdata/v1.seg"
	openFile   = "testdata/v1-open.seg"
)

var (
	goldenStore = [16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01}
	outside     = [16]byte{0x01, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0x42}
)

// goldenTime is the hybrid time of an event: a millisecond per position, in 2024.
func goldenTime(position uint64) uint64 { return (1_720_000_000_000 + position) << 16 }

// goldenID is a UUIDv7 of that time.
func goldenID(position uint64) (id [16]byte) {
	ms := goldenTime(position) >> 16
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8], id[15] = 0x70, 0x80, byte(position)
	return id
}

type goldenEvent struct {
	draft      wal.Draft
	version    uint64
	extensions []byte
}

// goldenEvents of the log, positions from 1.
func goldenEvents() []goldenEvent {
	return []goldenEvent{
		{draft: wal.Draft{Entity: "order:1", Scope: "shop", Kind: "order.placed", Codec: "json", Payload: []byte(`{"sku":"lamp"}`)}, version: 1},
		{draft: wal.Draft{
			Entity: "stock:lamp", Scope: "shop", Kind: "stock.reserved", Codec: "json", SchemaVersion: 3, Depth: 1,
			Cause: goldenID(1), Correlation: goldenID(1), Payload: []byte(`{"order":1}`),
			Headers: wal.AppendPair(wal.AppendPair(nil, "tenant", "münchen"), "trace", ""),
		}, version: 1},
		{draft: wal.Draft{Entity: "order:1", Scope: "shop", Kind: "order.paid", Codec: "binary", Payload: []byte{0, 1, 2, 0xff}}, version: 2},
		{draft: wal.Draft{Entity: "order:2", Scope: "branch", Kind: "order.placed", Codec: "json", Correlation: outside}, version: 1},
		{draft: wal.Draft{Entity: "order:1", Scope: "shop", Kind: "order.shipped", Codec: "json", Payload: []byte(`{}`)}, version: 3},
	}
}

// goldenCommits says how the log was written: each element is one commit.
var goldenCommits = []goldenCommit{
	{batch: 0, events: 1, key: "place-1"},
	{batch: 1, events: 2, sides: []goldenSide{{"checkpoint", "at 3", false}}},
	{batch: 1, sides: []goldenSide{{"gone", "soon", false}, {"kept", "\x00\x01", false}}},
	{batch: 2, sides: []goldenSide{{"gone", "", true}}},
	{batch: 2, events: 1},
	// the second segment
	{batch: 3, events: 1, key: "ship-1", sides: []goldenSide{{"checkpoint", "at 5", false}}},
}

const goldenSealedBatches = 3

type goldenCommit struct {
	batch  int // commits of the same number share a batch
	events int
	key    string
	rule   byte // of the key's digest
	salt   [16]byte
	sides  []goldenSide
}

type goldenSide struct {
	key, value string
	deleted    bool
}

// goldenLog writes segments as a store does, with fixed ids and times.
type goldenLog struct {
	data     []byte
	next     wal.Expected
	durable  uint32
	chains   map[string][32]byte
	events   []goldenEvent
	commits  []goldenCommit
	position uint64
	sequence uint64
	version  uint16
}

func (g *goldenLog) begin(segment uint32) {
	g.next.Segment, g.next.Offset, g.durable = segment, wal.SegmentHeaderSize, 0
	g.data = wal.AppendSegmentHeader(nil, &wal.SegmentHeader{
		Version: g.version, Last: segment, Store: goldenStore, Segment: segment, Incarnation: 1, FirstPosition: g.next.Position, FirstSequence: g.next.Sequence,
		LastTime: goldenTime(g.position) * min(g.position, 1), Previous: g.next.Previous,
	})
}

func (g *goldenLog) batch(number int, flags uint16) {
	start := len(g.data)
	h := wal.BatchHeader{
		Previous: g.next.Previous, Segment: g.next.Segment, WriterEpoch: 1, Incarnation: 1, Durable: g.durable, Flags: flags,
		FirstSequence: g.next.Sequence, FirstPosition: g.next.Position, Offset: uint32(start),
	}
	b := make([]byte, wal.BatchHeaderSize)
	for _, c := range g.commits {
		if c.batch != number {
			continue
		}
		h.Commits++
		g.sequence++
		first := g.position + 1
		digests := []byte(nil)
		for i := range c.events {
			var said [wal.Rules][32]byte
			b, said = g.event(b, i == c.events-1 && c.key == "" && c.sides == nil)
			digests = append(digests, said[c.rule][:]...)
			h.Events++
		}
		k := wal.Key{Events: uint32(c.events), FirstPosition: first, Sequence: g.sequence, Rule: c.rule, Salt: c.salt}
		k.Digest = k.Salted(sha(digests))
		b = g.keyAndSides(b, c.key, c.sides, k)
	}
	b = wal.FinishBatch(b, &h, wal.Seed(goldenStore))
	g.data = append(g.data, b...)
	g.next.Advance(&h)
	g.durable = uint32(g.next.Offset)
}

func (g *goldenLog) event(b []byte, last bool) (_ []byte, said [wal.Rules][32]byte) {
	g.position++
	e := g.events[g.position-1]
	rec := wal.AppendEvent(nil, &e.draft)
	said = [wal.Rules][32]byte{wal.RuleContent: wal.Plain(rec), wal.RuleRetry: wal.Retry(rec)}
	rec = wal.Extend(rec, 0, e.extensions)
	s := wal.Stamp{Position: g.position, Version: e.version, Time: goldenTime(g.position), ID: goldenID(g.position)}
	s.Hash = wal.Chain(g.chains[e.draft.Entity], wal.Content(rec), rec, &s)
	g.chains[e.draft.Entity] = s.Hash
	wal.StampEvent(rec, &s)
	wal.SealRecord(rec, last)
	return append(b, rec...), said
}

func (g *goldenLog) keyAndSides(b []byte, key string, sides []goldenSide, k wal.Key) []byte {
	if key != "" {
		rec := wal.AppendKey(nil, key, &k)
		wal.SealRecord(rec, sides == nil)
		b = append(b, rec...)
	}
	for i, side := range sides {
		rec := wal.AppendSide(nil, side.key, []byte(side.value), side.deleted)
		wal.StampSide(rec, k.Sequence)
		wal.SealRecord(rec, i == len(sides)-1)
		b = append(b, rec...)
	}
	return b
}

// newGoldenLog is a log without a segment.
func newGoldenLog(events []goldenEvent, commits []goldenCommit) *goldenLog {
	return &goldenLog{
		version: 1, chains: map[string][32]byte{}, events: events, commits: commits,
		next: wal.Expected{Seed: wal.Seed(goldenStore), Position: 1, Sequence: 1},
	}
}

// files are the two segments of the log: the first, sealed after so many batches, and the other.
func (g *goldenLog) files(sealedBatches int) (sealed, open []byte) {
	g.begin(1)
	g.batch(-1, wal.FlagOpened)
	for n := range sealedBatches {
		g.batch(n, 0)
	}
	sealed = g.data
	g.begin(2)
	g.batch(sealedBatches, 0)
	g.batch(-1, wal.FlagClosed)
	return sealed, append(g.data, make([]byte, 2048)...)
}

// requireGoldenFiles compares the golden files with what this version of the code writes, but for
// the footers of sealed ones: these are derived, of versions of their own, and stay as they were.
func requireGoldenFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		got, err := os.ReadFile(filepath.FromSlash(name))
		require.True(t, err == nil || *update)
		want = append(want, got[min(len(want), len(got)):]...)
		if *update {
			require.NoError(t, os.WriteFile(filepath.FromSlash(name), want, 0o600))
			continue
		}
		require.Equal(t, want, got, name)
	}
}

func TestVersionOneIsWrittenByteForByte(t *testing.T) {
	sealed, open := newGoldenLog(goldenEvents(), goldenCommits).files(goldenSealedBatches)
	requireGoldenFiles(t, map[string][]byte{sealedFile: sealed, openFile: open})
}

// story is a log written record by record.
func story(t *testing.T, name string, x wal.Expected) (lines []string, end wal.Expected) {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	require.NoError(t, err)
	h, err := wal.ParseSegmentHeader(data)
	require.NoError(t, err)
	require.EqualValues(t, goldenStore, h.Store)
	require.EqualValues(t, 1, h.Incarnation)
	require.Equal(t, x.Segment, h.Segment)
	require.Equal(t, x.Position, h.FirstPosition)
	require.Equal(t, x.Sequence, h.FirstSequence)
	require.Equal(t, x.Previous, h.Previous)
	for {
		b, whole, ok := next(data, &x)
		if !ok {
			return lines, x
		}
		lines = append(lines, fmt.Sprintf("batch at %d, durable to %d, flags %d", b.Offset, b.Durable, b.Flags))
		for _, rec := range records(t, &b, whole) {
			lines = append(lines, tell(t, rec))
		}
		x.Advance(&b)
	}
}

func tell(t *testing.T, rec []byte) string {
	t.Helper()
	end := ""
	if wal.IsLast(rec) {
		end = "."
	}
	switch wal.Type(rec) {
	case wal.TypeEvent, wal.TypeErased:
		var e wal.Event
		require.NoError(t, wal.ParseEvent(rec, &e))
		require.Equal(t, goldenTime(e.Position), e.Time)
		require.Equal(t, goldenID(e.Position), e.ID)
		line := fmt.Sprintf("event %d %s@%s v%d %s %s/%d %q", e.Position, e.Entity(), e.Scope(), e.Version, e.Kind(),
			e.Codec(), e.SchemaVersion, e.Payload)
		for name, value := range wal.Pairs(e.Headers) {
			line += fmt.Sprintf(" %s=%s", name, value)
		}
		if e.Erased {
			line += " erased:"
		}
		for name, value := range wal.Pairs(e.Note) {
			line += fmt.Sprintf(" %s=%q", name, value)
		}
		return line + fmt.Sprintf(" cause %x correlation %x depth %d hash %.4x", e.Cause[15], e.Correlation[15], e.Depth, e.Hash) + end
	case wal.TypeKey:
		key, err := wal.ParseKey(rec)
		require.NoError(t, err)
		line := fmt.Sprintf("key %s of commit %d, %d from %d, %.4x", key.Key, key.Sequence, key.Events, key.FirstPosition, key.Digest)
		if key.Rule != wal.RuleContent {
			line += fmt.Sprintf(" by rule %d", key.Rule)
		}
		return line + end
	default:
		side, err := wal.ParseSide(rec)
		require.NoError(t, err)
		return fmt.Sprintf("side %s=%q in commit %d, deleted %v", side.Key, side.Value, side.Revision, side.Deleted) + end
	}
}

func TestTheGoldenSegmentsAreReadRecordByRecord(t *testing.T) {
	sealed, x := story(t, sealedFile, wal.Expected{Seed: wal.Seed(goldenStore), Segment: 1, Offset: wal.SegmentHeaderSize, Position: 1, Sequence: 1})
	require.Equal(t, []string{
		`batch at 128, durable to 0, flags 2`,
		`batch at 192, durable to 192, flags 0`,
		`event 1 order:1@shop v1 order.placed json/0 "{\"sku\":\"lamp\"}" cause 0 correlation 1 depth 0 hash cbbba206`,
		`key place-1 of commit 1, 1 from 1, 795633c9.`,
		`batch at 480, durable to 480, flags 0`,
		`event 2 stock:lamp@shop v1 stock.reserved json/3 "{\"order\":1}" tenant=münchen trace= cause 1 correlation 1 depth 1 hash 5dde9ba8`,
		`event 3 order:1@shop v2 order.paid binary/0 "\x00\x01\x02\xff" cause 0 correlation 3 depth 0 hash 96c009f3`,
		`side checkpoint="at 3" in commit 2, deleted false.`,
		`side gone="soon" in commit 3, deleted false`,
		`side kept="\x00\x01" in commit 3, deleted false.`,
		`batch at 1000, durable to 1000, flags 0`,
		`side gone="" in commit 4, deleted true.`,
		`event 4 order:2@branch v1 order.placed json/0 "" cause 0 correlation 42 depth 0 hash 7c4bd377.`,
	}, sealed)
	data, err := os.ReadFile(filepath.FromSlash(sealedFile))
	require.NoError(t, err)
	trailer, err := wal.ParseTrailer(data[len(data)-wal.TrailerSize:], int64(len(data)))
	require.NoError(t, err)
	require.EqualValues(t, x.Offset, trailer.DataEnd)
	require.Equal(t, x.Position, trailer.NextPosition)
	require.Equal(t, x.Sequence, trailer.NextSequence)
	require.Equal(t, x.Previous, trailer.LastChecksum)
	require.Equal(t, goldenTime(4), trailer.LastTime)
	require.EqualValues(t, 1, trailer.Incarnation)

	footer := data[trailer.DataEnd:]
	blob, err := index.Upgrade(footer[:trailer.IndexLen])
	require.NoError(t, err)
	idx, err := index.OpenSealed(blob)
	require.NoError(t, err)
	require.EqualValues(t, 4, idx.Len())
	ords, _, err := idx.Select(index.Query{Entity: "order"}, 0, 4, 10, nil)
	require.NoError(t, err)
	require.Equal(t, []uint32{0, 2, 3}, ords)
	var sides []string
	for s, err := range index.Sides(bytes.NewReader(footer[trailer.IndexLen:]), int64(trailer.SidesLen)) {
		require.NoError(t, err)
		sides = append(sides, s.Key())
	}
	require.Equal(t, []string{"checkpoint", "gone", "kept"}, sides)

	open, _ := story(t, openFile, wal.Expected{
		Seed:    wal.Seed(goldenStore),
		Segment: 2, Offset: wal.SegmentHeaderSize, Position: x.Position, Sequence: x.Sequence, Previous: x.Previous,
	})
	require.Equal(t, []string{
		`batch at 128, durable to 0, flags 0`,
		`event 5 order:1@shop v3 order.shipped json/0 "{}" cause 0 correlation 5 depth 0 hash 0c3c0933`,
		`key ship-1 of commit 6, 1 from 5, 7933473c`,
		`side checkpoint="at 5" in commit 6, deleted false.`,
		`batch at 448, durable to 448, flags 4`,
	}, open)
}
