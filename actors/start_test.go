package actors_test

import (
	"context"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// stranger is a child that is no worker and no group.
type stranger struct{ name string }

func (s stranger) Spec() supervision.Spec { return supervision.Spec{Name: s.name} }

// childErrors returns the paths of all children that an error is about.
func childErrors(err error) (paths []string) {
	for _, m := range regexp.MustCompile(`\bchild "([^"]+)"`).FindAllStringSubmatch(err.Error(), -1) {
		paths = append(paths, m[1])
	}
	return paths
}

func TestAnInvalidTreeOrCheckpointStartsNothing(t *testing.T) {
	broken := func(name string) cursor.Worker { return cursor.Worker{Name: name} }
	sub := func(name string, children ...supervision.Child) supervision.Group {
		return supervision.Group{Name: name, Children: children}
	}
	otherRegion := func(name string) cursor.Worker {
		w := reacting(name)
		w.Region = store.Region{Entity: "other"}
		return w
	}
	otherKinds := reacting("kinds")
	otherKinds.Kinds = []string{"in.new"}
	var nilWorker *cursor.Worker

	for name, c := range map[string]struct {
		children []supervision.Child
		want     []error
		paths    []string
	}{
		"name of a group": {children: []supervision.Child{sub("a/b")}, want: []error{actors.ErrChild, supervision.ErrSetting}},
		"nil child":       {children: []supervision.Child{nil, nilWorker}, want: []error{actors.ErrChild, supervision.ErrSetting}},
		"one name twice in a group": {
			children: []supervision.Child{reacting("a"), reacting("a")},
			want:     []error{actors.ErrChild, supervision.ErrDuplicate},
		},
		"one name in two groups": {
			children: []supervision.Child{sub("x", reacting("a")), sub("y", reacting("a"))},
			want:     []error{actors.ErrChild, supervision.ErrDuplicate}, paths: []string{"test/y/a"},
		},
		"not a worker": {
			children: []supervision.Child{sub("x", stranger{"s"})},
			want:     []error{actors.ErrChild}, paths: []string{"test/x/s"},
		},
		"bad workers": {
			children: []supervision.Child{broken("a"), sub("x", broken("b"), stranger{"s"})},
			want:     []error{actors.ErrChild, cursor.ErrWorker}, paths: []string{"test/a", "test/x/b", "test/x/s"},
		},
		"checkpoints": {
			children: []supervision.Child{otherRegion("region"), sub("x", otherKinds, reacting("ahead"))},
			want:     []error{actors.ErrChild, checkpoint.ErrRegion, checkpoint.ErrKindsChanged, checkpoint.ErrAhead},
			paths:    []string{"test/region", "test/x/ahead", "test/x/kinds"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			requireNothingStarts(t, c.children, c.want, c.paths)
		})
	}
}

func TestADuplicateNameIsReportedWithBothPlaces(t *testing.T) {
	group := func(name string) supervision.Group {
		return supervision.Group{Name: name, Children: []supervision.Child{reacting("a")}}
	}
	_, err := actors.Start(t.Context(), memory(t, store.Options{}), actors.Options{}, tree(group("x"), group("y")))
	require.EqualError(t, err, `actors: cannot run the tree: child "test/y/a": has the name, and so the checkpoint, of "test/x/a": `+
		`supervision: duplicate name: "a"`)
}

// requireNothingStarts starts the children together with a valid one.
func requireNothingStarts(t *testing.T, children []supervision.Child, want []error, paths []string) {
	t.Helper()
	st := memory(t, store.Options{})
	prepareCheckpoints(t, st)
	receipt := appendInputs(t, st, 3)
	called := make(chan struct{}, 100)
	good := handling("good", func(context.Context, *cursor.Batch) error {
		called <- struct{}{}
		return nil
	})
	sys, err := actors.Start(t.Context(), st, actors.Options{}, tree(append(children, good)...))
	require.Nil(t, sys)
	for _, w := range want {
		require.ErrorIs(t, err, w)
	}
	require.ElementsMatch(t, paths, childErrors(err))
	require.Empty(t, called)
	require.Empty(t, reactions(t, st, "good"))

	// The store still works.
	require.NoError(t, start(t, st, good).WaitApplied(t.Context(), "good", receipt))
	requireExactlyOnce(t, st, "good")
}

// prepareCheckpoints leaves checkpoints that do not fit: in another region, of other kinds, beyond
// the head.
func prepareCheckpoints(t *testing.T, st *store.Store) {
	t.Helper()
	kinds := reacting("kinds")
	kinds.Kinds = []string{"in.made"}
	sys, err := actors.Start(t.Context(), st, actors.Options{}, tree(reacting("region"), kinds))
	require.NoError(t, err)
	require.NoError(t, sys.Stop(t.Context()))
	ahead, err := checkpoint.Acquire(t.Context(), st, "ahead", checkpoint.Binding{Region: inputs})
	require.NoError(t, err)
	var b store.Batch
	ahead.Stage(&b, checkpoint.Move{Scanned: 1 << 40, Clean: true})
	require.NoError(t, ahead.Committed(st.Commit(t.Context(), b)))
}

func TestStartRefusesBadOptionsAMissingStoreAndAnEndedContext(t *testing.T) {
	st := memory(t, store.Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context //nolint:containedctx // it is what the row is about
		st   *store.Store
		o    actors.Options
		want error
	}{
		"no store":               {t.Context(), nil, actors.Options{}, actors.ErrOptions},
		"negative drain timeout": {t.Context(), st, actors.Options{DrainTimeout: -1}, actors.ErrOptions},
		"negative kill timeout":  {t.Context(), st, actors.Options{KillTimeout: -time.Second}, actors.ErrOptions},
		"endless build":          {t.Context(), st, actors.Options{Build: strings.Repeat("b", cursor.MaxBuildBytes+1)}, actors.ErrOptions},
		"ended context":          {ended, st, actors.Options{}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			sys, err := actors.Start(c.ctx, c.st, c.o, tree(reacting("w")))
			require.Nil(t, sys)
			require.ErrorIs(t, err, c.want)
		})
	}
	require.NoError(t, start(t, st, reacting("w")).WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
}

func TestStartOnAClosedStoreFails(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	require.NoError(t, st.Close())
	_, err = actors.Start(t.Context(), st, actors.Options{}, tree(reacting("w")))
	require.ErrorIs(t, err, store.ErrClosed)
	require.Equal(t, []string{"test/w"}, childErrors(err))
}

func TestAnEmptyTreeStartsAndStops(t *testing.T) {
	st := memory(t, store.Options{})
	sys := start(t, st, supervision.Group{Name: "empty"})
	require.Empty(t, sys.Status().Workers)
	require.NoError(t, sys.Stop(t.Context()))
}

func TestTheContextOfStartDoesNotEndTheSystem(t *testing.T) {
	st := memory(t, store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	failing := true
	sys, err := actors.Start(ctx, st, actors.Options{}, tree(handling("w", func(context.Context, *cursor.Batch) error {
		if failing { // so that it acquires again, without the context of Start
			failing = false
			panic(errBroken)
		}
		return nil
	})))
	require.NoError(t, err)
	cancel()
	require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
	require.Equal(t, 1, statusOf(t, sys, "w").Restarts)
	require.NoError(t, sys.Stop(t.Context()))
	require.True(t, errors.Is(sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)), actors.ErrStopped))
}

