package sagatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/reactor/saga"
)

// Fault is what goes wrong with an action, or an undo, for its caller:
//
//	         what is called   what the saga learns
//	Refuse   nothing          it did not happen: saga.Refuse
//	Fail     nothing          an error
//	Lie      the action       an error
//	Hang     the action       that its time is over
//	Panic    the action       a panic
//	Die      the action       nothing: the process has died, and starts again
//
// One instance alone whose action fails each time looks like an outage of what that calls, in which
// no attempt counts: it does not end where it has no deadline. For that use Refuse, or have the
// saga say when it gives up: by Action.Attempts, or Policy.Outage.Off of its Effects.
//
// So with all but the first two the effect is there, and the saga does not know. It happens with
// each attempt, unless [Fault.Times] says how often. Hang does not wait. 0 is no fault.
type Fault uint32

// The faults.
const (
	Refuse Fault = iota + 1
	Fail
	Lie
	Hang
	Panic
	Die
)

//nolint:gochecknoglobals // a table
var faultNames = []string{"none", "refuse", "fail", "lie", "hang", "panic", "die"}

// kindBits is where the count begins.
const (
	kindBits  = 8
	kindMask  = 1<<kindBits - 1
	mostTimes = 1<<16 - 1
)

// Times is the fault with the first n attempts at each effect, up to 65,535; then it works.
func (f Fault) Times(n int) Fault { return f&kindMask | Fault(min(max(n, 0), mostTimes))<<kindBits }

func (f Fault) kind() Fault { return f & kindMask }

// hits reports whether it happens at an attempt, counted from 1.
func (f Fault) hits(attempt int) bool {
	n := int(f >> kindBits)
	return n == 0 || attempt <= n
}

// String is the name in lower case, with *n behind for n times.
func (f Fault) String() string {
	if int(f.kind()) >= len(faultNames) {
		return fmt.Sprintf("fault %d", uint32(f))
	}
	name := faultNames[f.kind()]
	if n := f >> kindBits; n > 0 {
		name += "*" + strconv.Itoa(int(n))
	}
	return name
}

// parseFault reads what String returns.
func parseFault(text string) (Fault, error) {
	name, count, counted := strings.Cut(text, "*")
	i := slices.Index(faultNames, name)
	n, err := 0, error(nil)
	if counted {
		n, err = strconv.Atoi(count)
	}
	if i < 0 || err != nil {
		return 0, fmt.Errorf("%q is no fault", text)
	}
	return Fault(i).Times(n), nil
}

// errFault is the error of an action with a fault.
var errFault = errors.New("sagatest: the fault of a test")

// faults are those of a run, and what was attempted in it. It outlasts crashes, as the world
// outside does. Everything runs on the goroutine of the test.
type faults struct {
	by       map[string]Fault // name of the action
	attempts map[string]int   // key of the effect
	calls    []saga.Attempt
	die      func()
}

func newFaults() *faults {
	return &faults{by: make(map[string]Fault), attempts: make(map[string]int)}
}

// around makes an attempt with the fault that it has.
func (f *faults) around(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
	f.calls = append(f.calls, a)
	f.attempts[a.Key]++
	fault := f.by[a.String()].kind()
	if !f.by[a.String()].hits(f.attempts[a.Key]) {
		fault = 0
	}
	if fault == Refuse {
		return saga.Refuse(errFault)
	}
	if fault == Fail {
		return errFault
	}
	if err := next(ctx); err != nil {
		return err
	}
	switch fault {
	case Lie:
		return errFault
	case Hang:
		return fmt.Errorf("%w: %w", errFault, context.DeadlineExceeded)
	case Panic:
		panic(errFault)
	case Die:
		f.die()
		return errFault
	default:
		return nil
	}
}

// names of the actions that were attempted, in the order of their first attempt.
func (f *faults) names() (list []string) {
	for _, a := range f.calls {
		if !slices.Contains(list, a.String()) {
			list = append(list, a.String())
		}
	}
	return list
}

// keys of the effects that were attempted, sorted.
func (f *faults) keys() (list []string) {
	for key := range f.attempts {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}
