package sagatest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// Inputs are those that a saga was given, see [Given].
type Inputs[S any] struct {
	tb     testing.TB
	saga   *saga.Saga[S]
	events []store.Event
	all    []saga.Reacted[S] // for each event
}

// Given hands inputs to a saga one after the other, without a log and without carrying out actions:
// what an action answers is an input, too, and so is a timer that has fired.
//
//	got := sagatest.Given(t, checkout, Placed{"42"}, sagatest.Done("reserve", "box 7")).
//		When(sagatest.Refused("charge", errNoMoney))
//	require.Equal(t, []string{"undo reserve"}, got.Requested)
//
// It fails the test at an input that the saga does not handle.
func Given[S any](tb testing.TB, def *saga.Saga[S], inputs ...store.Payload) *Inputs[S] {
	tb.Helper()
	g := &Inputs[S]{tb: tb, saga: def}
	for _, p := range inputs {
		g.When(p)
	}
	return g
}

// Effect is what an input has led to.
type Effect[S any] struct {
	// Instance after the input.
	Instance saga.Instance[S]
	// Requested are the actions that were requested, by their names: "charge", or "undo charge".
	Requested []string
	// Emitted are the events that were written, without the saga's own.
	Emitted []reactor.Reaction
}

// When hands one more input to the saga, and returns what that has led to, with all that was held
// and is handled now.
func (g *Inputs[S]) When(input store.Payload) (got Effect[S]) {
	g.tb.Helper()
	for _, p := range g.whole(input) {
		got.Instance = p.Instance
		for _, r := range p.Reactions {
			raw, own := r.Payload.(store.Raw)
			what := ownKind(g.saga.Name(), raw.Type)
			switch {
			case !own || what == "":
				got.Emitted = append(got.Emitted, r)
			case what == "requested":
				q := g.request(raw)
				got.Requested = append(got.Requested, saga.Attempt{Step: q.Step, Undo: q.Undo}.String())
			}
		}
	}
	return got
}

// whole handles an input, and what it has handled after it.
func (g *Inputs[S]) whole(input store.Payload) (all []saga.Reacted[S]) {
	g.tb.Helper()
	next := []reactor.Reaction{g.event(input)}
	for len(next) > 0 {
		one := g.handle(next[0])
		all, next = append(all, one), next[1:]
		for _, r := range one.Reactions {
			if raw, own := r.Payload.(store.Raw); own && ownKind(g.saga.Name(), raw.Type) == "again" {
				next = append(next, r)
			}
		}
	}
	return all
}

// event is the event of an input, at its time where it has one.
func (g *Inputs[S]) event(input store.Payload) reactor.Reaction {
	g.tb.Helper()
	a, is := input.(answer)
	if !is {
		return reactor.Reaction{At: store.At("entity", "test"), Payload: input}
	}
	for _, one := range slices.Backward(g.all) {
		for _, r := range slices.Backward(one.Reactions) {
			if got, ok := a.to(g.saga.Name(), r); ok {
				return got
			}
		}
	}
	g.tb.Fatalf("sagatest: input %d: %s was not asked for", len(g.events)+1, a)
	return reactor.Reaction{}
}

// handle appends an event, and has the saga handle it: with all before, as nothing is kept
// elsewhere.
func (g *Inputs[S]) handle(r reactor.Reaction) saga.Reacted[S] {
	g.tb.Helper()
	encoded, err := store.Proposal{At: r.At, Payload: r.Payload}.Encode()
	if err != nil {
		g.tb.Fatalf("sagatest: input %d: %v", len(g.events)+1, err)
	}
	raw := encoded.Payload.(store.Raw)
	n := len(g.events) + 1
	e := store.Event{
		ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)), Position: store.Position(n), Version: 1, Coordinate: r.At,
		Kind: raw.Type, SchemaVersion: raw.SchemaVersion, Codec: raw.Codec, Payload: raw.Data, Time: g.now(r.Due),
	}
	g.events = append(g.events, e)
	g.all, err = g.saga.React(g.tb.Context(), g.events...)
	if err != nil {
		g.tb.Fatalf("sagatest: input %d (%s): %v", n, e.Kind, err)
	}
	return g.all[n-1]
}

// now is the time of the next event: a millisecond after the one before, or when it is due.
func (g *Inputs[S]) now(due time.Time) store.Timestamp {
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	if n := len(g.events); n > 0 {
		at = g.events[n-1].Time.Time().Add(time.Millisecond)
	}
	if due.After(at) {
		at = due
	}
	return store.Timestamp(at.UnixMilli() << 16)
}

// request reads the payload of a request.
func (g *Inputs[S]) request(raw store.Raw) (q told) {
	g.tb.Helper()
	if err := json.Unmarshal(raw.Data, &q); err != nil {
		g.tb.Fatalf("sagatest: %v", err)
	}
	return q
}

// ownKind is what an event of a saga's own is; "" for one of the program's.
func ownKind(name, kind string) string {
	what, own := strings.CutPrefix(kind, "saga."+name+".")
	if !own {
		return ""
	}
	return what
}

// answer is an input that answers what the saga has written before.
type answer struct {
	what   string // of the saga's own
	asked  string // of what it answers
	action string // or timer
	result any
	err    error
}

// Kind says that it is an input for [Given] alone.
func (a answer) Kind() string { return "sagatest." + a.what }

func (a answer) String() string { return a.what + " " + a.action }

// to returns the event that answers a reaction, if it does.
func (a answer) to(name string, r reactor.Reaction) (reactor.Reaction, bool) {
	raw, own := r.Payload.(store.Raw)
	var body map[string]any
	var t told
	if !own || ownKind(name, raw.Type) != a.asked || json.Unmarshal(raw.Data, &body) != nil ||
		json.Unmarshal(raw.Data, &t) != nil {
		return r, false
	}
	of := t.Timer
	if t.Step != "" {
		of = saga.Attempt{Step: t.Step, Undo: t.Undo}.String()
	}
	if of != a.action {
		return r, false
	}
	if a.result != nil {
		body["result"] = a.result
	}
	if a.err != nil {
		body["error"] = a.err.Error()
	}
	data, err := json.Marshal(body)
	r.Payload = store.Raw{Type: "saga." + name + "." + a.what, Data: data}
	return r, err == nil
}

// Done is the input that an action, or "undo NAME", is done, with its result: any JSON type, nil
// for none.
func Done(action string, result any) store.Payload {
	return answer{what: "done", asked: "requested", action: action, result: result}
}

// Refused is the input that an action has said No.
func Refused(action string, err error) store.Payload {
	return answer{what: "refused", asked: "requested", action: action, err: err}
}

// Unknown is the input that it is not known whether an action happened, its attempts being used up.
func Unknown(action string, err error) store.Payload {
	return answer{what: "unknown", asked: "requested", action: action, err: err}
}

// Fires is the input that a timer fires, at its time.
func Fires(timer string) store.Payload {
	return answer{what: "fired", asked: "fired", action: timer}
}

// DeadlineTimer is the timer of Saga.Deadline, for [Fires].
const DeadlineTimer = "saga-deadline"
