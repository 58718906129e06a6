package store

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// A reader that meets a segment which was rewritten before it had read it loads the log again.
func TestAReaderThatLoadsTheLogAgainHidesWhatWasCancelledMeanwhile(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Store, *Fence){
		"cancelled": func(t *testing.T, _ *Store, f *Fence) {
			t.Helper()
			require.NoError(t, f.Cancel(t.Context()))
		},
		"open": func(*testing.T, *Store, *Fence) {},
		"left open": func(t *testing.T, s *Store, _ *Fence) {
			t.Helper()
			killStore(s)
			s.closed.Store(true) // it is not killed again
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMemory()
			s, err := open(disk, logDir, smallSegments(SyncAlways), true)
			require.NoError(t, err)
			defer killStore(s)
			s.rewriter.stop.Store(true)
			put(t, s, "a")
			r := openLog(t, disk, Options{ReadOnly: true})
			checkpoints(t, s, 0, 200, 2, 900)
			f := fenceOf(t, s)
			staged := stage(t, f, "b")
			put(t, s, "c")
			s.rewriter.stop.Store(false)
			checkpoints(t, s, 200, 200, 2, 900)
			require.Positive(t, slices.Max(generations(s)))
			end(t, s, f)
			want := []string{"a", "c"}
			if name == "open" {
				want = want[:1]
			} else {
				require.Equal(t, Position(3), r.Head())
				require.Equal(t, []Range{{2, 2}}, CancelledRanges(r, 0, 100))
			}
			require.Equal(t, want, visible(t, r))
			require.NoError(t, r.CheckAnchor(t.Context(), staged.Anchor()), "assigned, if not visible")
			require.Positive(t, slices.Max(generations(r)), "it was loaded again")
		})
	}
}

// The writer has ended, and left a fence open. That it is cancelled does not depend on when the
// reader finds that a segment was rewritten.
func TestAReaderThatLoadsTheLogAgainStaysByWhatItTookForCancelled(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	s.rewriter.stop.Store(true)
	put(t, s, "a")
	r := openLog(t, disk, Options{ReadOnly: true})
	checkpoints(t, s, 0, 200, 2, 900)
	require.Equal(t, Position(1), r.Head())
	require.Empty(t, s.Stats().Fences)
	s.rewriter.stop.Store(false)
	checkpoints(t, s, 200, 200, 2, 900)
	stage(t, fenceOf(t, s), "b")
	put(t, s, "c")
	killStore(s)
	require.Equal(t, Position(3), r.Head())
	r.files.closeIdle()
	_, err = r.eventAt(1)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "c"}, visible(t, r))
	require.Equal(t, Position(3), r.Head())
}

func TestAValueThatNoFenceHasWrittenIsNotTheStateOfOne(t *testing.T) {
	state := func(s fenceState, numbers ...uint64) []byte {
		b := []byte{fenceVersion, byte(s)}
		for _, n := range numbers {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	good := state(fenceOpen, 1, 2, 5, 0, 2, 3)
	r, err := parseFence(good)
	require.NoError(t, err)
	require.Equal(t, ranges{{5, 5}, {7, 10}}, r.ranges)
	for n := range good {
		_, err := parseFence(good[:n])
		require.ErrorIs(t, err, errBadFence, "%d bytes", n)
	}
	for name, b := range map[string][]byte{
		"state that is not kept": state(fenceEnding, 1, 1, 5, 0),
		"state":                  state(fenceStates, 1, 1, 5, 0),
		"epoch":                  state(fenceOpen, 1<<32, 1, 5, 0),
		"no range":               state(fenceOpen, 1, 0),
		"more than there can be": state(fenceOpen, append([]uint64{1, maxFenceStages + 1}, slices.Repeat([]uint64{2, 0}, maxFenceStages+1)...)...),
		"position 0":             state(fenceOpen, 1, 1, 0, 3),
		"two that touch":         state(fenceOpen, 1, 2, 5, 0, 1, 3),
		"two that overlap":       state(fenceOpen, 1, 2, 5, 3, 0, 3),
		"beginning too far":      state(fenceOpen, 1, 2, 5, 0, math.MaxUint64, 0),
		"end too far":            state(fenceOpen, 1, 1, 5, math.MaxUint64-3),
		"number in two ways":     {fenceVersion, 0, 1, 1, 0x85, 0, 0},
	} {
		_, err := parseFence(b)
		require.ErrorIs(t, err, errBadFence, name)
	}
}
