package saga

import (
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// fault is a supervision.Fault: no outage is the reason of such an error.
type fault struct{ error }

func (fault) Fault() {}

func (f fault) Unwrap() error { return f.error }

var (
	// ErrDefinition says that a saga cannot be. The text names the part and the rule that it breaks.
	ErrDefinition = errors.New("saga: invalid definition")
	// ErrRecord says that what is kept of an instance cannot be read. It stops that instance alone.
	ErrRecord error = fault{errors.New("saga: record cannot be read")}
	// ErrState says that the state of an instance cannot be encoded or decoded, or is too large.
	ErrState error = fault{errors.New("saga: state")}
	// ErrKey says that a key or an alias cannot be: text of 1 to 256 bytes.
	ErrKey error = fault{errors.New("saga: invalid key")}
	// ErrMissing is the error of an input that finds no instance, where Saga.Missing is [Park].
	ErrMissing error = fault{errors.New("saga: no instance")}
	// ErrUnexpected is the error of an input that its instance does not expect in its phase, where
	// Saga.Unexpected is [Park].
	ErrUnexpected error = fault{errors.New("saga: unexpected input")}
	// ErrTransition says that a handler asks for what cannot be: a phase that it does not declare, a
	// step or a timer that the saga does not have, an action that is in flight already. The text says
	// what.
	ErrTransition error = fault{errors.New("saga: impossible transition")}
	// ErrAlias is the error of a handler that registers an alias which another instance has.
	ErrAlias error = fault{errors.New("saga: alias is taken")}
	// ErrLimit says that an instance has outgrown a limit of its saga: of its state, of the visits of
	// a step, of inputs that wait.
	ErrLimit error = fault{errors.New("saga: limit")}

	// ErrRefused is what [Refuse] makes of an error.
	ErrRefused = errors.New("saga: refused")
	// ErrUnknown says of a step that it is not known whether it has happened.
	ErrUnknown = errors.New("saga: outcome is unknown")
	// ErrDeadline is why an instance compensates whose Saga.Deadline has passed.
	ErrDeadline = errors.New("saga: its deadline has passed")
	// ErrCancelled is why an instance compensates that was cancelled.
	ErrCancelled = errors.New("saga: cancelled")
	// ErrAbandoned is why an instance has failed that an operator has abandoned.
	ErrAbandoned = errors.New("saga: abandoned")
	// ErrUnrunnable says that instances cannot be continued by the program. See UnrunnableError.
	ErrUnrunnable = errors.New("saga: instances that this program cannot continue")
	// ErrUndefined is the error of a call that needs the definition of the saga, of [Untyped]
	// instances.
	ErrUndefined = errors.New("saga: its definition is not known here")
	// ErrUnfit is the error of an operator's call that does not fit the instance as it is.
	ErrUnfit = errors.New("saga: the instance is not as the call needs it")
	// ErrNotFound is the error of a query for a key without an instance.
	ErrNotFound = errors.New("saga: not found")
)

// refusal is an error that says that the action did not happen.
type refusal struct{ err error }

// Refuse returns err as a No: the action says that it has not done anything, and will not. It is
// not tried again, and not undone.
func Refuse(err error) error { return &refusal{err} }

func (e *refusal) Error() string { return e.err.Error() }

// Unwrap returns ErrRefused and the error.
func (e *refusal) Unwrap() []error { return []error{ErrRefused, e.err} }

// inputError names the instance and the input of an error.
type inputError struct {
	saga, key string
	input     store.Position
	err       error
}

func (e *inputError) Error() string {
	return fmt.Sprintf("saga %s, instance %q, input %d: %v", e.saga, e.key, e.input, e.err)
}

func (e *inputError) Unwrap() error { return e.err }

func invalid(saga, what, rule string) error {
	return fmt.Errorf("%w: %q: %s %s", ErrDefinition, saga, what, rule)
}
