package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// Step is what an action or an undo is called with.
type Step[S any] struct {
	// Key names the effect: it is the same at every attempt, after every restart, and in the undo of
	// an action, which has it with "/undo" behind. A service that knows a key does nothing twice. Only
	// what was refused, and is repeated by an operator, has another one. An undo goes by Done.Key.
	Key string
	// Instance is the key of the instance, Name that of the step.
	Instance, Name string
	// State is the state of the instance. What is changed in it is lost: see [Action.Keep].
	State S
}

// Done is the outcome of an action, for what undoes it.
type Done[R any] struct {
	// Result of the action; the zero value where it is not certain.
	Result R
	// Key of the action.
	Key string
	// Certain is false where it is not known whether the action happened.
	Certain bool
}

// Action is a step of a saga, with what undoes it. It is made by [Do]; its methods set what differs
// from the usual, and return it.
type Action[S, R any] struct{ step step[S] }

// step is an action whose result type is forgotten.
type step[S any] struct {
	name    string
	do      func(ctx context.Context, s Step[S]) (json.RawMessage, error) // nil for an undo alone
	undo    func(ctx context.Context, s Step[S], u *undoRecord, key string) error
	read    func(result json.RawMessage) error // tells whether it can be read; nil for an undo alone
	keep    func(state *S, result json.RawMessage) error
	then    func(ctx context.Context, result json.RawMessage, tx *Tx[S]) error
	refused func(ctx context.Context, err error, tx *Tx[S]) error
	timeout time.Duration // of one attempt; 0 for that of the saga

	attempts, undoAttempts int                  // 0 for Effects.Policy
	backoff                *supervision.Backoff // nil for Effects.Policy

	ask bool // where it is unknown, an operator says what happened
	err error
}

// Do is an action. It returns a result of any JSON type, or an error: one made by [Refuse] says
// that it did not happen, any other is tried again. undo takes back what was done, or may have
// been; nil where there is nothing to take back. An undo that is refused, or whose ladder is used
// up, makes the instance [Stuck].
//
// In an outage of what an action or an undo calls its ladder is not used up, and one instance alone
// that fails cannot be told from an outage. So where it does not say how often ([Action.Attempts])
// an action is tried until it works or the instance
// turns back, as at its Deadline; an undo, and an action behind the pivot, until it works or an
// operator says otherwise ([Instances.SkipUndo], [Instances.SettleDone]). See Effects.Policy.
//
// Each service that is called needs two rules. What comes twice under a key is done once. And what
// was taken back before it came is refused when it comes: an undo may overtake an attempt that is
// on its way still, after a time-out. So an undo goes by the key of its action ([Done.Key]), and
// records that where the service does not know it yet.
//
// In [Steps] the action is a step by itself; in [New] it is carried out where a handler says so, by
// [Tx.Run].
func Do[S, R any](
	name string, do func(ctx context.Context, s Step[S]) (R, error), undo func(ctx context.Context, s Step[S], done Done[R]) error,
) *Action[S, R] {
	a := &Action[S, R]{step: step[S]{name: name}}
	if do == nil {
		a.step.err = fmt.Errorf("%w: step %q has a nil action", ErrDefinition, name)
		return a
	}
	a.step.do = func(ctx context.Context, s Step[S]) (json.RawMessage, error) {
		result, err := do(ctx, s)
		if err != nil {
			return nil, err
		}
		return json.Marshal(result)
	}
	a.step.read = func(raw json.RawMessage) error {
		if len(raw) == 0 {
			return nil
		}
		return json.Unmarshal(raw, new(R))
	}
	if undo != nil {
		a.step.undo = func(ctx context.Context, s Step[S], u *undoRecord, key string) error {
			d := Done[R]{Key: key, Certain: !u.Unknown}
			if err := decodeResult(u.Result, &d.Result); err != nil {
				return err
			}
			return undo(ctx, s, d)
		}
	}
	return a
}

func decodeResult[R any](raw json.RawMessage, into *R) error {
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: result: %w", ErrRecord, err)
	}
	return nil
}

// Keep puts the result into the state.
func (a *Action[S, R]) Keep(keep func(state *S, result R)) *Action[S, R] {
	a.step.keep = func(state *S, raw json.RawMessage) error {
		var result R
		err := decodeResult(raw, &result)
		if err == nil {
			keep(state, result)
		}
		return err
	}
	return a
}

// Then handles the result, in a saga of [New].
func (a *Action[S, R]) Then(handle func(ctx context.Context, result R, tx *Tx[S]) error) *Action[S, R] {
	a.step.then = func(ctx context.Context, raw json.RawMessage, tx *Tx[S]) error {
		var result R
		if err := decodeResult(raw, &result); err != nil {
			return err
		}
		return handle(ctx, result, tx)
	}
	return a
}

// Refused handles a No, in a saga of [New]. Without it the instance compensates.
func (a *Action[S, R]) Refused(handle func(ctx context.Context, err error, tx *Tx[S]) error) *Action[S, R] {
	a.step.refused = handle
	return a
}

// Timeout bounds one attempt, in place of Effects.Timeout.
func (a *Action[S, R]) Timeout(d time.Duration) *Action[S, R] {
	a.step.timeout = d
	a.positive("Timeout", int(d))
	return a
}

// Attempts is how often the action is tried at most, in place of what Effects.Policy says: then its
// outcome is unknown. All attempts count, those in an outage, too. Where the program ends meanwhile
// the count begins again; ends of the process in the action itself count for Effects.Policy.
func (a *Action[S, R]) Attempts(n int) *Action[S, R] {
	a.step.attempts = n
	a.positive("Attempts", n)
	return a
}

