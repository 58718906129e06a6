package cursor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

const build = "0123abcd+dirty"

// counted is a reaction that says itself at which run of the handler it was made, and by which
// runner.
type counted struct {
	For   store.Position
	Run   uint32
	Epoch uint64
}

func (counted) Kind() string { return "stock.reserved" }

// requireEmitters compares what the reactions say themselves with what their emitters say.
func requireEmitters(t tb, st *store.Store) (runs []uint32) {
	t.Helper()
	for e, err := range st.Read(t.Context(), stocks, store.Beginning()) {
		require.NoError(t, err)
		var body counted
		require.NoError(t, json.Unmarshal(e.Payload, &body))
		want := store.Emitter{Worker: "reserve", Build: build, Epoch: body.Epoch, Attempt: body.Run}
		by, ok := e.Emitter()
		require.True(t, ok, "event %d", e.Position)
		require.Equal(t, want, by, "reaction to event %d", body.For)
		runs = append(runs, by.Attempt)
	}
	return runs
}

// tally is a handler that counts its runs at each event and does what it is told to at some.
type tally struct {
	runs map[store.Position]uint32 // since the last commit of the event
	does func(p store.Position) string
}

func newTally() *tally {
	return &tally{runs: map[store.Position]uint32{}, does: func(store.Position) string { return "" }}
}

func (c *tally) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	own, _ := b.AtLeastOnce()
	for _, e := range b.Events {
		c.runs[e.Position]++
	}
	untried := func(from int) { // the runner hears that the handler did not come to these
		for _, e := range b.Events[from:] {
			c.runs[e.Position]--
		}
	}
	for i := range b.Events {
		at := b.Events[i].Position
		p := store.Proposal{
			At:      store.At("stock:lamp", "shop"),
			Payload: counted{For: at, Run: c.runs[at], Epoch: own.Epoch},
			Emitter: &store.Emitter{}, // not the handler's to say
		}
		switch c.does(at) {
		case "named error":
			b.Propose(i, p)
			untried(i + 1)
			return cursor.Continue, cursor.FailedAt(i, errBroken)
		case "error":
			b.Propose(i, p)
			return cursor.Continue, errBroken
		case "named panic":
			b.Begin(i)
			untried(i + 1)
			panic("broken")
		case "panic":
			panic("broken")
		case "race":
			p.Expect = store.Exactly(1 << 40)
		case "invalid":
			p.At.Entity = ""
		case "rollback":
			return cursor.StopWithRollback, nil
		}
		b.Propose(i, p)
	}
	return cursor.Continue, nil
}

func (c *tally) worker() cursor.Worker {
	return cursor.Worker{Name: "reserve", Region: orders, Handle: c.handle, BatchSize: 4}.WithBuild(build)
}

func TestEachReactionNamesWorkerBuildAndEpoch(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	c := newTally()
	w := c.worker()
	r := runner(t, st, w)
	require.Equal(t, uint64(1), r.Progress().Epoch)
	drain(t, r)
	fill(t, st, 3, 0)
	drain(t, runner(t, st, w))
	require.Equal(t, []uint32{1, 1, 1, 1, 1, 1}, requireEmitters(t, st))

	require.Equal(t, 1, emittersKnown(st), "worker and build are kept once")
}

func emittersKnown(st *store.Store) (n int) {
	for _, err := range st.Sides("emitter/") {
		if err == nil {
			n++
		}
	}
	return n
}

func TestTheNamesOfAnEmitterAreInTheCommitOfItsFirstReaction(t *testing.T) {
	st := open(t)
	fill(t, st, 2, 0)
	c := newTally()
	c.does = func(store.Position) string { return "invalid" }
	w := c.worker()
	w.BatchSize = 1
	r := runner(t, st, w)
	require.Zero(t, emittersKnown(st), "a worker that emits nothing is not introduced")
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, store.ErrInvalid)
	require.Zero(t, emittersKnown(st), "nor one whose reactions are refused")

	c.does = func(store.Position) string { return "" }
	before := st.Stats().Sequence
	_, err = r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, before+1, st.Stats().Sequence)
	require.Equal(t, 1, emittersKnown(st))
	require.NoError(t, applyCold(t.Context(), st, "reserve", checkpoint.Delete{}))
	require.Equal(t, 1, emittersKnown(st), "events name their emitter for longer than a checkpoint lasts")

	w = w.WithBuild("another")
	drain(t, runner(t, st, w))
	require.Equal(t, 2, emittersKnown(st))
}

