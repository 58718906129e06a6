package cursor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// fate of an event that was written.
type fate int

const (
	visible fate = iota
	staged       // its fence is open
	hidden
	doubtful // the power was cut while that was decided
)

// numbered is the payload of an event, of which no other has the number.
type numbered struct {
	N    int
	Room []byte
}

func (numbered) Kind() string { return "in.numbered" }

// openFence is a fence that the test has open, with the numbers of the events in it.
type openFence struct {
	fence  *store.Fence
	events []int
}

// fenced is a log in which fences are opened, published, cancelled, forgotten and left open by a
// writer that ends, and its readers: a worker with lanes that parks, a cursor with a checkpoint,
// and one in a store that is open for reading, beside the writer.
type fenced struct {
	t      *testing.T
	random *rand.Rand
	disk   *storetest.Disk
	st     *store.Store
	fates  []fate // by number
	open   []*openFence

	worker   cursor.Worker
	runner   *cursor.Runner
	inFlight []*cursor.Task
	failed   []store.Position
	healthy  bool
	observed []cursor.Gap // by the worker

	pulled    *cursor.Cursor
	committed []store.Event // what the cursor has got, as of its last commit
	since     []store.Event // and since then
	durable   int           // of what was committed, what no power cut may take

	beside   *store.Store
	follower *cursor.Cursor
	followed []int
	gaps     []cursor.Gap // of the follower
}

// through takes the error of an operation. After a power cut there is another boot.
func (m *fenced) through(err error) bool {
	if errors.Is(err, storetest.ErrPowerCut) || errors.Is(err, store.ErrPoisoned) {
		m.crash()
		return false
	}
	require.NoError(m.t, err)
	return true
}

// leave books what is open as cancelled: its writer has ended.
func (m *fenced) leave() {
	for _, f := range m.open {
		m.became(f.events, hidden)
	}
	m.open = nil
}

func (m *fenced) became(events []int, now fate) {
	for _, n := range events {
		m.fates[n] = now
	}
}

func (m *fenced) crash() {
	m.leave()
	m.close()
	m.disk = m.disk.Rebooted(m.random.Uint64())
	m.boot()
	m.follow()
}

func (m *fenced) close() {
	for _, st := range []*store.Store{m.st, m.beside} {
		if st != nil {
			_ = st.Close()
		}
	}
}

// end closes the store in good order. The reader stays open.
func (m *fenced) end() {
	if err := m.st.Close(); err != nil {
		m.crash()
		return
	}
	m.leave()
	if m.random.IntN(2) == 0 {
		m.look() // without a writer
	}
	m.boot()
}

func (m *fenced) boot() {
	st, err := m.disk.Open("data", store.Options{SegmentBytes: 64 << 10})
	if !m.through(err) {
		return // there was another boot
	}
	m.st = st
	m.resolve()
	if m.restart(); m.st == st {
		m.resume()
	}
}

// resolve settles what was doubtful by what the log has: all of a fence, or nothing.
func (m *fenced) resolve() {
	if !slices.Contains(m.fates, doubtful) {
		return
	}
	there := numbers(m.t, all(m.t, m.st))
	for n, now := range m.fates {
		if now == doubtful {
			m.fates[n] = hidden
			if slices.Contains(there, n) {
				m.fates[n] = visible
			}
		}
	}
}

