package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// copiesOf makes a copy of the log in each way that there is, and opens it for writing.
func copiesOf(t *testing.T, disk *vfs.Memory, s *Store) map[string]*Store {
	t.Helper()
	backedUp(t, s, "copy")
	shipOnce(t, s, depotOn(t, disk))
	_, err := RestoreFrom(t.Context(), depotOn(t, disk), "shipped", onDisk(disk))
	require.NoError(t, err)
	return map[string]*Store{
		"cp -r":       mustOpenAt(t, disk.Image(vfs.KeepAll), logDir),
		"Backup":      mustOpenAt(t, disk.Image(vfs.KeepAll), "copy"),
		"Restore":     restored(t, disk, "copy", "back"),
		"RestoreFrom": mustOpenAt(t, disk, "shipped"),
	}
}

// The reader stands at an event that the copy has, and has seen one that is cancelled there.
func TestAReaderThatHasSeenWhatACopyHidesIsForeignThere(t *testing.T) {
	for _, publish := range []bool{true, false} {
		disk := vfs.NewMemory()
		s := mustOpenAt(t, disk, logDir)
		before := put(t, s, "a")
		f := fenceOf(t, s)
		staged := stage(t, f, "b")
		last := put(t, s, "c")
		copies := copiesOf(t, disk, s)
		end := f.Cancel
		if publish {
			end = f.Publish
		}
		require.NoError(t, end(t.Context()))
		seen, err := s.AnchorAt(t.Context(), last.Position())
		require.NoError(t, err)
		require.Equal(t, publish, seen.Hidden == "0")
		for how, c := range copies {
			err := c.CheckAnchor(t.Context(), seen)
			require.Equal(t, publish, errors.Is(err, ErrForeignHistory), "%s: %v", how, err)
			require.True(t, publish || err == nil, "%s: %v", how, err)
			there, err := c.AnchorAt(t.Context(), last.Position())
			require.NoError(t, err)
			require.Equal(t, publish, errors.Is(s.CheckAnchor(t.Context(), there), ErrForeignHistory), how)

			old := seen
			old.Hidden = ""
			for _, a := range []Anchor{old, before.Anchor(), staged.Anchor(), last.Anchor()} {
				require.NoError(t, c.CheckAnchor(t.Context(), a), "%s: it does not say what is hidden", how)
			}
			require.NoError(t, c.Close())
		}
		require.NoError(t, s.Close())
	}
}

// The reader has read a copy, which no writer has open, and comes back to the log.
func TestAnAnchorThatSaysWhatIsHiddenIsJudgedWhenTheFenceBeforeItHasEnded(t *testing.T) {
	for name, end := range map[string]func(*Fence, context.Context) error{"published": (*Fence).Publish, "cancelled": (*Fence).Cancel} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := vfs.NewMemory()
				s := openLog(t, disk, Options{})
				r := openLog(t, disk, Options{ReadOnly: true})
				f := fenceOf(t, s)
				stage(t, f, "a")
				last := put(t, s, "b").Position()
				seen, err := openLog(t, disk.Image(vfs.KeepAll), Options{ReadOnly: true}).AnchorAt(t.Context(), last)
				require.NoError(t, err)

				ended, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				for _, st := range []*Store{s, r} {
					err := st.CheckAnchor(ended, seen)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.NotErrorIs(t, err, ErrForeignHistory, "nothing is known of it")
				}
				answers := make(chan error, 2)
				for _, st := range []*Store{s, r} {
					go func() { answers <- st.CheckAnchor(t.Context(), seen) }()
				}
				time.Sleep(time.Second)
				require.Empty(t, answers)
				require.NoError(t, end(f, t.Context()))
				for range 2 {
					require.Equal(t, name == "published", errors.Is(<-answers, ErrForeignHistory))
				}
			})
		})
	}
}

// In a weak mode a power cut may take the end of a fence that readers have seen, and no more.
func TestAReaderThatHasSeenAFenceWhoseEndAPowerCutTookIsForeign(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{Sync: SyncNever})
	put(t, s, "a")
	f := fenceOf(t, s)
	stage(t, f, "b")
	last := put(t, s, "c").Position()
	require.NoError(t, f.Publish(t.Context()))
	seen, err := s.AnchorAt(t.Context(), last)
	require.NoError(t, err)
	valid, hidden := 0, 0
	for seed := range uint64(60) {
		c := mustOpenAt(t, disk.Image(seed), logDir)
		err := c.CheckAnchor(t.Context(), seen)
		switch shown := len(visible(t, c)); {
		case shown == 3:
			valid++
			require.NoError(t, err)
		case c.lastAssigned() == last:
			hidden++
			fallthrough
		default:
			require.ErrorIs(t, err, ErrForeignHistory)
		}
		require.NoError(t, c.Close())
	}
	require.Positive(t, valid)
	require.Positive(t, hidden)
}