func TestReactionsAfterARewindAndOfABackfillNameTheirEmitterToo(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	_, err := st.Append(t.Context(), store.At("order:9", "shop"), store.Any, cancelled{})
	require.NoError(t, err)
	c := newTally()
	w := c.worker()
	w.Kinds = []string{"order.placed"}
	r := runner(t, st, w)
	drain(t, r)
	clear(c.runs)
	require.NoError(t, apply(t.Context(), r, checkpoint.Rewind{To: 1, Emit: true}))
	drain(t, r)
	require.Equal(t, []uint32{1, 1, 1, 1, 1}, requireEmitters(t, st), "a rewind begins a new count")

	w.Kinds, w.NewKinds = nil, checkpoint.NewKindsBackfill
	drain(t, runner(t, st, w))
	require.Equal(t, []uint32{1, 1, 1, 1, 1, 1}, requireEmitters(t, st))
}

func TestAWorkerWithoutACheckpointEmitsInEpochZero(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	c := newTally()
	w := c.worker()
	w.Volatile = true
	drain(t, runner(t, st, w))
	require.Equal(t, []uint32{1, 1, 1}, requireEmitters(t, st))
}

func TestAWorkerWithoutABuildNamesThatOfTheProgram(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	drain(t, runner(t, st, cursor.Worker{Region: orders, Handle: reactAll}))
	e, err := st.GetAt(t.Context(), 2)
	require.NoError(t, err)
	by, ok := e.Emitter()
	require.True(t, ok)
	require.Equal(t, "reserve", by.Worker)
}

func TestABuildIsBounded(t *testing.T) {
	w := newTally().worker().WithBuild(strings.Repeat("b", cursor.MaxBuildBytes))
	require.NoError(t, fault(w))
	w = w.WithBuild(strings.Repeat("b", cursor.MaxBuildBytes+1))
	require.ErrorIs(t, fault(w), store.ErrInvalid)
	require.ErrorIs(t, fault(w), cursor.ErrWorker)
}

func TestAnAttemptCountsTheRunsOfTheHandlerAlsoInHalvedBatches(t *testing.T) {
	st := open(t)
	fill(t, st, 4, 0)
	c := newTally()
	broken := 3
	c.does = func(p store.Position) string {
		if p == 3 && broken > 0 {
			broken--
			return "error"
		}
		return ""
	}
	r := runner(t, st, c.worker())
	for broken > 0 {
		_, err := r.Step(t.Context(), 0, 0) // 1 to 4, then 1 and 2, then 3 and 4, then 3
		if err != nil {
			require.ErrorIs(t, err, errBroken)
		}
	}
	drain(t, r)
	require.Equal(t, []uint32{2, 2, 4, 3}, requireEmitters(t, st))
}

func TestAnAttemptCountsTheEndsOfTheProcessThatAreKnown(t *testing.T) {
	st := open(t)
	fill(t, st, 2, 0)
	var epochs uint64
	w := cursor.Worker{Name: "reserve", Region: orders, BatchSize: 1, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		own, _ := b.AtLeastOnce()
		b.React(0, store.At("stock:lamp", "shop"), counted{For: b.Events[0].Position, Run: uint32(epochs), Epoch: own.Epoch})
		return cursor.Continue, nil
	}}
	w.Policy.Attempts = 5
	for range 3 { // the first end leaves no mark: nothing was handled alone yet
		r := runner(t, st, w.WithBuild(build))
		_, err := r.Fill(t.Context(), 0)
		require.NoError(t, err)
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		require.NotNil(t, task)
	}
	epochs = 3
	r := runner(t, st, w.WithBuild(build))
	_, err := r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, []uint32{3}, requireEmitters(t, st))
	epochs = 1
	drain(t, r)
	require.Equal(t, []uint32{3, 1}, requireEmitters(t, st))
}

func TestAnAttemptAtAParkedEventCountsThoseBeforeItWasParked(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	c := newTally()
	c.does = func(store.Position) string { return "error" }
	r := runner(t, st, c.worker())
	for range 3 {
		_, err := r.Step(t.Context(), 0, 0)
		require.ErrorIs(t, err, errBroken)
	}
	require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
	drain(t, r)
	require.NoError(t, r.Close(t.Context()))

	c.does = func(store.Position) string { return "" }
	r = runner(t, st, c.worker()) // of another process: what it knows is what was kept with the event
	_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	drain(t, r)
	require.Equal(t, []uint32{4}, requireEmitters(t, st))
}

// emissionWorld is a worker that meets everything, restarted within the process and by another one.
type emissionWorld struct {
	tb
	st     *store.Store
	tally  *tally
	worker cursor.Worker
	runner *cursor.Runner
	random *rand.Rand
	tasks  []*cursor.Task
	failed []store.Position
	calm   bool
	ended  bool // a handler rolled back
}

func (m *emissionWorld) does(store.Position) string {
	if m.calm || m.random.IntN(4) > 0 {
		return ""
	}
	list := []string{"named error", "error", "named panic", "panic", "race", "invalid", "rollback"}
	return list[m.random.IntN(len(list))]
}

