package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// tryKey marks the context that a probe has made, with the first event of the try.
type tryKey struct{}

// recorder is a probe that keeps what it was told, a line for each try that has ended, and for each
// commit.
type recorder struct {
	mu      sync.Mutex
	tries   []string
	commits []string
	open    int
}

func (p *recorder) Handle(ctx context.Context, t cursor.Try) (context.Context, func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	line := fmt.Sprint(at(t.Events), " ", t.By.Worker, " ", t.By.Epoch, " run ", t.By.Attempt, " attempt ", t.Attempt)
	for name, is := range map[string]bool{" replayed": t.Replayed, " parked": t.Parked, " whole": !t.Began.IsZero()} {
		if is {
			line += name
		}
	}
	return context.WithValue(ctx, tryKey{}, t.Events[0].Position), func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open--
		p.tries = append(p.tries, line+outcome(err))
	}
}

func (p *recorder) Commit(w cursor.Writing) func(store.Receipt, error) {
	return func(r store.Receipt, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.commits = append(p.commits, fmt.Sprint(w.Worker, " ", w.Handled, " ", w.Reactions, " ", w.Bytes > 0, " ", len(r.Events), outcome(err)))
	}
}

func outcome(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func (p *recorder) taken(t *testing.T) (tries, commits []string) {
	t.Helper()
	require.Zero(t, p.open, "each try has an end")
	tries, commits = p.tries, p.commits
	p.tries, p.commits = nil, nil
	return tries, commits
}

// entering handles each event in the context that the probe has made for it, if it was asked.
func entering(t *testing.T, fails func(e *store.Event) error) cursor.Handler {
	t.Helper()
	return func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			within := b.Enter(ctx, i)
			require.Equal(t, b.Events[i].Position, within.Value(tryKey{}))
			if err := fails(&b.Events[i]); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
			react(b, i)
		}
		return cursor.Continue, nil
	}
}

// An event that fails, is parked and is replayed, among others in one batch: each try of each event
// is told once, as what it is.
func TestAProbeIsToldOfEachTryAndOfEachCommit(t *testing.T) {
	st, p := open(t), new(recorder)
	fill(t, st, 3, 0)
	broken := errors.New("broken by mary@example.org")
	w := cursor.Worker{Region: orders, Handle: entering(t, func(e *store.Event) error {
		if e.Position == 2 {
			return broken
		}
		return nil
	})}.WithProbe(p).WithRedact(func(text string) string { return strings.ReplaceAll(text, "mary@example.org", "x") })
	r := runner(t, st, w)
	_, err := r.Step(t.Context(), 0, 0)
	require.Error(t, err)
	tries, commits := p.taken(t)
	failed := fmt.Sprint(": ", err)
	require.NotContains(t, failed, "mary")
	require.Equal(t, []string{"[1] reserve 1 run 1 attempt 1", "[2] reserve 1 run 1 attempt 1" + failed}, tries)
	require.Equal(t, []string{"reserve 1 1 true 1"}, commits)

	require.NoError(t, r.Settle(2, toPark(broken, 1)))
	drain(t, r)
	broken = nil
	tries, _ = p.taken(t)
	require.Equal(t, []string{"[3] reserve 1 run 1 attempt 1"}, tries)

	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{By: "mary", Reason: "mended"})
	require.NoError(t, err)
	drain(t, r)
	tries, commits = p.taken(t)
	require.Equal(t, []string{"[2] reserve 1 run 2 attempt 1 parked"}, tries)
	require.Contains(t, commits[len(commits)-1], "reserve 0 2 true 2", "the reaction, and the audit event")
	require.ElementsMatch(t, []store.Position{1, 2, 3}, reactions(t, st))
}

// A batch of one event is handled in the context of that, whether or not the handler says where it
// is; a larger one that says nothing is told as a whole, once its handler has returned.
func TestAProbeIsToldOfABatchThatSaysNothingAsAWhole(t *testing.T) {
	for size, want := range map[int][]string{
		1: {"[1] reserve 1 run 1 attempt 1", "[2] reserve 1 run 1 attempt 1", "[3] reserve 1 run 1 attempt 1"},
		3: {"[1 2 3] reserve 1 run 1 attempt 1 whole"},
	} {
		st, p := open(t), new(recorder)
		fill(t, st, 3, 0)
		w := cursor.Worker{Region: orders, BatchSize: size, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			if size == 1 {
				require.Equal(t, b.Events[0].Position, ctx.Value(tryKey{}))
			}
			return cursor.Continue, nil
		}}
		drain(t, runner(t, st, w.WithProbe(p)))
		tries, _ := p.taken(t)
		require.Equal(t, want, tries)
	}
}

