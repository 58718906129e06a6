package reactor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

var (
	// ErrDefinition is what every error of a definition is: [ErrNoRoutes], [*DuplicateKindError],
	// [*NilHandlerError], [*PayloadTypeError] and [*UpcasterError].
	ErrDefinition = errors.New("reactor: invalid definition")
	// ErrNoRoutes is the error of a reactor that handles nothing.
	ErrNoRoutes = fmt.Errorf("%w: no routes", ErrDefinition)
	// ErrLoop is what a [*DepthError] and a [*StormError] are: reactors that answer each other, or
	// react without end.
	ErrLoop = errors.New("reactor: too many reactions")
	// ErrPayload is what a [*DecodeError] and a [*SchemaError] are: a payload that cannot be read.
	ErrPayload = errors.New("reactor: payload cannot be read")
)

// DuplicateKindError is the error of a reactor with two routes for one kind.
type DuplicateKindError struct{ Kind string }

func (e *DuplicateKindError) Error() string {
	return fmt.Sprintf("reactor: kind %q has more than one route", e.Kind)
}

// Unwrap returns [ErrDefinition].
func (e *DuplicateKindError) Unwrap() error { return ErrDefinition }

// NilHandlerError is the error of a route without a function.
type NilHandlerError struct{ Kind string }

func (e *NilHandlerError) Error() string {
	return fmt.Sprintf("reactor: the handler of kind %q is nil", e.Kind)
}

// Unwrap returns [ErrDefinition].
func (e *NilHandlerError) Unwrap() error { return ErrDefinition }

// PayloadTypeError is the error of a route whose payload type cannot be handled.
type PayloadTypeError struct {
	Type string // as Go prints it
	Rule string // the rule it breaks
}

func (e *PayloadTypeError) Error() string {
	return fmt.Sprintf("reactor: payload type %s: %s", e.Type, e.Rule)
}

// Unwrap returns [ErrDefinition].
func (e *PayloadTypeError) Unwrap() error { return ErrDefinition }

// UnseenError reports an event that the reactor was given and does not read: its kind has no route,
// or it lies outside the region.
type UnseenError struct {
	Position store.Position
	At       store.Coordinate
	Kind     string
	Region   store.Region // what the reactor reads
}

func (e *UnseenError) Error() string {
	return fmt.Sprintf("reactor: event %d (%s at %s) is not among what the reactor reads (%s)",
		e.Position, e.Kind, e.At, e.Region)
}

// DecodeError reports a payload that is not what the route's type expects, or that is encoded by a
// codec other than JSON. It counts as an attempt at the event, like an error of its handler.
type DecodeError struct {
	Kind     string
	Position store.Position
	Err      error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("reactor: decode event %d (%s): %v", e.Position, e.Kind, e.Err)
}

// Unwrap returns [ErrPayload] and the error of the decoder.
func (e *DecodeError) Unwrap() []error { return []error{ErrPayload, e.Err} }

// UpcasterError says which upcaster of a route breaks the chain of versions.
type UpcasterError struct {
	Kind string
	From uint16
	Rule string
}

func (e *UpcasterError) Error() string {
	return fmt.Sprintf("reactor: kind %q: the upcaster from version %d %s", e.Kind, e.From, e.Rule)
}

// Unwrap returns [ErrDefinition].
func (e *UpcasterError) Unwrap() error { return ErrDefinition }

// SchemaError reports an event whose schema version the route cannot read. A newer one is parked at
// once, an older one is an attempt at the event.
type SchemaError struct {
	Kind           string
	Position       store.Position
	Version        uint16 // of the event
	Oldest, Newest uint16 // that can be read
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("reactor: event %d (%s) has schema version %d, known are %d to %d",
		e.Position, e.Kind, e.Version, e.Oldest, e.Newest)
}

// Unwrap returns [ErrPayload].
func (e *SchemaError) Unwrap() error { return ErrPayload }

// ReactionError names the reaction that the store would refuse, and why.
type ReactionError struct {
	Number int // of the reaction among those to the event, from 1
	At     store.Coordinate
	Kind   string // "" when there is no payload
	Err    error
}

func (e *ReactionError) Error() string {
	return fmt.Sprintf("reactor: reaction %d (%q at %s): %v", e.Number, e.Kind, e.At, e.Err)
}

func (e *ReactionError) Unwrap() error { return e.Err }

// DepthError reports a chain of causes that grew too long, most often reactors that answer each
// other forever. The chain starts at the event Correlation and is walked back from Event by its
// causes.
type DepthError struct {
	Limit       int
	Depth       int // that the refused reaction would have had
	Position    store.Position
	Event       uuid.UUID // the event reacted to
	Cause       uuid.UUID // its cause
	Correlation uuid.UUID // the first event of the chain
	// Chain is the event reacted to and its causes, nearest first, as far as the store has them;
	// nil outside a worker.
	Chain []store.Event
}

func (e *DepthError) Error() string {
	return fmt.Sprintf("reactor: a reaction to event %d (%s) would have depth %d, the limit is %d: "+
		"the chain began with %s and came through %s%s",
		e.Position, e.Event, e.Depth, e.Limit, e.Correlation, e.Cause, describe(e.Chain))
}

// Unwrap returns [ErrLoop].
func (e *DepthError) Unwrap() error { return ErrLoop }

// StormError reports an event with more reactions than the limit allows.
type StormError struct {
	Limit       int
	Position    store.Position
	Event       uuid.UUID     // the event reacted to
	Correlation uuid.UUID     // the first event of its chain
	Chain       []store.Event // as in DepthError
}

func (e *StormError) Error() string {
	return fmt.Sprintf("reactor: more than %d reactions to event %d (%s) of the chain that began with %s%s",
		e.Limit, e.Position, e.Event, e.Correlation, describe(e.Chain))
}

// Unwrap returns [ErrLoop].
func (e *StormError) Unwrap() error { return ErrLoop }

// maxDescribed is how many events of a chain the text of an error names.
const maxDescribed = 8

// describe names the nearest events of a chain.
func describe(chain []store.Event) string {
	if len(chain) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(":")
	for i, e := range chain {
		if i == maxDescribed {
			fmt.Fprintf(&b, " <- and %d more", len(chain)-i)
			break
		}
		if i > 0 {
			b.WriteString(" <-")
		}
		fmt.Fprintf(&b, " %s@%s (%d)", e.Kind, e.Coordinate.Entity, e.Position)
	}
	return b.String()
}
