package admin

import (
	"context"
	"strconv"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Move is what is done to a checkpoint.
type Move string

// The moves; package checkpoint has each as a type, with what it promises and refuses.
const (
	Rewind Move = "rewind" // To; Emit has reactions written once more
	SkipTo Move = "skip-to"
	Reset  Move = "reset"
	Widen  Move = "widen"  // Region and Kinds
	Rebind Move = "rebind" // Region and Kinds
	Rename Move = "rename" // Name
	Delete Move = "delete"
)

// Change is a change of a checkpoint.
type Change struct {
	Move Move `json:"move"`
	// To is where it goes: see EventQuery.From.
	To   string `json:"to,omitempty"`
	Emit bool   `json:"emit,omitempty"`
	// Region and Kinds are what it reads from then on: no kinds for all of the region.
	Region *Region  `json:"region,omitempty"`
	Kinds  []string `json:"kinds,omitempty"`
	Name   string   `json:"name,omitempty"`
}

// Region selects events: see [store.Region].
type Region struct {
	Entity   string   `json:"entity,omitempty"`
	Scope    string   `json:"scope,omitempty"`
	Kinds    []string `json:"kinds,omitempty"`
	Category string   `json:"category,omitempty"`
}

func (r *Region) region() store.Region {
	if r == nil {
		return store.Region{}
	}
	return store.Region{Entity: r.Entity, Scope: r.Scope, Kinds: r.Kinds, Category: r.Category}
}

// ChangeRequest changes the checkpoint of a worker.
type ChangeRequest struct {
	Act
	Change

	Worker string `json:"worker"`
}

// Outcome is what a change did, or of a dry run, would do.
type Outcome struct {
	Text string         `json:"text"` // all of it, in one line
	From store.Position `json:"from"`
	To   store.Position `json:"to"`
	// Again, New and Skipped count events: handled again, handled for the first time, and not handled
	// at all. -1 is unknown; AtLeast says that counting ended at 10,000.
	Again   int  `json:"again"`
	New     int  `json:"new"`
	Skipped int  `json:"skipped"`
	AtLeast bool `json:"atLeast,omitempty"`
	// Parked are the events that leave the list.
	Parked []Parked `json:"parked,omitempty"`
	// Undo takes it back; nil where nothing does.
	Undo   *Change `json:"undo,omitempty"`
	DryRun bool    `json:"dryRun,omitempty"`
}

// Change changes the checkpoint of a worker, whether it runs or not.
func (s *Surface) Change(ctx context.Context, q ChangeRequest) (Outcome, error) {
	return change().ask(ctx, s, q)
}

func change() question[ChangeRequest, Outcome] {
	return question[ChangeRequest, Outcome]{"change", Control, func(ctx context.Context, h *here, q ChangeRequest) (Outcome, error) {
		return h.move(ctx, q)
	}}
}

func (h *here) move(ctx context.Context, q ChangeRequest) (out Outcome, err error) {
	do, err := h.meant(ctx, q.Change)
	if err != nil {
		return out, err
	}
	err = h.operate(ctx, q.Worker, q.Act, func(ctx context.Context, o cursor.Operator, r checkpoint.Request) error {
		did, err := o.Apply(ctx, do, r)
		if err == nil {
			out = outcome(did, r.DryRun)
		}
		return err
	})
	return out, err
}

// meant is the change as package checkpoint has it.
func (h *here) meant(ctx context.Context, c Change) (checkpoint.Change, error) {
	to, err := h.from(ctx, c.To)
	if err != nil {
		return nil, err
	}
	if c.To == "" && (c.Move == Rewind || c.Move == SkipTo) {
		return nil, fail(Usage, "give a position, a time, or how long ago", "%s needs to know where to", c.Move)
	}
	switch c.Move {
	case Rewind:
		return checkpoint.Rewind{To: to, Emit: c.Emit}, nil
	case SkipTo:
		return checkpoint.SkipTo{To: to}, nil
	case Reset:
		return checkpoint.Reset{}, nil
	case Widen:
		return checkpoint.Widen{Region: c.Region.region(), Kinds: c.Kinds}, nil
	case Rebind:
		return checkpoint.Rebind{Region: c.Region.region(), Kinds: c.Kinds}, nil
	case Rename:
		return checkpoint.Rename{To: checkpoint.ID(c.Name)}, nil
	case Delete:
		return checkpoint.Delete{}, nil
	}
	return nil, fail(Usage, "", "no such change: %q", c.Move)
}

func outcome(o checkpoint.Outcome, dry bool) Outcome {
	out := Outcome{
		Text: o.String(), From: o.From, To: o.To, Again: o.Again, New: o.New, Skipped: o.Skipped, AtLeast: o.AtLeast, DryRun: dry,
	}
	for _, p := range o.Parked {
		out.Parked = append(out.Parked, shown(p))
	}
	switch undo := o.Undo.(type) {
	case checkpoint.Rewind:
		out.Undo = &Change{Move: Rewind, To: position(undo.To), Emit: undo.Emit}
	case checkpoint.SkipTo:
		out.Undo = &Change{Move: SkipTo, To: position(undo.To)}
	case checkpoint.Rebind:
		out.Undo = &Change{Move: Rebind, Region: regionOf(undo.Region), Kinds: undo.Kinds}
	case checkpoint.Rename:
		out.Undo = &Change{Move: Rename, Name: string(undo.To)}
	}
	return out
}

func position(p store.Position) string { return strconv.FormatUint(uint64(p), 10) }

func regionOf(r store.Region) *Region {
	return &Region{Entity: r.Entity, Scope: r.Scope, Kinds: r.Kinds, Category: r.Category}
}
