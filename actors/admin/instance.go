package admin

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// Instance is one of a saga, as it was committed last: see [saga.Instance].
type Instance struct {
	Key     string    `json:"key"`
	Life    saga.Life `json:"life"`
	Waiting bool      `json:"waiting,omitempty"` // nothing of it is in flight
	// Untyped says that it is seen without the definition of its saga, see SagaStatus.Untyped.
	Untyped    bool   `json:"untyped,omitempty"`
	Unrunnable string `json:"unrunnable,omitempty"` // what its program lacks to continue it
	// Blocked is what is parked of it, so that no input moves it; in an answer about one alone.
	Blocked *Blocked   `json:"blocked,omitempty"`
	Run     uint64     `json:"run"`     // of the key
	Version uint32     `json:"version"` // of the definition
	Phase   string     `json:"phase,omitempty"`
	Entered time.Time  `json:"entered"` // the phase
	Began   time.Time  `json:"began"`
	Ended   *time.Time `json:"ended,omitempty"` // nil for one that has not
	Since   time.Time  `json:"since"`           // it has been as it is
	// InFlight are actions, as "charge" or "undo charge".
	InFlight []Effect    `json:"inFlight,omitempty"`
	Steps    []SagaStep  `json:"steps,omitempty"`  // that were requested, in that order
	ToUndo   []string    `json:"toUndo,omitempty"` // what compensation would undo, in that order
	Timers   []SagaTimer `json:"timers,omitempty"` // the soonest first
	Aliases  []SagaAlias `json:"aliases,omitempty"`
	Held     int         `json:"held,omitempty"`    // inputs that wait
	Inputs   uint64      `json:"inputs"`            // that were handled
	Err      string      `json:"err,omitempty"`     // why it does not go forward, or what it is stuck at
	Skipped  []string    `json:"skipped,omitempty"` // steps that were not undone though they should have been
	// State is for callers that may see payloads, as are results of steps; absent for others.
	State json.RawMessage `json:"state,omitempty"`
	// Failing are the actions and inputs that are tried again, of the first hundred that a worker has,
	// where a system runs. It and Explain, which says all of this in a few lines, are in an answer
	// about one alone.
	Failing []Failing `json:"failing,omitempty"`
	Explain string    `json:"explain,omitempty"`
	// Damage is why it cannot be read, "" in good order.
	Damage string `json:"damage,omitempty"`
}

// Blocked is an event of an instance that is parked.
type Blocked struct {
	Worker string         `json:"worker"` // that has parked it
	Event  store.Position `json:"event"`
	Error  string         `json:"error"`
}

// Effect is an action of an instance, or its undo.
type Effect struct {
	Action string `json:"action"` // "charge", or "undo charge"
	Key    string `json:"key"`    // that names it to what it calls
}

// SagaStep is how far a step is.
type SagaStep struct {
	Name   string `json:"name"`
	Status string `json:"status"` // requested, done, refused, unknown, withdrawn or undone
	Visit  int    `json:"visit"`
	Key    string `json:"key"` // of the effect
	Err    string `json:"err,omitempty"`
	// Result is for callers that may see payloads.
	Result json.RawMessage `json:"result,omitempty"`
}

// SagaTimer is one that is set.
type SagaTimer struct {
	Name string    `json:"name"`
	Due  time.Time `json:"due"`
}

// SagaAlias is by what an instance is found besides its key.
type SagaAlias struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// plain is an instance without its types, with its payloads.
func plain[S any](o saga.Instance[S]) (Instance, error) {
	out := Instance{
		Key: o.Key, Life: o.Life, Waiting: o.Waiting, Unrunnable: o.Unrunnable, Run: o.Run, Version: o.Version, Phase: o.Phase, Entered: o.Entered,
		Began: o.Began, Since: o.Since, ToUndo: o.ToUndo, Held: o.Held, Inputs: o.Inputs, Err: text(o.Err), Skipped: o.Skipped,
	}
	if !o.Ended.IsZero() {
		out.Ended = &o.Ended
	}
	var blocked *saga.BlockedError
	if errors.As(o.Blocked, &blocked) {
		out.Blocked = &Blocked{Worker: string(blocked.Worker), Event: blocked.Input, Error: blocked.Text}
	}
	for _, a := range o.InFlight {
		out.InFlight = append(out.InFlight, Effect{Action: a.String(), Key: a.Key})
	}
	for _, s := range o.Steps {
		out.Steps = append(out.Steps, SagaStep{Name: s.Name, Status: s.Status, Visit: s.Visit, Key: s.Key, Err: s.Err, Result: s.Result})
	}
	for _, t := range o.Timers {
		out.Timers = append(out.Timers, SagaTimer(t))
	}
	for _, a := range o.Aliases {
		out.Aliases = append(out.Aliases, SagaAlias{Name: a[0], Value: a[1]})
	}
	var err error
	out.State, err = json.Marshal(o.State)
	return out, err
}

