package cursor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// ParkedFilter selects parked events by one of its fields: the one at Position with all that is
// held after it, or those of Key, or All. Without any it selects those of the key "".
type ParkedFilter struct {
	Position store.Position
	Key      string
	All      bool
}

// String describes the selection.
func (f ParkedFilter) String() string {
	switch {
	case f.All:
		return "all"
	case f.Position > 0:
		return fmt.Sprintf("event %d", f.Position)
	default:
		return fmt.Sprintf("key %q", f.Key)
	}
}

// keys returns the keys that are selected from a list, sorted. The error wraps [ErrNotParked] or
// [store.ErrInvalid].
func (f ParkedFilter) keys(list *parkedList) ([]string, error) {
	switch entry := list.at[f.Position]; {
	case f.All && (f.Position > 0 || f.Key != ""), f.Position > 0 && f.Key != "":
		return nil, &store.InvalidError{Field: "which", Rule: "selects by more than one of Position, Key and All"}
	case f.All:
		return slices.Sorted(maps.Keys(list.keys)), nil
	case f.Position == 0 && list.keys[f.Key] != nil:
		return []string{f.Key}, nil
	case f.Position == 0 || entry == nil:
		return nil, fmt.Errorf("%s: %w", strings.ToValidUTF8(f.String(), "?"), ErrNotParked)
	case entry.Held:
		return nil, fmt.Errorf("%s is only held after others of its key: %w", f, ErrNotParked)
	default:
		return []string{entry.Key}, nil
	}
}

// events returns copies of the entries of some keys, by position.
func (p *parkedList) events(keys []string) (chosen []checkpoint.Parked) {
	for _, key := range keys {
		for _, entry := range p.keys[key].entries {
			chosen = append(chosen, *entry)
		}
	}
	slices.SortFunc(chosen, byPosition)
	return chosen
}
