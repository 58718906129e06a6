package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

const (
	linearRounds  = 20 // unless the environment says otherwise
	linearCallers = 4
	linearCalls   = 12 // of each of them
	// linearPatience is how long it may take to find an order.
	linearPatience = time.Minute
)

// linearizable lets callers work at the same time, and looks for an order of their calls in which a
// plain log gives the same answers: where one call ended before another began, in that order.
//
// Side values may be newer than the head, so they are asked for in rounds of their own.
func linearizable(x *scene) {
	for seed := range seeds(x, linearRounds) {
		x.take(x.open())
		r := &round{scene: x, began: time.Now(), sides: seed%3 == 0}
		require.NoError(x, inParallel(linearCallers, func(i int) error {
			return newCaller(r, seed, i).work()
		}), seedText(seed))
		r.ask()
		model := plainModel(x.Writer.Origin())
		if result, info := porcupine.CheckOperationsVerbose(model, r.calls, linearPatience); result != porcupine.Ok {
			x.Fatalf("storetest: no order of these calls explains their answers (%s)\n%s%s\n%s",
				result, r, r.longest(info), seedText(seed))
		}
		for _, f := range r.fences {
			_ = f.Cancel(x.ctx)
		}
		require.NoError(x, x.Writer.Close())
	}
}

// plainModel is a plain log as porcupine wants it.
func plainModel(origin store.Origin) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return emptyLog(origin) },
		Step: func(state, input, output any) (bool, any) {
			l, c, a := state.(*plainLog), input.(*call), output.(*answer)
			next, err := l.step(c, a)
			return err == nil, next
		},
		Equal: func(one, other any) bool { return one.(*plainLog).same(other.(*plainLog)) },
	}
}

// same reports whether two logs that are the outcome of the same calls are the same: what a commit
// has led to is in its receipt.
func (l *plainLog) same(other *plainLog) bool {
	return l.sequence == other.sequence && len(l.events) == len(other.events) && len(l.keys) == len(other.keys) &&
		len(l.fences) == len(other.fences) && !slices.ContainsFunc(l.openFences(), func(fence int) bool { return !other.isOpen(fence) })
}

// round is some calls of callers that work at the same time.
type round struct {
	*scene

	began time.Time
	sides bool // and not events

	mu     sync.Mutex
	calls  []porcupine.Operation
	fences []Fence
}

// note makes a call and keeps it with its answer.
func (r *round) note(caller int, c *call) *answer {
	f := r.fenceOf(c.fence)
	from := time.Since(r.began)
	runtime.Gosched() // others call meanwhile, also where calls are short
	a := r.make(c, f)
	to := time.Since(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, porcupine.Operation{ClientId: caller, Input: c, Call: int64(from), Output: a, Return: int64(to)})
	return a
}

// fenceOf returns the fence with a number, nil for 0.
func (r *round) fenceOf(number int) Fence {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number == 0 {
		return nil
	}
	return r.fences[number-1]
}

// ask makes the last calls, one after the other.
func (r *round) ask() {
	if r.sides {
		for _, key := range sideNames() {
			r.note(0, &call{do: askSide, name: key})
		}
		return
	}
	r.note(0, &call{do: askHead})
	for _, entity := range entityNames() {
		r.note(0, &call{do: askVersion, name: entity})
	}
}

