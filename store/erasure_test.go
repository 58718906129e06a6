package store

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestWhatWasErasedIsInNoFileAndAllElseIsAsItWas(t *testing.T) {
	for name, inline := range map[string]bool{"inline": true, "beside": false} {
		for _, small := range []bool{false, true} {
			t.Run(fmt.Sprint(name, small), func(t *testing.T) {
				if small {
					cachesOfOne(t)
				}
				disk := vfs.NewMemory()
				s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, inline)
				require.NoError(t, err)
				of := personalLog(t, s)
				s.tasks.Wait()
				require.NotEmpty(t, filesWithSecrets(t, disk, logDir))
				before := visibleEvents(t, s)
				hashes := make(map[uuid.UUID][32]byte)
				for _, e := range before {
					hashes[e.ID] = e.Hash()
				}

				report, err := Erase(t.Context(), s, forgets("customer:7"))
				require.NoError(t, err)
				require.Len(t, report.Events, len(of))
				require.Positive(t, report.Segments)
				require.Equal(t, report.Sequence, s.Stats().Sequence)
				require.Empty(t, filesWithSecrets(t, disk, logDir))
				requireForgotten(t, before, visibleEvents(t, s), "at once")
				for _, e := range visibleEvents(t, s) {
					if was, existed := hashes[e.ID]; existed {
						require.Equal(t, was, e.Hash())
					}
				}
				requireWhole(t, s)

				s = reopen(t, s)
				requireForgotten(t, before, visibleEvents(t, s), "opened again")
				require.EqualValues(t, len(of), requireWhole(t, s).Erased)
				require.Empty(t, filesWithSecrets(t, disk, logDir))
				_, err = s.Commit(t.Context(), Batch{IdempotencyKey: "both-1", Events: eventsOf("a")})
				var reused *IdempotencyKeyReusedError
				require.ErrorAs(t, err, &reused)
				require.True(t, reused.Erased)
				again := write(t, s, Batch{IdempotencyKey: "other-1", Events: []Proposal{crashProposal("customer:70", 1, 9)}})
				require.True(t, again.Duplicate)
				require.EqualValues(t, len(of)-1, mustVersion(t, s, "customer:7"), "one was cancelled")
				write(t, s, Batch{Events: []Proposal{personal("customer:7", 5)}})
				require.Equal(t, "clean", sideText(s, namedAfter(of[len(of)-5])))
			})
		}
	}
}

func mustVersion(t *testing.T, s *Store, entity string) uint64 {
	t.Helper()
	v, err := s.Version(t.Context(), entity)
	require.NoError(t, err)
	return v
}

// After any power cut the erasure is there, for readers at once and on the disk once a writer has
// opened it, or there is nothing of it.
func TestAPowerCutLeavesAnErasureDoneOrNotDone(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := vfs.NewMemory()
				s, err := open(base, logDir, smallSegments(mode), true)
				require.NoError(t, err)
				personalLog(t, s)
				before := visibleEvents(t, s)
				require.NoError(t, s.Close())
				base = base.Image(vfs.KeepAll)
				x := erasureCuts{t: t, mode: mode, before: before}
				for n := 1; x.cutAt(base, n); n += thinning {
				}
				require.Positive(t, x.done)
				require.Positive(t, x.undone)
				t.Logf("%d power cuts, %d of them while it was finished: %d had done it, %d had not", x.cuts, x.nested, x.done, x.undone)
			})
		})
	}
}

type erasureCuts struct {
	t      *testing.T
	mode   SyncMode
	before []Event

	cuts, nested, done, undone int
}

