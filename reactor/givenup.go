package reactor

import (
	"context"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Failure is why an event is given up.
type Failure struct {
	// Err wraps the error of the last attempt; a [supervision.ExhaustedError] where the attempts
	// were used up.
	Err error
	// Attempts is how many there were.
	Attempts int
}

// OnGivenUp routes events of T's kind that fail for good to handle, in place of being parked or
// skipped: where attempts are used up, the handler of [On] or [OnState] says [Park] or [Skip], or
// the process ended each time. What handle emits is written with the event as done, so that what
// waits for an answer gets one. The kind needs one of these routes, too.
//
// Where handle fails, or the payload cannot be read, the event is parked. An error that is why.Err,
// or wraps it, has it parked or skipped as without this route. In an outage nothing is given up.
// A [Reactor.Volatile] reactor cannot have it. For all else see [cursor.Worker], GiveUp.
func OnGivenUp[T store.Payload](handle func(ctx context.Context, e Event[T], why Failure, out *Reactions) error) Route {
	return Route{bind: func(types *Types) (bound, error) {
		d, err := NewDecoder[T](types)
		if err == nil && handle == nil {
			err = invalid(d.Kind, "has a nil handler of what is given up")
		}
		return bound{kind: d.Kind, newest: d.Newest(), givenUp: func(ctx context.Context, c call, out *Reactions) error {
			typed, err := d.Decode(c.reactor, *c.event)
			if err != nil {
				return c.why.Err // which says that it cannot be read
			}
			typed.replayed = c.replayed
			return handle(ctx, typed, c.why, out)
		}}, err
	}}
}

// giveUp is what the worker calls with an event that failed for good, where a route is for such.
func (d *definition) giveUp(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
	route := d.routes[b.Events[0].Kind]
	if route.givenUp == nil {
		return failure
	}
	out := &Reactions{batch: b, of: d}
	defer out.close()
	c := call{
		reactor: d.effectName(b), event: &b.Events[0], replayed: b.Replayed(0), why: Failure{Err: failure, Attempts: attempts},
	}
	if err := route.givenUp(ctx, c, out); err != nil {
		return traced(ctx, b, 0, err)
	}
	return out.invalid
}

// join puts the routes of one kind together, of which the later one is new; false where they have
// a handler for the same.
func join(known, b bound) (bound, bool) {
	for _, twice := range []bool{
		known.handle != nil && b.handle != nil, known.erased != nil && b.erased != nil, known.givenUp != nil && b.givenUp != nil,
	} {
		if twice {
			return b, false
		}
	}
	joined, other := b, known
	if b.handle == nil && known.handle != nil {
		joined, other = known, b
	}
	if joined.erased == nil {
		joined.erased = other.erased
	}
	if joined.givenUp == nil {
		joined.givenUp = other.givenUp
	}
	return joined, true
}
