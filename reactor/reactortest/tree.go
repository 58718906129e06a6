package reactortest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/supervision"
)

// group is a group of the tree.
type group struct {
	run      *Run
	above    *group // nil at the top
	index    int    // in the group above
	spec     supervision.Spec
	strategy supervision.Strategy
	children []node
	judge    *supervision.Judge // of what its children escalate
	round    round
}

// round is a restart of several children that waits for its time.
type round struct {
	from, to int // half-open
	delay    time.Duration
	due      time.Time
}

// node is a worker or a group.
type node interface {
	close()                   // note that it ends in good order
	stop(delay time.Duration) // end it, and begin anew after a delay
	halt(reason error)
}

var errNotSource = errors.New("is neither a group nor a source of a worker")

// plan makes the tree. A single worker gets a group around it.
func (r *Run) plan(tree supervision.Child) (*group, error) {
	top, ok := tree.(supervision.Group)
	if !ok {
		top = supervision.Group{Name: "test", Children: []supervision.Child{tree}}
	}
	if err := top.Validate(); err != nil {
		return nil, err
	}
	return r.group(top, top.Spec(), nil, 0)
}

func (r *Run) group(g supervision.Group, spec supervision.Spec, above *group, index int) (*group, error) {
	made := &group{run: r, above: above, index: index, spec: spec, strategy: g.Strategy, judge: supervision.NewJudge(spec, nil)}
	for i, child := range g.Children {
		inherited := child.Spec().Inherit(spec)
		var one node
		var err error
		if sub, ok := child.(supervision.Group); ok {
			one, err = r.group(sub, inherited, made, i)
		} else {
			one, err = r.child(child, inherited.WithDefaults(), made, i)
		}
		if err != nil {
			return nil, err
		}
		made.children = append(made.children, one)
	}
	return made, nil
}

func (r *Run) child(child supervision.Child, spec supervision.Spec, above *group, index int) (*worker, error) {
	source, ok := child.(cursor.Source)
	if !ok {
		return nil, fmt.Errorf("child %q: %T %w", spec.Name, child, errNotSource)
	}
	w, err := source.CursorWorker()
	if err != nil {
		return nil, err
	}
	if r.find(w.Name) != nil { // names are checkpoints, so they are unique in the whole tree
		return nil, &supervision.DuplicateError{Name: w.Name}
	}
	if w.Volatile && spec.Policy.Exhausted == supervision.ActionPark {
		spec.Policy.Exhausted = supervision.ActionHalt // there is no place to set anything aside
	}
	made := &worker{run: r, group: above, index: index, spec: spec, worker: w, judge: supervision.NewJudge(spec, nil)}
	r.all = append(r.all, made)
	return made, nil
}

// restart starts afresh what the strategy says when a child has failed. A round that still waits takes it in.
func (g *group) restart(failed int, delay time.Duration) {
	from, to := g.strategy.Affected(failed, len(g.children))
	waiting := g.round.due.After(g.run.now)
	joins := waiting && g.round.has(failed)
	if _, single := g.children[failed].(*worker); single && to-from == 1 && !joins {
		g.children[failed].stop(delay)
		return
	}
	if waiting {
		from, to, delay = min(from, g.round.from), max(to, g.round.to), max(delay, g.round.delay)
	}
	g.round = round{from: from, to: to, delay: delay, due: g.run.now.Add(delay)}
	for i := to - 1; i >= from; i-- {
		if i != failed {
			g.children[i].close()
		}
		g.children[i].stop(delay)
	}
}

func (r round) has(child int) bool { return child >= r.from && child < r.to }

// escalate ends a worker whose policy hands its failure to the group: it is a failure of the group to the one above.
func (g *group) escalate(w *worker, v supervision.Verdict) {
	w.stop(0)
	g.fail(w.name(), v)
}

func (g *group) fail(child string, v supervision.Verdict) {
	reason := fmt.Errorf("child %q: %w", child, v.Reason)
	if g.above == nil {
		g.halt(reason)
		return
	}
	judged := g.judge.Failed(g.run.now, supervision.Failure{Err: reason})
	switch judged.Action {
	case supervision.ActionRestart, supervision.ActionRetry:
		g.tell(judged)
		g.above.restart(g.index, judged.Delay)
	case supervision.ActionEscalate:
		g.above.fail(g.spec.Name, judged)
	default:
		g.halt(judged.Reason)
	}
}

// tell shows on all workers of the group why they are restarted.
func (g *group) tell(v supervision.Verdict) {
	for _, child := range g.children {
		switch child := child.(type) {
		case *worker:
			if child.final == "" {
				child.reason, child.attempt = v.Reason, v.Attempt
			}
		case *group:
			child.tell(v)
		}
	}
}

func (g *group) close() {
	for _, child := range slices.Backward(g.children) {
		child.close()
	}
}

// stop ends all children; they begin anew, with fresh counts, after a delay.
func (g *group) stop(delay time.Duration) {
	g.round = round{}
	for _, child := range g.children {
		child.stop(delay)
		switch child := child.(type) {
		case *worker:
			child.judge, child.limit = supervision.NewJudge(child.spec, nil), 0
		case *group:
			child.judge = supervision.NewJudge(child.spec, nil)
		}
	}
}

// halt ends all children until they are resumed.
func (g *group) halt(reason error) {
	for _, child := range g.children {
		child.halt(reason)
	}
}