// cutAt cuts the power at operation n after the opening, and returns false if there are fewer.
func (x *erasureCuts) cutAt(base *vfs.Memory, n int) bool {
	disk := base.Image(vfs.KeepAll)
	s, err := open(disk, logDir, smallSegments(x.mode), true)
	require.NoError(x.t, err)
	from := disk.Ops()
	disk.CutAt(from + n)
	report, err := Erase(x.t.Context(), s, forgets("customer:7"))
	killStore(s)
	if disk.Ops() < from+n {
		require.NoError(x.t, err)
		require.NotZero(x.t, report.Sequence)
		return false
	}
	for seed := range uint64(3) {
		seed += seed / 3 * uint64(n)
		x.cuts++
		where := fmt.Sprintf("cut at operation %d (%s), image %d", n, lastOf(disk.Trace()), seed)
		img := powerCutImage(x.t, disk, seed)
		begun := x.look(img, where)
		if x.mode == SyncAlways && report.ID != uuid.Nil {
			require.True(x.t, begun, "%s: it was acknowledged", where)
		}
		if seed == uint64(n)%3 {
			x.cutFinishing(img, begun, where)
		}
		x.finish(img, begun, where)
	}
	return true
}

// look opens a log for reading and returns whether the erasure has begun: if so it shows.
func (x *erasureCuts) look(disk *vfs.Memory, where string) (begun bool) {
	r, err := open(disk, logDir, Options{ReadOnly: true}, true)
	require.NoError(x.t, err, where)
	now := visibleEvents(x.t, r)
	if _, begun = now[0].Erased(); begun {
		requireForgotten(x.t, x.before, now, where)
	} else {
		require.Equal(x.t, len(x.before), len(now), where)
		for i := range now {
			require.Equal(x.t, x.before[i].record, now[i].record, where)
		}
	}
	require.NoError(x.t, r.Close())
	return begun
}

// finish opens the log for writing: what was begun is done then, and what was not can be.
func (x *erasureCuts) finish(disk *vfs.Memory, begun bool, where string) {
	s, err := open(disk, logDir, smallSegments(x.mode), true)
	require.NoError(x.t, err, where)
	require.NoError(x.t, s.Stats().Erasing, where)
	if !begun {
		x.undone++
		_, err := Erase(x.t.Context(), s, forgets("customer:7"))
		require.NoError(x.t, err, where)
	} else {
		x.done++
	}
	require.Empty(x.t, filesWithSecrets(x.t, disk, logDir), where)
	requireForgotten(x.t, x.before, visibleEvents(x.t, s), where)
	requireWhole(x.t, s)
	put(x.t, s, "order:1")
	require.NoError(x.t, s.Close(), where)
	require.Empty(x.t, filesWithSecrets(x.t, disk, logDir), where)
}

// cutFinishing cuts the power while the next opening finishes it.
func (x *erasureCuts) cutFinishing(base *vfs.Memory, begun bool, where string) {
	for m := 1; ; m += 11 * min(thinning, 5) {
		disk := base.Image(vfs.KeepAll)
		disk.CutAt(m)
		s, err := open(disk, logDir, smallSegments(x.mode), true)
		if err == nil {
			killStore(s)
		}
		if disk.Ops() < m {
			require.NoError(x.t, err, where)
			return
		}
		x.nested++
		again := fmt.Sprintf("%s, then at %d (%s)", where, m, lastOf(disk.Trace()))
		img := powerCutImage(x.t, disk, uint64(m))
		require.Equal(x.t, begun, x.look(img, again), again)
		x.finish(img, begun, again)
	}
}

func TestAnErasureNamesWhatItNeeds(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	for _, e := range []Erasure{
		{Reason: "r", By: "b"}, {Entity: "a", By: "b"}, {Entity: "a", Reason: "r"}, {Entity: "a", Reason: "r\n", By: "b"},
	} {
		_, err := Erase(t.Context(), s, e)
		require.ErrorIs(t, err, ErrInvalid)
	}
	for _, e := range []Erasure{forgets("b"), {Events: []uuid.UUID{{1}}, Reason: "r", By: "b"}} {
		_, err := Erase(t.Context(), s, e)
		require.ErrorIs(t, err, ErrNotFound)
	}
	_, err := Erase(t.Context(), openLog(t, s.fs, Options{ReadOnly: true}), forgets("a"))
	require.ErrorIs(t, err, ErrReadOnly)
}
