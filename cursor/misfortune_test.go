package cursor_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

var errDisk = errors.New("the disk is broken")

// misfortune is a runner on a disk that fails, in the hands of somebody who does everything that
// may be done with it.
type misfortune struct {
	t        *testing.T
	ledger   *ledger
	disk     *storetest.Disk
	st       *store.Store
	random   *rand.Rand
	worker   cursor.Worker
	runner   *cursor.Runner
	inFlight map[*cursor.Task][]string
	taken    []string         // keys of the task that is run
	failed   []store.Position // waiting for a decision
	healthy  bool
	sick     uint64
}

// sickness is what happens at an event, always the same until all get well.
func (m *misfortune) sickness(p store.Position) string {
	kinds := []string{"panic", "unnamed", "named", "refused", "race"}
	if r := rand.New(rand.NewPCG(m.sick, uint64(p))); !m.healthy && r.IntN(6) == 0 {
		return kinds[r.IntN(len(kinds))]
	}
	return ""
}

func (m *misfortune) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	m.taken = nil
	for _, e := range b.Events {
		m.taken = append(m.taken, e.Coordinate.Entity)
	}
	for i := range b.Events {
		e := &b.Events[i]
		b.Begin(i)
		m.ledger.handled(e, b.Replayed(i))
		p := store.Proposal{At: store.At("out", "shop"), Payload: reserved{For: e.Position}}
		switch m.sickness(e.Position) {
		case "panic":
			panic("sick")
		case "unnamed":
			return cursor.Continue, errBroken
		case "named":
			return cursor.Continue, cursor.FailedAt(i, errBroken)
		case "refused":
			p.At.Entity = ""
		case "race":
			p.Expect = store.Exactly(1 << 40)
		}
		b.Propose(i, p)
		m.ledger.events[e.Position].deliver = false
	}
	return cursor.Continue, nil
}

// through takes the error of what was done. What the disk refused is over, or ends with another
// boot.
func (m *misfortune) through(err error) bool {
	var handler *cursor.HandlerError
	var commit *cursor.CommitError
	switch {
	case err == nil:
		return true
	case errors.Is(err, store.ErrDiskFull):
	case errors.Is(err, storetest.ErrPowerCut), errors.Is(err, store.ErrPoisoned), errors.Is(err, errDisk):
		m.boot()
	case errors.As(err, &handler):
		m.failed = append(m.failed, handler.First)
	case errors.As(err, &commit) && commit.Event > 0:
		m.failed = append(m.failed, commit.Event)
	default:
		require.NoError(m.t, err)
	}
	return false
}

func (m *misfortune) boot() {
	if m.st != nil {
		_ = m.st.Close()
		m.disk = m.disk.Rebooted(m.random.Uint64())
	}
	var err error
	m.st, err = m.disk.Open("data", store.Options{SegmentBytes: 64 << 10})
	if m.through(err) { // or the disk failed at another operation than the one that was told
		m.open()
	}
}

// open makes another runner, which may read more.
func (m *misfortune) open() {
	m.disk.SetCapacity(1 << 40)
	if m.random.IntN(4) == 0 && m.ledger.narrow {
		m.worker.Kinds, m.worker.NewKinds = nil, checkpoint.NewKindsBackfill
	}
	r, err := cursor.NewRunner(m.t.Context(), m.st, m.worker)
	if !m.through(err) {
		return // there was another boot
	}
	if m.random.IntN(2) == 0 {
		r.ClearCrashGuard()
	}
	m.runner, m.inFlight, m.failed = r, make(map[*cursor.Task][]string), nil
	if m.through(m.ledger.fold(m.st)) {
		m.ledger.narrow = m.ledger.narrow && len(m.worker.Kinds) > 0 // of the first one no audit event tells
		m.ledger.check()
	}
}

func (m *misfortune) append() {
	var b store.Batch
	for range 1 + m.random.IntN(6) {
		b.Events = append(b.Events, store.Proposal{
			At:      store.At(fmt.Sprintf("in:%d", m.random.IntN(3)), "shop"),
			Payload: store.Raw{Type: []string{"a.x", "b.x"}[m.random.IntN(2)], Data: make([]byte, m.random.IntN(2048))},
		})
	}
	_, err := m.st.Commit(m.t.Context(), b)
	m.through(err)
}

