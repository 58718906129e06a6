package reactortest

import (
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Gated is a tree over a store with gates, those of the program: a reaction that one of them denies
// fails its handler, and so does an event that the test appends fail the test. It may be passed
// wherever a tree is wanted, but not within a group.
type Gated struct {
	Gates []store.Gate
	Tree  supervision.Child // which may be a [Program]
}

// Spec is that of the tree.
func (g Gated) Spec() supervision.Spec { return g.Tree.Spec() }
