package reactortest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// Then fails the test unless the workers emitted exactly these payloads since the last Then, or since the start, in this order.
// A payload with a coordinate ([At]) must lie there; the others may lie anywhere.
func (r *Run) Then(payloads ...store.Payload) {
	r.tb.Helper()
	var got, want []string
	events := r.emitted(r.seen)
	for i, e := range events {
		at := ""
		if i < len(payloads) {
			if _, ok := payloads[i].(located); ok {
				at = place(e.Coordinate)
			}
		}
		got = append(got, describe(at, e.Kind, e.Payload))
	}
	for i, p := range payloads {
		at := ""
		if given, ok := p.(located); ok {
			at, p = place(given.at), given.Payload
		}
		encoded, err := store.Proposal{At: store.At("entity", "test"), Payload: p}.Encode()
		if err != nil {
			r.tb.Fatalf("reactortest: payload %d: %v", i+1, err)
		}
		raw := encoded.Payload.(store.Raw)
		want = append(want, describe(at, raw.Type, raw.Data))
	}
	if !slices.Equal(got, want) {
		r.tb.Fatalf("reactortest: the workers emitted\n%s\nwanted\n%s", list(got), list(want))
	}
	r.seen = r.st.Head()
}

func place(at store.Coordinate) string { return fmt.Sprint(" at ", at) }

// describe makes payloads comparable that differ in nothing but blanks.
func describe(at, kind string, payload []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, payload) == nil {
		payload = compact.Bytes()
	}
	return fmt.Sprintf("%s%s %s", kind, at, payload)
}

func list(lines []string) string {
	if len(lines) == 0 {
		return "  nothing"
	}
	return "  " + strings.Join(lines, "\n  ")
}

// read reads events of a region behind a position, again after a boot if the power fails meanwhile.
func (r *Run) read(region store.Region, after store.Position) (events []store.Event) {
	r.tb.Helper()
	err := r.guard(func() error {
		events = nil
		for e, err := range r.st.Read(r.ctx(), region, store.After(after)) {
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		r.tb.Fatalf("reactortest: read: %v", err)
	}
	return events
}

// emitted gives what has a cause, and so comes from a worker, behind a position.
func (r *Run) emitted(after store.Position) []store.Event {
	r.tb.Helper()
	return slices.DeleteFunc(r.read(store.Region{}, after), func(e store.Event) bool { return e.Cause == (store.Event{}).Cause })
}

// Of gives the bodies of all events of T's kind in the log, in order, whoever has written them.
func Of[T store.Payload](r *Run) []T {
	r.tb.Helper()
	var zero T
	var all []T
	for _, e := range r.read(store.Region{Kinds: []string{zero.Kind()}}, 0) {
		var body T
		if err := e.Decode(&body); err != nil {
			r.tb.Fatalf("reactortest: event %d: %v", e.Position, err)
		}
		all = append(all, body)
	}
	return all
}

// final is what a run comes to, without what may differ from run to run: for each entity, and each entity that it answers,
// the payloads in order; what is set aside; who is halted or has ended.
func (r *Run) final() []string {
	r.tb.Helper()
	events := r.read(store.Region{}, 0)
	causes := make(map[uuid.UUID]store.Event, len(events))
	all := make(map[string][]string)
	for _, e := range events {
		causes[e.ID] = e
		at := e.Coordinate.String()
		if cause, ok := causes[e.Cause]; ok {
			at += " for " + cause.Coordinate.String()
		}
		all[at] = append(all[at], at+": "+describe("", e.Kind, e.Payload))
	}
	ordered := true
	for _, w := range r.all {
		ordered = ordered && (w.worker.Lanes <= 1 || w.worker.Key == nil)
		at := fmt.Sprintf("worker %q", w.name())
		for _, p := range r.Parked(w.name()) {
			i := slices.IndexFunc(events, func(e store.Event) bool { return e.Position == p.Position })
			all[at] = append(all[at], fmt.Sprintf("%s has parked %s %d", at, events[i].Coordinate, events[i].Version))
		}
		if w.final != "" {
			all[at] = append(all[at], fmt.Sprintf("%s is %s", at, w.final))
		}
	}
	var lines []string
	for _, at := range slices.Sorted(maps.Keys(all)) {
		if !ordered {
			slices.Sort(all[at])
		}
		lines = append(lines, all[at]...)
	}
	return lines
}
