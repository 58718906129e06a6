package reactor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

var (
	// ErrDefinition says that a reactor, a route of it or a type cannot be. The text names the route
	// or type (its kind, or its Go type where that is invalid) and the rule that it breaks.
	ErrDefinition = errors.New("reactor: invalid definition")
	// ErrUnseen is the error of an event that a reactor was given and does not read: its kind has no
	// route, or it lies outside the region. The text names both.
	ErrUnseen = errors.New("reactor: event is not read")
	// ErrPayload says that a payload cannot be read. See DecodeError.
	ErrPayload error = fault{errors.New("reactor: payload cannot be read")}
	// ErrUnknownKind is the error of an event whose kind is not among the types that are to read it.
	ErrUnknownKind = errors.New("reactor: unknown kind")
	// ErrReaction says that the store would refuse a reaction. The text names it, by its number
	// among those to the event; what it wraps is the error of the store.
	ErrReaction error = fault{errors.New("reactor: invalid reaction")}
	// ErrState says that the state of an event's key cannot be read, or not be kept. What it wraps is
	// the error of the store, or of the codec.
	ErrState error = fault{errors.New("reactor: state")}
	// ErrVolatile is the error of a reaction of a volatile reactor: it would be written again by each
	// start of the program.
	ErrVolatile error = fault{errors.New("reactor: a volatile reactor emits nothing")}
	// ErrLoop says that reactors answer each other, or react, without end. See LoopError.
	ErrLoop error = fault{errors.New("reactor: too many reactions")}
)

// fault is a [supervision.Fault]: no outage is the reason of such an error.
type fault struct{ error }

func (fault) Fault() {}

// invalid is an [ErrDefinition] of a route or of a type.
func invalid(what, rule string) error {
	return fmt.Errorf("%w: %q %s", ErrDefinition, what, rule)
}

// DecodeError reports a payload that is not what its type expects, that is encoded by a codec which
// the type does not have ([store.UnknownCodecError]), or whose schema version it cannot read. It
// counts as an attempt at the event, like an error of its handler. What only another program can
// read is parked at once: an event of a newer version until a program starts that reads it, one of
// another codec until it is replayed.
type DecodeError struct {
	Kind           string
	Position       store.Position
	Version        uint16 // of the event's schema; 1 where it was written without
	Oldest, Newest uint16 // that can be read
	Err            error  // of the codec or an upcaster; nil where the version is what cannot be read
}

func (e *DecodeError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("reactor: event %d (%s) has schema version %d, known are %d to %d",
			e.Position, e.Kind, e.Version, e.Oldest, e.Newest)
	}
	return fmt.Sprintf("reactor: decode event %d (%s): %v", e.Position, e.Kind, e.Err)
}

// Unwrap returns [ErrPayload], and Err where there is one.
func (e *DecodeError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrPayload}
	}
	return []error{ErrPayload, e.Err}
}

// LoopError reports a chain of causes that grew too long, most often reactors that answer each
// other forever, or an event with more reactions than the limit allows. The chain starts at the
// event Correlation and is walked back from Event by its causes.
type LoopError struct {
	Limit       int // of the depth, or of the reactions to one event
	Depth       int // that the refused reaction would have had; 0 where there are too many to one event
	Position    store.Position
	Event       uuid.UUID // the event reacted to
	Cause       uuid.UUID // its cause
	Correlation uuid.UUID // the first event of the chain
	// Chain is the event reacted to and its causes, nearest first, as far as the store has them;
	// nil outside a worker.
	Chain []store.Event
}

func (e *LoopError) Error() string {
	if e.Depth == 0 {
		return fmt.Sprintf("reactor: more than %d reactions to event %d (%s) of the chain that began with %s%s",
			e.Limit, e.Position, e.Event, e.Correlation, describe(e.Chain))
	}
	return fmt.Sprintf("reactor: a reaction to event %d (%s) would have depth %d, the limit is %d: "+
		"the chain began with %s and came through %s%s",
		e.Position, e.Event, e.Depth, e.Limit, e.Correlation, e.Cause, describe(e.Chain))
}

// Unwrap returns [ErrLoop].
func (e *LoopError) Unwrap() error { return ErrLoop }

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
