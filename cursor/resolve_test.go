package cursor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// mention is an event of an order, or of whose reference that is; with both it gives the order the
// reference, unless another order has it.
type mention struct{ Order, Ref string }

func (mention) Kind() string { return "order.mention" }

func mentionOf(e store.Event) (m mention, err error) { return m, json.Unmarshal(e.Payload, &m) }

// unowned is the key of a reference that no order has.
func unowned(ref string) string { return "of " + ref }

// byReference is the key of an event: its order, as far as that is known.
func byReference(e store.Event, side func(string) ([]byte, bool, error)) (string, bool, error) {
	m, err := mentionOf(e)
	if err != nil || m.Order != "" {
		return m.Order, true, err
	}
	order, known, err := side("ref " + m.Ref)
	if !known || err != nil {
		return unowned(m.Ref), false, err
	}
	return string(order), true, nil
}

// ledgers is what mentions leave: which order has a reference, and the positions of the mentions of
// each order, and of each reference as long as no order has it; one that gets it takes them over.
type ledgers map[string]string

// mentioned does what an event of the log does, by reading and writing alone.
func mentioned(e store.Event, read func(string) (string, error), write func(key, value string) error) error {
	m, err := mentionOf(e)
	if err != nil {
		return err
	}
	order := m.Order
	if m.Ref != "" {
		owner, err := read("ref " + m.Ref)
		if err != nil {
			return err
		}
		switch {
		case owner != "" && order == "":
			order = owner
		case owner == "" && order == "":
			order = unowned(m.Ref)
		case owner == "":
			early, err := read(unowned(m.Ref))
			if err = errors.Join(err, write("ref "+m.Ref, order)); err != nil {
				return err
			}
			if early != "" {
				before, err := read(order)
				if err = errors.Join(err, write(order, before+early), write(unowned(m.Ref), "")); err != nil {
					return err
				}
			}
		}
	}
	before, err := read(order)
	return errors.Join(err, write(order, before+fmt.Sprint(e.Position, " ")))
}

// mentioning is a handler that does it in a worker.
func mentioning(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i := range b.Events {
		if err := mentionedIn(b, i); err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
	}
	return cursor.Continue, nil
}

func mentionedIn(b *cursor.Batch, i int) error {
	b.Begin(i)
	read := func(key string) (string, error) {
		value, _, err := b.Side(i, key)
		return string(value), err
	}
	write := func(key, value string) error {
		if value == "" {
			return b.Put(i, key, nil)
		}
		return b.Put(i, key, []byte(value))
	}
	return mentioned(b.Events[i], read, write)
}

func resolving(lanes int) cursor.Worker {
	return cursor.Worker{
		Name: "reserve", Region: orders, Lanes: lanes, Stateful: true, Resolve: byReference, Handle: mentioning,
	}
}

// oneAfterTheOther is what the events of a log leave if they are handled so.
func oneAfterTheOther(t tb, st *store.Store) ledgers {
	t.Helper()
	all := make(ledgers)
	for e, err := range st.Read(t.Context(), orders, store.Beginning()) {
		require.NoError(t, err)
		require.NoError(t, mentioned(e,
			func(key string) (string, error) { return all[key], nil },
			func(key, value string) error {
				if all[key] = value; value == "" {
					delete(all, key)
				}
				return nil
			}))
	}
	return all
}

func requireLedgers(t tb, st *store.Store, want ledgers) {
	t.Helper()
	got := ledgers(keptBy(t, st))
	require.Equal(t, want, got)
}

func mentions(t tb, st *store.Store, list ...mention) {
	t.Helper()
	for _, m := range list {
		_, err := st.Append(t.Context(), store.At("order:"+m.Order+m.Ref, "shop"), store.Any, m)
		require.NoError(t, err)
	}
}

func TestAnEventHasTheKeyThatAnEarlierOneGivesIt(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, size := range []int{1, 0} {
			st := open(t)
			mentions(t, st, mention{"", "p"}, mention{"a", ""}, mention{"a", "p"}, mention{"", "p"}, mention{"b", "p"},
				mention{"", "q"}, mention{"b", "q"}, mention{"", "p"}, mention{"", "q"}, mention{"", "r"})
			w := resolving(lanes)
			w.BatchSize = size
			drain(t, runner(t, st, w))
			require.Equal(t, ledgers{"ref p": "a", "ref q": "b", "a": "2 1 3 4 8 ", "b": "5 6 7 9 ", "of r": "10 "}, ledgers(keptBy(t, st)))
			requireLedgers(t, st, oneAfterTheOther(t, st))
		}
	}
}