// restart makes the next runner. Of the process before another one knows only what is parked.
func (m *emissionWorld) restart(process bool) {
	if process {
		m.settle()
		require.NoError(m, m.runner.Close(m.Context()))
		m.worker = m.worker.WithBuild(build)
		m.tally.runs = map[store.Position]uint32{}
		for p, err := range checkpoint.ParkedEvents(m.st, "reserve") {
			require.NoError(m, err)
			m.tally.runs[p.Position] = uint32(p.Attempts)
		}
	}
	for m.runner != nil && m.runner.Dirty() {
		m.commit()
	}
	m.runner, m.failed = trusting(m, m.st, m.worker), nil
	m.tasks, m.ended = nil, false
}

// settle runs what is in flight, and commits what is not refused.
func (m *emissionWorld) settle() {
	for len(m.tasks) > 0 {
		m.run()
	}
	for m.runner.Dirty() {
		m.commit()
	}
	for _, first := range m.failed {
		_ = m.runner.Settle(first, again)
	}
	m.failed = nil
}

func (m *emissionWorld) take() {
	_, err := m.runner.Fill(m.Context(), 0)
	require.NoError(m, err)
	task, err := m.runner.Next(m.Context(), 0)
	require.NoError(m, err)
	if task != nil {
		m.tasks = append(m.tasks, task)
	}
}

func (m *emissionWorld) run() {
	if len(m.tasks) == 0 {
		return
	}
	i := m.random.IntN(len(m.tasks))
	task := m.tasks[i]
	m.tasks = append(m.tasks[:i], m.tasks[i+1:]...)
	task.Run(m.Context())
	m.runner.Finish(task)
	m.note(task.Err())
	m.ended = m.ended || task.Action() == cursor.StopWithRollback
	if m.ended && len(m.tasks) == 0 {
		m.restart(false)
	}
}

// note keeps what waits for a decision.
func (m *emissionWorld) note(err error) {
	var handler *cursor.HandlerError
	var commit *cursor.RunnerError
	switch {
	case err == nil:
	case errors.As(err, &handler):
		m.failed = append(m.failed, handler.First)
	case errors.As(err, &commit) && commit.Event > 0:
		m.failed = append(m.failed, commit.Event)
	default:
		require.NoError(m, err)
	}
}

func (m *emissionWorld) commit() {
	_, err := m.runner.Commit(m.Context())
	m.note(err)
	m.forget()
}

// forget ends the count of events that are done: their reactions are in the log.
func (m *emissionWorld) forget() {
	parked := map[store.Position]bool{}
	for p, err := range checkpoint.ParkedEvents(m.st, "reserve") {
		require.NoError(m, err)
		parked[p.Position] = true
	}
	rec := record(m, m.st, "reserve")
	for p := range m.tally.runs {
		if rec.Done(p) && !parked[p] {
			delete(m.tally.runs, p)
		}
	}
}

func (m *emissionWorld) decide() {
	if len(m.failed) == 0 {
		return
	}
	first := m.failed[0]
	m.failed = m.failed[1:]
	if m.random.IntN(3) > 0 || !m.runner.IsFailed(first) {
		_ = m.runner.Settle(first, again)
		return
	}
	require.NoError(m, m.runner.Settle(first, toPark(errBroken, int(m.tally.runs[first]))))
	m.commit()
}

func (m *emissionWorld) replay() {
	if len(m.tasks) > 0 || m.runner.Dirty() || m.runner.Progress().Parked == 0 {
		return
	}
	_, err := m.runner.Replay(m.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(m, err)
}

func TestWhateverHappensTheAttemptOfAReactionIsWhatTheHandlerCounted(t *testing.T) {
	repeated := 0
	rapid.Check(t, func(rt *rapid.T) {
		st, err := storetest.Open(store.Options{})
		require.NoError(rt, err)
		defer st.Close()
		m := &emissionWorld{
			tb: rt, st: st, tally: newTally(), random: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)),
		}
		m.tally.does = m.does
		m.worker = m.tally.worker()
		m.worker.Lanes = rapid.SampledFrom([]int{1, 3}).Draw(rt, "lanes")
		m.restart(false)
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch m.random.IntN(10) {
			case 0:
				fill(m, st, 1+m.random.IntN(6), 0)
			case 1, 2, 3:
				m.take()
			case 4, 5:
				m.run()
			case 6, 7:
				m.commit()
				m.decide()
			case 8:
				m.replay()
			case 9:
				if m.random.IntN(3) == 0 {
					m.restart(m.random.IntN(2) == 0)
				}
			}
		}
		m.calm = true
		m.settle()
		m.replay()
		drain(m, m.runner)
		for _, n := range requireEmitters(m, st) {
			if n > 1 {
				repeated++
			}
		}
		require.Len(rt, reactions(m, st), len(matching(m, st, orders)), fmt.Sprint(m.failed))
	})
	require.Positive(t, repeated, "or nothing was tried")
}
