package admin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Append is an event that an operator appends by hand.
type Append struct {
	Act

	Entity string          `json:"entity"`
	Scope  string          `json:"scope"`
	Kind   string          `json:"kind"`
	Schema uint16          `json:"schema,omitempty"`
	JSON   json.RawMessage `json:"json"`
	// Key makes asking again safe: see [store.Batch].
	Key string `json:"idempotencyKey,omitempty"`
}

// Appended is where it is.
type Appended struct {
	Position store.Position `json:"position,omitempty"` // 0 of a dry run
	ID       uuid.UUID      `json:"id"`
}

// The names of what is kept beside an event that an operator has appended.
const (
	appendedBy     = "operator"
	appendedReason = "reason"
)

// Append appends an event, with the reason and who it was beside it.
func (s *Surface) Append(ctx context.Context, q Append) (Appended, error) {
	return appendEvent().ask(ctx, s, q)
}

func appendEvent() question[Append, Appended] {
	return question[Append, Appended]{"append", Control, func(ctx context.Context, h *here, q Append) (out Appended, err error) {
		r, err := q.Act.request(ctx)
		if err != nil {
			return out, err
		}
		if !json.Valid(q.JSON) {
			return out, fail(Usage, "", "the payload is not JSON")
		}
		p := store.Proposal{
			At: store.At(q.Entity, q.Scope), Payload: store.Raw{Type: q.Kind, SchemaVersion: q.Schema, Data: q.JSON},
			Meta: map[string]string{appendedBy: r.By, appendedReason: r.Reason},
		}
		if _, err := p.Encode(); err != nil || r.DryRun {
			return out, err
		}
		err = h.change(ctx, func(ctx context.Context, st *store.Store) error {
			receipt, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{p}, IdempotencyKey: q.Key})
			if err == nil {
				out = Appended{Position: receipt.Events[0].Position, ID: receipt.Events[0].ID}
			}
			return err
		})
		return out, err
	}}
}

// Retain says what is kept: see [store.RetainOptions].
type Retain struct {
	Act

	MaxAge   Duration       `json:"maxAge,omitempty"`
	MaxBytes int64          `json:"maxBytes,omitempty"`
	Before   store.Position `json:"before,omitempty"`
	Ignore   []string       `json:"ignore,omitempty"`
}

// Retained is what was dropped, or would be.
type Retained struct {
	Text     string         `json:"text"`
	Segments int            `json:"segments"`
	Events   uint64         `json:"events"`
	Bytes    int64          `json:"bytes"`
	First    store.Position `json:"first"` // that the log has after it
	Holds    []Hold         `json:"holds,omitempty"`
	DryRun   bool           `json:"dryRun,omitempty"`
}

// Retain drops the oldest events that no reader needs. Nothing takes that back.
func (s *Surface) Retain(ctx context.Context, q Retain) (Retained, error) {
	return retain().ask(ctx, s, q)
}

func retain() question[Retain, Retained] {
	return question[Retain, Retained]{"retain", Control, func(ctx context.Context, h *here, q Retain) (out Retained, err error) {
		r, err := q.Act.request(ctx)
		if err != nil {
			return out, err
		}
		o := store.RetainOptions{
			MaxAge: time.Duration(q.MaxAge), MaxBytes: q.MaxBytes, Before: q.Before, Ignore: q.Ignore, DryRun: r.DryRun,
		}
		err = h.change(ctx, func(ctx context.Context, st *store.Store) error {
			did, err := store.Retain(ctx, st, checkpoint.Holds, o)
			out = Retained{
				Text: did.String(), Segments: did.Segments, Events: did.Events, Bytes: did.Bytes, First: did.First, Holds: holds(did.Holds), DryRun: r.DryRun,
			}
			return err
		})
		return out, err
	}}
}

// Erase says what is erased: see [store.Erasure].
type Erase struct {
	Act

	Entity  string      `json:"entity,omitempty"`
	Events  []uuid.UUID `json:"events,omitempty"`
	Effects bool        `json:"effects,omitempty"`
}

// ErasedEvents is what was erased, or would be.
type ErasedEvents struct {
	Text    string           `json:"text"`
	ID      uuid.UUID        `json:"id"` // of the erasure
	Events  []store.Position `json:"events"`
	Effects []store.Position `json:"effects,omitempty"` // that may have a copy, and were not erased
	Dropped int              `json:"dropped,omitempty"`
	DryRun  bool             `json:"dryRun,omitempty"`
}

// Erase removes payloads from the log for good, and what is parked of them. What reactors and sagas
// keep of them is reached by a program that gives Options.ErasedSides. Nothing takes it back.
func (s *Surface) Erase(ctx context.Context, q Erase) (ErasedEvents, error) {
	return erase().ask(ctx, s, q)
}

func erase() question[Erase, ErasedEvents] {
	return question[Erase, ErasedEvents]{"erase", Control, func(ctx context.Context, h *here, q Erase) (out ErasedEvents, err error) {
		r, err := q.Act.request(ctx)
		if err != nil {
			return out, err
		}
		err = h.change(ctx, func(ctx context.Context, st *store.Store) error {
			sides := h.options.ErasedSides
			if sides == nil {
				sides = checkpoint.ErasedSides(st)
			}
			did, err := store.Erase(ctx, st, store.Erasure{
				Entity: q.Entity, Events: q.Events, Effects: q.Effects, Sides: sides, Reason: r.Reason, By: r.By, DryRun: r.DryRun,
			})
			out = ErasedEvents{Text: did.String(), ID: did.ID, Dropped: did.Dropped, DryRun: r.DryRun}
			for _, e := range did.Events {
				out.Events = append(out.Events, e.Position)
			}
			for _, e := range did.Effects {
				out.Effects = append(out.Effects, e.Position)
			}
			return err
		})
		return out, err
	}}
}