// taken returns all tasks that can be handled at once.
func taken(t tb, r *cursor.Runner) (tasks []*cursor.Task, first []store.Position) {
	t.Helper()
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	for {
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		if task == nil {
			return tasks, first
		}
		tasks, first = append(tasks, task), append(first, task.First())
	}
}

// done has tasks handled and committed.
func done(t tb, r *cursor.Runner, tasks ...*cursor.Task) {
	t.Helper()
	for _, task := range tasks {
		task.Run(t.Context())
		r.Finish(task)
	}
	_, err := r.Commit(t.Context())
	require.NoError(t, err)
}

// It waits for all before it, is handled alone, and nothing that is known waits for more than that.
func TestAnEventThatIsNotKnownWaitsForThoseBeforeItAndIsHandledAlone(t *testing.T) {
	st := open(t)
	mentions(t, st, mention{"a", ""}, mention{"b", "p"}, mention{"", "q"}, mention{"c", ""}, mention{"", "p"}, mention{"d", ""})
	r := runner(t, st, resolving(8))
	tasks, first := taken(t, r)
	require.Equal(t, []store.Position{1, 2}, first)
	event, key := r.OldestKey()
	require.Equal(t, "1 a", fmt.Sprint(event, " ", key))
	done(t, r, tasks[1])
	_, first = taken(t, r)
	require.Empty(t, first, "the first is not done")
	done(t, r, tasks[0])
	event, _ = r.OldestKey()
	require.Zero(t, event, "its key is not known yet")
	tasks, first = taken(t, r)
	require.Equal(t, []store.Position{3}, first)
	event, key = r.OldestKey()
	require.Equal(t, "3 of q", fmt.Sprint(event, " ", key))
	tasks[0].Run(t.Context())
	r.Finish(tasks[0])
	_, first = taken(t, r)
	require.Empty(t, first, "it is not written")
	done(t, r)
	_, first = taken(t, r)
	require.Equal(t, []store.Position{4, 5, 6}, first)
}

// What is parked before it is no reason to wait, nor is what is held.
func TestAnEventThatIsNotKnownDoesNotWaitForWhatIsParked(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := open(t)
		mentions(t, st, mention{"a", ""}, mention{"a", "p"}, mention{"", "p"}, mention{"b", "q"}, mention{"", "q"})
		sick := true
		w := resolving(lanes)
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			if sick && b.Events[0].Position == 1 {
				return cursor.Continue, cursor.FailedAt(0, errBroken)
			}
			return mentioning(ctx, b)
		}
		r := runner(t, st, w)
		_, err := r.Step(t.Context(), 0, 0)
		require.ErrorIs(t, err, errBroken)
		require.NoError(t, r.Settle(1, toPark(errBroken, 1)))
		drain(t, r)
		require.Equal(t, ledgers{"of p": "3 ", "ref q": "b", "b": "4 5 "}, ledgers(keptBy(t, st)))

		// What comes for the parked key by its reference is held after it, over a restart, too.
		sick = false
		_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		drain(t, r)
		require.Equal(t, ledgers{"ref p": "a", "a": "1 3 2 ", "ref q": "b", "b": "4 5 "}, ledgers(keptBy(t, st)))
	}
}

// In an outage what failed is deferred, so that it does not hold up what waits for it.
func TestAnEventThatFailsHoldsUpOneThatIsNotKnownAndMayBeDeferred(t *testing.T) {
	st := open(t)
	mentions(t, st, mention{"a", ""}, mention{"", "q"})
	sick := true
	w := resolving(4)
	w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		if sick && b.Events[0].Position == 1 {
			return cursor.Continue, cursor.FailedAt(0, errBroken)
		}
		return mentioning(ctx, b)
	}
	r := runner(t, st, w)
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
	require.True(t, cursor.DependenciesOf(r).HoldsUp(1))
	require.True(t, cursor.DependenciesOf(r).Defer(1, false))
	sick = false
	drain(t, r)
	require.Equal(t, ledgers{"a": "1 ", "of q": "2 "}, ledgers(keptBy(t, st)))
}

