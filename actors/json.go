package actors

import (
	"encoding/json"
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// What is shown is JSON as a user of jq expects it. Names are in lower camel case. An error is a
// [Reason], null for none; a state, a strategy, a kind of restart and an action are their names; a
// duration is its text, as in "1m30s"; positions and counts are numbers. Everything is there
// whatever its value, but for what a reason is not about, and stacks.

// span is a duration as text.
type span time.Duration

func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// reasonIn is nil for no error.
func reasonIn(err error) *Reason {
	if err == nil {
		return nil
	}
	r := ReasonOf(err)
	return &r
}

// filled is a list that is [] in JSON where there is nothing in it.
func filled[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

// instant is null in JSON where it is zero.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// MarshalJSON implements json.Marshaler. Members have the names of the fields in lower camel case;
// an error is a [Reason], null for none, a duration a text as "1m30s", and a state is its name.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	s.Groups, s.Workers = filled(s.Groups), filled(s.Workers)
	return json.Marshal(struct {
		plain
		ClockAhead span    `json:"clockAhead"`
		Error      *Reason `json:"error"`
	}{plain(s), span(s.ClockAhead), reasonIn(s.Err)})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does.
func (g GroupStatus) MarshalJSON() ([]byte, error) {
	type plain GroupStatus
	return json.Marshal(struct {
		plain
		Strategy    string     `json:"strategy"`
		Policy      policyJSON `json:"policy"`
		StopTimeout span       `json:"stopTimeout"`
	}{plain(g), g.Strategy.String(), policyIn(g.Policy), span(g.StopTimeout)})
}

// lagJSON is what waits for a worker.
type lagJSON struct {
	Events    int            `json:"events"`
	AtLeast   bool           `json:"atLeast"`
	Time      span           `json:"time"`
	Bytes     int64          `json:"bytes"`
	Oldest    store.Position `json:"oldest"`
	OldestKey string         `json:"oldestKey"`
	Error     *Reason        `json:"error"`
}

// MarshalJSON implements json.Marshaler, as that of [Status] does. What waits is in one member,
// lag: events, atLeast, time, bytes, oldest, oldestKey and error.
func (w WorkerStatus) MarshalJSON() ([]byte, error) {
	type plain WorkerStatus
	w.Failing, w.InFlight = filled(w.Failing), filled(w.InFlight)
	return json.Marshal(struct {
		plain
		Reason *Reason `json:"reason"`
		Lag    lagJSON `json:"lag"`
	}{plain(w), reasonIn(w.Reason), lagJSON{
		w.Lag, w.LagAtLeast, span(w.LagTime), w.LagBytes, w.OldestPending, w.OldestPendingKey, reasonIn(w.LagErr),
	}})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does.
func (f FailingEvent) MarshalJSON() ([]byte, error) {
	type plain FailingEvent
	return json.Marshal(struct {
		plain
		Due    *time.Time `json:"due"`
		Reason *Reason    `json:"reason"`
	}{plain(f), instant(f.Due), reasonIn(f.Reason)})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does. A stack is a text.
func (t Transition) MarshalJSON() ([]byte, error) {
	type plain Transition
	return json.Marshal(struct {
		plain
		Reason *Reason `json:"reason"`
		Stack  string  `json:"stack,omitempty"`
	}{plain(t), reasonIn(t.Reason), string(t.Stack)})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does.
func (b Budget) MarshalJSON() ([]byte, error) {
	type plain Budget
	return json.Marshal(struct {
		plain
		Period span `json:"period"`
	}{plain(b), span(b.Period)})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does.
func (d Definition) MarshalJSON() ([]byte, error) {
	type plain Definition
	d.Kinds, d.Formerly = filled(d.Kinds), filled(d.Formerly)
	return json.Marshal(struct {
		plain
		Timeout     span       `json:"timeout"`
		StopTimeout span       `json:"stopTimeout"`
		Restart     string     `json:"restart"`
		Policy      policyJSON `json:"policy"`
	}{plain(d), span(d.Timeout), span(d.StopTimeout), d.Restart.String(), policyIn(d.Policy)})
}

// policyJSON is a policy with its defaults.
type policyJSON struct {
	Attempts   int         `json:"attempts"`
	Exhausted  string      `json:"exhausted"`
	Intensity  int         `json:"intensity"`
	Period     span        `json:"period"`
	OverBudget string      `json:"overBudget"`
	Backoff    backoffJSON `json:"backoff"`
	Outage     outageJSON  `json:"outage"`
}

type backoffJSON struct {
	Initial span    `json:"initial"`
	Max     span    `json:"max"`
	Jitter  float64 `json:"jitter"`
}

type outageJSON struct {
	Off      bool `json:"off"`
	Keys     int  `json:"keys"`
	Failures int  `json:"failures"`
	UsedUp   int  `json:"usedUp"`
}

func policyIn(p supervision.Policy) policyJSON {
	return policyJSON{
		Attempts: p.Attempts, Exhausted: p.Exhausted.String(), Intensity: p.Intensity, Period: span(p.Period),
		OverBudget: p.OverBudget.String(), Outage: outageJSON(p.Outage),
		Backoff: backoffJSON{span(p.Backoff.Initial), span(p.Backoff.Max), p.Backoff.Jitter},
	}
}
