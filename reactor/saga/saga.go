package saga

import (
	"context"
	"slices"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/supervision"
)

// Saga is a process that is run once for each key, with a state of type S, which is kept as JSON.
// It is made by [New] or [Steps]. Its settings may be changed until it is started; their zero
// values are right for most.
//
// It is a [supervision.Grouped] of two workers: the coordinator, which has the name of the saga,
// and handles the inputs of its instances; and NAME.do, which carries out their actions. Both keep
// their instances apart: one that fails, or waits, holds up no other.
type Saga[S any] struct {
	// Types say how the payloads of inputs are read; see reactor.Reactor.
	Types *reactor.Types
	// Version of the definition, kept with each instance that it starts.
	Version uint32
	// AllowUnrunnable lets the saga start though there are instances that it cannot continue: their
	// inputs are held until a program can, and are handled first then. As long as there are such
	// instances each start looks at all. Otherwise they are an UnrunnableError of the start.
	AllowUnrunnable bool
	// Scope narrows what is read to the events of a scope, and is the scope of the saga's own events.
	// "" means all scopes, and "saga" for its own.
	Scope string
	// Deadline is how long an instance may take from its start; then it compensates, with
	// ErrDeadline. Behind the pivot it does not count any more. 0 means no limit. What is in flight
	// then is waited for before anything is undone: for the end of an attempt under way, which its
	// Timeout bounds. What waits for its next attempt, in a backoff or an outage, is not attempted any
	// more.
	Deadline time.Duration
	// Missing says what is done with an input that finds no instance, and Unexpected with one that its
	// instance does not expect in its phase or at the end of its life.
	Missing, Unexpected Treatment
	// HoldFor is how long an input waits for its instance where Missing is Defer; after that it is
	// recorded. 0 means a minute.
	HoldFor time.Duration
	// Restarts says whether a key may start again. It may not, unless it says so: what would start it
	// is a duplicate.
	Restarts Restarts
	// Retain is how long an instance is kept after its end, to be asked for, and to keep its key from
	// starting again; 0 means 30 days.
	Retain time.Duration
	// MaxState is the largest state in bytes, as JSON, and the largest result of an action; 0 means
	// 64 KiB, the most is 512 KiB. The results of an instance that an undo may need take 704 KiB less
	// MaxState together. An action that returns more has an unknown outcome: it is undone without its
	// result. So a result is better the key of what is kept elsewhere.
	MaxState int
	// MaxVisits is how often one step may be requested in a run; 0 means 1,000.
	MaxVisits int
	// MaxHeld is how many inputs an instance may have that wait for it to begin, or for another phase
	// ([Defer]), which may never come: one more fails. 0 means 1,000. There is no limit to those that
	// an operator or a deploy keeps from being handled: they wait in the order of the log, and the
	// operator's calls pass them.
	MaxHeld int
	// Lanes is how many instances have an input handled at the same time; 0 means 64, so that as
	// many share a commit.
	Lanes int
	// Policy of the coordinator: what is done with inputs whose handler fails. Once its attempts are
	// used up an input is parked, and its instance is blocked until that is replayed or discarded; it
	// must not be skipped. Where the answer to a request is discarded, its outcome is unknown. A panic
	// is an error as any other, here and in actions.
	Policy supervision.Policy
	// Effects are the settings of the worker that carries out actions.
	Effects Effects

	name string
	list bool // it was made by Steps
	// untyped says that it has no definition: see Untyped.
	untyped bool
	parts   []Part[S]
	former  []*Saga[S]
}

