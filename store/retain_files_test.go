package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// What is dropped again and again is in some files, of sizes that double.
func TestWhatStaysIsMergedInTiers(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	most, written := 0, int64(0)
	for i := range 60 {
		keyedLogFrom(t, s, 60*i, 60)
		report := dropBefore(t, s, s.Head())
		require.Positive(t, report.Segments)
		segments := *s.segments.Load()
		n := droppedOf(segments)
		most = max(most, n)
		written += batchBytes(segments[n-1])
	}
	segments := *s.segments.Load()
	var all int64
	for _, g := range segments[:droppedOf(segments)] {
		all += batchBytes(g)
	}
	require.Greater(t, s.Stats().CarriedBytes, all)
	require.Equal(t, s.first(), s.Stats().First)
	require.LessOrEqual(t, most, 7)
	require.Greater(t, most, 2)
	require.Less(t, written, 8*all)
	for i := range 3000 {
		require.Equal(t, uint64(1), version(t, s, fmt.Sprint("order:", i)))
	}
	require.NoError(t, s.Close())
}

// What is discarded must not come back from a file that is older.
func TestWhatIsDiscardedStaysSo(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o := smallSegments(SyncAlways)
	o.Clock = func() time.Time { return now }
	s, err := open(vfs.NewMemory(), logDir, o, true)
	require.NoError(t, err)
	ctx := t.Context()
	known := func(s *Store, i int) (entity, key bool) {
		_, found, err := s.findKey(fmt.Sprint("key ", i))
		require.NoError(t, err)
		return version(t, s, fmt.Sprint("order:", i)) > 0, found
	}
	was := make(map[int][2]bool)
	for i := range 40 {
		now = now.Add(24 * time.Hour)
		keyedLogFrom(t, s, 100*i, 100)
		_, err := Retain(ctx, s, nil, RetainOptions{Before: s.Head(), KeyRetention: 100 * time.Hour, EntityRetention: 200 * time.Hour})
		require.NoError(t, err)
		for j := range i {
			entity, key := known(s, 100*j)
			require.True(t, entity || i-j >= 8)
			require.True(t, key || i-j >= 4)
			before, looked := was[j]
			require.False(t, looked && (!before[0] && entity || !before[1] && key))
			was[j] = [2]bool{entity, key}
		}
		if i%10 == 9 {
			verified, err := Verify(ctx, s, VerifyOptions{})
			require.NoError(t, err)
			require.NoError(t, verified.Err())
			s = reopen(t, s)
		}
	}
	entity, key := known(s, 0)
	require.False(t, entity)
	require.False(t, key)
	carried, first := s.Stats().CarriedBytes, s.first()
	now = now.Add(1000 * time.Hour)
	report, err := Retain(ctx, s, nil, RetainOptions{KeyRetention: 100 * time.Hour, EntityRetention: 200 * time.Hour})
	require.NoError(t, err)
	require.Equal(t, RetainReport{First: first, Carried: report.Carried}, report)
	require.Less(t, report.Carried, min(carried/10, 3000))
	s = reopen(t, s)
	entity, key = known(s, 3600)
	require.False(t, entity || key)
	require.Equal(t, first, s.first())
	r := put(t, s, "order:0")
	require.Equal(t, uint64(1), r.Events[0].Version)
	for _, err := range History(ctx, s, "order:0") {
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
}

func keyedLogFrom(t *testing.T, s *Store, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		write(t, s, Batch{
			IdempotencyKey: fmt.Sprint("key ", i),
			Events:         []Proposal{{At: At(fmt.Sprint("order:", i), "shop"), Payload: Raw{Type: "order.placed", Data: make([]byte, 1300)}}},
		})
	}
}

// A damaged footer of what stays is made again from its records, as any other.
func TestTheIndexOfWhatStaysIsMadeAgain(t *testing.T) {
	s, receipts := droppedLog(t)
	disk := s.fs.(*vfs.Memory)
	trailer := (*s.segments.Load())[0].trailer.Load()
	size, err := (*s.segments.Load())[0].size()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	for name, at := range map[string]int64{
		"index": int64(trailer.DataEnd) + 700, "sides": int64(trailer.DataEnd) + int64(trailer.IndexLen) + 9, "trailer": size - 40,
	} {
		img := disk.Image(vfs.KeepAll)
		require.NoError(t, img.Corrupt(segmentPath(logDir, 1), at, 0x10))
		for _, readOnly := range []bool{true, false} {
			o := smallSegments(SyncAlways)
			o.ReadOnly = readOnly
			s, err := open(img, logDir, o, true)
			require.NoError(t, err, name)
			for i := range receipts {
				require.Equal(t, uint64(1), version(t, s, fmt.Sprint("order:", i)), name)
				k, found, err := s.findKey(fmt.Sprint("key ", i))
				require.NoError(t, err)
				require.True(t, found)
				r, err := s.storedReceipt(string(k.Key.Key), k)
				require.NoError(t, err)
				require.Equal(t, receipts[i].Events, r.Events)
			}
			if !readOnly {
				require.Equal(t, trailer, (*s.segments.Load())[0].trailer.Load(), name)
			}
			report, err := Verify(t.Context(), s, VerifyOptions{})
			require.NoError(t, err)
			require.Equal(t, name != "trailer" || readOnly, !report.Whole(), "%s: %v", name, report.Damage) // a writer makes a trailer again
			require.NoError(t, s.Close())
		}
	}
}