func all(t *testing.T, st *store.Store) (events []store.Event) {
	for e, err := range st.Read(t.Context(), store.Region{Entity: "in"}, store.Beginning()) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

func numbers(t *testing.T, events []store.Event) (list []int) {
	for _, e := range events {
		var body numbered
		require.NoError(t, json.Unmarshal(e.Payload, &body))
		list = append(list, body.N)
	}
	return list
}

// write appends some events of a key, by commit, whose fate is known once that answers.
func (m *fenced) write(key string, now fate, commit func(context.Context, store.Batch) (store.Receipt, error)) (events []int, ok bool) {
	var b store.Batch
	if now == visible { // what is superseded makes that segments are rewritten
		b.Sides = []store.SideWrite{{Key: "large", Value: make([]byte, m.random.IntN(8000))}}
	}
	for range 1 + m.random.IntN(3) {
		events = append(events, len(m.fates))
		body := numbered{N: len(m.fates), Room: make([]byte, m.random.IntN(1500))}
		m.fates = append(m.fates, doubtful)
		b.Events = append(b.Events, store.Proposal{At: store.At(key, "shop"), Payload: body})
	}
	_, err := commit(m.t.Context(), b)
	if errors.Is(err, store.ErrReserved) || errors.Is(err, store.ErrFenceCancelled) {
		m.became(events, hidden)
		return nil, false
	}
	if err == nil {
		m.became(events, now)
		m.durable = len(m.committed)
	} else if now == staged {
		m.became(events, hidden) // whatever has become of it
	}
	return events, m.through(err)
}

func (m *fenced) append() {
	m.write(fmt.Sprintf("in:%d", m.random.IntN(3)), visible, m.st.Commit)
}

func (m *fenced) begin() {
	f, err := store.OpenFence(m.t.Context(), m.st, store.FenceOptions{})
	if m.through(err) {
		m.open = append(m.open, &openFence{fence: f})
	}
}

func (m *fenced) stage() {
	if len(m.open) == 0 {
		m.begin()
	}
	if len(m.open) == 0 {
		return
	}
	f := m.open[m.random.IntN(len(m.open))]
	if events, ok := m.write(fmt.Sprintf("in:%d", m.random.IntN(4)), staged, f.fence.Stage); ok {
		f.events = append(f.events, events...)
	}
}

func (m *fenced) publish() { m.finish((*store.Fence).Publish, visible) }
func (m *fenced) cancel()  { m.finish((*store.Fence).Cancel, hidden) }

func (m *fenced) finish(end func(*store.Fence, context.Context) error, now fate) {
	if len(m.open) == 0 {
		return
	}
	i := m.random.IntN(len(m.open))
	f := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	err := end(f.fence, m.t.Context())
	if err == nil {
		m.became(f.events, now)
		return
	}
	m.became(f.events, hidden)
	if now == visible {
		m.became(f.events, doubtful)
	}
	m.through(err)
}

// forget lets all fences run into their deadlines.
func (m *fenced) forget() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
	for _, f := range m.open {
		_, err := f.fence.Stage(m.t.Context(), store.Batch{Events: []store.Proposal{{At: store.At("in:0", "shop"), Payload: numbered{N: -1}}}})
		if !errors.Is(err, store.ErrFenceCancelled) && !m.through(err) {
			return
		}
	}
	m.leave()
}

func (m *fenced) cutSoon() { m.disk.CutAt(m.disk.Ops() + 1 + m.random.IntN(12)) }

// The worker.

func (m *fenced) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i, e := range b.Events {
		b.Begin(i)
		if !m.healthy && m.random.IntN(8) == 0 {
			return cursor.Continue, cursor.FailedAt(i, errBroken)
		}
		b.React(i, store.At("out", "shop"), reserved{For: e.Position})
	}
	return cursor.Continue, nil
}

func (m *fenced) restart() {
	worker := m.worker
	r, err := cursor.RestartRunner(m.t.Context(), m.st, &worker, cursor.Former{Seen: true})
	if m.through(err) {
		m.runner, m.inFlight, m.failed = r, nil, nil
	}
}

func (m *fenced) take() {
	if _, err := m.runner.Fill(m.t.Context(), 0); !m.through(err) {
		return
	}
	task, err := m.runner.Next(m.t.Context(), 0)
	if m.through(err) && task != nil {
		task.Run(m.t.Context())
		m.inFlight = append(m.inFlight, task)
	}
}

func (m *fenced) giveBack() {
	if len(m.inFlight) == 0 {
		return
	}
	i := m.random.IntN(len(m.inFlight))
	task := m.inFlight[i]
	m.inFlight = slices.Delete(m.inFlight, i, i+1)
	m.runner.Finish(task)
	var failure *cursor.HandlerError
	if errors.As(task.Err(), &failure) {
		m.failed = append(m.failed, failure.First)
	}
}

func (m *fenced) commit() {
	taken, _ := m.runner.TakeGaps()
	m.observed = append(m.observed, taken...)
	_, err := m.runner.Commit(m.t.Context())
	m.through(err)
}

func (m *fenced) decide() {
	for _, first := range m.failed {
		if !m.runner.IsFailed(first) {
			continue
		}
		verdict := again
		if m.random.IntN(2) == 0 {
			verdict = toPark(errBroken, 3)
		}
		require.NoError(m.t, m.runner.Settle(first, verdict))
	}
	m.failed = nil
}