// One event is lost that a fence had hidden, and one that readers have seen. What damage takes is
// no part of what an anchor says.
func TestAReaderContinuesOverALogThatWasRepaired(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	f := fenceOf(t, s)
	stage(t, f, "hidden")
	stage(t, f, "hidden, too")
	require.NoError(t, f.Cancel(t.Context()))
	put(t, s, "lost")
	grow(t, s, 3) // the state of the fence is not in the segment that is damaged
	g := (*s.segments.Load())[0]
	var offsets []int64
	for _, p := range []Position{1, 3} {
		e, err := s.eventAt(p)
		require.NoError(t, err)
		offsets = append(offsets, int64(bytes.Index(disk.Bytes(segmentPath(logDir, g.number)), e.record))+20)
	}
	seen, err := s.AnchorAt(t.Context(), s.Head())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	for _, at := range offsets {
		flip(t, disk, segmentPath(logDir, g.number), at)
	}
	after, report, err := repaired(t, disk)
	require.NoError(t, err)
	require.Equal(t, []Range{{1, 1}, {3, 3}}, report.Lost)
	r := openRepaired(t, after)
	require.Equal(t, []Range{{1, 3}}, CancelledRanges(r, 0, 3))
	require.NoError(t, r.CheckAnchor(t.Context(), seen))
	require.NoError(t, r.Close())
}

func TestWhatIsHiddenIsNamedByRangesInOneWay(t *testing.T) {
	require.Equal(t, "0", ranges(nil).digest())
	known := map[string]bool{}
	for _, r := range []ranges{{{1, 1}}, {{2, 2}}, {{1, 2}}, {{1, 1}, {3, 3}}, {{1, 3}}, {{1 << 62, 1<<63 - 1}}, {{1, 1<<64 - 2}}} {
		text := r.digest()
		require.False(t, known[text])
		require.LessOrEqual(t, len(text), MaxHiddenBytes)
		known[text] = true
	}
	all := ranges{{1, 2}, {5, 9}}
	require.Equal(t, all, all.without(nil))
	require.Equal(t, ranges{{1, 1}, {5, 6}, {9, 9}}, all.without(ranges{{2, 3}, {7, 8}}))
	require.Empty(t, all.without(ranges{{1, 100}}))
}

// witness is what a reader has kept: where it stands, and what it has seen.
type witness struct {
	anchor Anchor
	seen   []uuid.UUID
}

// copiedLog is a store, and what it must show.
type copiedLog struct {
	*Store
	events []copiedEvent // by position, from 1
	fences []*Fence
}

type copiedEvent struct {
	id     uuid.UUID
	fence  *Fence // that it is staged in, nil once that has ended
	hidden bool
}

