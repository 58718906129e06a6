package reactortest

import (
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Program makes the tree of a run from its store, for handlers that read it, or need to know what
// time it is: store.Store.Now is that of the run. It may be passed wherever a tree is wanted, but
// not within a group:
//
//	program := func(st *store.Store) supervision.Child { return shop.Tree(st, carrier) }
//	run := reactortest.Start(t, reactortest.Program(program))
//
// It is called at the start and after each crash, with the store as it was opened then. So what it
// makes is lost in a crash, as in a process, and what it only refers to, such as carrier, is the
// world outside.
type Program func(st *store.Store) supervision.Child

// Spec is that of a child of which nothing is known before it has run.
func (Program) Spec() supervision.Spec { return supervision.Spec{Name: "program"} }