func TestAnEventOfAParkedKeyIsHeldByItsReference(t *testing.T) {
	st := open(t)
	mentions(t, st, mention{"a", "p"}, mention{"a", ""}, mention{"", "p"}, mention{"b", ""})
	w := resolving(3)
	w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			if e.Position == 2 {
				_, err := mentioning(ctx, b)
				return cursor.Continue, cursor.FailedAt(i, errors.Join(errBroken, err))
			}
		}
		return mentioning(ctx, b)
	}
	r := runner(t, st, w)
	for range 4 {
		if _, err := r.Step(t.Context(), 0, 0); err != nil {
			require.ErrorIs(t, err, errBroken)
			require.NoError(t, r.Settle(2, toPark(errBroken, 1)))
		}
	}
	drain(t, r)
	mentions(t, st, mention{"", "p"})
	drain(t, r)
	require.Equal(t, 3, r.Progress().Parked)
	require.Equal(t, 2, r.Progress().Held)
	require.Equal(t, ledgers{"ref p": "a", "a": "1 ", "b": "4 "}, ledgers(keptBy(t, st)))
	require.NoError(t, cursor.CheckParked(r))
}

// postal is a runner of orders with references, to which everything that may be done with it is
// done but what changes the order of events.
type postal struct {
	busy
	parks bool
}

func (p *postal) append() {
	for range 1 + p.random.IntN(5) {
		order := []string{"a", "b", "c"}[p.random.IntN(3)]
		ref := order + []string{"1", "2", "3"}[p.random.IntN(3)]
		mentions(p.t, p.st, []mention{{order, ""}, {order, ref}, {"", ref}, {"", ref}, {"", "strange"}}[p.random.IntN(5)])
		p.sick[p.st.Head()] = p.random.IntN(8) == 0
	}
}

func (p *postal) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i, e := range b.Events {
		if err := mentionedIn(b, i); err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
		if !p.sick[e.Position] {
			continue
		}
		p.sick[e.Position] = p.random.IntN(3) > 0
		switch p.random.IntN(3) {
		case 0:
			panic("sick")
		case 1:
			return cursor.Continue, errBroken
		default:
			return cursor.Continue, cursor.FailedAt(i, errBroken)
		}
	}
	return cursor.Continue, nil
}

func (p *postal) commit() {
	var lost *cursor.RunnerError
	if _, err := p.runner.Commit(p.t.Context()); errors.As(err, &lost) && lost.Event > 0 {
		p.failed = append(p.failed, lost.Event)
	} else {
		require.NoError(p.t, err)
	}
}

func (p *postal) open() {
	p.inFlight, p.failed = nil, nil
	former := cursor.Former{Seen: p.random.IntN(2) == 0}
	worker := p.worker
	r, err := cursor.RestartRunner(p.t.Context(), p.st, &worker, former)
	require.NoError(p.t, err)
	p.runner = r
}

func (p *postal) decide() {
	failed := p.failed
	p.failed = nil
	for _, first := range failed {
		switch {
		case !p.runner.IsFailed(first):
		case p.parks && p.random.IntN(3) == 0:
			require.NoError(p.t, p.runner.Settle(first, toPark(errBroken, 1)))
		case p.random.IntN(3) == 0: // another time
			p.failed = append(p.failed, first)
		default:
			require.NoError(p.t, p.runner.Settle(first, again))
		}
	}
}

func (p *postal) deferFirst() {
	if len(p.failed) > 0 && p.parks {
		cursor.DependenciesOf(p.runner).Defer(p.failed[0], true)
	}
}

// healed lets everything be handled.
func (p *postal) healed() {
	clear(p.sick)
	p.open()
	for range 10_000 {
		if p.runner.Progress().Parked > 0 {
			_, err := p.runner.Replay(p.t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
			require.NoError(p.t, err)
		}
		out, err := p.runner.Step(p.t.Context(), 0, 0)
		var lost *cursor.RunnerError
		if errors.As(err, &lost) { // of lanes that share what is kept, as after a park
			require.True(p.t, p.parks)
			continue
		}
		require.NoError(p.t, err)
		if out.CaughtUp {
			return
		}
	}
	p.t.Fatal("never caught up")
}

func playPostal(t *rapid.T, parks bool) *postal {
	st, err := storetest.Open(store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Close() })
	p := &postal{parks: parks, busy: busy{
		t: t, st: st, random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), sick: make(map[store.Position]bool),
	}}
	p.worker = resolving(rapid.IntRange(1, 5).Draw(t, "lanes"))
	p.worker.BatchSize = rapid.IntRange(1, 4).Draw(t, "batch size")
	p.worker.Handle = p.handle
	p.open()
	turns := []func(){
		p.append, p.append, p.take, p.take, p.take, p.take, p.giveBack, p.giveBack, p.giveBack, p.commit, p.commit, p.decide,
		p.decide, p.open, p.deferFirst,
	}
	for range rapid.IntRange(1, 150).Draw(t, "turns") {
		turns[p.random.IntN(len(turns))]()
		require.NoError(t, cursor.CheckParked(p.runner))
	}
	p.healed()
	return p
}