func (m *fenced) replay() {
	for len(m.inFlight) > 0 {
		m.giveBack()
	}
	m.decide()
	runner := m.runner
	if m.commit(); m.runner != runner {
		return
	}
	_, err := m.runner.Replay(m.t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	m.through(err)
}

// The cursors.

// resume opens the cursor with a checkpoint. What it had not committed it gets again, and after a
// power cut what no later commit has made durable.
func (m *fenced) resume() {
	c, err := cursor.Open(m.t.Context(), m.st, store.Region{Entity: "in"}, cursor.Options{ID: "pulled"})
	if !m.through(err) {
		return
	}
	known := slices.Concat(m.committed, m.since) // of a commit that was cut off both may be
	m.committed = slices.DeleteFunc(known, func(e store.Event) bool { return e.Position > c.Position() })
	m.pulled, m.since = c, nil
	require.GreaterOrEqual(m.t, len(m.committed), m.durable)
}

func (m *fenced) pull() {
	events, err := m.pulled.PollBatch(m.t.Context(), 1+m.random.IntN(5))
	if m.through(err) {
		m.since = append(m.since, events...)
	}
}

func (m *fenced) keep() {
	if m.through(m.pulled.Commit(m.t.Context())) {
		m.committed, m.since = append(m.committed, m.since...), nil
	}
}

func (m *fenced) rollback() {
	m.pulled.Rollback()
	m.since = nil
}

// follow opens the store beside its writer.
func (m *fenced) follow() {
	var err error
	m.beside, err = m.disk.Open("data", store.Options{ReadOnly: true})
	require.NoError(m.t, err)
	m.follower, err = cursor.Open(m.t.Context(), m.beside, store.Region{Entity: "in"}, cursor.Options{Gaps: 1000})
	require.NoError(m.t, err)
	m.followed, m.gaps = nil, nil
}

func (m *fenced) look() {
	for e, err := range m.follower.All(m.t.Context()) {
		require.NoError(m.t, err)
		m.followed = append(m.followed, numbers(m.t, []store.Event{e})...)
	}
	taken, dropped := m.follower.TakeGaps()
	require.Zero(m.t, dropped)
	m.gaps = append(m.gaps, taken...)
	for _, n := range m.followed {
		require.NotEqual(m.t, staged, m.fates[n], "event number %d", n)
		require.NotEqual(m.t, hidden, m.fates[n], "event number %d", n)
	}
}

// settle ends all fences, and lets the readers come to the end of the log.
func (m *fenced) settle() {
	m.healthy = true
	m.crash()                             // no cut is ahead any more
	m.write("in:0", visible, m.st.Commit) // what is hidden at the end is a gap before it
	m.replay()
	drain(m.t, m.runner)
	for before := -1; before != len(m.since); {
		before = len(m.since)
		m.pull()
	}
	m.keep()
	m.look()
}

// The environment variable PENSTOCK_SEED repeats one history.
func TestThroughFencesOfAnyFateEveryReaderGetsEachVisibleEventOnceInOrderAndTheGapsBetween(t *testing.T) {
	for _, seed := range seedsOf(t, 40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playFences(t, seed) })
		})
	}
}

func playFences(t *testing.T, seed uint64) {
	m := &fenced{t: t, disk: storetest.NewDisk(), random: rand.New(rand.NewPCG(seed, 0))}
	m.worker = cursor.Worker{
		Name: "w", Region: store.Region{Entity: "in"}, Handle: m.handle, Gaps: 16,
		Lanes: 1 + m.random.IntN(3), BatchSize: 1 + m.random.IntN(4),
	}
	m.boot()
	m.follow()
	defer m.close()
	often := []func(){
		m.append, m.append, m.stage, m.stage, m.publish, m.cancel, m.take, m.take, m.take, m.giveBack, m.giveBack,
		m.commit, m.commit, m.decide, m.pull, m.pull, m.keep, m.look,
	}
	seldom := []func(){m.begin, m.forget, m.cutSoon, m.crash, m.end, m.restart, m.resume, m.replay, m.rollback}
	for range m.random.IntN(300) {
		turns := often
		if m.random.IntN(6) == 0 {
			turns = seldom
		}
		turns[m.random.IntN(len(turns))]()
	}
	m.settle()
	m.check()
}