// Effects are the settings of the worker that carries out the actions of a saga.
type Effects struct {
	// Lanes is how many actions run at the same time; 0 means 32.
	Lanes int
	// Policy is the ladder of an action. Once its attempts are used up the outcome is unknown. In an
	// outage of what an action or an undo calls no attempts are counted: it is tried until that ends,
	// until an operator decides, or until the instance compensates, as at its Deadline. One step that
	// fails alone for long looks the same. Policy.Outage.Off has attempts counted then, too, and so
	// has Action.Attempts for a step.
	Policy supervision.Policy
	// Timeout bounds one attempt at an action; 0 means 30 s. An action may have its own. When it is
	// over the context of the attempt ends. One that has not returned as long after that again, or a
	// second, has failed by context.DeadlineExceeded: others take its place, though its goroutine
	// cannot be ended, and what it returns in the end is not looked at. No other attempt is made of
	// its effect before it returns, and the action is not undone: each is a failed attempt, so that
	// the outcome is unknown, or the instance [Stuck], once these are used up. Where a thousand are
	// left behind others are waited for.
	Timeout time.Duration
	// Rate is how many attempts are made in a second at most; 0 means no limit.
	Rate float64
	// Around is called in place of each attempt, and calls next to make it: for spans, counts, and the
	// faults of tests. What it returns is the outcome; where that is no error though next was not
	// called, the action is done, with the zero result. nil means that nothing is around. Attempts are
	// made on several goroutines.
	Around func(ctx context.Context, a Attempt, next func(context.Context) error) error
}

// Attempt is one call of an action or of its undo, without its types.
type Attempt struct {
	// Key names the effect, as Step.Key does.
	Key string
	// Saga, Instance and Step are the names of what is attempted.
	Saga, Instance, Step string
	// Undo says that it is the undo of the step.
	Undo bool
}

// String names the action: "charge", or "undo charge".
func (a Attempt) String() string {
	if a.Undo {
		return undoPrefix + a.Step
	}
	return a.Step
}

// undoPrefix begins the name of the undo of a step. No step begins with it.
const undoPrefix = "undo "

// Treatment says what is done with an input for which there is no handler now.
type Treatment uint8

const (
	// Park fails the input: it is parked, and what follows of its instance is held, until an operator
	// replays or discards it.
	Park Treatment = iota
	// Record passes over it, with an event that says so.
	Record
	// Defer keeps it until there is an instance, or until that is in another phase.
	Defer
)

// Restarts says whether a key may start again.
type Restarts uint8

const (
	// Never says that a key has one run, as long as that is kept.
	Never Restarts = iota
	// AfterEnd says that a starting event begins another run, once one has ended.
	AfterEnd
)

const (
	defaultLanes       = 64
	defaultEffectLanes = 32
	defaultTimeout     = 30 * time.Second
	defaultHoldFor     = time.Minute
	defaultRetain      = 30 * 24 * time.Hour
	defaultMaxState    = 64 << 10
	mostState          = 512 << 10
	defaultMaxVisits   = 1000
	defaultMaxHeld     = 1000
	maxNameBytes       = 64
	maxKeyBytes        = 256
)

// New makes a process manager of handlers. The name is that of its workers and checkpoints, and
// stands in the kinds and entities of its events, so it stays as it is: letters, digits, '-' and
// '_'. It never fails: an invalid definition is the error of what starts it, and names each part
// that is wrong.
func New[S any](name string, parts ...Part[S]) *Saga[S] {
	return &Saga[S]{name: name, parts: slices.Clone(parts)}
}

// Steps makes a saga of actions that are carried out one after the other: [Do], [All], [Pivot],
// with [Starts] for how it begins. Where one fails for good, those before it are undone, the last
// one first. A step that is left out of a later definition is passed over by instances that are not
// there yet.
func Steps[S any](name string, parts ...Part[S]) *Saga[S] {
	return &Saga[S]{name: name, list: true, parts: slices.Clone(parts)}
}

// Name returns the name.
func (s *Saga[S]) Name() string { return s.name }

// Actions returns the names of its actions, and of their undos as "undo NAME", sorted. They are
// those of [Attempt.String]. The error is all that is wrong with the definition.
func (s *Saga[S]) Actions() (names []string, err error) {
	d, err := s.program()
	for name, step := range d.steps {
		if step.do != nil {
			names = append(names, Attempt{Step: name}.String())
		}
		if step.undo != nil {
			names = append(names, Attempt{Step: name, Undo: true}.String())
		}
	}
	slices.Sort(names)
	return names, err
}

// Spec is that of the group of its workers.
func (s *Saga[S]) Spec() supervision.Spec { return s.Group().Spec() }

// Group returns the workers of the saga.
func (s *Saga[S]) Group() supervision.Group {
	return supervision.Group{Name: s.name, Children: []supervision.Child{coordinator[S]{s}, effects[S]{s}}}
}

var _ supervision.Grouped = (*Saga[struct{}])(nil)
