package saga

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/supervision"
)

// definition is a valid saga, out of reach of later changes of its settings.
type definition[S any] struct {
	name    string
	version uint32
	scope   string // of its own events
	types   *reactor.Types

	deadline            time.Duration
	missing, unexpected Treatment
	holdFor, retain     time.Duration
	restarts            Restarts
	maxState, maxVisits int
	maxHeld             int
	timeout             time.Duration
	exhausted           supervision.Action                                                           // of the coordinator
	around              func(ctx context.Context, a Attempt, next func(context.Context) error) error // of Effects

	routes  map[string]*route[S]
	answers map[string]answer[S] // by kind, where there is no instance
	timers  map[string]*timerInput[S]
	steps   map[string]*step[S]
	stages  []stage // of a list of steps; nil for handlers
	list    bool
	untyped bool // the name alone is known
	free    bool // there is a handler that may set timers and request actions

	migrations map[uint32]func(*record) error // by the version that they are from
}

// stage is what is requested at the same time, and joined.
type stage struct {
	name     string
	steps    []string
	withdraw bool // where one fails the others are withdrawn
	pivot    bool // there is no way back from here on; it has no steps
}

// define checks the saga and reports all that is invalid at once.
func (s *Saga[S]) define() (*definition[S], error) {
	d := &definition[S]{
		name: s.name, version: s.Version, types: s.Types, scope: cmp.Or(s.Scope, "saga"), deadline: s.Deadline,
		missing: s.Missing, unexpected: s.Unexpected, restarts: s.Restarts,
		holdFor: cmp.Or(s.HoldFor, defaultHoldFor), retain: cmp.Or(s.Retain, defaultRetain),
		maxState: cmp.Or(s.MaxState, defaultMaxState), maxVisits: cmp.Or(s.MaxVisits, defaultMaxVisits),
		maxHeld: cmp.Or(s.MaxHeld, defaultMaxHeld), timeout: cmp.Or(s.Effects.Timeout, defaultTimeout), around: s.Effects.Around,
		exhausted: s.Policy.Exhausted,
		routes:    make(map[string]*route[S]), answers: make(map[string]answer[S]), timers: make(map[string]*timerInput[S]), steps: make(map[string]*step[S]),
		list: s.list, migrations: make(map[uint32]func(*record) error),
	}
	errs := []error{checkName(s.name, "the name", s.name), d.types.Err(), d.check()}
	for i, p := range s.parts {
		if p == nil {
			errs = append(errs, invalid(s.name, fmt.Sprintf("part %d", i), "is nil"))
			continue
		}
		errs = append(errs, p.add(d))
	}
	errs = append(errs, d.complete())
	return d, errors.Join(errs...)
}

// check checks the settings.
func (d *definition[S]) check() error {
	var errs []error
	for _, c := range []struct {
		field string
		ok    bool
		rule  string
	}{
		{"Deadline", d.deadline >= 0, "must not be negative"},
		{"HoldFor", d.holdFor > 0, "must not be negative"},
		{"Retain", d.retain > 0, "must not be negative"},
		{"Missing", d.missing <= Defer, "must be Park, Record or Defer"},
		{"Unexpected", d.unexpected <= Defer, "must be Park, Record or Defer"},
		{"Restarts", d.restarts <= AfterEnd, "must be Never or AfterEnd"},
		{"MaxState", d.maxState > 0 && d.maxState <= mostState, "must be 1 to 524288"},
		{"MaxVisits", d.maxVisits > 0, "must not be negative"},
		{"MaxHeld", d.maxHeld > 0 && d.maxHeld <= 10_000, "must be 1 to 10000"},
		{"Effects.Timeout", d.timeout > 0, "must not be negative"},
		{"Policy.Exhausted", d.exhausted != supervision.ActionSkip, "must not be to skip an input, for which an instance may wait"},
	} {
		if !c.ok {
			errs = append(errs, invalid(d.name, c.field, c.rule))
		}
	}
	return errors.Join(errs...)
}

// route takes one in. A kind may start an instance, and come to one that is there.
func (d *definition[S]) route(r *route[S]) error {
	known := d.routes[r.kind]
	switch {
	case known == nil:
		d.routes[r.kind] = r
	case known.alias != r.alias || known.start != nil && r.start != nil || known.on != nil && r.on != nil:
		return invalid(d.name, r.kind, "has more than one handler")
	default:
		known.start, known.on = cmp.Or(known.start, r.start), cmp.Or(known.on, r.on)
	}
	if r.alias != "" {
		return checkName(d.name, "alias", r.alias)
	}
	return nil
}

// complete checks what the parts make together.
func (d *definition[S]) complete() error {
	var errs []error
	starts := 0
	for _, kind := range slices.Sorted(maps.Keys(d.routes)) {
		if d.routes[kind].start != nil {
			starts++
		}
	}
	if starts == 0 {
		errs = append(errs, invalid(d.name, "it", "has no event that starts it"))
	}
	for kind := range d.answers {
		if r := d.routes[kind]; r == nil || r.on == nil {
			errs = append(errs, invalid(d.name, "OnMissing of "+kind, "has no On or Via beside it"))
		}
	}
	steps := 0
	for _, s := range d.stages {
		steps += len(s.steps)
	}
	if d.list && steps == 0 {
		errs = append(errs, invalid(d.name, "it", "has no step"))
	}
	errs = append(errs, d.useless()...)
	return errors.Join(errs...)
}

// useless is what the parts say that has no effect.
func (d *definition[S]) useless() (errs []error) {
	behind := false
	for _, s := range d.stages {
		behind = behind || s.pivot
		for _, name := range s.steps {
			if behind && d.steps[name].undo != nil {
				errs = append(errs, invalid(d.name, "step "+name, "has an undo, and stands behind the pivot, where nothing is undone"))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.timers)) {
		if d.list && !d.free {
			errs = append(errs, invalid(d.name, "timer "+name, "can be set by no handler of this list of steps; for a limit see Saga.Deadline and Action.Timeout"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.steps)) {
		if s := d.steps[name]; s.undoAttempts > 0 && s.undo == nil {
			errs = append(errs, invalid(d.name, "step "+name, "has UndoAttempts, and no undo"))
		}
	}
	if !d.list && !d.free && len(d.routes) > 0 {
		errs = append(errs, invalid(d.name, "it", "has no handler: Starts is for Steps, and Start for New"))
	}
	return errs
}

// newest are the newest schema versions that are read, by kind.
func (d *definition[S]) newest() map[string]uint16 {
	versions := make(map[string]uint16, len(d.routes))
	for kind, r := range d.routes {
		versions[kind] = r.newest
	}
	return versions
}

// stageOf is the number of the stage of a phase, -1 where there is none.
func (d *definition[S]) stageOf(phase string) int {
	return slices.IndexFunc(d.stages, func(s stage) bool { return s.name == phase })
}