// UndoAttempts is Attempts for what undoes the action: then the instance is [Stuck].
func (a *Action[S, R]) UndoAttempts(n int) *Action[S, R] {
	a.step.undoAttempts = n
	a.positive("UndoAttempts", n)
	return a
}

// Backoff is the delays between the attempts at the action, and at its undo, in place of those of
// Effects.Policy: for a service that is to be asked rarely. In an outage they are the shortest
// ones.
func (a *Action[S, R]) Backoff(b supervision.Backoff) *Action[S, R] {
	a.step.backoff = &b
	a.step.err = errors.Join(a.step.err, delays(a.step.name, b))
	return a
}

// delays says what is wrong with those of a step.
func delays(step string, b supervision.Backoff) error {
	if err := (supervision.Spec{Name: "step", Policy: supervision.Policy{Backoff: b}}).Validate(); err != nil {
		return fmt.Errorf("%w: step %q: %w", ErrDefinition, step, err)
	}
	return nil
}

// positive requires a setting to be so.
func (a *Action[S, R]) positive(setting string, n int) {
	if n <= 0 {
		a.step.err = fmt.Errorf("%w: step %q: %s must be positive", ErrDefinition, a.step.name, setting)
	}
}

// Ask makes the instance [Stuck] where the outcome is unknown, until an operator says what
// happened: for what a blind undo would harm. Where the instance turns back while the action is in
// flight, as at its Deadline, it is so once nothing else is. [Instances.Retry] finds out by another
// attempt under the same key, and what that has done is undone then.
func (a *Action[S, R]) Ask() *Action[S, R] {
	a.step.ask = true
	return a
}

func (a *Action[S, R]) add(d *definition[S]) error {
	return d.addStage(stage{name: a.step.name}, &a.step)
}

// Undo is something to be undone that no action has done, such as what an event has reported: a
// handler says so by [Tx.OnUndo]. It is for sagas of [New].
func Undo[S any](name string, undo func(ctx context.Context, s Step[S]) error) Part[S] {
	return part[S](func(d *definition[S]) error {
		if undo == nil {
			return invalid(d.name, "undo "+name, "has a nil function")
		}
		s := &step[S]{name: name, undo: func(ctx context.Context, s Step[S], _ *undoRecord, _ string) error { return undo(ctx, s) }}
		if d.list {
			return invalid(d.name, "undo "+name, "has no place in a list of steps")
		}
		return d.addStep(s)
	})
}

// Pivot is the point of a list of steps from which there is no way back: behind it nothing is
// undone, and a step that fails for good makes the instance [Stuck].
func Pivot[S any]() Part[S] {
	return part[S](func(d *definition[S]) error {
		switch {
		case !d.list:
			return invalid(d.name, "the pivot", "has a place in a list of steps alone")
		case slices.ContainsFunc(d.stages, func(s stage) bool { return s.pivot }):
			return invalid(d.name, "the pivot", "is there twice")
		}
		d.stages = append(d.stages, stage{name: pivotPhase, pivot: true})
		return nil
	})
}

// pivotPhase is the name of the stage that is the pivot. No step has it.
const pivotPhase = "/pivot"

// Branch is an action of [All].
type Branch[S any] interface {
	Part[S]
	branch() *step[S]
}

func (a *Action[S, R]) branch() *step[S] { return &a.step }

// Parallel are actions that are carried out at the same time, and joined. It is made by [All].
type Parallel[S any] struct {
	stage    stage
	branches []Branch[S]
}

// All is actions that are carried out at the same time. What follows them begins when all are done;
// where one fails for good, the others are waited for, and then all is undone, one by one, those
// requested last first.
func All[S any](name string, branches ...Branch[S]) *Parallel[S] {
	return &Parallel[S]{stage: stage{name: name}, branches: slices.Clone(branches)}
}

// Withdraw has the others not begin, or not be tried again, where one has failed.
func (p *Parallel[S]) Withdraw() *Parallel[S] {
	p.stage.withdraw = true
	return p
}

func (p *Parallel[S]) add(d *definition[S]) error {
	list := make([]*step[S], 0, len(p.branches))
	for _, b := range p.branches {
		if b == nil {
			return invalid(d.name, "branch of "+p.stage.name, "is nil")
		}
		list = append(list, b.branch())
	}
	switch {
	case !d.list:
		return invalid(d.name, "All "+p.stage.name, "has a place in a list of steps alone")
	case len(list) == 0:
		return invalid(d.name, "All "+p.stage.name, "has no branches")
	}
	return d.addStage(p.stage, list...)
}

// addStage adds steps, in a list of steps as a stage.
func (d *definition[S]) addStage(at stage, steps ...*step[S]) error {
	for _, s := range steps {
		if err := d.addStep(s); err != nil {
			return err
		}
		at.steps = append(at.steps, s.name)
	}
	if !d.list {
		return nil
	}
	if d.stageOf(at.name) >= 0 {
		return invalid(d.name, "step "+at.name, "is defined twice")
	}
	for _, s := range steps {
		if s.then != nil || s.refused != nil {
			return invalid(d.name, "step "+s.name, "has Then or Refused, for which there is no place in a list of steps")
		}
	}
	d.stages = append(d.stages, at)
	return checkName(d.name, "step", at.name)
}

func (d *definition[S]) addStep(s *step[S]) error {
	if s.err != nil {
		return fmt.Errorf("%q: %w", d.name, s.err)
	}
	if _, twice := d.steps[s.name]; twice {
		return invalid(d.name, "step "+s.name, "is defined twice")
	}
	d.steps[s.name] = s
	return checkName(d.name, "step", s.name)
}
