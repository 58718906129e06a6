package bench

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/penstock-io/penstock/bench/machine"
)

var (
	turnTime  = flag.Duration("turn", 500*time.Millisecond, "how long a contestant is measured in a round")
	logEvents = flag.Int("events", 2_000_000, "events of the log that is read, at least 10000")
)

// scratch holds everything that the benchmarks write.
var scratch string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		return m.Run()
	}
	var err error
	if scratch, err = os.MkdirTemp("", "penstock-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	defer theLibrary.close()
	describeMachine()
	return m.Run()
}

// describeMachine prints lines that benchstat understands as properties of the run. The testing
// package adds the processor.
func describeMachine() {
	fmt.Println("go:", runtime.Version())
	fmt.Println("cores:", runtime.GOMAXPROCS(0))
	fmt.Println("kernel:", machine.Kernel())
	fmt.Println("fs:", machine.FileSystem(scratch))
	fmt.Println("turn:", *turnTime)
	fmt.Println("events:", *logEvents)
}
