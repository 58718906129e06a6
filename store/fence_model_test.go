package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// fenceMachine runs a store with fences, a reader beside it, and an oracle side by side.
type fenceMachine struct {
	fenceOracle

	disk   *vfs.Memory
	store  *Store
	reader *Store
	fences map[int]*Fence // that are open
}

var fenceEntities = []string{"a", "a:1", "b", "c:1", "c:1:x"}

func (m *fenceMachine) open(t *rapid.T) {
	var err error
	m.store, err = open(m.disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	m.fences = map[int]*Fence{}
}

func (m *fenceMachine) drawBatch(t *rapid.T) (b Batch, op fenceOp) {
	op.entities = rapid.SliceOfN(rapid.SampledFrom(fenceEntities), 1, 3).Draw(t, "entities")
	b.Events = eventsOf(op.entities...)
	if rapid.IntRange(0, 3).Draw(t, "with key") == 0 {
		op.key = rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "key") + fmt.Sprint(op.entities)
		b.IdempotencyKey = op.key
	}
	if rapid.IntRange(0, 3).Draw(t, "with condition") == 0 {
		b.Conditions = []Condition{{
			Region: Region{Entity: rapid.SampledFrom(fenceEntities).Draw(t, "condition")},
			After:  Position(rapid.IntRange(0, len(m.ops)).Draw(t, "after")),
		}}
	}
	return b, op
}

// answer is what the committer must say to a batch: nil for a receipt. fence is that of the batch.
func (m *fenceMachine) answer(p *fencePicture, b *Batch, op *fenceOp) (target error, duplicate bool) {
	if by := p.reserved["key "+op.key]; op.key != "" && by > 0 && by != op.fence {
		return ErrReserved, false
	}
	if _, used := p.keys[op.key]; used && op.key != "" {
		return nil, true
	}
	for _, entity := range op.entities {
		if by := p.reserved[entity]; by > 0 && by != op.fence {
			return ErrReserved, false
		}
	}
	for _, c := range b.Conditions {
		if by, broken := m.breaker(c); broken {
			if by > 0 && by != op.fence {
				return ErrReserved, false
			}
			return ErrConflict, false
		}
	}
	return nil, false
}

// breaker returns the open fence of the first event that breaks a condition, 0 for none.
func (m *fenceMachine) breaker(c Condition) (fence int, broken bool) {
	ends := map[int]bool{}
	for _, op := range m.ops {
		if op.ends {
			ends[op.fence] = op.publish
		}
	}
	at := Position(0)
	for _, op := range m.ops {
		published, ended := ends[op.fence]
		_, open := m.fences[op.fence]
		for _, entity := range op.entities {
			if at++; at <= c.After || !c.Region.Matches(Event{Coordinate: At(entity, "test")}) {
				continue
			}
			if op.fence == 0 || ended && published {
				return 0, true
			}
			if open {
				return op.fence, true
			}
		}
	}
	return 0, false
}

func (m *fenceMachine) book(t *rapid.T, b Batch, op fenceOp, r Receipt, err error) {
	p := m.picture(len(m.ops), true)
	target, duplicate := m.answer(&p, &b, &op)
	if target != nil {
		require.ErrorIs(t, err, target)
		return
	}
	require.NoError(t, err)
	require.Equal(t, duplicate, r.Duplicate)
	if duplicate {
		return
	}
	require.Equal(t, p.assigned+Position(len(op.entities)), r.Position())
	for i, entity := range op.entities {
		p.versionsAll[entity]++
		require.Equal(t, p.versionsAll[entity], r.Events[i].Version, "the version continues what is not cancelled")
	}
	op.receipt = r
	m.ops = append(m.ops, op)
}

func (m *fenceMachine) Commit(t *rapid.T) {
	b, op := m.drawBatch(t)
	r, err := m.store.Commit(context.Background(), b)
	m.book(t, b, op, r, err)
}

