package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// verified is what Verify finds in a store.
func verified(t require.TestingT, st *Store, o VerifyOptions) VerifyReport {
	r, err := Verify(context.Background(), st, o)
	require.NoError(t, err)
	return r
}

// requireWhole requires that nothing is wrong with a log.
func requireWhole(t require.TestingT, st *Store) VerifyReport {
	r := verified(t, st, VerifyOptions{})
	require.NoError(t, r.Err())
	require.Zero(t, r.Unlinked)
	require.Equal(t, st.Head(), r.Head)
	require.EqualValues(t, st.Head(), r.Events)
	return r
}

// requireIntact requires that there is no damage. Some events may have been dropped.
func requireIntact(t require.TestingT, st *Store) VerifyReport {
	r := verified(t, st, VerifyOptions{})
	require.NoError(t, r.Err())
	return r
}

// verifiedLog is a log of several segments, with keys, side values, emitters and causes; closed.
func verifiedLog(t *testing.T, segments int) *vfs.Memory {
	t.Helper()
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	for i := 0; s.Stats().Segments < segments || i%40 < 5; i++ {
		b := Batch{IdempotencyKey: fmt.Sprint("key ", i), Events: []Proposal{
			{At: At(fmt.Sprint("order:", i%5), "shop"), Payload: note{Text: "<lamp> & co"}, Headers: map[string]string{"n": fmt.Sprint(i)}},
			{At: At("binary", "shop"), Payload: Raw{Type: "blob", Codec: "raw", Data: make([]byte, 900)}, Meta: map[string]string{"trace": "é"}},
			{
				At: At("stock", "shop"), Payload: Raw{Type: "counted", Data: []byte(`{ "spaces" : [1, 2.50] }`)},
				Emitter: &Emitter{Worker: "count", Build: "v1", Epoch: 3, Attempt: 1},
			},
		}}
		if i > 0 {
			first, err := s.GetAt(t.Context(), 1)
			require.NoError(t, err)
			b.Events[1].Causation = first.Causation()
		}
		b.Sides = []SideWrite{
			{Key: "short", Value: fmt.Append(nil, i)},
			{Key: fmt.Sprint("long/", i%3), Value: append(make([]byte, 100), 0xff, byte(i))},
		}
		write(t, s, b)
	}
	require.NoError(t, s.Close())
	return disk.Image(vfs.KeepAll)
}

func TestNothingIsWrongWithALogThatWasWrittenInAnyMode(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		disk, _ := writtenDisk(t, mode, 6)
		st := mustOpen(t, disk, mode)
		r := requireWhole(t, st)
		require.NotZero(t, r.Keys)
		require.NotZero(t, r.Sides)
		require.Greater(t, r.Segments, 3)
		require.NoError(t, st.Close())
		cold, err := verifyDir(t.Context(), disk, crashDir, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, cold.Err())
		require.Equal(t, r.Events, cold.Events)
	}
}

func TestNothingIsWrongWithALogThatWasRewrittenAndMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newCrashRun(vfs.NewMemory(), SyncAlways)
		for _, step := range rewritingScript(6)[:100] {
			require.NoError(t, step(r))
		}
		require.Positive(t, slices.Max(generations(r.st)))
		requireWhole(t, r.st)
		require.NoError(t, r.end())
	})
}

func TestChainsOfMoreEntitiesThanThereIsRoomForAreCheckedInFurtherPasses(t *testing.T) {
	disk := verifiedLog(t, 2)
	s := openLog(t, disk, Options{ReadOnly: true})
	want := requireWhole(t, s)
	var told []int64
	got := verified(t, s, VerifyOptions{Entities: 1, Progress: func(done, total int64) {
		require.LessOrEqual(t, done, total)
		told = append(told, done)
	}})
	require.Equal(t, want, got)
	require.Greater(t, told[len(told)-1], 4*want.Bytes)
	require.True(t, slices.IsSorted(told))
}

