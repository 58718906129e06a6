package reactortest

import (
	"errors"
	"fmt"
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
}

// node is a worker or a group.
type node interface {
	stop(delay time.Duration)
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
		if sub, ok := child.(supervision.Group); ok {
			below, err := r.group(sub, inherited, made, i)
			if err != nil {
				return nil, err
			}
			made.children = append(made.children, below)
			continue
		}
		source, ok := child.(cursor.Source)
		if !ok {
			return nil, fmt.Errorf("child %q: %T %w", inherited.Name, child, errNotSource)
		}
		w, err := source.CursorWorker()
		if err != nil {
			return nil, err
		}
		if w.Volatile {
			return nil, fmt.Errorf("worker %q is volatile: there is nothing that a crash could leave of it", w.Name)
		}
		inherited = inherited.WithDefaults()
		one := &worker{run: r, group: made, index: i, spec: inherited, worker: w, judge: supervision.NewJudge(inherited, nil)}
		made.children = append(made.children, one)
		r.all = append(r.all, one)
	}
	return made, nil
}

// restart starts afresh what the strategy says when a child has failed.
func (g *group) restart(failed int, delay time.Duration) {
	from, to := g.strategy.Affected(failed, len(g.children))
	for _, child := range g.children[from:to] {
		child.stop(delay)
	}
}

// escalate is called for a child that its policy hands to the group, which is a failure of the group to the one above.
func (g *group) escalate(child string, reason error) {
	reason = fmt.Errorf("child %q: %w", child, reason)
	if g.above == nil {
		g.halt(reason)
		return
	}
	v := g.above.judgeOf(g, supervision.Failure{Err: reason})
	switch v.Action {
	case supervision.ActionRestart, supervision.ActionRetry:
		g.above.restart(g.index, v.Delay)
	case supervision.ActionEscalate:
		g.above.escalate(g.spec.Name, v.Reason)
	default:
		g.halt(v.Reason)
	}
}

func (g *group) judgeOf(child *group, f supervision.Failure) supervision.Verdict {
	return child.judge.Failed(g.run.now, f)
}

// stop ends all children; they begin anew, with fresh counts, after a delay.
func (g *group) stop(delay time.Duration) {
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
