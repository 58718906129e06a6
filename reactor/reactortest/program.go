package reactortest

import (
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Program makes the tree of a run from its store and its clock, for handlers that use them. It may
// be passed wherever a tree is wanted, but not within a group:
//
//	program := func(st *store.Store, now func() time.Time) supervision.Child {
//		return shop.Tree(st, now, carrier)
//	}
//	run := reactortest.Start(t, reactortest.Program(program))
//
// It is called at the start and after each crash, with the store as it was opened then. So what it
// makes is lost in a crash, as in a process, and what it only refers to, such as carrier, is the
// world outside.
type Program func(st *store.Store, now func() time.Time) supervision.Child

// Spec is that of a child of which nothing is known before it has run.
func (Program) Spec() supervision.Spec { return supervision.Spec{Name: "program"} }