// Two systems run the same worker, and the later one owns it. Whatever the handler of the earlier
// one does then, it never takes the worker back by itself.
func TestAFencedWorkerNeverTakesItsCheckpointBack(t *testing.T) {
	for name, end := range map[string]func() error{
		"success": func() error { return nil },
		"error":   func() error { return errBroken },
		"panic":   func() error { panic("too late") },
		"goexit":  func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				entered, release, first := make(chan struct{}), make(chan struct{}), sick()
				older := start(t, st, handling("w", func(context.Context, *cursor.Batch) error {
					if !first.Swap(false) {
						return nil
					}
					close(entered)
					<-release
					return end()
				}))
				appendInputs(t, st, 1)
				<-entered
				newer := start(t, st, reacting("w"))
				close(release)
				time.Sleep(time.Hour)
				require.NoError(t, newer.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
				synctest.Wait() // the receipt is covered before the worker rests
				require.Equal(t, actors.Idle, statusOf(t, newer, "w").State)
				s := statusOf(t, older, "w")
				require.Equal(t, actors.Halted, s.State)
				require.ErrorIs(t, s.Reason, checkpoint.ErrFenced)
				requireExactlyOnce(t, st, "w")

				require.NoError(t, older.Resume(t.Context(), "w", checkpoint.Request{}), "an operator may")
				time.Sleep(time.Hour)
				require.NoError(t, older.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
				synctest.Wait()
				require.Equal(t, actors.Halted, statusOf(t, newer, "w").State)
			})
		})
	}
}

func TestAFencedWorkerThatIsRestartedWithItsSiblingsDoesNotTakeItsCheckpointBack(t *testing.T) {
	for name, strategy := range map[string]supervision.Strategy{"all": supervision.OneForAll, "the rest": supervision.RestForOne} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				sibling := fragile("sibling", 1)
				sibling.Region = store.Region{Entity: "noise"}
				older := start(t, st, supervision.Group{
					Name: "g", Strategy: strategy, Children: []supervision.Child{sibling, reacting("w")},
				}, reacting("beside"))
				require.NoError(t, older.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
				newer := start(t, st, reacting("w"))
				appendAll(t, st, noise(1))
				time.Sleep(time.Hour)
				s := statusOf(t, older, "w")
				require.Equal(t, actors.Halted, s.State)
				require.ErrorIs(t, s.Reason, checkpoint.ErrFenced)
				require.Equal(t, []any{1, actors.Idle}, []any{statusOf(t, older, "sibling").Restarts, statusOf(t, older, "sibling").State})

				receipt := appendInputs(t, st, 1)
				require.NoError(t, newer.WaitApplied(t.Context(), "w", receipt))
				require.NoError(t, older.WaitApplied(t.Context(), "beside", receipt))
				require.NoError(t, newer.Err())
				requireExactlyOnce(t, st, "w")
			})
		})
	}
}

// A restart that acquired its checkpoint but could not use it continues with what it has.
func TestARestartThatFailsAfterItAcquiredIsNotFencedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls, first := 0, true
		w := handling("w", func(context.Context, *cursor.Batch) error {
			if first {
				first = false
				panic("once")
			}
			return nil
		})
		w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
			if calls++; calls == 2 {
				return 0, errBroken
			}
			return 0, nil
		}
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Equal(t, 3, calls)
	})
}