func (m *misfortune) take() {
	if _, err := m.runner.Fill(m.t.Context(), 0); !m.through(err) {
		return
	}
	task, err := m.runner.Next(m.t.Context(), 0)
	if !m.through(err) || task == nil || !m.through(m.ledger.fold(m.st)) {
		return
	}
	m.taken = nil
	task.Run(m.t.Context())
	for _, others := range m.inFlight {
		for _, key := range m.taken {
			require.NotContains(m.t, others, key, "a key is in two hands")
		}
	}
	m.inFlight[task] = m.taken
}

func (m *misfortune) giveBack() {
	tasks := make([]*cursor.Task, 0, len(m.inFlight))
	for task := range m.inFlight {
		tasks = append(tasks, task)
	}
	if len(tasks) == 0 {
		return
	}
	slices.SortFunc(tasks, func(a, b *cursor.Task) int { return int(a.First()) - int(b.First()) })
	task := tasks[m.random.IntN(len(tasks))]
	delete(m.inFlight, task)
	m.runner.Finish(task)
	m.through(task.Err())
}

func (m *misfortune) commit() bool {
	_, err := m.runner.Commit(m.t.Context())
	return m.through(err)
}

func (m *misfortune) decide() {
	failed := m.failed
	m.failed = nil
	for _, first := range failed {
		if !m.runner.IsFailed(first) {
			continue
		}
		switch m.random.IntN(5) {
		case 0, 1:
			require.NoError(m.t, m.runner.Park(first, errBroken, 3))
		case 2:
			require.NoError(m.t, m.runner.Skip(first, errBroken, 3))
		case 3:
			m.failed = append(m.failed, first) // another time
		default:
			m.runner.Retry(first)
		}
	}
}

// calm gives everything back and has it written, so that the runner may be moved.
func (m *misfortune) calm() bool {
	runner := m.runner
	for len(m.inFlight) > 0 {
		m.giveBack()
	}
	m.decide()
	for m.runner == runner && m.runner.Dirty() {
		if known := len(m.failed); !m.commit() && len(m.failed) == known {
			return false // the disk is full
		}
	}
	if m.runner != runner || !m.through(m.ledger.fold(m.st)) {
		return false
	}
	m.ledger.check()
	p := m.runner.Progress()
	parked, held := p.Parked, p.Held
	for _, entry := range m.ledger.parked {
		parked--
		if entry.Held {
			held--
		}
	}
	require.Zero(m.t, parked)
	require.Zero(m.t, held)
	return true
}

// control moves the runner. Its audit event tells the ledger whether it came about.
func (m *misfortune) control(do func() error) {
	if !m.calm() {
		return
	}
	runner := m.runner
	if m.through(do()) && m.runner == runner {
		m.failed = nil
	}
	m.through(m.ledger.fold(m.st))
}

