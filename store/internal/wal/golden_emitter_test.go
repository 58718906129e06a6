package wal_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// These golden files are two segments of one log as version 1 writes them since reactions say who
// emitted them: the sealed one has emitters, the other a tag that this version does not know.
const (
	emittersFile   = "testdata/v1-emitters.seg"
	unknownTagFile = "testdata/v1-unknown-tag.seg"

	goldenWorker = "reserve-stock"
	goldenBuild  = "0123456789abcdef0123456789abcdef01234567+dirty"
)

// emitted are the extensions of a reaction of the golden worker.
func emitted(build string, epoch uint64, attempt uint32) []byte {
	return wal.AppendEmitter(nil, &wal.Emitter{ID: wal.EmitterID(goldenWorker, build), Epoch: epoch, Attempt: attempt})
}

// registered is the side value that says what an emitter's id stands for.
func registered(build string) goldenSide {
	id := wal.EmitterID(goldenWorker, build)
	return goldenSide{"emitter/" + hex.EncodeToString(id[:]), string(wal.AppendEmitterNames(nil, goldenWorker, build)), false}
}

func emitterLog() *goldenLog {
	reserved := wal.Draft{
		Entity: "stock:lamp", Scope: "shop", Kind: "stock.reserved", Codec: "json", Depth: 1,
		Cause: goldenID(1), Correlation: goldenID(1), Payload: []byte(`{"order":1}`),
	}
	later := wal.AppendExtension(nil, 2000, []byte("of a version to come"))
	return newGoldenLog([]goldenEvent{
		{draft: wal.Draft{Entity: "order:1", Scope: "shop", Kind: "order.placed", Codec: "json", Payload: []byte(`{}`)}, version: 1},
		{draft: reserved, version: 1, extensions: emitted(goldenBuild, 1, 1)},
		{draft: reserved, version: 2, extensions: emitted("", 300, 70000)},
		{draft: reserved, version: 3, extensions: append(later, emitted(goldenBuild, 2, 1)...)},
		{draft: reserved, version: 4, extensions: later},
	}, []goldenCommit{
		{batch: 0, events: 1},
		{batch: 1, sides: []goldenSide{registered(goldenBuild)}},
		{batch: 2, events: 1, sides: []goldenSide{{"checkpoint", "at 1", false}}},
		{batch: 3, events: 1, key: "again", sides: []goldenSide{registered("")}},
		{batch: 4, events: 2},
	})
}

func TestVersionOneWithExtensionsIsWrittenByteForByte(t *testing.T) {
	sealed, open := emitterLog().files(4)
	requireGoldenFiles(t, map[string][]byte{emittersFile: sealed, unknownTagFile: open})
}

// extensionsOf are the extensions of the events of a segment, one by one, as text.
func extensionsOf(t *testing.T, name string, x wal.Expected) (lines []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	require.NoError(t, err)
	for {
		b, whole, ok := next(data, &x)
		if !ok {
			return lines
		}
		for _, rec := range records(t, &b, whole) {
			if wal.Type(rec) != wal.TypeEvent {
				continue
			}
			var e wal.Event
			require.NoError(t, wal.ParseEvent(rec, &e))
			line := fmt.Sprintf("event %d: %x", e.Position, e.Extensions)
			if by, ok := wal.ParseEmitter(e.Extensions); ok {
				line += fmt.Sprintf(" = %x in epoch %d, attempt %d", by.ID, by.Epoch, by.Attempt)
			}
			lines = append(lines, line)
		}
		x.Advance(&b)
	}
}

func TestTheGoldenSegmentsSayWhoEmittedAndKeepUnknownTags(t *testing.T) {
	first := wal.Expected{
		Seed: wal.Seed(goldenStore), Segment: 1, Offset: wal.SegmentHeaderSize, Position: 1, Sequence: 1,
	}
	require.Equal(t, []string{
		"event 1: ",
		"event 2: 010a1e236be6e63c9a6f0101 = 1e236be6e63c9a6f in epoch 1, attempt 1",
		"event 3: 010d17ba8259370ce38dac02f0a204 = 17ba8259370ce38d in epoch 300, attempt 70000",
	}, extensionsOf(t, emittersFile, first))
	lines, next := story(t, emittersFile, first)
	require.Contains(t, lines, fmt.Sprintf("side emitter/1e236be6e63c9a6f=%q in commit 2, deleted false.",
		"\x0dreserve-stock\x2e"+goldenBuild))
	require.Contains(t, lines, fmt.Sprintf("side emitter/17ba8259370ce38d=%q in commit 4, deleted false.",
		"\x0dreserve-stock\x00"))
	next.Segment, next.Offset = 2, wal.SegmentHeaderSize
	require.Equal(t, []string{
		"event 4: d00f146f6620612076657273696f6e20746f20636f6d65010a1e236be6e63c9a6f0201" +
			" = 1e236be6e63c9a6f in epoch 2, attempt 1",
		"event 5: d00f146f6620612076657273696f6e20746f20636f6d65",
	}, extensionsOf(t, unknownTagFile, next))
	lines, _ = story(t, unknownTagFile, next)
	require.Len(t, lines, 4)
}