func (m *fenceMachine) drawFence(t *rapid.T) (int, *Fence) {
	if len(m.fences) == 0 {
		t.Skip("no fence is open")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.fences))).Draw(t, "fence")
	return id, m.fences[id]
}

func (m *fenceMachine) Open(t *rapid.T) {
	if len(m.fences) == 2 {
		t.Skip("two are open")
	}
	f, err := OpenFence(context.Background(), m.store, FenceOptions{Deadline: MaxFenceDeadline})
	require.NoError(t, err)
	m.fenceOracle.fences++
	m.fences[m.fenceOracle.fences] = f
}

func (m *fenceMachine) Stage(t *rapid.T) {
	id, f := m.drawFence(t)
	b, op := m.drawBatch(t)
	op.fence = id
	r, err := f.Stage(context.Background(), b)
	m.book(t, b, op, r, err)
}

func (m *fenceMachine) End(t *rapid.T) {
	id, f := m.drawFence(t)
	op := fenceOp{fence: id, ends: true, publish: rapid.Bool().Draw(t, "publish")}
	if op.publish {
		require.NoError(t, f.Publish(context.Background()))
	} else {
		require.NoError(t, f.Cancel(context.Background()))
	}
	m.end(id, op)
}

// end books the end of a fence, which is a commit if something was staged.
func (m *fenceMachine) end(id int, op fenceOp) {
	delete(m.fences, id)
	if slices.ContainsFunc(m.ops, func(staged fenceOp) bool { return staged.fence == id }) {
		m.ops = append(m.ops, op)
	}
}

// Reopen closes the store, or kills it; what is open is cancelled.
func (m *fenceMachine) Reopen(t *rapid.T) {
	if rapid.Bool().Draw(t, "kill") {
		killStore(m.store)
	} else {
		require.NoError(t, m.store.Close())
	}
	m.store = nil
	m.settle()
	p := m.picture(len(m.ops), true)
	require.NoError(t, m.verify(m.reader, &p), "a reader without a writer")
	m.open(t)
}

// settle books all that is open as cancelled.
func (m *fenceMachine) settle() {
	for id := range m.fences {
		for i := range m.ops {
			if m.ops[i].fence == id { // as if the fence had ended before it began: no commit says so
				m.ops[i].fence = -1
			}
		}
	}
	m.fences = map[int]*Fence{}
}

// Roll fills a segment.
func (m *fenceMachine) Roll(t *rapid.T) {
	r, err := m.store.Append(context.Background(), At("filler", "test"), Any, Raw{Type: "filler", Data: make([]byte, 40<<10)})
	require.NoError(t, err)
	m.ops = append(m.ops, fenceOp{entities: []string{"filler"}, receipt: r})
}

func (m *fenceMachine) Check(t *rapid.T) {
	p := m.picture(len(m.ops), true)
	require.NoError(t, m.verify(m.store, &p))
	require.NoError(t, m.verify(m.reader, &p), "reader")
	require.Len(t, m.store.Stats().Fences, len(m.fences))
	require.Len(t, m.reader.Stats().Fences, len(p.open))
}

func TestAStoreWithFencesAgreesWithAPlainLogOverAnySequenceOfCalls(t *testing.T) {
	t.Run("large caches", fencesAgree)
	t.Run("caches of one", func(t *testing.T) {
		cachesOfOne(t)
		fencesAgree(t)
	})
}

func fencesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &fenceMachine{disk: vfs.NewMemory()}
		m.open(t)
		var err error
		m.reader, err = open(m.disk, logDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		defer func() {
			if _ = m.reader.Close(); m.store != nil {
				killStore(m.store)
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"": m.Check, "commit": m.Commit, "commit again": m.Commit, "open": m.Open, "stage": m.Stage, "stage again": m.Stage,
			"end": m.End, "reopen": m.Reopen, "roll": m.Roll,
		})
		m.Reopen(t)
		p := m.picture(len(m.ops), true)
		require.NoError(t, m.verifyKeys(m.store, &p))
	})
}