// However a handler ends, its try does too, with a failure of it. One that calls Begin is seen
// event by event, as one that calls Enter.
func TestAProbeIsToldHowAHandlerEnds(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("no more") }, "goexit": runtime.Goexit} {
		st, p := open(t), new(recorder)
		fill(t, st, 3, 0)
		r := runner(t, st, cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			b.Begin(0)
			b.Begin(1)
			end()
			return cursor.Continue, nil
		}}.WithProbe(p))
		_, err := r.Fill(t.Context(), 0)
		require.NoError(t, err)
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			task.Run(t.Context())
		}()
		<-done
		r.Finish(task)
		tries, _ := p.taken(t)
		require.Len(t, tries, 2, name)
		require.Equal(t, "[1] reserve 1 run 1 attempt 1", tries[0])
		require.Contains(t, tries[1], "[2] reserve 1 run 1 attempt 1: cursor: ", name)
	}
}

// hostile panics wherever it is called.
type hostile struct{ late bool }

func (p hostile) Handle(ctx context.Context, _ cursor.Try) (context.Context, func(error)) {
	if !p.late {
		panic("a probe")
	}
	return nil, func(error) { panic("a probe") }
}

func (p hostile) Commit(cursor.Writing) func(store.Receipt, error) {
	if !p.late {
		panic("a probe")
	}
	return func(store.Receipt, error) { panic("a probe") }
}

func TestAProbeThatPanicsChangesNothing(t *testing.T) {
	for _, p := range []cursor.Probe{hostile{}, hostile{late: true}} {
		st := open(t)
		fill(t, st, 4, 0)
		r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 2, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i := range b.Events {
				require.NoError(t, b.Enter(ctx, i).Err())
				react(b, i)
			}
			return cursor.Continue, nil
		}}.WithProbe(p))
		s := submitted(t, r)
		require.NoError(t, send(s))
		_, err := r.Answered(s)
		require.NoError(t, err)
		drain(t, r)
		require.Equal(t, matching(t, st, orders), reactions(t, st))
	}
}

// What is handled ahead is told beside the commit under way, and a commit that is refused is told
// as that.
func TestAProbeIsToldOfACommitThatIsUnderWay(t *testing.T) {
	st, p := open(t), new(recorder)
	fill(t, st, 4, 0)
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 2, Handle: reactAll}.WithProbe(p))
	s := submitted(t, r)
	next := handled(t, r)
	require.NoError(t, send(s))
	_, err := r.Answered(s)
	require.NoError(t, err)
	r.Finish(next)
	trusting(t, st, cursor.Worker{Region: orders, Handle: reactAll}) // fences it
	s = r.Submit(true)
	require.Error(t, send(s))
	_, err = r.Answered(s)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	tries, commits := p.taken(t)
	require.Len(t, tries, 4)
	require.Len(t, commits, 2)
	require.Equal(t, "reserve 2 2 true 2", commits[0])
	require.Contains(t, commits[1], "reserve 2 2 true 0: store: ")
}

// What a gate says quotes what was to be written, so it is redacted as the errors of handlers are.
func TestTheErrorOfACommitIsRedactedForAProbe(t *testing.T) {
	gate := store.Gate{Name: "stock", Region: stocks, Judge: func(context.Context, *store.Case) error {
		return errors.New("nothing for mary@example.org")
	}}
	st, err := storetest.Open(store.Options{Gates: []store.Gate{gate}})
	require.NoError(t, err)
	defer st.Close()
	fill(t, st, 1, 0)
	p := new(recorder)
	w := cursor.Worker{Region: orders, Handle: reactAll}.WithProbe(p).WithRedact(func(text string) string {
		return strings.ReplaceAll(text, "mary@example.org", "x")
	})
	_, err = runner(t, st, w).Step(t.Context(), 0, 0)
	require.Error(t, err)
	_, commits := p.taken(t)
	require.Len(t, commits, 1)
	require.Contains(t, commits[0], "nothing for x")
}

// idle is a probe that does nothing.
type idle struct{}

func (idle) Handle(ctx context.Context, _ cursor.Try) (context.Context, func(error)) { return ctx, nil }
func (idle) Commit(cursor.Writing) func(store.Receipt, error)                        { return nil }

// BenchmarkProbe is what an event costs a worker that reacts to each, without a probe and with one.
func BenchmarkProbe(b *testing.B) {
	for name, p := range map[string]cursor.Probe{"none": nil, "idle": idle{}} {
		b.Run(name, func(b *testing.B) {
			st, err := storetest.Open(store.Options{})
			require.NoError(b, err)
			defer st.Close()
			const n = 10_000
			fill(b, st, n, 0)
			b.ReportAllocs()
			for k := 0; b.Loop(); k++ {
				w := cursor.Worker{Name: fmt.Sprint("w", k), Region: orders, Kinds: []string{"order.placed"}, Handle: reactAll}
				drain(b, runner(b, st, w.WithProbe(p)))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
		})
	}
}
