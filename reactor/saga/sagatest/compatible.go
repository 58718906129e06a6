package sagatest

import (
	"os"
	"testing"

	"github.com/penstock-io/penstock/reactor/saga"
)

// Compatible fails the test unless a saga can continue the instances in a file, as a deploy of it
// would have to: by its names, states, results and migrations, see [saga.Saga.Check]. The file is
// one that [saga.Instances.Export] has written in production, or a run of a test with an earlier
// version: kept beside the test it tells years later which change would leave an order of then
// lying about.
func Compatible[S any](tb testing.TB, def *saga.Saga[S], path string) {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatalf("sagatest: %v", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	n, err := def.Check(f)
	if err == nil && n == 0 {
		tb.Fatalf("sagatest: %s has no instance", path)
	}
	if err != nil {
		tb.Fatalf("sagatest: %s: %v", path, err)
	}
	tb.Logf("sagatest: %s continues %d instances of %s", def.Name(), n, path)
}
