package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// fenceRun drives a store through a script of fences, up to the power cut.
type fenceRun struct {
	fenceOracle

	disk  *vfs.Memory
	mode  SyncMode
	store *Store
	open  map[int]*Fence
	floor int // commits that a power cut may not take
}

// fenceStepOf is one call; an error ends the script.
type fenceStepOf func(r *fenceRun) error

// fenceScript rolls over twice, with fences that reach over the end of a segment, side values that
// are superseded, a kill, and an end in good order, each beside an open fence.
func fenceScript() []fenceStepOf {
	const a, b, c, d, e, g, h, i = 1, 2, 3, 4, 6, 7, 8, 10
	big := 30 << 10
	return []fenceStepOf{
		starts,
		commits(0, 100, "a", "b"), opens(a), commits(a, 100, "f"), commits(0, 100, "a"), commits(a, big, "g", "f"),
		commits(0, big, "c"), opens(b), commits(b, 300, "h"), ends(a, true), commits(0, 90, "f"),
		commits(b, 100, "h"), ends(b, false), commits(0, 100, "h"), commits(0, big, "c"), commits(0, 40, "g"),
		opens(c), commits(c, big, "k"), kills, starts,
		commits(0, 100, "k"), opens(d), commits(d, 100, "k"), commits(0, big, "c"), commits(d, 9000, "h"), closes, starts,
		opens(e), commits(e, 90, "s"), opens(g), commits(g, 90, "t"), commits(e, 90, "s"), ends(e, true), commits(0, 90, "s"),
		ends(g, false), commits(0, 90, "t"), opens(h), commits(h, 9, "t"), opens(i), commits(i, 9, "u"), commits(h, 9, "t"),
		ends(h, true), kills, starts,
		commits(0, 100, "k", "h"), opens(a + 4), commits(a+4, 20, "k"), commits(a+4, 20, "a"), ends(a+4, true), commits(0, 10, "k"), closes,
	}
}

func starts(r *fenceRun) (err error) {
	r.store, err = open(r.disk, crashDir, Options{Sync: r.mode, SegmentBytes: minSegmentBytes}, true)
	r.open = map[int]*Fence{}
	return err
}

func kills(r *fenceRun) error {
	killStore(r.store)
	r.leave()
	return nil
}

func closes(r *fenceRun) error {
	if err := r.store.Close(); err != nil {
		return err
	}
	r.leave()
	r.floor = len(r.ops)
	return nil
}

// leave books what is open as left by its writer.
func (r *fenceRun) leave() {
	r.store = nil
	for i := range r.ops {
		if _, open := r.open[r.ops[i].fence]; open {
			r.ops[i].fence = -1
		}
	}
	r.open = map[int]*Fence{}
}

func opens(id int) fenceStepOf {
	return func(r *fenceRun) (err error) {
		r.open[id], err = OpenFence(context.Background(), r.store, FenceOptions{Deadline: MaxFenceDeadline, Reason: "test"})
		return err
	}
}

// commits appends events of some bytes each, inside a fence or beside all.
func commits(fence, size int, entities ...string) fenceStepOf {
	return func(r *fenceRun) error {
		op := fenceOp{fence: fence, entities: entities, key: fmt.Sprint("key-", len(r.ops))}
		batch := Batch{IdempotencyKey: op.key, Events: eventsOf(entities...)}
		for i := range batch.Events {
			batch.Events[i].Payload = Raw{Type: "k", Data: make([]byte, size)}
		}
		commit := r.store.Commit
		if fence > 0 {
			commit = r.open[fence].Stage
		}
		var err error
		if op.receipt, err = commit(context.Background(), batch); err == nil || errors.Is(err, ErrOutcomeUnknown) {
			r.book(op, err)
		}
		return err
	}
}