// String lists the calls in the order of their beginning.
func (r *round) String() string {
	slices.SortFunc(r.calls, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var text strings.Builder
	for _, o := range r.calls {
		fmt.Fprintf(&text, "%8d to %8d ns, caller %d: %s -> %s\n", o.Call, o.Return, o.ClientId, o.Input, o.Output)
	}
	return text.String()
}

// longest describes the longest order that explains some of the answers, and what is wrong with the
// calls that might come next.
func (r *round) longest(info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	l, done := emptyLog(r.Writer.Origin()), make(map[*call]bool)
	for _, o := range longest {
		c, a := o.Input.(*call), o.Output.(*answer)
		l, _ = l.step(c, a)
		done[c] = true
	}
	var text strings.Builder
	fmt.Fprintf(&text, "explained are %d of %d; then\n", len(longest), len(r.calls))
	for _, o := range r.calls {
		c, a := o.Input.(*call), o.Output.(*answer)
		if done[c] {
			continue
		}
		if _, err := l.step(c, a); err != nil {
			fmt.Fprintf(&text, "caller %d: %s: %v\n", o.ClientId, c, err)
		}
	}
	return text.String()
}

// caller makes calls, and knows of the log what it was answered.
type caller struct {
	*round
	generator

	number    int
	versions  map[string]uint64
	revisions map[string]uint64
	seen      store.Position
}

func newCaller(r *round, seed uint64, number int) *caller {
	c := &caller{round: r, number: number, versions: make(map[string]uint64), revisions: make(map[string]uint64)}
	c.random = rand.New(rand.NewPCG(seed, uint64(number)+1))
	c.sizes = []int{0, 1, 40}
	c.version = func(entity string) uint64 { return c.versions[entity] }
	c.revision = func(side string) uint64 { return c.revisions[side] }
	c.head = func() store.Position { return c.seen }
	c.cause = func() store.Causation { return store.Causation{} }
	return c
}

func (c *caller) work() error {
	for range linearCalls {
		next, err := c.next()
		if err != nil {
			return err
		}
		c.learn(next, c.note(c.number, next))
	}
	return nil
}

// next draws a call.
func (c *caller) next() (*call, error) {
	n := c.random.IntN(20)
	switch {
	case c.sides && n < 6:
		return &call{do: askSide, name: c.pick(sideNames()...)}, nil
	case c.sides:
		return &call{do: doCommit, batch: c.batch(false, true)}, nil
	case n < 2:
		return &call{do: askHead}, nil
	case n < 5:
		return &call{do: askVersion, name: c.pick(entityNames()...)}, nil
	case n < 10 && c.OpenFence != nil:
		return c.fenced()
	}
	return &call{do: doCommit, batch: c.batch(true, c.oneIn(4))}, nil
}

// fenced draws a call in a fence, which is opened first if there are few. Any caller uses any.
func (c *caller) fenced() (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fences) == 0 || len(c.fences) < linearCallers && c.oneIn(4) {
		f, err := c.OpenFence(c.ctx, store.FenceOptions{Deadline: store.MaxFenceDeadline, Reason: fenceReason})
		if err != nil {
			return nil, err
		}
		c.fences = append(c.fences, f)
	}
	next := &call{fence: 1 + c.random.IntN(len(c.fences))}
	switch c.random.IntN(5) {
	case 0:
		next.do = doPublish
	case 1:
		next.do = doCancel
	default:
		next.batch = c.batch(true, false)
	}
	return next, nil
}

// learn takes from an answer what it says of the log.
func (c *caller) learn(made *call, a *answer) {
	var conflict *store.ConflictError
	if errors.As(a.err, &conflict) {
		switch {
		case conflict.Entity != "":
			c.versions[conflict.Entity] = conflict.Actual
		case conflict.SideKey != "":
			c.revisions[conflict.SideKey] = conflict.Actual
		default:
			c.seen = conflict.Position
		}
	}
	if a.err != nil {
		return
	}
	switch made.do {
	case askHead:
		c.seen = store.Position(a.number)
	case askVersion:
		c.versions[made.name] = a.number
	case askSide:
		c.revisions[made.name] = a.side.Revision
	case doCommit:
		for i, e := range a.receipt.Events {
			c.versions[made.batch.Events[i].At.Entity], c.seen = e.Version, e.Position
		}
		for _, w := range made.batch.Sides {
			c.revisions[w.Key] = a.receipt.Sequence
		}
	case doPublish, doCancel:
	}
}
