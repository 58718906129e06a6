package saga

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// Story tells what happened to the instance of a key, from the log: each of its inputs, after how
// much time, and below it what the saga wrote as the answer. It is the same in every run, so a test
// can compare it with a text. It reads all of the log from the first input of the instance on, in
// whatever run of the key that is: mind that where much was appended since. It needs no running
// system. What was erased or dropped is not in it. Errors are those of reading.
//
//	0s order.placed {"Order":"42"}
//	    requested charge
//	0s done charge "payment 7"
//	    ended completed
func (h *Instances[S]) Story(ctx context.Context, key string) (string, error) {
	inputs, err := h.Inputs(ctx, key)
	var b strings.Builder
	for _, in := range inputs {
		fmt.Fprintf(&b, "%s %s\n", in.Event.Time.Time().Sub(inputs[0].Event.Time.Time()).Round(time.Millisecond), Tell(h.saga.name, in.Event))
		for _, answer := range in.Answers {
			fmt.Fprintf(&b, "    %s\n", Tell(h.saga.name, answer))
		}
	}
	return b.String(), err
}

// Input is one that an instance was given, and what the saga wrote as the answer.
type Input struct {
	Event   store.Event
	Answers []store.Event
}

// Inputs returns what [Instances.Story] tells, at the same cost, and with its errors.
func (h *Instances[S]) Inputs(ctx context.Context, key string) ([]Input, error) {
	from, led, err := began(ctx, h, key)
	if err != nil || from == 0 {
		return nil, err
	}
	var list []Input
	answers := make(map[uuid.UUID][]store.Event) // by their cause
	for e, err := range h.st.Read(ctx, store.Region{}, store.After(from-1)) {
		if err != nil {
			return nil, fmt.Errorf("saga %s, key %q: its story: %w", h.saga.name, key, err)
		}
		what := whatOf(h.saga.name, e.Kind)
		if by, ok := e.Emitter(); ok && by.Worker == h.saga.name && !what.isInput() {
			answers[e.Cause] = append(answers[e.Cause], e)
			continue
		}
		of, err := h.KeyOf(e)
		if h.saga.untyped && led[e.ID] && !isErased(&e) {
			of = key
		}
		if err == nil && of == key && (what == "" || what.isInput()) {
			list = append(list, Input{Event: e})
		}
	}
	for i := range list {
		list[i].Answers = answers[list[i].Event.ID]
	}
	return list, nil
}

// began is the position of the first input of a key that has led to an event, 0 where none has, and
// the ids of all that have.
func began[S any](ctx context.Context, h *Instances[S], key string) (first store.Position, led map[uuid.UUID]bool, err error) {
	led = make(map[uuid.UUID]bool)
	for e, err := range h.History(ctx, key) {
		if err != nil {
			return 0, nil, err
		}
		if led[e.Cause] = true; first != 0 {
			continue
		}
		first = e.Position
		if cause, err := h.st.Get(ctx, e.Cause); err == nil && cause.Position < e.Position {
			first = cause.Position
		}
	}
	return first, led, nil
}

// isInput reports whether an event of the saga's own is one.
func (w what) isInput() bool { return slices.Contains(inputs, w) }

// told is what a story tells of the payload of an event of a saga's own.
type told struct {
	Do      string          `json:"do"`
	Step    string          `json:"step"`
	Undo    bool            `json:"undo"`
	Timer   string          `json:"timer"`
	Status  string          `json:"status"`
	Life    Life            `json:"life"`
	Result  json.RawMessage `json:"result"`
	Cause   string          `json:"cause"`
	Error   string          `json:"error"`
	Why     string          `json:"why"`
	Reason  string          `json:"reason"`
	By      string          `json:"by"`
	Skipped []string        `json:"skipped"`
}

// Tell tells of an event in a line, as [Instances.Story] of a saga does.
func Tell(saga string, e store.Event) string {
	what := whatOf(saga, e.Kind)
	var t told
	if what == "" || json.Unmarshal(e.Payload, &t) != nil {
		return e.Kind + " " + string(compact(e.Payload))
	}
	if what == whatAgain {
		return "what was held is handled"
	}
	words := []string{string(what), t.Do, t.Timer}
	if t.Step != "" {
		words = append(words, Attempt{Step: t.Step, Undo: t.Undo}.String())
	}
	if t.Life != None {
		words = append(words, t.Life.String())
	}
	words = append(words, t.Status, string(t.Result))
	if t.Cause != "" && t.Error != "" {
		t.Error = ": " + t.Error
	}
	for _, why := range []string{t.Cause + t.Error, t.Why, t.Reason} {
		if why != "" {
			words = append(words, "("+why+")")
		}
	}
	if t.By != "" {
		words = append(words, "by "+t.By)
	}
	for _, step := range t.Skipped {
		words = append(words, "without undo "+step)
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// compact is a payload without blanks, where it is JSON.
func compact(payload []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, payload) != nil {
		return payload
	}
	return b.Bytes()
}
