package actors

import "encoding/json"

// The errors in what is shown are their texts in JSON, "" for none: few of them have fields that
// say anything there. A duration is in nanoseconds.

// MarshalJSON implements json.Marshaler. The members are named as the fields are; an error is its
// text, "" for none, a duration is in nanoseconds, and a state is its name.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	return json.Marshal(struct {
		plain
		Err string
	}{plain(s), textOf(s.Err)})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does.
func (w WorkerStatus) MarshalJSON() ([]byte, error) {
	type plain WorkerStatus
	return json.Marshal(struct {
		plain
		Reason, LagErr string
	}{plain(w), textOf(w.Reason), textOf(w.LagErr)})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does.
func (f FailingEvent) MarshalJSON() ([]byte, error) {
	type plain FailingEvent
	return json.Marshal(struct {
		plain
		Reason string
	}{plain(f), textOf(f.Reason)})
}

// MarshalJSON implements json.Marshaler, as that of [Status] does.
func (t Transition) MarshalJSON() ([]byte, error) {
	type plain Transition
	return json.Marshal(struct {
		plain
		Reason, Stack string
	}{plain(t), textOf(t.Reason), string(t.Stack)})
}

// textOf is the text of an error, "" for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