func TestAProgramThatDoesNotKnowRetentionIsTold(t *testing.T) {
	s, _ := droppedLog(t)
	b, err := (*s.segments.Load())[0].bytes(0, wal.SegmentHeaderSize)
	require.NoError(t, err)
	h, err := wal.ParseSegmentHeader(b)
	require.NoError(t, err)
	require.True(t, h.Dropped)
	require.Greater(t, h.Version, uint16(wal.Version), "they refuse what is above")
	require.NoError(t, s.Close())
}

func TestABackupDropsWhatTheLogHasDropped(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	keyedLog(t, s, 50)
	backedUp(t, s, "behind")
	keyedLogFrom(t, s, 1000, 150)
	backedUp(t, s, "copy")
	dropBefore(t, s, 170)
	report := backedUp(t, s, "copy")
	require.Less(t, report.Copied, 4)
	disk := s.fs.(*vfs.Memory)
	c := copyOf(t, disk, "copy")
	require.Equal(t, digest(s), digest(c))
	require.Equal(t, s.first(), c.first())
	require.Equal(t, uint64(1), version(t, c, "order:3"))
	require.NoError(t, c.Close())
	r := restored(t, disk, "copy", "back")
	require.Equal(t, s.first(), r.first())
	_, err = r.Append(t.Context(), At("order:3", "shop"), Absent, Raw{Type: "k"})
	require.ErrorIs(t, err, ErrConflict)
	require.NoError(t, r.Close())
	_, err = Backup(t.Context(), s, "behind", BackupOptions{})
	require.ErrorIs(t, err, ErrDropped, "what it has is nowhere else, and it cannot be continued")
	c = copyOf(t, disk, "behind")
	require.Equal(t, Position(1), c.first())
	require.NoError(t, c.Close())

	dropBefore(t, s, s.Head()+1) // the copy ends before the next event
	backedUp(t, s, "copy")
	c = copyOf(t, disk, "copy")
	require.Equal(t, digest(s), digest(c))
	require.NoError(t, c.Close())
	require.NoError(t, s.Close())
}

func TestALogWithoutAnyEventLeftGoesOn(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	grow(t, s, 3)
	for s.Head() != s.first()-1 {
		write(t, s, sideOf(SideWrite{Key: "fill", Value: make([]byte, 40000)}))
		dropBefore(t, s, s.Head()+1)
	}
	for range 3 {
		require.Empty(t, all(t, s, Region{}))
		require.Equal(t, s.Head()+1, s.first())
		n, err := s.Count(t.Context(), Region{}, 0, 0, 10)
		require.NoError(t, err)
		require.Zero(t, n)
		page, err := s.ReadPage(t.Context(), Region{}, 0, 0, 10)
		require.NoError(t, err)
		require.Empty(t, page.Events)
		bytes, err := s.Bytes(t.Context(), 0, 0)
		require.NoError(t, err)
		require.Zero(t, bytes)
		_, err = s.Get(t.Context(), uuid.New())
		require.ErrorIs(t, err, ErrNotFound)
		anchor, err := s.AnchorAt(t.Context(), s.Head())
		require.NoError(t, err)
		require.NoError(t, s.CheckAnchor(t.Context(), anchor))
		report, err := Verify(t.Context(), s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, report.Err())
		o := s.options
		o.ReadOnly = true
		reader := openLog(t, s.fs, o)
		require.Equal(t, digest(s), digest(reader))
		require.NoError(t, reader.Close())
		s = reopen(t, s)
	}
	last := s.Head()
	require.Equal(t, last+1, put(t, s, "next").Events[0].Position)
	require.NoError(t, s.Close())
}

// Readers go on beside drops, each event once and in order, or they are told.
func TestReadersBesideDropsMissNothingSilently(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	o := s.options
	o.ReadOnly = true
	follower := openLog(t, s.fs, o)
	ctx, stop := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	for _, st := range []*Store{s, follower} {
		go func() { failed <- follow(ctx, st) }()
	}
	for i := range 30 {
		keyedLogFrom(t, s, 100*i, 100)
		dropBefore(t, s, s.Head()-50)
	}
	stop()
	require.NoError(t, <-failed)
	require.NoError(t, <-failed)
	require.NoError(t, follower.Close())
	require.NoError(t, s.Close())
}

