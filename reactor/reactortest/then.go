package reactortest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// Then fails the test unless the workers emitted exactly these payloads since the last Then, or
// since the start, in this order. A payload with a coordinate ([At]) must lie there; the others may
// lie anywhere. After a crash workers handle one event at a time, so what several of them emit may
// come in another order: from then on the order is not compared.
func (r *Run) Then(payloads ...store.Payload) {
	r.tb.Helper()
	var want []emission
	for i, p := range payloads {
		at := ""
		if given, ok := p.(located); ok {
			at, p = place(given.at), given.Payload
		}
		raw, err := encode(p)
		if err != nil {
			r.tb.Fatalf("reactortest: payload %d: %v", i+1, err)
		}
		want = append(want, emission{kind: raw.Type, at: at, body: compact(raw.Data)})
	}
	var got []emission
	for _, e := range emitted(r, r.seen) {
		got = append(got, emission{kind: e.Kind, at: place(e.Coordinate), body: compact(e.Payload)})
	}
	if r.boots > 0 {
		got = sorted(got, want)
	}
	if !slices.EqualFunc(got, want, emission.is) {
		r.tb.Fatalf("reactortest: the workers emitted something else than was wanted:\n%s", difference(got, want, emission.is))
	}
	r.seen = r.st.Head()
}

// encode returns a payload as a store writes it.
func encode(p store.Payload) (store.Raw, error) {
	encoded, err := store.Proposal{At: store.At("entity", "test"), Payload: p}.Encode()
	if err != nil {
		return store.Raw{}, err
	}
	return encoded.Payload.(store.Raw), nil
}

// emission is an event as it is compared.
type emission struct{ kind, at, body string }

func (t emission) String() string { return t.kind + t.at + " " + t.body }

// is reports whether t is what was wanted, which may be anywhere.
func (t emission) is(want emission) bool {
	return t.kind == want.kind && t.body == want.body && (want.at == "" || want.at == t.at)
}

// sorted returns what is in both in the order of want, and then the rest. Those that are wanted at
// one place are matched first.
func sorted(got, want []emission) []emission {
	got = slices.Clone(got)
	found := make(map[int]emission, len(want))
	for _, anywhere := range []bool{false, true} {
		for i, w := range want {
			if (w.at == "") != anywhere {
				continue
			}
			if n := slices.IndexFunc(got, func(t emission) bool { return t.is(w) }); n >= 0 {
				found[i] = got[n]
				got = slices.Delete(got, n, n+1)
			}
		}
	}
	var all []emission
	for i := range want {
		if t, ok := found[i]; ok {
			all = append(all, t)
		}
	}
	return append(all, got...)
}

func place(at store.Coordinate) string { return fmt.Sprint(" at ", at) }

// compact makes payloads comparable that differ in nothing but blanks.
func compact(payload []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, payload) == nil {
		payload = b.Bytes()
	}
	return string(payload)
}

// readAll returns the events of a region after a position. A power cut before is noticed.
func readAll(r *Run, region store.Region, after store.Position) (events []store.Event) {
	r.tb.Helper()
	syncStore(r)
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

// emitted returns the events after a position that have a cause, and so come from a worker.
func emitted(r *Run, after store.Position) []store.Event {
	r.tb.Helper()
	return slices.DeleteFunc(readAll(r, store.Region{}, after), func(e store.Event) bool { return e.Cause == (store.Event{}).Cause })
}

// Of returns the bodies of all events of T's kind in the log, in order, those of Given included. It
// reads JSON of T's schema version, and fails the test at an event of another one.
func Of[T store.Payload](r *Run) []T {
	r.tb.Helper()
	var zero T
	var all []T
	for _, e := range readAll(r, store.Region{Kinds: []string{zero.Kind()}}, 0) {
		body, err := reactor.Decode[T](nil, e)
		if err != nil {
			r.tb.Fatalf("reactortest: %v", err)
		}
		all = append(all, body)
	}
	return all
}

// final returns the final state of a run, without what may differ from run to run: for each entity,
// and each entity that it answers, the payloads in order; what workers keep; what is parked; which
// workers are halted or have ended, and which lag.
func final(r *Run) []string {
	r.tb.Helper()
	events := readAll(r, store.Region{}, 0)
	causes := make(map[uuid.UUID]store.Event, len(events))
	all := make(map[string][]string)
	for _, e := range events {
		causes[e.ID] = e
		at := e.Coordinate.String()
		if cause, ok := causes[e.Cause]; ok {
			at += " for " + cause.Coordinate.String()
		}
		line := at + ": " + e.Kind + " " + compact(e.Payload)
		if by, ok := e.Emitter(); ok { // epoch and attempt differ from run to run
			line = instants.ReplaceAllString(line, "TIME") + fmt.Sprintf(" by %q of %q", by.Worker, by.Build)
		}
		all[at] = append(all[at], line)
	}
	ordered := true
	for i := range r.all {
		w := r.all[i] // a crash makes another one of the same name
		ordered = ordered && w.baton.Worker.Resolve == nil && (w.baton.Worker.Lanes <= 1 || w.baton.Worker.Key == nil)
		at := fmt.Sprintf("worker %q", w.name())
		all[at] = finalOf(r, at, w.name(), events)
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

// finalOf returns the final state of a worker.
func finalOf(r *Run, at, name string, events []store.Event) (lines []string) {
	r.tb.Helper()
	for _, p := range r.Parked(name) {
		what := "has parked"
		if p.Held {
			what = "holds"
		}
		i := slices.IndexFunc(events, func(e store.Event) bool { return e.Position == p.Position })
		lines = append(lines, fmt.Sprintf("%s %s %s %d", at, what, events[i].Coordinate, events[i].Version))
	}
	lines = append(lines, keptOf(r, at, name)...)
	s := r.Status(name)
	if s.State == drive.Halted || s.State == drive.Ended {
		lines = append(lines, fmt.Sprintf("%s is %s", at, s.State))
	}
	if s.Lag > 0 {
		lines = append(lines, fmt.Sprintf("%s is %d events behind", at, s.Lag))
	}
	return lines
}
