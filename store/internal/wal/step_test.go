package wal

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStepsLeadFromTheFirstBatchToTheLastWhateverThePadding(t *testing.T) {
	b := make([]byte, SegmentHeaderSize)
	starts := map[int64]bool{}
	for size := range 40 {
		starts[int64(len(b))] = true
		batch := make([]byte, BatchHeaderSize)
		for range 2 {
			at := len(batch)
			batch = AppendSide(batch, "key", make([]byte, size), false)
			SealRecord(batch[at:], true)
		}
		at := len(batch)
		batch = AppendEvent(batch, &Draft{Entity: "e", Scope: "s", Kind: "k", Codec: "c", Payload: make([]byte, size)})
		SealRecord(batch[at:], true)
		h := BatchHeader{Segment: 1, Offset: uint32(len(b)), Commits: 3, Events: 1}
		b = slices.Concat(b, FinishBatch(batch, &h, 7))
	}
	whole, inside := 0, 0
	for at := int64(SegmentHeaderSize); at < int64(len(b)); whole++ { // over the batches
		require.True(t, starts[at], at)
		step, events := Step(b[at:], at)
		require.EqualValues(t, 1, events)
		at += int64(step)
	}
	require.Equal(t, len(starts), whole)
	found := 0
	for at := int64(SegmentHeaderSize); at < int64(len(b)); inside++ { // and through them
		step, events := Step(b[at:], at)
		if BatchLength(b[at:]) > 0 {
			require.True(t, starts[at], at)
			step = BatchHeaderSize
			delete(starts, at)
		} else {
			found += int(events)
		}
		require.Positive(t, step, at)
		at += int64(step)
	}
	require.Empty(t, starts)
	require.GreaterOrEqual(t, inside, 4*whole)
	require.Equal(t, whole, found)
	step, events := Step(make([]byte, 64), 8)
	require.Zero(t, step+int(events), "zeros where a batch could begin are the end")
}
