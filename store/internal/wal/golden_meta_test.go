package wal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// These golden files are two segments of one log as version 1 writes them since events may have
// meta, and since keys name the rule of their digest: they have keys of both rules, each of an
// event with a schema version.
const (
	metaFile     = "testdata/v1-meta.seg"
	metaOpenFile = "testdata/v1-meta-open.seg"
)

func metaLog() *goldenLog {
	meta := wal.AppendMeta(nil, wal.AppendPair(wal.AppendPair(nil, "baggage", "ünter=1"), "traceparent", "00-4bf92f-00f067-01"))
	placed := wal.Draft{
		Entity: "order:1", Scope: "shop", Kind: "order.placed", Codec: "json", SchemaVersion: 3, Payload: []byte(`{"sku":"lamp"}`),
		Headers: wal.AppendPair(nil, "tenant", "a"),
	}
	return newGoldenLog([]goldenEvent{
		{draft: placed, version: 1},
		{draft: placed, version: 2, extensions: meta},
		{draft: placed, version: 3, extensions: append(emitted(goldenBuild, 1, 1), meta...)},
		{draft: placed, version: 4, extensions: meta},
	}, []goldenCommit{
		{batch: 0, events: 1, key: "before"},
		{batch: 1, events: 2, key: "since", rule: wal.RuleRetry},
		{batch: 2, events: 1, key: "to come", rule: wal.RuleRetry},
	})
}

func TestVersionOneWithMetaIsWrittenByteForByte(t *testing.T) {
	sealed, open := metaLog().files(2)
	requireGoldenFiles(t, map[string][]byte{metaFile: sealed, metaOpenFile: open})
}

func TestTheGoldenSegmentsWithMetaAreReadRecordByRecord(t *testing.T) {
	first := wal.Expected{
		Seed: wal.Seed(goldenStore), Segment: 1, Offset: wal.SegmentHeaderSize, Position: 1, Sequence: 1,
	}
	lines, next := story(t, metaFile, first)
	require.Contains(t, lines, "key before of commit 1, 1 from 1, 39a45409.")
	require.Contains(t, lines, "key since of commit 2, 2 from 2, 771bfb66 by rule 1.")
	next.Segment, next.Offset = 2, wal.SegmentHeaderSize
	lines, _ = story(t, metaOpenFile, next)
	require.Contains(t, lines, "key to come of commit 3, 1 from 4, 81d1740d by rule 1.")
	const meta = "0231076261676761676508c3bc6e7465723d310b747261" +
		"6365706172656e741330302d3462663932662d3030663036372d3031"
	require.Equal(t, []string{
		"event 1: ",
		"event 2: " + meta,
		"event 3: 010a1e236be6e63c9a6f0101" + meta + " = 1e236be6e63c9a6f in epoch 1, attempt 1",
	}, extensionsOf(t, metaFile, first))
}
