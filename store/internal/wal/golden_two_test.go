package wal_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// These golden files are two segments of one log as version 2 writes them, without footers: the
// first was rewritten three times, lost a side value and the payload of an event, and the second
// begins with the mark of a writer whose predecessor did not end cleanly.
const (
	twoFile     = "testdata/v2.seg"
	twoOpenFile = "testdata/v2-open.seg"
)

// twoLog writes the first segment of a log of version 2 as it was before it was rewritten, and the
// second.
func twoLog() (first, second []byte) {
	salt := func(b byte) (salt [16]byte) {
		salt[0], salt[15] = b, b
		return salt
	}
	placed := wal.Draft{
		Entity: "order:1", Scope: "shop", Kind: "order.placed", Codec: "json", SchemaVersion: 3, Payload: []byte(`{"sku":"lamp"}`),
		Headers: wal.AppendPair(nil, "tenant", "a"), Salt: salt(1),
	}
	effect := placed
	effect.Salt, effect.Cause, effect.Correlation, effect.Depth = salt(2), goldenID(1), goldenID(1), 1
	g := newGoldenLog([]goldenEvent{
		{draft: placed, version: 1},
		{draft: effect, version: 2, extensions: emitted(goldenBuild, 1, 1)},
		{draft: placed, version: 3},
	}, []goldenCommit{
		{batch: 0, events: 1, key: "salted", rule: wal.RuleRetry, salt: salt(3)},
		{batch: 1, events: 1, sides: []goldenSide{{"checkpoint", "at 2", false}}},
		{batch: 1, sides: []goldenSide{{"kept", "\x00\x01", false}}},
		{batch: 2, events: 1},
	})
	g.version = wal.Version
	g.begin(1)
	g.batch(-1, wal.FlagOpened)
	g.batch(0, 0)
	g.batch(1, 0)
	first = g.data
	g.begin(2)
	g.next.Sequence += 1 << 26
	g.batch(-1, wal.FlagOpened)
	g.batch(2, wal.FlagWeak)
	return first, append(g.data, make([]byte, 512)...)
}

// rewritten is the segment in another generation: in one batch, without the side value
// "checkpoint", and with the first event erased.
func rewritten(segment []byte) []byte {
	header, _ := wal.ParseSegmentHeader(segment)
	header.Generation, header.Rewritings, header.Reached = 3, 4, 3
	x := wal.Expected{Seed: wal.Seed(goldenStore), Segment: 1, Offset: wal.SegmentHeaderSize, Position: 1, Sequence: 1}
	merged := wal.BatchHeader{
		Segment: 1, WriterEpoch: 1, Incarnation: 1, FirstSequence: 1, FirstPosition: 1, Flags: wal.FlagRewritten | wal.FlagOpened,
		Offset: wal.SegmentHeaderSize,
	}
	b := make([]byte, wal.BatchHeaderSize)
	for {
		h, whole, ok := next(segment, &x)
		if !ok {
			header.LastChecksum = x.Previous
			return append(wal.AppendSegmentHeader(nil, &header), wal.FinishBatch(b, &merged, x.Seed)...)
		}
		merged.Events, merged.Commits = merged.Events+h.Events, merged.Commits+h.Commits
		_ = wal.Records(&h, whole, func(rec []byte, _ int) error {
			side, err := wal.ParseSide(rec)
			switch {
			case err == nil && string(side.Key) == "checkpoint":
			case wal.IsEvent(rec) && merged.Offset > 0 && len(b) == wal.BatchHeaderSize:
				note := wal.AppendPair(wal.AppendPair(nil, "by", "an operator"), "why", "a request")
				b = wal.AppendErased(b, rec, note)
				wal.SealRecord(b[wal.BatchHeaderSize:], wal.IsLast(rec))
			default:
				b = append(b, rec...) //nolint:makezero // after the header, which is filled in later
			}
			return nil
		})
		x.Advance(&h)
	}
}

func TestVersionTwoIsWrittenByteForByte(t *testing.T) {
	first, second := twoLog()
	requireGoldenFiles(t, map[string][]byte{twoFile: rewritten(first), twoOpenFile: second})
	trailer := wal.Trailer{
		Version: 2, DataEnd: 1024, NextPosition: 3, NextSequence: 4, LastTime: 5, LastChecksum: 6, WriterEpoch: 7,
		IndexLen: 8, IndexSum: 9, SidesLen: 10, SidesSum: 11, Weak: true, Incarnation: 12, Generation: 13, SideBytes: 14,
	}
	require.Equal(t, "50454e4453454132c4f38ba80000000000040000000000000300000000000000040000000000000005000000000000000600000007000000"+
		"08000000090000000a0000000b000000010000000c0000000d0000000e"+strings.Repeat("00", 43), hex.EncodeToString(wal.AppendTrailer(nil, &trailer)))
}

func TestTheGoldenSegmentsOfVersionTwoAreReadRecordByRecord(t *testing.T) {
	first := wal.Expected{
		Seed: wal.Seed(goldenStore), Segment: 1, Offset: wal.SegmentHeaderSize, Position: 1, Sequence: 1,
	}
	lines, next := story(t, twoFile, first)
	require.Equal(t, []string{
		`batch at 128, durable to 0, flags 10`,
		`event 1 order:1@shop v1 order.placed json/3 "" erased: by="an operator" why="a request" cause 0 correlation 1 depth 0 hash cc133db0`,
		`key salted of commit 1, 1 from 1, 0e2e9b41 by rule 1.`,
		`event 2 order:1@shop v2 order.placed json/3 "{\"sku\":\"lamp\"}" tenant=a cause 1 correlation 1 depth 1 hash 37d38a38`,
		`side kept="\x00\x01" in commit 3, deleted false.`,
	}, lines)
	data, err := os.ReadFile(filepath.FromSlash(twoFile))
	require.NoError(t, err)
	h, err := wal.ParseSegmentHeader(data)
	require.NoError(t, err)
	require.EqualValues(t, 3, h.Generation)
	require.EqualValues(t, 1, h.Last)

	next.Segment, next.Offset, next.Previous = 2, wal.SegmentHeaderSize, h.LastChecksum
	lines, next = story(t, twoOpenFile, next)
	require.Equal(t, []string{
		`batch at 128, durable to 0, flags 2`,
		`batch at 192, durable to 192, flags 1`,
		`event 3 order:1@shop v3 order.placed json/3 "{\"sku\":\"lamp\"}" tenant=a cause 0 correlation 3 depth 0 hash e0763457.`,
	}, lines)
	require.EqualValues(t, 4+1<<26+1, next.Sequence)
}
