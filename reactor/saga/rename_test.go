package saga_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// A checkpoint may be renamed; the events of a saga may not. So it does not start under another
// name, where instances would wait for what has the former one.
func TestASagaKeepsItsName(t *testing.T) {
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	start := func(s *saga.Saga[order]) error {
		sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
		if err == nil {
			err = sys.Stop(t.Context())
		}
		return err
	}
	named := func(name string) *saga.Saga[order] {
		w := newWorld()
		return saga.Steps(name, saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }), saga.Do("charge", w.action("charge"), nil))
	}
	require.NoError(t, start(named("checkout")))
	_, err = checkpoint.Apply(t.Context(), st, "checkout", checkpoint.Rename{To: "purchase"}, ana)
	require.NoError(t, err)
	require.ErrorContains(t, start(named("purchase")), `was "checkout"`)
	_, err = checkpoint.Apply(t.Context(), st, "purchase", checkpoint.Rename{To: "checkout"}, ana)
	require.NoError(t, err)
	require.NoError(t, start(named("checkout")))
}

// A reset has instances made from the log once more, with the answers that are there: under the
// same keys, so that nothing happens twice.
func TestAResetMakesInstancesFromTheLog(t *testing.T) {
	w := newWorld()
	w.fails["undo reserve"] = []error{saga.Refuse(errDown)}
	w.fails["charge"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := reactortest.Start(t, s)
	in := s.In(run.Store())
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	delete(w.fails, "charge")
	run.Given(reactortest.At(at("43"), placed("43")))
	run.Settle()
	was := requireIndexed(t, in)
	effects := w.effects()
	run.Apply("checkout", checkpoint.Reset{})
	run.Settle()
	run.Advance(time.Minute)
	require.Equal(t, was, requireIndexed(t, in))
	require.Equal(t, effects, w.effects())
	told := troubles(t, in, 0, 2)
	require.Equal(t, told[0].Key, told[1].Key, "and is told again")
}
