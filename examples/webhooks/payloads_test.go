package main

import (
	"testing"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
)

// Logs of former versions of the program stay readable: a payload that is to be written in another
// way needs a SchemaVersion and an upcaster.
func TestPayloadsStayReadable(t *testing.T) {
	types := reactor.NewTypes(reactor.TypeOf[requested](), reactor.TypeOf[delivered]())
	reactortest.Golden(t, types, "testdata/payloads")
}
