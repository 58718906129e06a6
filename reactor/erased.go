package reactor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Keeper is what keeps something of events: a [Reactor], or a saga of package saga.
type Keeper interface {
	// ErasedSides returns what is to become of that where events are erased; erased says which. It is
	// called as Sides of a [store.Erasure] is.
	ErasedSides(ctx context.Context, st *store.Store, erased func(store.Position) bool) ([]store.SideWrite, error)
}

// ErasedSides returns what an erasure needs so that it reaches what reactors and sagas keep: the
// Sides of a [store.Erasure], with those of [checkpoint.ErasedSides].
//
// Of a reactor the state of a key is removed when one of the events that it was made from is
// erased, so the next event of the key finds the zero value. A type of state may say what stays of
// it instead, by a method Erased that returns that, such as the state itself where it has nothing
// of what an event says that is to be forgotten:
//
//	func (s Shelf) Erased() Shelf { return s }
//
// What a handler makes of such an event that it is at meanwhile is not written, and the event is
// passed over, see cursor.Worker.Erased.
//
// It reads the events of each keeper's region once. Errors are those of the definition of a
// keeper, of reading, and of states with a method Erased that cannot be read.
func ErasedSides(
	st *store.Store, keepers ...Keeper,
) func(context.Context, func(store.Position) bool) ([]store.SideWrite, error) {
	return func(ctx context.Context, erased func(store.Position) bool) ([]store.SideWrite, error) {
		sides, err := checkpoint.ErasedSides(st)(ctx, erased)
		for _, k := range keepers {
			if err != nil {
				break
			}
			var more []store.SideWrite
			more, err = k.ErasedSides(ctx, st, erased)
			sides = append(sides, more...)
		}
		return sides, err
	}
}

// ErasedSides returns the side writes for states that were, or may just be, made from events that
// are erased: see the function of that name.
func (r *Reactor) ErasedSides(
	ctx context.Context, st *store.Store, erased func(store.Position) bool,
) (sides []store.SideWrite, err error) {
	d, _, err := r.define()
	if err != nil || !d.stateful {
		return nil, err
	}
	info, err := r.inspect(st)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reactor %q: %w", r.name, err)
	}
	touched := make(map[string]touch)
	for e, err := range st.Read(ctx, d.reads, store.Beginning()) {
		if err != nil {
			return nil, fmt.Errorf("reactor %q: %w", r.name, err)
		}
		route := d.routes[e.Kind]
		if _, before := e.Erased(); route.key == nil || before || !erased(e.Position) {
			continue
		}
		key, err := route.key(&e)
		if err != nil { // so it was never handled
			continue
		}
		handled, err := checkpoint.Handled(st, info, e.Position)
		if err != nil {
			return nil, fmt.Errorf("reactor %q: %w", r.name, err)
		}
		key = checkpoint.KeptPrefix(info.Record.FirstName(info.ID)) + keptAs(route.state, key)
		touched[key] = touch{forget: route.forget, handled: handled || touched[key].handled}
	}
	for _, key := range slices.Sorted(maps.Keys(touched)) {
		write, err := touched[key].write(st, key)
		if err != nil {
			return nil, fmt.Errorf("reactor %q: %q: %w", r.name, key, err)
		}
		sides = append(sides, write)
	}
	return sides, nil
}

// inspect returns the checkpoint of the reactor, which still has a former name where the reactor
// has not run under this one.
func (r *Reactor) inspect(st *store.Store) (info checkpoint.Info, err error) {
	for _, name := range append([]string{r.name}, r.Formerly...) {
		if info, err = checkpoint.Inspect(st, checkpoint.ID(name)); !errors.Is(err, checkpoint.ErrNotFound) {
			break
		}
	}
	return info, err
}

// touch is what an erasure does to a state: what it was made from is erased, or just an event that
// it may be about to be made from.
type touch struct {
	forget  func(kept []byte) ([]byte, error)
	handled bool
}

// write returns a side write that is refused where the state has changed since, and that has the
// commit refused of a handler which is at the event.
func (t touch) write(st *store.Store, key string) (store.SideWrite, error) {
	side, _, err := st.Side(key)
	value := side.Value
	if err == nil && t.handled && side.Revision > 0 {
		value, err = t.forget(side.Value)
	}
	return store.SideWrite{Key: key, Value: value, Delete: value == nil, Expect: store.Exactly(side.Revision)}, err
}
