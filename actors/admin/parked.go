package admin

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Parked is an event that a worker keeps apart: it failed for good, or is held after one that did.
type Parked struct {
	Position  store.Position `json:"position"`
	Key       string         `json:"key"`
	Held      bool           `json:"held,omitempty"`
	Replaying bool           `json:"replaying,omitempty"` // it is about to be handled again
	Replay    bool           `json:"replay,omitempty"`    // it had been handled before a rewind
	Doubt     bool           `json:"doubt,omitempty"`     // something else may be to blame: the next start tries it
	Error     string         `json:"error,omitempty"`
	Attempts  int            `json:"attempts,omitempty"`
	Since     time.Time      `json:"since"`
	// Event is what is parked, nil where it cannot be read, or was not asked for.
	Event *Event `json:"event,omitempty"`
	// Damage is why this entry cannot be read, "" in good order.
	Damage string `json:"damage,omitempty"`
}

// Selection selects parked events of those that failed: what is set must all hold. What is held for
// them comes with them. See [cursor.ParkedFilter].
type Selection struct {
	All    bool           `json:"all,omitempty"`
	At     store.Position `json:"at,omitempty"`    // this one alone
	Key    string         `json:"key,omitempty"`   // of this key
	Error  string         `json:"error,omitempty"` // with this in the text of the error
	Kind   string         `json:"kind,omitempty"`  // events of this kind
	Before *time.Time     `json:"before,omitempty"`
	Max    int            `json:"max,omitempty"` // the oldest so many; more than 1,000 have to be asked for
}

func (s Selection) filter() cursor.ParkedFilter {
	f := cursor.ParkedFilter{All: s.All, Position: s.At, Key: s.Key, Error: s.Error, Kind: s.Kind, Max: s.Max}
	if s.Before != nil {
		f.Before = *s.Before
	}
	return f
}

// ParkedQuery asks for parked events of a worker. Of a list a selection without a field selects
// everything, and Max counts what is held, too.
type ParkedQuery struct {
	Selection

	Worker string `json:"worker"`
	Events bool   `json:"events,omitempty"` // with each event
}

// Parked yields the parked events of a worker, by position.
func (s *Surface) Parked(ctx context.Context, q ParkedQuery) iter.Seq2[Parked, error] {
	return parked().ask(ctx, s, q)
}

func parked() listing[ParkedQuery, Parked] {
	return listing[ParkedQuery, Parked]{"parked", Read, func(ctx context.Context, h *here, q ParkedQuery) iter.Seq2[Parked, error] {
		return func(yield func(Parked, error) bool) { h.parked(ctx, q, yield) }
	}}
}

func (h *here) parked(ctx context.Context, q ParkedQuery, yield func(Parked, error) bool) {
	if err := h.known(q.Worker); err != nil {
		yield(Parked{}, err)
		return
	}
	var at []store.Position
	if q.At != 0 {
		at = append(at, q.At)
	}
	left := q.Max
	for entry, damage := range checkpoint.ParkedEvents(h.st, checkpoint.ID(q.Worker), at...) {
		if err := ctx.Err(); err != nil || entry.Position == 0 {
			yield(Parked{}, errors.Join(err, damage))
			return
		}
		out, wanted := h.entry(ctx, q, entry, damage)
		if !wanted {
			continue
		}
		left--
		if !yield(out, nil) || left == 0 {
			return
		}
	}
}

// entry is one that is parked, if the query wants it.
func (h *here) entry(ctx context.Context, q ParkedQuery, p checkpoint.Parked, damage error) (out Parked, wanted bool) {
	switch {
	case q.Key != "" && p.Key != q.Key,
		!strings.Contains(p.Error, q.Error),
		q.Before != nil && !p.Since.Before(*q.Before):
		return out, false
	}
	out = shown(p)
	out.Damage = text(damage)
	if !q.Events && q.Kind == "" {
		return out, true
	}
	e, err := h.st.GetAt(ctx, p.Position)
	if err != nil {
		out.Damage = text(errors.Join(damage, err))
		return out, q.Kind == ""
	}
	if q.Events {
		one := h.event(ctx, e)
		out.Event = &one
	}
	return out, q.Kind == "" || e.Kind == q.Kind
}

// shown is an entry without its event.
func shown(p checkpoint.Parked) Parked {
	return Parked{
		Position: p.Position, Key: p.Key, Held: p.Held, Replaying: p.Replaying, Replay: p.Replay, Doubt: p.Doubt, Error: p.Error,
		Attempts: p.Attempts, Since: p.Since,
	}
}

// runs reports whether a system runs a worker here.
func (h *here) runs(name string) bool {
	return h.sys != nil && slices.ContainsFunc(h.sys.Status().Workers, func(w workerStatus) bool { return w.Name == name })
}

// known makes sure that there is a worker of a name.
func (h *here) known(name string) error {
	if name == "" {
		return fail(Usage, "", "the name of a worker is missing")
	}
	_, err := checkpoint.Inspect(h.st, checkpoint.ID(name))
	if !errors.Is(err, checkpoint.ErrNotFound) || h.runs(name) { // one that cannot be read is there; a volatile one has none
		return nil
	}
	var others []string
	for info, err := range checkpoint.List(h.st) {
		if err == nil || info.ID != "" {
			others = append(others, string(info.ID))
		}
	}
	return fail(NotFound, "there are: "+strings.Join(others, ", "), "no worker is called %q", name)
}

// ParkedRequest replays or discards parked events of a worker.
type ParkedRequest struct {
	Act
	Selection

	Worker string `json:"worker"`
}

// Replay has parked events handled again, and returns them. Nothing takes it back.
func (s *Surface) Replay(ctx context.Context, q ParkedRequest) ([]Parked, error) {
	return replay().ask(ctx, s, q)
}

func replay() question[ParkedRequest, []Parked] {
	return question[ParkedRequest, []Parked]{"replay", Control, func(ctx context.Context, h *here, q ParkedRequest) ([]Parked, error) {
		return h.unpark(ctx, q, cursor.Operator.Replay)
	}}
}

// Discard drops parked events for good, and returns them, with those that were held for them and
// are handled now. Nothing takes it back.
func (s *Surface) Discard(ctx context.Context, q ParkedRequest) ([]Parked, error) {
	return discard().ask(ctx, s, q)
}

func discard() question[ParkedRequest, []Parked] {
	return question[ParkedRequest, []Parked]{"discard", Control, func(ctx context.Context, h *here, q ParkedRequest) ([]Parked, error) {
		return h.unpark(ctx, q, cursor.Operator.Discard)
	}}
}

func (h *here) unpark(
	ctx context.Context, q ParkedRequest,
	do func(cursor.Operator, context.Context, cursor.ParkedFilter, checkpoint.Request) ([]checkpoint.Parked, error),
) (list []Parked, err error) {
	err = h.operate(ctx, q.Worker, q.Act, func(ctx context.Context, o cursor.Operator, r checkpoint.Request) error {
		chosen, err := do(o, ctx, q.filter(), r)
		for _, p := range chosen {
			list = append(list, shown(p))
		}
		return err
	})
	return list, err
}