// forged is a disk on which the records of the last batch with events were changed, with checksums
// that are right again. The log was killed before it was closed, so that no batch continues that
// one.
func forged(t *testing.T, change func(rec []byte) []byte) *vfs.Memory {
	t.Helper()
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	write(t, s, Batch{Events: eventsOf("a", "b")})
	write(t, s, Batch{Events: eventsOf("a", "b", "a")})
	at, seed := s.committer.writer.last, s.committer.writer.next.Seed
	killStore(s)
	data := disk.Bytes(segmentPath(logDir, 1))
	h, batch, err := wal.ParseBatch(data[at:], seed, 1, at)
	require.NoError(t, err)
	made := bytes.Clone(batch[:wal.BatchHeaderSize])
	require.NoError(t, wal.Records(&h, batch, func(rec []byte, _ int) error {
		last := wal.IsLast(rec)
		start := len(made)
		made = append(made, change(slices.Clone(rec))...)
		wal.SealRecord(made[start:], last)
		return nil
	}))
	made = wal.FinishBatch(made, &h, seed)
	end := at + int64(len(batch))
	clear(data[at:end])
	copy(data[at:], made)
	return replaced(t, disk.Image(vfs.KeepAll), segmentPath(logDir, 1), data)
}

func TestAnEventThatWasChangedWithAllChecksumsBreaksTheChainOfItsEntity(t *testing.T) {
	disk := forged(t, func(rec []byte) []byte {
		if wal.Type(rec) == wal.TypeEvent && wal.Position(rec) == 4 {
			wal.Payload(rec)[2] ^= 1
		}
		return rec
	})
	for _, entities := range []int{0, 1} {
		r := verified(t, openLog(t, disk.Image(vfs.KeepAll), Options{ReadOnly: true}), VerifyOptions{Entities: entities})
		require.Len(t, r.Damage, 1)
		d := r.Damage[0]
		require.Equal(t, BrokenChain, d.Kind)
		require.Equal(t, "b", d.Entity)
		require.Equal(t, Position(4), d.First)
		require.Equal(t, uint32(1), d.Segment)
		require.NotZero(t, d.Offset)
		require.ErrorIs(t, r.Err(), ErrCorrupt)
	}
}

func TestAnErasedEventIsVerifiedByTheDigestThatItKeeps(t *testing.T) {
	disk := forged(t, erase(4))
	r := requireWhole(t, openLog(t, disk, Options{ReadOnly: true}))
	require.EqualValues(t, 1, r.Erased)
}

// erase returns a change that erases the event at a position.
func erase(p uint64) func(rec []byte) []byte {
	return func(rec []byte) []byte {
		if wal.IsEvent(rec) && wal.Position(rec) == p {
			return wal.AppendErased(nil, rec, wal.AppendPair(nil, "why", "asked for"))
		}
		return rec
	}
}

func TestVerifyingBesideAWriterThatAppendsAndRewritesFindsNothingWrong(t *testing.T) {
	fsys := vfs.NewMemory()
	s := openLog(t, fsys, Options{SegmentBytes: minSegmentBytes})
	write(t, s, Batch{Events: eventsOf("a", "b")})
	r := openLog(t, fsys, Options{ReadOnly: true})
	for i := range 30 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for j := range 60 {
				sides := []SideWrite{{Key: "key", Value: make([]byte, 900)}}
				if j%20 == 0 {
					_, _ = s.Commit(t.Context(), Batch{Events: eventsOf("a", fmt.Sprint(i)), Sides: sides})
				}
				_, _ = s.Commit(t.Context(), Batch{Lazy: true, Sides: sides})
			}
		}()
		for _, st := range []*Store{s, r} {
			report := verified(t, st, VerifyOptions{Entities: 3})
			require.NoError(t, report.Err())
		}
		<-done
	}
	requireWhole(t, s)
	requireWhole(t, r)
}

func TestVerifyingEndsWithItsContextAndWithTheStore(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Verify(ctx, s, VerifyOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Close())
	_, err = Verify(t.Context(), s, VerifyOptions{})
	require.ErrorIs(t, err, ErrClosed)
}

func TestGoldenLogsOfAllVersionsAreWhole(t *testing.T) {
	for _, dir := range []string{goldenDir(t), goldenCopy(t)} {
		r, err := VerifyDir(t.Context(), dir, VerifyOptions{})
		require.NoError(t, err, dir)
		require.NoError(t, r.Err(), dir)
		require.NotZero(t, r.Events, dir)
	}
}
