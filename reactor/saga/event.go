package saga

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// what is the kind of an event of a saga's own: "saga.NAME." and this.
type what string

// The saga's own events. All lie at the entity of their instance.
const (
	// whatRequested asks for an action, or an undo.
	whatRequested what = "requested"
	// whatRecalled asks for an action not to be attempted any more.
	whatRecalled what = "recalled"
	// The outcomes.
	whatDone      what = "done"
	whatRefused   what = "refused"
	whatUnknown   what = "unknown"
	whatWithdrawn what = "withdrawn"
	// whatFired is a timer that is due.
	whatFired what = "fired"
	// whatAgain has an input handled that was held.
	whatAgain what = "again"
	// whatWaited ends the wait of an input for an instance.
	whatWaited what = "waited"
	// whatAsked is the call of an operator.
	whatAsked what = "asked"
	// whatErased comes after an erasure that has ended the instance, so that the rest is done.
	whatErased what = "erased"
	// whatRecorded is an input that was passed over.
	whatRecorded what = "recorded"
	// whatStuck is an instance that waits for an operator.
	whatStuck what = "stuck"
	// whatUnrunnable is one that has an input for which the program lacks something.
	whatUnrunnable what = "unrunnable"
	// whatEnded is the end of a run.
	whatEnded what = "ended"
)

// inputs are those that the coordinator reads.
//
//nolint:gochecknoglobals // a table
var inputs = []what{whatDone, whatRefused, whatUnknown, whatWithdrawn, whatFired, whatAgain, whatWaited, whatAsked, whatErased}

// ownKinds are the kinds of inputs.
func ownKinds(saga string) (kinds []string) {
	for _, w := range inputs {
		kinds = append(kinds, w.kind(saga))
	}
	return kinds
}

// kind of an own event of a saga.
func (w what) kind(saga string) string { return "saga." + saga + "." + string(w) }

// whatOf returns what an event is of a saga's own, "" for another one.
func whatOf(saga, kind string) what {
	own, found := strings.CutPrefix(kind, "saga."+saga+".")
	if !found {
		return ""
	}
	return what(own)
}

// request is the payload of whatRequested, and of whatRecalled for the same request.
type request struct {
	Run   nth    `json:"run,omitzero"`
	Step  string `json:"step"`
	Visit nth    `json:"visit,omitzero"`  // of the action, also where it is undone
	Order uint64 `json:"order,omitempty"` // of an undo without an action, whose visit is 0
	Undo  bool   `json:"undo,omitempty"`
	Try   int    `json:"try,omitempty"` // by an operator, beyond the first
	No    int    `json:"no,omitempty"`  // how many of the undos of this were refused
	Ask   bool   `json:"ask,omitempty"` // it is carried out though the instance compensates, to find out
}

// implied sets what is left out.
func (r *request) implied() { r.Run, r.Visit = 1, 1 }

// nth counts from 1, which is left out: hardly anything comes twice.
type nth uint64

// IsZero reports whether it is left out.
func (n nth) IsZero() bool { return n == 1 }

// retried reports whether it is an operator's, after one of the same action or undo.
func (r *request) retried() bool { return r.Try > 1 || r.Try > 0 && !r.Undo }

// outcome is the payload of what answers a request.
type outcome struct {
	request
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
	Lost     bool            `json:"lost,omitempty"` // the request was erased before it was answered
}

// Fired is a timer that is due, for [OnTimer].
type Fired struct {
	// Name of the timer.
	Name string `json:"timer"`
	// Due is when it was to fire. The event tells when it did.
	Due time.Time `json:"due"`
	// Generation counts the settings of timers in a run.
	Generation uint64 `json:"gen"`
	Run        uint64 `json:"run"`
}

// pointer is the payload of what is about another input. Why says of whatAgain and whatWaited that
// it is not handled, but recorded.
type pointer struct {
	Run   uint64         `json:"run,omitempty"`
	Input store.Position `json:"input"`
	Why   string         `json:"why,omitempty"`
}

// stuckEvent is the payload of whatStuck.
type stuckEvent struct {
	Run uint64 `json:"run"`
	stuckRecord
}

// ending is the payload of whatEnded.
type ending struct {
	Run     uint64   `json:"run"`
	Life    Life     `json:"life"`
	Cause   string   `json:"cause,omitempty"` // of causes, where it was no step that has failed
	Error   string   `json:"error,omitempty"`
	Skipped []string `json:"skipped,omitempty"`
	Inputs  uint64   `json:"inputs"`
}

// encode returns a payload of a saga's own.
func encode(saga string, w what, body any) (store.Raw, error) {
	data, err := json.Marshal(body)
	return store.Raw{Type: w.kind(saga), Data: data}, err
}

// decode reads the payload of an event of a saga's own.
func decode(e *store.Event, body any) error {
	if b, ok := body.(interface{ implied() }); ok {
		b.implied()
	}
	if err := json.Unmarshal(e.Payload, body); err != nil {
		return fmt.Errorf("%w: event %d (%s): %w", ErrRecord, e.Position, e.Kind, err)
	}
	return nil
}

// effectKey names the effect of an action: the saga, the instance and its run, the step and its
// visit; of an undo without an action, the number of that in place of the visit.
func effectKey(saga, key string, r *request) string {
	return saga + "/" + key + "." + strconv.FormatUint(uint64(r.Run), 10) + "/" + r.Step + "." + strconv.FormatUint(r.number(), 10)
}

// number tells the effects of a step from each other.
func (r *request) number() uint64 {
	if r.Visit == 0 {
		return r.Order
	}
	return uint64(r.Visit)
}

// undoKey names the effect of an undo. One that was refused, and is repeated, is another effect: a
// service may have kept its No under the key.
func undoKey(of string, r *request) string {
	if r.No == 0 {
		return of + "/undo"
	}
	return fmt.Sprintf("%s/undo.%d", of, r.No+1)
}
