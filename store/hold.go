package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Hold is what keeps [Retain] from dropping events: a reader needs those from a position on.
type Hold struct {
	// Who needs them: of a named hold its name, of at most 255 bytes without control characters.
	Who string
	// From is the first position that is needed. 0 is the beginning.
	From Position
	// Kind is what it is, for people: "hold" for a named one, which is set by [SetHold], "fence" for
	// an open one, whose reason is Who; what other readers are their packages say.
	Kind string
	// Note is for people who wonder: at most 1,024 bytes. Named holds have one, and others whose
	// packages say so.
	Note string
}

// String is as in `hold "export" from event 17`.
func (h Hold) String() string { return fmt.Sprintf("%s %q from event %d", h.Kind, h.Who, h.From) }

const (
	holdPrefix   = "hold/"
	holdKind     = "hold"
	fenceKind    = "fence"
	maxHoldBytes = 255
	maxHoldNote  = 1024
)

// heldValue is the side value of a named hold, whose key has the name. Members that are not known
// are ignored.
type heldValue struct {
	From Position `json:"from"`
	Note string   `json:"note,omitempty"`
}

// Write returns the side write that sets a named hold, for a reader that keeps it up to date with
// its own commits. Unlike [SetHold] it does not notice that an event was dropped meanwhile: a hold
// that is moved forward needs no such care, and a new one is to be set by SetHold.
func (h Hold) Write() SideWrite {
	value, err := json.Marshal(heldValue{h.From, h.Note})
	if err != nil {
		panic(err) // a number and a text
	}
	return SideWrite{Key: holdPrefix + h.Who, Value: value}
}

func (h Hold) validate() error {
	if err := checkText("hold", h.Who, maxHoldBytes); err != nil {
		return err
	}
	return checkMax("hold note bytes", len(h.Note), maxHoldNote)
}

// SetHold sets a named hold, or moves the one of that name: from then on, over restarts, [Retain]
// drops no event from h.From on, until it is moved or released. So readers that the store cannot
// see keep what they need: a file, a table of another database, another node. h.Kind is ignored.
//
// When it returns nil the log has all events from h.From on. Errors: a [DroppedError] when it does
// not, and the hold is set all the same; [InvalidError]; those of [Store.Commit].
func SetHold(ctx context.Context, st *Store, h Hold) error {
	if err := h.validate(); err != nil {
		return err
	}
	return WithoutDrops(ctx, st, func() error {
		if _, err := st.Commit(ctx, Batch{Sides: []SideWrite{h.Write()}}); err != nil {
			return err
		}
		if from, first := max(h.From, 1), First(st); from < first {
			return &DroppedError{Position: from, First: first}
		}
		return nil
	})
}

// ReleaseHold removes a named hold, if there is one. Errors are those of [Store.Commit].
func ReleaseHold(ctx context.Context, st *Store, who string) error {
	if err := (Hold{Who: who}).validate(); err != nil {
		return err
	}
	_, err := st.Commit(ctx, Batch{Sides: []SideWrite{{Key: holdPrefix + who, Delete: true}}})
	return err
}

// Holds iterates over the named holds, by name. One that cannot be read comes with its name and
// with an error; the others follow.
func Holds(st *Store) iter.Seq2[Hold, error] {
	return func(yield func(Hold, error) bool) {
		for side, err := range st.Sides(holdPrefix) {
			h := Hold{Kind: holdKind, Who: strings.TrimPrefix(side.Key, holdPrefix)}
			var v heldValue
			if err == nil {
				err = json.Unmarshal(side.Value, &v)
			}
			if h.From, h.Note = v.From, v.Note; err != nil {
				err = fmt.Errorf("hold %q: %w", h.Who, err)
			}
			if !yield(h, err) {
				return
			}
		}
	}
}

// holds returns all holds, those of others included, but for those that are ignored, by position.
// One that cannot be read is an error: it may need anything.
func (s *Store) holds(others []Hold, ignore []string) (all []Hold, err error) {
	for h, err := range Holds(s) {
		if slices.Contains(ignore, h.Who) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	all = append(all, others...)
	for _, f := range s.openFences() {
		if f.First > 0 {
			all = append(all, Hold{Kind: fenceKind, Who: f.Reason, From: f.First})
		}
	}
	for i := range all {
		all[i].From = max(all[i].From, 1)
	}
	slices.SortStableFunc(all, func(a, b Hold) int { return cmp.Compare(a.From, b.From) })
	return all, nil
}
