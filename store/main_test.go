package store

import (
	"flag"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests and looks for goroutines that outlive them. Some tests start this binary
// once more, as another process that uses the same directory.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(playRole(role))
	}
	if err := flag.Set("rapid.checks", strconv.Itoa(100/thinning)); err != nil { // which the command line overrides
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
