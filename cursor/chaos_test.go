package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

var errDisk = errors.New("the disk is broken")

// chaos is a runner on a disk that fails, to which everything that may be done with it is done at
// random.
type chaos struct {
	t        *testing.T
	ledger   *ledger
	disk     *storetest.Disk
	st       *store.Store
	random   *rand.Rand
	worker   cursor.Worker
	runner   *cursor.Runner
	former   *cursor.Runner // fenced, or of a store that is closed
	inFlight map[*cursor.Task][]string
	taken    []string         // keys of the task that is run
	failed   []store.Position // waiting for a decision
	healthy  bool
	sick     uint64
}

// sickness is what happens at an event, always the same until all get well.
func (m *chaos) sickness(p store.Position) string {
	kinds := []string{"panic", "unnamed", "named", "refused", "race"}
	if r := rand.New(rand.NewPCG(m.sick, uint64(p))); !m.healthy && r.IntN(6) == 0 {
		return kinds[r.IntN(len(kinds))]
	}
	return ""
}

// giveUp does what the handler does, with a sickness of its own.
func (m *chaos) giveUp(ctx context.Context, b *cursor.Batch, failure error, _ int) error {
	require.ErrorIs(m.t, failure, errBroken)
	require.Len(m.t, b.Events, 1)
	m.sick++
	defer func() { m.sick-- }()
	_, err := m.handle(ctx, b)
	return err
}

func (m *chaos) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	m.taken = nil
	for _, e := range b.Events {
		m.taken = append(m.taken, e.Coordinate.Entity)
	}
	own, _ := b.AtLeastOnce()
	require.Equal(m.t, checkpoint.ID("w"), own.FirstName, "no rename changes the name that effects are known by")
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
func (m *chaos) through(err error) bool {
	var handler *cursor.HandlerError
	var commit *cursor.RunnerError
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

func (m *chaos) boot() {
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

// open makes another runner, which may read more, and have another name.
func (m *chaos) open() {
	m.disk.SetCapacity(1 << 40)
	if m.random.IntN(4) == 0 && m.ledger.narrow {
		m.worker.Kinds, m.worker.NewKinds = nil, checkpoint.NewKindsBackfill
	}
	if m.runner != nil && m.random.IntN(3) == 0 {
		m.anotherName()
	}
	former, worker := m.runner, m.worker
	r, err := cursor.RestartRunner(m.t.Context(), m.st, &worker, cursor.Former{Seen: m.healthy || m.random.IntN(2) == 0})
	if !m.through(err) {
		return // there was another boot
	}
	m.former, m.ledger.name = former, m.id()
	m.runner, m.inFlight, m.failed = r, make(map[*cursor.Task][]string), nil
	if m.through(m.ledger.fold(m.st)) {
		m.ledger.narrow = m.ledger.narrow && len(m.worker.Kinds) > 0 // of the first one no audit event tells
		m.ledger.check()
	}
}

func (m *chaos) append() {
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

func (m *chaos) take() {
	if _, err := m.runner.Fill(m.t.Context(), 0); !m.through(err) {
		return
	}
	m.run(m.runner.Next(m.t.Context(), 0))
}

func (m *chaos) run(task *cursor.Task, err error) {
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

func (m *chaos) giveBack() {
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

func (m *chaos) commit() bool {
	_, err := m.runner.Commit(m.t.Context())
	return m.through(err)
}

func (m *chaos) decide() {
	failed := m.failed
	m.failed = nil
	for _, first := range failed {
		if !m.runner.IsFailed(first) {
			continue
		}
		switch m.random.IntN(6) {
		case 5: // as in an outage
			if !cursor.DependenciesOf(m.runner).Defer(first, true) {
				m.failed = append(m.failed, first)
			}
		case 0, 1:
			if !m.givesUp(first) {
				require.NoError(m.t, m.runner.Settle(first, toPark(errBroken, 3)))
			}
		case 2:
			require.NoError(m.t, m.runner.Settle(first, toSkip(errBroken, 3)))
		case 3:
			m.failed = append(m.failed, first) // another time
		default:
			_ = m.runner.Settle(first, again)
		}
	}
}

// givesUp has an event given up, where the worker can do so and has not tried.
func (m *chaos) givesUp(first store.Position) bool {
	return m.random.IntN(4) > 0 && cursor.GiveUp(m.runner, first, toPark(errBroken, 3))
}

// calm gives everything back and has it written, so that the runner may be moved.
func (m *chaos) calm() bool {
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

func (m *chaos) cutSoon()  { m.disk.CutAt(m.disk.Ops() + 1 + m.random.IntN(20)) }
func (m *chaos) failSoon() { m.disk.FailAt(m.disk.Ops()+1+m.random.IntN(20), errDisk) }
func (m *chaos) fillUp()   { m.disk.SetCapacity(1) }
func (m *chaos) makeRoom() { m.disk.SetCapacity(1 << 40) }
func (m *chaos) write()    { m.commit() }

// heal lets everything be handled.
func (m *chaos) heal() {
	m.healthy = true
	m.boot()
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
	info, err := checkpoint.Inspect(m.st, m.id())
	require.NoError(m.t, err)
	require.Empty(m.t, info.Record.Pending)
	require.True(m.t, info.Record.Clean)
	require.True(m.t, info.Pass.Empty())
}

// seedsOf returns those of some histories, or the one that PENSTOCK_SEED repeats.
func seedsOf(t *testing.T, histories int) (seeds []uint64) {
	t.Helper()
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, err := strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
		return []uint64{seed}
	}
	for range max(histories/thinned, 1) {
		seeds = append(seeds, rand.Uint64())
	}
	return seeds
}

// The environment variable PENSTOCK_SEED repeats one history.
func TestThroughFailuresMovesAndParksEachEventEmitsAsOftenAsDueAndInOrder(t *testing.T) {
	for _, seed := range seedsOf(t, 501) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playHistory(t, seed) })
	}
}

// playHistory plays one history.
func playHistory(t *testing.T, seed uint64) {
	m := &chaos{t: t, disk: storetest.NewDisk(), ledger: newLedger(t, true), sick: seed, random: rand.New(rand.NewPCG(seed, 0))}
	m.worker = cursor.Worker{
		Name: "w", Formerly: []string{"v", "u"}, Region: store.Region{Entity: "in"}, Kinds: []string{"a.x"}, Handle: m.handle,
		Policy: supervision.Policy{Attempts: 2},
		Lanes:  1 + m.random.IntN(4), BatchSize: []int{1, 2, 3, 4, 300}[m.random.IntN(5)],
	}
	if m.random.IntN(2) == 0 {
		m.worker.GiveUp = m.giveUp
	}
	m.boot()
	defer func() { _ = m.st.Close() }()
	often := []func(){m.append, m.take, m.take, m.take, m.take, m.giveBack, m.giveBack, m.giveBack, m.write, m.write, m.decide}
	seldom := []func(){
		m.rewind, m.reset, m.skipTo, m.widen, m.replay, m.discard, m.cutSoon, m.failSoon, m.fillUp, m.makeRoom, m.open,
		m.rename, m.pause, m.resume, m.outlived, m.probe, m.probe, m.takeBack, m.doubt,
	}
	for range m.random.IntN(200) {
		turns := often
		if m.random.IntN(4) == 0 {
			turns = seldom
		}
		turns[m.random.IntN(len(turns))]()
		require.NoError(t, cursor.CheckParked(m.runner))
	}
	m.heal()
}
