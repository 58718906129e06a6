package actors_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// duo is a child that runs as two workers.
type duo struct{ name string }

func (d duo) Spec() supervision.Spec { return d.Group().Spec() }

func (d duo) Group() supervision.Group {
	return supervision.Group{Name: d.name, Strategy: supervision.OneForAll, Children: []supervision.Child{
		reacting(d.name + " one"), reacting(d.name + " two"),
	}}
}

func TestAChildThatRunsAsTwoWorkersStandsWhereAnyChildCan(t *testing.T) {
	st := memory(t, store.Options{})
	sys := start(t, st, duo{"a"}, reacting("w"), duo{"b"})
	last := appendInputs(t, st, 3)
	for _, name := range []string{"a one", "a two", "w", "b one", "b two"} {
		require.NoError(t, sys.WaitApplied(t.Context(), name, last))
	}
}
