package cursor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// fault is what is wrong with a worker.
func fault(w cursor.Worker) error {
	_, err := w.CursorWorker()
	return err
}

func TestEachFaultOfAWorkerIsNamed(t *testing.T) {
	good := cursor.Worker{Name: "reserve", Handle: reactAll}
	for name, c := range map[string]struct {
		change func(*cursor.Worker)
		field  string
		is     error
	}{
		"empty name":       {func(w *cursor.Worker) { w.Name = "" }, "Spec", supervision.ErrSetting},
		"slash":            {func(w *cursor.Worker) { w.Name = "a/b" }, "Spec", supervision.ErrSetting},
		"separator":        {func(w *cursor.Worker) { w.Name = "a=b" }, "Spec", supervision.ErrSetting},
		"policy":           {func(w *cursor.Worker) { w.Policy.Attempts = -1 }, "Spec", supervision.ErrSetting},
		"region":           {func(w *cursor.Worker) { w.Region = store.Region{MinVersion: 2, MaxVersion: 1} }, "Region", store.ErrInvalid},
		"empty kind":       {func(w *cursor.Worker) { w.Kinds = []string{""} }, "Kinds", store.ErrInvalid},
		"kind outside":     {func(w *cursor.Worker) { w.Region.Kinds, w.Kinds = []string{"a"}, []string{"a", "b"} }, "Kinds", store.ErrInvalid},
		"category outside": {func(w *cursor.Worker) { w.Region.Category, w.Kinds = "a", []string{"b.c"} }, "Kinds", store.ErrInvalid},
		"no handler":       {func(w *cursor.Worker) { w.Handle = nil }, "Handle", store.ErrInvalid},
		"negative size":    {func(w *cursor.Worker) { w.BatchSize = -1 }, "BatchSize", store.ErrInvalid},
		"size too large":   {func(w *cursor.Worker) { w.BatchSize = cursor.MaxBatchSize + 1 }, "BatchSize", store.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			w := good
			c.change(&w)
			_, err := w.CursorWorker()
			require.ErrorIs(t, err, cursor.ErrWorker)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, fmt.Sprintf("cursor: worker %q: %s", w.Name, c.field))

			st := open(t)
			_, err = cursor.NewRunner(t.Context(), st, w)
			require.ErrorIs(t, err, c.is)
			_, found, err := st.Side("checkpoint/" + w.Name)
			require.NoError(t, err)
			require.False(t, found, "nothing is written")
		})
	}
	_, err := good.CursorWorker()
	require.NoError(t, err)
	volatile := cursor.Worker{Name: "a=b", Volatile: true, Handle: reactAll}
	var name *supervision.SettingError
	require.ErrorAs(t, fault(volatile), &name, "a worker without a checkpoint follows the same rules")
	require.Equal(t, "Name", name.Field)
}

func TestSupervisionAndCheckpointHaveTheSameRulesForNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SampledFrom([]string{"a", ".", "/", `\`, "|", "=", "é", "\u0085", "\u009b", "\n", "\x7f", "\xff", " ", ":"})
		name := strings.Join(rapid.SliceOfN(part, 0, 4).Draw(t, "name"), "")
		name += strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 251, 252, 253, 254, 255}).Draw(t, "more"))
		var bad *supervision.SettingError
		var id *store.InvalidError
		named := errors.As(supervision.Spec{Name: name}.Validate(), &bad)
		require.Equal(t, errors.As(checkpoint.ID(name).Validate(), &id), named, "%q", name)
		if named {
			require.Equal(t, id.Rule, bad.Rule)
		}
	})
}

func TestTheTextOfAFaultNamesItsFieldOnce(t *testing.T) {
	for want, w := range map[string]cursor.Worker{
		"Handle: must not be nil":                                  {},
		"BatchSize -1: must not be negative":                       {BatchSize: -1},
		"BatchSize 65537: the limit is 65536":                      {BatchSize: cursor.MaxBatchSize + 1},
		`Kinds "b": lies outside the region of the worker`:         {Region: store.Region{Kinds: []string{"a"}}, Kinds: []string{"b"}},
		"Region: region versions: minimum must not exceed maximum": {Region: store.Region{MinVersion: 2, MaxVersion: 1}},
	} {
		w.Name = "w"
		require.Contains(t, fault(w).Error()+"\n", `cursor: worker "w": `+want+"\n")
	}
}

func TestAWorkerIsASupervisedChild(t *testing.T) {
	w := cursor.Worker{Name: "a", Policy: supervision.Policy{Attempts: 3}}
	require.Equal(t, supervision.Spec{Name: "a", Policy: w.Policy}, w.Spec())
}

func TestTheRegionReadIsNarrowedToTheHandledKinds(t *testing.T) {
	st := open(t)
	w := cursor.Worker{Region: store.Region{Scope: "shop", Category: "order"}, Kinds: []string{"order.b", "order.a", "order.b"}, Handle: reactAll}
	r := runner(t, st, w)
	require.Equal(t, store.Region{Scope: "shop", Kinds: []string{"order.a", "order.b"}}, *r.Progress().Region)
	require.Equal(t, w.Region.Identity(), record(t, st, "reserve").Region, "bound to the region as declared")
	require.Equal(t, []string{"order.a", "order.b"}, record(t, st, "reserve").Kinds)
}

func TestAWorkerThatDoesNotFitItsCheckpointIsRefused(t *testing.T) {
	st := open(t)
	w := cursor.Worker{Name: "reserve", Region: orders, Kinds: []string{"a", "b"}, Handle: reactAll}
	runner(t, st, w)
	other := w
	other.Kinds = []string{"b", "c"}
	_, err := cursor.NewRunner(t.Context(), st, other)
	require.ErrorIs(t, err, checkpoint.ErrKindsChanged)
	var kinds *checkpoint.MismatchError
	require.ErrorAs(t, err, &kinds)
	require.Equal(t, []string{"c"}, kinds.Added)
	require.Equal(t, []string{"a"}, kinds.Removed)
	other = w
	other.Region = stocks
	_, err = cursor.NewRunner(t.Context(), st, other)
	require.ErrorIs(t, err, checkpoint.ErrRegion)
}