func ends(id int, publish bool) fenceStepOf {
	return func(r *fenceRun) error {
		end := r.open[id].Cancel
		if publish {
			end = r.open[id].Publish
		}
		err := end(context.Background())
		if err == nil || errors.Is(err, ErrOutcomeUnknown) {
			r.book(fenceOp{fence: id, ends: true, publish: publish}, err)
		}
		if err == nil {
			delete(r.open, id)
		}
		return err
	}
}

func (r *fenceRun) book(op fenceOp, err error) {
	r.ops = append(r.ops, op)
	if err == nil && r.mode == SyncAlways {
		r.floor = len(r.ops)
	}
}

func TestAPowerCutAtAnyOperationPublishesAFenceWholeOrCancelsIt(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cuts := 0
				for n := 1; ; n += thinning {
					r := &fenceRun{disk: vfs.NewMemory(), mode: mode}
					r.disk.CutAt(n)
					done := r.play(t, n)
					for seed := range vfs.KeepFirst + 3 {
						if seed > vfs.KeepFirst {
							seed += uint64(2 * n)
						}
						r.recover(t, powerCutImage(t, r.disk, seed), fmt.Sprintf("cut at operation %d, image %d", n, seed))
						cuts++
					}
					if done {
						t.Logf("%d power cuts", cuts)
						return
					}
				}
			})
		})
	}
}

// play runs the script and reports whether there was no cut.
func (r *fenceRun) play(t *testing.T, n int) (done bool) {
	for i, step := range fenceScript() {
		if err := step(r); err != nil {
			require.True(t, errors.Is(err, vfs.ErrPowerCut) || errors.Is(err, ErrPoisoned), "operation %d, step %d: %v", n, i, err)
			if r.store != nil && r.store.committer != nil {
				killStore(r.store)
			}
			return false
		}
	}
	return true
}

// recover opens what the power cut has left, first for reading, and requires that it is what some
// of the commits add up to: all that were promised to survive among them. Then it continues
// writing.
func (r *fenceRun) recover(t *testing.T, disk *vfs.Memory, where string) {
	reader, err := open(disk, crashDir, Options{ReadOnly: true}, true)
	if err == nil {
		defer reader.Close()
	} else {
		require.ErrorIs(t, err, ErrNotStore, where)
	}
	o := Options{Sync: r.mode, SegmentBytes: minSegmentBytes}
	shown := Position(0)
	if reader != nil {
		shown = reader.Head()
	}
	s, err := open(disk, crashDir, o, true)
	require.NoError(t, err, where)
	k := survivors(s)
	require.GreaterOrEqual(t, k, r.floor, where)
	require.LessOrEqual(t, k, len(r.ops), where)
	after := fenceOracle{ops: append([]fenceOp(nil), r.ops[:k]...)}
	p := after.picture(k, false)
	require.NoError(t, after.verify(s, &p), where)
	require.LessOrEqual(t, shown, s.Head(), where)
	for _, entity := range []string{"f", "h", "k"} {
		got, err := s.Append(t.Context(), At(entity, "test"), Exactly(p.versions[entity]), note{})
		require.NoError(t, err, where)
		after.ops = append(after.ops, fenceOp{entities: []string{entity}, receipt: got})
	}
	f := fenceOf(t, s)
	r.stageAfter(t, f, &after)
	require.NoError(t, f.Publish(t.Context()), where)
	after.ops = append(after.ops, fenceOp{fence: 9, ends: true, publish: true})
	if r.mode == SyncAlways {
		killStore(s)
		disk = powerCutImage(t, disk, vfs.KeepNothing)
	} else {
		require.NoError(t, s.Close(), where)
	}
	s, err = open(disk, crashDir, o, true)
	require.NoError(t, err, where)
	p = after.picture(len(after.ops), false)
	require.NoError(t, after.verify(s, &p), "%s, second opening", where)
	require.NoError(t, s.Close(), where)
}

func (r *fenceRun) stageAfter(t *testing.T, f *Fence, after *fenceOracle) {
	got := stage(t, f, "f", "new")
	after.ops = append(after.ops, fenceOp{fence: 9, entities: []string{"f", "new"}, receipt: got})
}