// show leaves of an instance what the caller may see.
func (s *shelf) show(ctx context.Context, o *Instance) {
	o.Untyped = s.untyped
	see := func(what string, payload json.RawMessage) json.RawMessage {
		if callerOf(ctx).access < Payloads || len(payload) == 0 {
			return nil
		}
		at := store.Coordinate{Entity: "saga:" + s.name + ":" + o.Key}
		seen := s.h.payload(store.Event{Coordinate: at, Kind: "saga." + s.name + "." + what, Payload: payload})
		if len(seen) > 0 && !json.Valid(seen) {
			seen, _ = json.Marshal(string(seen)) // what Redact returns need not be JSON
		}
		return seen
	}
	o.State = see("state", o.State)
	for i := range o.Steps {
		o.Steps[i].Result = see("result", o.Steps[i].Result)
	}
}

// SagaInput is what an instance was given, or what its saga wrote as the answer.
type SagaInput struct {
	Text string `json:"text"` // in a line, such as "requested charge"
	// After is the time since the first one; 0 of answers.
	After   Duration    `json:"after,omitempty"`
	Event   Event       `json:"event"`
	Answers []SagaInput `json:"answers,omitempty"`
}

// SagaStory yields what happened to an instance, from the log: see [saga.Instances.Story].
func (s *Surface) SagaStory(ctx context.Context, name, key string) iter.Seq2[SagaInput, error] {
	return sagaStory().ask(ctx, s, instanceRef{name, key})
}

func sagaStory() listing[instanceRef, SagaInput] {
	return listing[instanceRef, SagaInput]{"saga-story", Read, func(ctx context.Context, h *here, q instanceRef) iter.Seq2[SagaInput, error] {
		return func(yield func(SagaInput, error) bool) {
			s, err := h.shelf(q.Saga)
			var list []SagaInput
			if err == nil {
				list, err = s.inputs(ctx, q.Key)
			}
			for _, in := range list {
				if !yield(in, nil) {
					return
				}
			}
			if err != nil {
				yield(SagaInput{}, err)
			}
		}
	}}
}

func (s *shelf) inputs(ctx context.Context, key string) (list []SagaInput, err error) {
	inputs, err := s.in.Inputs(ctx, key)
	if err == nil && len(inputs) == 0 {
		_, err = s.in.one(key) // there may be none of that key
	}
	for _, i := range inputs {
		one := s.told(ctx, i.Event)
		one.After = Duration(i.Event.Time.Time().Sub(inputs[0].Event.Time.Time()))
		for _, answer := range i.Answers {
			one.Answers = append(one.Answers, s.told(ctx, answer))
		}
		list = append(list, one)
	}
	return list, err
}

// told is an event of a story, as the caller may see it.
func (s *shelf) told(ctx context.Context, e store.Event) SagaInput {
	out := SagaInput{Event: s.h.event(ctx, e)}
	switch {
	case out.Event.Erased != nil:
		e.Payload = nil
	case callerOf(ctx).access < Payloads:
		e.Payload = bare(s.name, e)
	default:
		e.Payload = s.h.payload(e)
	}
	out.Text = strings.TrimSpace(saga.Tell(s.name, e))
	return out
}

// bare is what of the payload of an event callers without payloads are told: of the saga's own what
// happened, without results.
func bare(name string, e store.Event) []byte {
	var all, some map[string]json.RawMessage
	if !strings.HasPrefix(e.Kind, "saga."+name+".") || json.Unmarshal(e.Payload, &all) != nil {
		return nil
	}
	some = make(map[string]json.RawMessage)
	for _, field := range []string{"do", "step", "undo", "timer", "status", "life", "error", "why", "reason", "skipped"} {
		if value, ok := all[field]; ok {
			some[field] = value
		}
	}
	payload, _ := json.Marshal(some) // it was JSON
	return payload
}