// shows returns the ids of what is visible up to a position.
func (m *copiedLog) shows(upTo Position) (ids []uuid.UUID) {
	for _, e := range m.events[:min(int(upTo), len(m.events))] {
		if !e.hidden {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// cut cancels what is open, as in a copy and after a crash.
func (m *copiedLog) cut() {
	m.fences, m.events = nil, slices.Clone(m.events)
	for i := range m.events {
		e := &m.events[i]
		e.hidden, e.fence = e.hidden || e.fence != nil, nil
	}
}

// copyModel is a log with fences, of which copies are made, which are logs then.
type copyModel struct {
	*rand.Rand
	t         *testing.T
	logs      []*copiedLog
	witnesses []witness
	copies    int
	dropped   int
}

// step does something to a log, or makes another one.
func (m *copyModel) step() {
	s := m.logs[m.IntN(len(m.logs))]
	switch n := m.IntN(24); {
	case n < 6:
		m.add(s, nil)
	case n < 8 && len(s.fences) < 3:
		s.fences = append(s.fences, fenceOf(m.t, s.Store))
	case n < 12 && len(s.fences) > 0:
		m.add(s, s.fences[m.IntN(len(s.fences))])
	case n < 15 && len(s.fences) > 0:
		m.end(s, m.IntN(len(s.fences)))
	case n < 19:
		m.observe(s)
	case n < 21 && len(m.logs) < 6:
		m.logs = append(m.logs, m.copy(s))
	case n == 21:
		report, err := Retain(m.t.Context(), s.Store, nil, RetainOptions{Before: Position(m.Uint64N(uint64(s.Head()) + 1))})
		require.NoError(m.t, err)
		m.dropped += report.Segments
	case n == 22:
		killStore(s.Store)
		s.cut()
		s.Store = mustOpenAt(m.t, s.fs.(*vfs.Memory), s.path)
	}
}

// add appends an event, in a fence unless that is nil. The entity may be reserved.
func (m *copyModel) add(s *copiedLog, f *Fence) {
	commit := s.Commit
	if f != nil {
		commit = f.Stage
	}
	payload := crashPayload(m.IntN(100), m.IntN(6000))
	r, err := commit(m.t.Context(), Batch{Events: []Proposal{{At: At(fmt.Sprint("e", m.IntN(50)), "shop"), Payload: payload}}})
	if err != nil {
		require.ErrorIs(m.t, err, ErrReserved)
		return
	}
	require.EqualValues(m.t, len(s.events)+1, r.Position())
	s.events = append(s.events, copiedEvent{id: r.Events[0].ID, fence: f})
}

func (m *copyModel) end(s *copiedLog, i int) {
	f, publish := s.fences[i], m.IntN(2) == 0
	end := f.Cancel
	if publish {
		end = f.Publish
	}
	require.NoError(m.t, end(m.t.Context()))
	s.fences = slices.Delete(s.fences, i, i+1)
	for i := range s.events {
		if e := &s.events[i]; e.fence == f {
			e.fence, e.hidden = nil, !publish
		}
	}
}

// observe has a reader stop somewhere, mostly at the head.
func (m *copyModel) observe(s *copiedLog) {
	p := s.Head()
	if m.IntN(3) == 0 {
		p = max(First(s.Store)-1, Position(m.Uint64N(uint64(p)+1)))
	}
	a, err := s.AnchorAt(m.t.Context(), p)
	require.NoError(m.t, err)
	m.witnesses = append(m.witnesses, witness{a, s.shows(p)})
}

func (m *copyModel) copy(s *copiedLog) *copiedLog {
	m.copies++
	t, disk, name := m.t, s.fs.(*vfs.Memory), fmt.Sprint("copy ", m.copies)
	c := &copiedLog{events: s.events}
	c.cut()
	switch m.IntN(4) {
	case 0:
		c.Store = mustOpenAt(t, disk.Image(vfs.KeepAll), s.path)
	case 1:
		backedUp(t, s.Store, name)
		c.Store = mustOpenAt(t, disk, name)
	case 2:
		backedUp(t, s.Store, name)
		_, err := Restore(t.Context(), name, name+" restored", onDisk(disk))
		require.NoError(t, err)
		c.Store = mustOpenAt(t, disk, name+" restored")
	default:
		depot, err := openDepot(disk, name)
		require.NoError(t, err)
		shipOnce(t, s.Store, depot)
		_, err = RestoreFrom(t.Context(), depot, name+" restored", onDisk(disk))
		require.NoError(t, err)
		c.Store = mustOpenAt(t, disk, name+" restored")
	}
	return c
}

// judge compares what a log says of a reader with what that has seen.
func (m *copyModel) judge(s *copiedLog, w *witness) (valid bool) {
	err := s.CheckAnchor(m.t.Context(), w.anchor)
	p := int(w.anchor.Position)
	switch there := p == 0 || p <= len(s.events) && s.events[p-1].id == w.anchor.Event; {
	case p > 0 && w.anchor.Position < First(s.Store)-1:
		require.ErrorIs(m.t, err, ErrDropped)
	case there && slices.Equal(w.seen, s.shows(w.anchor.Position)):
		require.NoError(m.t, err)
		return true
	default:
		require.ErrorIs(m.t, err, ErrForeignHistory)
	}
	return false
}

// Logs with fences are copied in every way, at any time, killed, and go on by themselves; so are
// the copies. Readers stop here and there, and may go on wherever what they have seen is what there
// is.
func TestAReaderContinuesInEveryCopyThatShowsWhatItHasSeenAndInNoOther(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("PENSTOCK_SEED=%d", seed)
	rounds := 12
	if soaking() {
		rounds = 2000
	}
	valid, judged, dropped := 0, 0, 0
	for round := range rounds {
		m := &copyModel{Rand: rand.New(rand.NewPCG(seed, uint64(round))), t: t}
		m.logs = []*copiedLog{{Store: mustOpenAt(t, vfs.NewMemory().Untraced(), logDir)}}
		for range 150 {
			m.step()
		}
		for _, s := range m.logs {
			for len(s.fences) > 0 {
				m.end(s, 0)
			}
			for i := range m.witnesses {
				if judged++; m.judge(s, &m.witnesses[i]) {
					valid++
				}
			}
		}
		for _, s := range m.logs {
			require.NoError(t, s.Close())
		}
		dropped += m.dropped
	}
	require.Positive(t, valid)
	require.Less(t, valid, judged)
	t.Logf("%d of %d anchors were valid, %d segments were dropped", valid, judged, dropped)
}
