package sagas

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/store"
)

// Figures of sagas whose process was killed.
const (
	unitResumed = "us/saga"
	unitEnded   = "ended-ms"
)

// childVariable tells a process that it is to be killed: which engine it runs, where, and how many
// sagas.
const childVariable = "PENSTOCK_BENCH_KILLED"

// doomed are the engines whose processes are killed.
var doomed = map[string]opener{"penstock": openPenstock(store.SyncAlways), "dbos": openDBOS("FULL")}

// flying is an engine that knows how many sagas have a step in flight.
type flying interface {
	// flies returns once so many do.
	flies(ctx context.Context, n int) error
}

// Child runs the process that is to be killed, if this one is, and reports whether it was. A
// program with the rows of this package calls it before all else.
func Child(ctx context.Context) bool {
	what := os.Getenv(childVariable)
	if what == "" {
		return false
	}
	if err := child(ctx, strings.SplitN(what, " ", 3)); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	return true
}

// child starts sagas whose first step never ends, says so on its standard output once all are in
// flight, and waits until its standard input ends.
func child(ctx context.Context, what []string) error {
	if len(what) != 3 {
		return fmt.Errorf("%q?", what)
	}
	n, err := strconv.Atoi(what[1])
	if err != nil {
		return err
	}
	var begun atomic.Int64
	e, err := doomed[what[0]](ctx, what[2], func(int) {
		begun.Add(1)
		select {}
	})
	if err != nil {
		return err
	}
	failed := make(chan error, n)
	for i := range n {
		go func() { failed <- e.run(ctx, id(i)) }()
	}
	all := make(chan error, 1)
	go func() { all <- inFlight(ctx, e, n, &begun) }()
	select {
	case err = <-failed:
	case err = <-all:
	}
	if err != nil {
		return err
	}
	fmt.Println("in flight")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func inFlight(ctx context.Context, e engine, n int, begun *atomic.Int64) error {
	if f, ok := e.(flying); ok {
		return f.flies(ctx, n)
	}
	return until(ctx, func() bool { return begun.Load() >= int64(n) })
}

// until waits until something is true.
func until(ctx context.Context, is func() bool) error {
	for !is() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// killed kills a process with so many sagas in flight, and opens what it leaves: the time until the
// step of each is attempted again, and until all have ended.
func killed(name string, n int) delivery.Run {
	return func(ctx context.Context, t delivery.Turn) (res delivery.Result, err error) {
		if err := kill(ctx, fmt.Sprintf("%s %d %s", name, n, t.Dir)); err != nil {
			return nil, err
		}
		var acts [steps]atomic.Int64
		began := time.Now()
		e, err := doomed[name](ctx, t.Dir, func(step int) { acts[step].Add(1) })
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, e.close(ctx)) }()
		took := make([]time.Duration, steps)
		for k := range acts {
			if err := until(ctx, func() bool { return acts[k].Load() >= int64(n) }); err != nil {
				return nil, err
			}
			took[k] = time.Since(began)
		}
		return delivery.Result{
			unitResumed: figures.Micros(took[0]) / float64(n), unitEnded: figures.Millis(took[steps-1]), "sagas": float64(n),
		}, nil
	}
}

// kill starts the process, and kills it once its sagas are in flight.
func kill(ctx context.Context, what string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childVariable+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && line != "in flight\n" {
		err = fmt.Errorf("the process that is to be killed says %q", line)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // that it was killed
	return err
}
