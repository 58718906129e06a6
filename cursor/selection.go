package cursor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

const (
	// maxUnbounded is how many events a [ParkedFilter] without Max may select.
	maxUnbounded = 1000
	// maxFilterBytes is the longest text of each field of one.
	maxFilterBytes = 4096
)

// ParkedFilter selects parked events: of those that failed, the ones that all fields which are set
// apply to. What is held for them comes with them. A filter without a field selects nothing, and is
// refused: All says that everything is meant.
//
// More than 1,000 events at once have to be asked for, by Max. It makes slices, too: with the time
// of the first call in Before, each further call takes the next ones, until one returns nothing.
// What fails again meanwhile is parked at a later time, so no slice takes it a second time, and the
// caller can count it, and stop:
//
//	which := cursor.ParkedFilter{Error: "refused", Before: st.Now(), Max: 100}
type ParkedFilter struct {
	// All selects everything. Only Max goes with it.
	All bool
	// Position selects the event there.
	Position store.Position
	// Key selects the events of a key. Those of the key "" are selected by Position.
	Key string
	// Error selects the events whose error has this text in it, in these letters. The text that is
	// kept of an error ends after 4 KiB, and that of an event that was erased is
	// [checkpoint.ErasedText].
	Error string
	// Kind selects the events of a kind. They are looked up in the log, one by one: what retention has
	// dropped is of no kind.
	Kind string
	// Before selects the events that were parked before this time, to the millisecond. A time, and not
	// an age, so that a dry run and the call after it select the same.
	Before time.Time
	// Max is the most events that failed of one call, the oldest ones; 0 means no limit, where there
	// are at most 1,000. Those that are about to be handled again already are passed over by a Replay
	// that has a Max.
	Max int
}

// String describes the selection.
func (f ParkedFilter) String() string {
	var parts []string
	say := func(is bool, format string, value any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	say(f.All, "%v", "all")
	say(f.Position > 0, "event %d", f.Position)
	say(f.Key != "", "key %q", f.Key)
	say(f.Error != "", "error with %q", f.Error)
	say(f.Kind != "", "kind %q", f.Kind)
	say(!f.Before.IsZero(), "parked before %s", f.Before.UTC().Format(time.RFC3339Nano))
	say(f.Max > 0, "at most %d", f.Max)
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// validate reports the first rule that the filter breaks, as a [store.InvalidError].
func (f ParkedFilter) validate() error {
	narrowed := f.Position > 0 || f.Key != "" || f.Error != "" || f.Kind != "" || !f.Before.IsZero()
	switch {
	case !f.All && !narrowed:
		return &store.InvalidError{Field: "filter of parked events", Rule: "selects nothing: set All to select everything"}
	case f.All && narrowed:
		return &store.InvalidError{Field: "All", Rule: "must not be set together with another selection", Value: f.String()}
	case f.Max < 0:
		return &store.InvalidError{Field: "Max", Rule: "must not be negative", Value: f.Max}
	}
	for _, field := range []struct{ name, text string }{{"Key", f.Key}, {"Error", f.Error}, {"Kind", f.Kind}} {
		switch {
		case len(field.text) > maxFilterBytes:
			return &store.InvalidError{Field: field.name + " bytes", Limit: maxFilterBytes, Value: int64(len(field.text))}
		case field.name != "Key" && !utf8.ValidString(field.text):
			return &store.InvalidError{Field: field.name, Rule: "must be UTF-8", Value: field.text}
		}
	}
	return nil
}

// selected returns the entries of a list that are selected, by position, of those that a call can
// be about: of returns those of a key. The error wraps [ErrNotParked] where one event or key was
// asked for and is not there, or [store.ErrInvalid].
func (f ParkedFilter) selected(
	ctx context.Context, st *store.Store, list *parkedList, of func(*parkedKey) []*checkpoint.Parked,
) (chosen []*checkpoint.Parked, err error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	for _, k := range f.reach(list) {
		chosen = append(chosen, slices.DeleteFunc(of(k), func(e *checkpoint.Parked) bool { return !f.fits(e) })...)
	}
	slices.SortFunc(chosen, func(a, b *checkpoint.Parked) int { return byPosition(*a, *b) })
	if chosen, err = f.ofKind(ctx, st, chosen); err != nil {
		return nil, err
	}
	switch n := len(chosen); {
	case n == 0 && (f.Position > 0 || f.Key != ""):
		return nil, f.missed(list)
	case f.Max == 0 && n > maxUnbounded:
		return nil, &store.InvalidError{Field: "parked events without a Max", Limit: maxUnbounded, Value: int64(n)}
	case f.Max > 0 && n > f.Max:
		chosen = chosen[:f.Max]
	}
	return chosen, nil
}

// reach returns the keys that may have something of the selection.
func (f ParkedFilter) reach(list *parkedList) (keys []*parkedKey) {
	switch entry, k := list.at[f.Position], list.keys[f.Key]; {
	case f.Position > 0 && entry != nil:
		return append(keys, list.keys[entry.Key])
	case f.Position > 0, f.Key != "" && k == nil:
		return nil
	case f.Key != "":
		return append(keys, k)
	}
	for _, k := range list.keys {
		keys = append(keys, k)
	}
	return keys
}

// fits reports whether an entry is selected, as far as the list tells.
func (f ParkedFilter) fits(e *checkpoint.Parked) bool {
	return (f.Position == 0 || e.Position == f.Position && !e.Held) &&
		(f.Key == "" || e.Key == f.Key) &&
		strings.Contains(e.Error, f.Error) &&
		(f.Before.IsZero() || e.Since.Truncate(time.Millisecond).Before(f.Before.Truncate(time.Millisecond)))
}

// ofKind returns those of some entries that are of the kind, by the log: as many as are needed.
func (f ParkedFilter) ofKind(
	ctx context.Context, st *store.Store, entries []*checkpoint.Parked,
) (chosen []*checkpoint.Parked, err error) {
	if f.Kind == "" {
		return entries, nil
	}
	for _, entry := range entries {
		e, err := st.GetAt(ctx, entry.Position)
		switch {
		case errors.Is(err, store.ErrDropped):
		case err != nil:
			return nil, fmt.Errorf("read parked event %d: %w", entry.Position, err)
		case e.Kind == f.Kind:
			chosen = append(chosen, entry)
		}
		if f.Max > 0 && len(chosen) == f.Max {
			break
		}
	}
	return chosen, nil
}

// missed is the error of a filter that names what is not there.
func (f ParkedFilter) missed(list *parkedList) error {
	if entry := list.at[f.Position]; entry != nil && entry.Held {
		return fmt.Errorf("event %d is only held after others of its key: %w", f.Position, ErrNotParked)
	}
	return fmt.Errorf("%s: %w", f, ErrNotParked)
}
