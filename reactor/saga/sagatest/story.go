package sagatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// Story tells what happened to the instance of a key, from the log: each of its inputs, after how
// much time, and below it what the saga wrote as the answer. It is the same in every run, so a test
// can compare it with a text.
//
//	0s order.placed {"Order":"42"}
//	    requested charge
//	0s done charge "payment 7"
//	    ended completed
func (r *Run[S]) Story(key string) string {
	r.tb.Helper()
	st, h := r.Store(), r.Instances()
	var inputs []store.Event
	answers := make(map[uuid.UUID][]store.Event) // by their cause
	for e, err := range st.Read(r.tb.Context(), store.Region{}, store.After(0)) {
		if err != nil {
			r.tb.Fatalf("sagatest: story of %q: %v", key, err)
		}
		if by, ok := e.Emitter(); ok && by.Worker == r.saga.Name() && !r.isInput(e) {
			answers[e.Cause] = append(answers[e.Cause], e)
			continue
		}
		if of, err := h.KeyOf(e); err == nil && of == key && !r.isAnswer(e) {
			inputs = append(inputs, e)
		}
	}
	var b strings.Builder
	for _, e := range inputs {
		fmt.Fprintf(&b, "%s %s\n", e.Time.Time().Sub(inputs[0].Time.Time()).Round(time.Millisecond), r.line(e))
		for _, answer := range answers[e.ID] {
			fmt.Fprintf(&b, "    %s\n", r.line(answer))
		}
	}
	return b.String()
}

// isAnswer reports whether an event of the saga's own is no input of its instance.
func (r *Run[S]) isAnswer(e store.Event) bool {
	switch ownKind(r.saga.Name(), e.Kind) {
	case "requested", "recorded", "ended":
		return true
	}
	return false
}

// isInput reports whether an event of the saga's own is an input that it has written itself.
func (r *Run[S]) isInput(e store.Event) bool {
	return ownKind(r.saga.Name(), e.Kind) != "" && !r.isAnswer(e)
}

// told is what a story tells of the payload of an event of a saga's own.
type told struct {
	Do      string          `json:"do"`
	Step    string          `json:"step"`
	Undo    bool            `json:"undo"`
	Timer   string          `json:"timer"`
	Life    saga.Life       `json:"life"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Why     string          `json:"why"`
	Reason  string          `json:"reason"`
	Skipped []string        `json:"skipped"`
}

// line tells of an event.
func (r *Run[S]) line(e store.Event) string {
	what := ownKind(r.saga.Name(), e.Kind)
	var t told
	if what == "" || json.Unmarshal(e.Payload, &t) != nil {
		return e.Kind + " " + string(compact(e.Payload))
	}
	words := []string{what, t.Do, t.Timer}
	if t.Step != "" {
		words = append(words, saga.Attempt{Step: t.Step, Undo: t.Undo}.String())
	}
	if t.Life != saga.None {
		words = append(words, t.Life.String())
	}
	words = append(words, string(t.Result))
	for _, why := range []string{t.Error, t.Why, t.Reason} {
		if why != "" {
			words = append(words, "("+why+")")
		}
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