// Whatever the lanes are at, whatever fails meanwhile and wherever it is started again: what is
// left is what it would be if the events were handled one after the other.
func TestWithReferencesTheStateIsThatOfOneAfterTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := playPostal(t, false)
		requireLedgers(t, p.st, oneAfterTheOther(t, p.st))
	})
}

// Where events are parked others overtake them, but none is lost, or handled twice.
func TestWithReferencesNoEventIsLostBesideWhatIsParked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := playPostal(t, true)
		var got []string
		for key, value := range keptBy(t, p.st) {
			if !strings.HasPrefix(key, "ref ") {
				got = append(got, strings.Fields(value)...)
			}
		}
		var want []string
		for _, at := range matching(t, p.st, orders) {
			want = append(want, fmt.Sprint(at))
		}
		require.ElementsMatch(t, want, got)
	})
}

func TestAPowerCutChangesNoKeyThatIsFoundInTheState(t *testing.T) {
	everyCut(t, func(lanes int) func(*storetest.Disk) error {
		n := 0
		return func(disk *storetest.Disk) error { return mentionAll(t, disk, lanes, &n) }
	})
}

// mentionAll appends what is not appended yet, and has it handled, until the power fails.
func mentionAll(t *testing.T, disk *storetest.Disk, lanes int, appended *int) error {
	t.Helper()
	st, err := disk.Open("data", store.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	r, err := cursor.NewRunner(t.Context(), st, resolving(lanes))
	script := []mention{{"", "p"}, {"a", "q"}, {"b", ""}, {"b", "p"}, {"", "q"}, {"", "p"}, {"", "r"}, {"c", "r"}}
	for err == nil && *appended < len(script) {
		var b store.Batch
		b.IdempotencyKey = fmt.Sprint(*appended)
		for _, m := range script[*appended : *appended+4] {
			b.Events = append(b.Events, store.Proposal{At: store.At("order:"+m.Order, "shop"), Payload: m})
		}
		if _, err = st.Commit(t.Context(), b); err == nil {
			*appended += 4
			_, err = r.Step(t.Context(), 0, 0)
		}
	}
	for out := (cursor.Outcome{}); err == nil && !out.CaughtUp; {
		out, err = r.Step(t.Context(), 0, 0)
	}
	if err == nil {
		require.Len(t, matching(t, st, orders), len(script))
		requireLedgers(t, st, oneAfterTheOther(t, st))
	}
	return err
}

// A fault of the function halts the worker, as that of a Key does; that of the store does not.
func TestAKeyThatCannotBeFoundIsAnErrorOfTheWorker(t *testing.T) {
	for name, find := range map[string]func() (string, error){
		"error": func() (string, error) { return "", errBroken },
		"panic": func() (string, error) { panic(errBroken) },
		"end":   func() (string, error) { runtime.Goexit(); return "", nil },
		"long":  func() (string, error) { return strings.Repeat("k", 1025), nil },
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			mentions(t, st, mention{"a", ""}, mention{"b", ""}, mention{"c", ""})
			sick := true
			w := resolving(2)
			w.Resolve = func(e store.Event, side func(string) ([]byte, bool, error)) (string, bool, error) {
				if sick && e.Position == 2 {
					key, err := find()
					return key, true, err
				}
				return byReference(e, side)
			}
			r := runner(t, st, w)
			for range 2 {
				_, err := r.Step(t.Context(), 0, 0)
				var runner *cursor.RunnerError
				require.ErrorAs(t, err, &runner)
				require.ErrorIs(t, err, cursor.ErrKey)
				require.Equal(t, store.Position(2), runner.Event)
			}
			sick = false
			drain(t, r)
			require.Equal(t, []string{"a", "b", "c"}, slices.Sorted(maps.Keys(keptBy(t, st))))
		})
	}
	for _, bad := range []cursor.Worker{
		{Name: "w", Handle: mentioning, Resolve: byReference},
		{Name: "w", Handle: mentioning, Resolve: byReference, Stateful: true, Key: func(store.Event) string { return "" }},
	} {
		_, err := bad.CursorWorker()
		require.ErrorIs(t, err, cursor.ErrWorker)
		require.ErrorContains(t, err, "Resolve")
	}
}
