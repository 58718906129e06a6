package reactor

import (
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store"
)

const (
	// minAhead is the smallest batch that is worth a second goroutine, which costs as much as to
	// decode a few events.
	minAhead = 32
	// maxAheadBytes bounds the payloads that are decoded and not handled yet.
	maxAheadBytes = 1 << 20
)

// ahead decodes the payloads of a batch on a goroutine of its own, beside the handlers. These begin
// at the first event and it begins at the last one, so that the two do not wait for each other:
//
//	handled here --->        <--- decoded ahead
//	|-----------|------------|-----------------|
//	0        handled       decoded        len(events)
//
// Where they meet, the handlers continue with what is decoded. What cannot be decoded is left to
// their goroutine: an error or a panic of a codec, an upcaster or a method of the payload comes in
// the event's turn, as if there had been no try before.
//
// The goroutine begins with the batch, ends before its handler returns, and reads the events, which
// nothing writes to meanwhile.
type ahead struct {
	routes map[string]bound
	events []store.Event
	bodies []any        // of events, nil where there is none; [decoded:] is the handlers' goroutine's
	begun  atomic.Int64 // the event that is handled
	first  atomic.Int64 // that is decoded
	end    sync.WaitGroup
}

// decodeAhead begins it; nil for a batch that is not worth it.
func (d *definition) decodeAhead(events []store.Event) *ahead {
	if d.laned || len(events) < minAhead {
		return nil
	}
	a := &ahead{routes: d.routes, events: events, bodies: make([]any, len(events))}
	a.first.Store(int64(len(events)))
	a.end.Go(a.run)
	return a
}

func (a *ahead) run() {
	defer func() { _ = recover() }() // see ahead
	bytes := 0
	for i := len(a.events) - 1; int64(i) > a.begun.Load(); i-- {
		e := &a.events[i]
		if bytes += len(e.Payload); bytes > maxAheadBytes {
			return
		}
		if route, ok := a.routes[e.Kind]; ok {
			if body, err := route.decode(e); err == nil {
				a.bodies[i] = body
			}
		}
		a.first.Store(int64(i))
	}
}

// body says that events[i] is handled now, and returns what was decoded of it, or nil.
func (a *ahead) body(i int) (body any) {
	if a == nil {
		return nil
	}
	a.begun.Store(int64(i))
	if int64(i) < a.first.Load() {
		return nil
	}
	body, a.bodies[i] = a.bodies[i], nil
	return body
}

// stop returns when the goroutine has ended, at most one event later.
func (a *ahead) stop() {
	if a != nil {
		a.begun.Store(int64(len(a.events)))
		a.end.Wait()
	}
}