// follow reads all that there is, and begins again where it is told that it is late.
func follow(ctx context.Context, st *Store) error {
	at := Position(0)
	for {
		page, err := st.ReadPage(ctx, Region{}, at, 0, 20)
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case errors.Is(err, ErrDropped) && at > 0:
			at = 0
			continue
		case err != nil:
			return err
		}
		for _, e := range page.Events {
			if at > 0 && e.Position != at+1 {
				return fmt.Errorf("event %d follows %d", e.Position, at)
			}
			at = e.Position
		}
		if len(page.Events) == 0 {
			if _, err := st.Wait(ctx, at); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
		}
	}
}

func TestTheEndOfAContextOrOfTheStoreEndsADropBetweenSegments(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	keyedLog(t, s, 200)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := Retain(ctx, s, func(*Store, []string) ([]Hold, error) {
		if calls++; calls == 1 {
			cancel()
		}
		return nil, nil
	}, RetainOptions{Before: 1000})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, Position(1), s.first())
	require.Empty(t, unfinishedFiles(t, s.fs.(*vfs.Memory), logDir))
	require.NoError(t, s.Close())
}

// A file of what stays has side values, too, which an erasure may be about; and what an idempotency
// key knows of events that are erased must not stay.
func TestErasingReachesWhatStays(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	ctx := t.Context()
	write(t, s, sideOf(SideWrite{Key: "copy", Value: []byte("what is a secret")}))
	secret := write(t, s, Batch{IdempotencyKey: "secret", Events: eventsOf("customer")})
	keyedLogFrom(t, s, 0, 200)
	id := put(t, s, "customer").Events[0].ID
	_, err = Erase(ctx, s, Erasure{Events: []uuid.UUID{secret.Events[0].ID}, Reason: "asked for", By: "test"})
	require.NoError(t, err)
	dropBefore(t, s, 100)
	require.Greater(t, s.first(), Position(10))
	k, found, err := s.findKey("secret")
	require.NoError(t, err)
	require.True(t, found && k.Erased)
	g := (*s.segments.Load())[0]
	held := func() bool {
		b, err := (*s.segments.Load())[0].bytes(0, batchBytes((*s.segments.Load())[0]))
		require.NoError(t, err)
		return bytes.Contains(b, []byte("what is a secret"))
	}
	require.True(t, held())
	_, err = Erase(ctx, s, Erasure{
		Events: []uuid.UUID{id}, Reason: "asked for", By: "test",
		Sides: func(context.Context, func(Position) bool) ([]SideWrite, error) {
			return []SideWrite{{Key: "copy", Value: []byte("nothing")}}, nil
		},
	})
	require.NoError(t, err)
	require.False(t, held())
	require.NotEqual(t, g, (*s.segments.Load())[0])
	for range 2 {
		require.Equal(t, "nothing", sideText(s, "copy"))
		for i := range 200 {
			require.Equal(t, uint64(1), version(t, s, fmt.Sprint("order:", i)))
		}
		require.Equal(t, uint64(2), version(t, s, "customer"))
		report, err := Verify(ctx, s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, report.Err())
		s = reopen(t, s)
	}
	dropBefore(t, s, s.Head()) // merges it
	report, err := Verify(ctx, s, VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.NoError(t, s.Close())
}

// A state is discarded only where no file has an older one of the entity: that would come back, and
// versions would be given twice.
func TestAStateIsNotDiscardedBeforeTheOlderOnes(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o := smallSegments(SyncAlways)
	o.Clock = func() time.Time { return now }
	s, err := open(vfs.NewMemory(), logDir, o, true)
	require.NoError(t, err)
	const retention = 10 * time.Hour
	at := 0
	for _, n := range []int{2000, 200, 200, 5000} {
		put(t, s, "twice")
		keyedLogFrom(t, s, at, n)
		at += n
		now = now.Add(100 * retention)
		write(t, s, sideOf(SideWrite{Key: "clock", Value: []byte(now.String())}))
		before := version(t, s, "twice")
		_, err := Retain(t.Context(), s, nil, RetainOptions{Before: s.Head() - 50, EntityRetention: retention})
		require.NoError(t, err)
		if v := version(t, s, "twice"); v != before {
			require.Zero(t, v, "an older one has come back")
		}
	}
	require.Zero(t, version(t, s, "twice"))
	require.NoError(t, s.Close())
}

func TestAKeyOfEventsThatAreBeingErasedStaysWithoutItsDigest(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	keyedLogFrom(t, s, 0, 200)
	s.erasing.show(erasures{{events: ranges{{3, 4}}}}) // in the log, and not yet in its files
	dropBefore(t, s, 100)
	for i := range 10 {
		k, found, err := s.findKey(fmt.Sprint("key ", i))
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, i == 2 || i == 3, k.Erased)
		require.Equal(t, k.Erased, k.Digest == [32]byte{})
	}
	require.NoError(t, s.Close())
}