func (m *misfortune) someParked() (list []store.Position) {
	for p := range m.ledger.parked {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

func (m *misfortune) rewind() {
	m.control(func() error {
		end := m.furthest()
		to, emit := store.Position(m.random.IntN(int(end)+1)), m.random.IntN(2) == 0
		if m.random.IntN(3) > 0 {
			return apply(m.t.Context(), m.runner, checkpoint.Rewind{To: to, Emit: emit})
		}
		if err := applyCold(m.t.Context(), m.st, "w", checkpoint.Rewind{To: min(to, m.stored()), Emit: emit}); err != nil {
			return err
		}
		m.open()
		return nil
	})
}

// furthest is how far a rewind of the runner may go: to the end of what was handled ever.
func (m *misfortune) furthest() store.Position {
	return rewindable(m, func(c checkpoint.Change, q checkpoint.Request) error {
		_, err := m.runner.Apply(m.t.Context(), c, q)
		return err
	})
}

// stored is furthest for a reader that knows only the checkpoint.
func (m *misfortune) stored() store.Position {
	return rewindable(m, func(c checkpoint.Change, q checkpoint.Request) error {
		_, err := checkpoint.Apply(m.t.Context(), m.st, "w", c, q)
		return err
	})
}

func rewindable(m *misfortune, apply func(checkpoint.Change, checkpoint.Request) error) store.Position {
	head := m.st.Head()
	var refused *checkpoint.RewindError
	if errors.As(apply(checkpoint.Rewind{To: head}, checkpoint.Request{DryRun: true}), &refused) {
		return refused.Position
	}
	return head
}

func (m *misfortune) reset() {
	m.control(func() error { return apply(m.t.Context(), m.runner, checkpoint.Reset{}) })
}

func (m *misfortune) skipTo() {
	m.control(func() error {
		from := m.runner.Progress().Read
		return apply(m.t.Context(), m.runner, checkpoint.SkipTo{To: from + store.Position(m.random.IntN(int(m.st.Head()-from)+1))})
	})
}

func (m *misfortune) widen() {
	m.control(func() error {
		if len(m.worker.Kinds) == 0 {
			return nil
		}
		err := apply(m.t.Context(), m.runner, checkpoint.Widen{Region: m.worker.Region})
		if err == nil || !errors.Is(err, store.ErrDiskFull) { // if it came about the next runner must know, if not it may
			m.worker.Kinds, m.worker.NewKinds = nil, checkpoint.NewKindsBackfill
		}
		return err
	})
}

func (m *misfortune) replay() {
	m.control(func() error {
		which := cursor.ParkedFilter{All: true}
		if m.random.IntN(2) == 0 {
			which = cursor.ParkedFilter{Key: fmt.Sprintf("in:%d", m.random.IntN(3))}
		}
		_, err := m.runner.Replay(m.t.Context(), which, checkpoint.Request{})
		if errors.Is(err, cursor.ErrNotParked) {
			return nil
		}
		return err
	})
}

func (m *misfortune) discard() {
	m.control(func() error {
		list := m.someParked()
		if len(list) == 0 {
			return nil
		}
		err := m.runner.Discard(m.t.Context(), list[m.random.IntN(len(list))], checkpoint.Request{})
		if errors.Is(err, cursor.ErrNotParked) { // it is only held
			return nil
		}
		return err
	})
}

func (m *misfortune) cutSoon()  { m.disk.CutAt(m.disk.Ops() + 1 + m.random.IntN(20)) }
func (m *misfortune) failSoon() { m.disk.FailAt(m.disk.Ops()+1+m.random.IntN(20), errDisk) }
func (m *misfortune) fillUp()   { m.disk.SetCapacity(1) }
func (m *misfortune) makeRoom() { m.disk.SetCapacity(1 << 40) }
func (m *misfortune) write()    { m.commit() }

// heal lets everything be handled.
func (m *misfortune) heal() {
	m.healthy = true
	m.boot()
	m.runner.ClearCrashGuard()
	for round := 0; ; round++ {
		_, err := m.runner.Replay(m.t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(m.t, err)
		for caughtUp := false; !caughtUp; {
			require.NoError(m.t, m.ledger.fold(m.st))
			out, err := m.runner.Step(m.t.Context(), 0, 0)
			require.NoError(m.t, err)
			caughtUp = out.CaughtUp
		}
		if m.runner.Progress().Parked == 0 {
			break
		}
		require.Less(m.t, round, 10)
	}
	require.NoError(m.t, m.runner.Close(m.t.Context()))
	require.NoError(m.t, m.ledger.fold(m.st))
	m.ledger.settled()
	info, err := checkpoint.Inspect(m.st, "w")
	require.NoError(m.t, err)
	require.Empty(m.t, info.Record.Pending)
	require.True(m.t, info.Record.Clean)
	pass, err := checkpoint.PassOf(m.st, "w")
	require.NoError(m.t, err)
	require.True(m.t, pass.Empty())
}

var misfortuneSeed = flag.Uint64("misfortune", 0, "the seed of the one history to try")

func TestWhateverFailsIsMovedOrSetAsideEachEventEmitsAsOftenAsItShouldAndInOrder(t *testing.T) {
	seeds := []uint64{*misfortuneSeed}
	if *misfortuneSeed == 0 {
		for range 500 {
			seeds = append(seeds, rand.Uint64())
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { meet(t, seed) })
	}
}

// meet is one history.
func meet(t *testing.T, seed uint64) {
	m := &misfortune{t: t, disk: storetest.NewDisk(), ledger: newLedger(t, true), sick: seed, random: rand.New(rand.NewPCG(seed, 0))}
	m.worker = cursor.Worker{
		Name: "w", Region: store.Region{Entity: "in"}, Kinds: []string{"a.x"}, Handle: m.handle, Policy: supervision.Policy{Attempts: 2},
		Lanes: 1 + m.random.IntN(4), BatchSize: 1 + m.random.IntN(4),
	}
	m.boot()
	defer func() { _ = m.st.Close() }()
	often := []func(){m.append, m.take, m.take, m.take, m.take, m.giveBack, m.giveBack, m.giveBack, m.write, m.write, m.decide}
	seldom := []func(){
		m.rewind, m.reset, m.skipTo, m.widen, m.replay, m.discard, m.cutSoon, m.failSoon, m.fillUp, m.makeRoom, m.open,
	}
	for range m.random.IntN(200) {
		turns := often
		if m.random.IntN(4) == 0 {
			turns = seldom
		}
		turns[m.random.IntN(len(turns))]()
	}
	m.heal()
}
