package cursor

import (
	"cmp"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// kept is what the handler of a batch has asked for and staged of what its worker keeps. It belongs
// to the goroutine that has the batch.
//
//	store      stock = 7                       the commit of the batch before
//	event 0    Side: 7    Put 6
//	event 1    Side: 6    Put 5
//	event 2    Side: 5    Put 4, and fails     dropped with its reactions
//	commit     stock = 5, if it is still the 7 that was read
//
// What is read of the store, and put over, is expected by the commit: where something else was
// written meanwhile, all of the batch that rests on it is handled again.
type kept struct {
	values keptValues
	due    keptValues // what is scheduled, which nothing reads

	scheduled []timed   // by event
	counts    []counted // what is added to numbers

	now   time.Time // that was returned last, and for which event; zero for none
	nowOf int
}

// keptValues are side values: however often a batch writes one, a commit writes it once.
type keptValues struct {
	order []*keptValue          // in which they were asked for, so that commits are the same each time
	at    map[string]*keptValue // by key of the side value, where they are more than a few
}

// fewValues is how many side values are looked through rather than looked up. A batch of a worker
// with lanes hardly has more. They are kept for the next batch.
const fewValues = 8

// keptValue is one side value.
type keptValue struct {
	key      string
	read     bool   // value and revision are those of the store; else it is overwritten whatever it is
	value    []byte // nil for none
	revision uint64 // 0 for none
	puts     []keptPut
}

// keptPut is what an event leaves: the last that was put for it. They are ascending by event.
type keptPut struct {
	event int
	value []byte // nil for none
}

// of returns what is known of a key.
func (k *keptValues) of(key string) *keptValue {
	if v := k.known(key); v != nil {
		return v
	}
	n := len(k.order)
	if k.order = slices.Grow(k.order, 1)[:n+1]; k.order[n] == nil {
		k.order[n] = new(keptValue)
	}
	v := k.order[n]
	v.key = key
	switch {
	case k.at != nil:
		k.at[key] = v
	case n >= fewValues:
		k.at = make(map[string]*keptValue, 2*n)
		for _, v := range k.order {
			k.at[v.key] = v
		}
	}
	return v
}

func (k *keptValues) known(key string) *keptValue {
	if k.at != nil {
		return k.at[key]
	}
	for _, v := range k.order {
		if v.key == key {
			return v
		}
	}
	return nil
}

// reset forgets all values. Where there were few, the next batch has their memory.
func (k *keptValues) reset() {
	if k.at != nil {
		*k = keptValues{}
		return
	}
	for _, v := range k.order {
		clear(v.puts)
		*v = keptValue{puts: v.puts[:0]}
	}
	k.order = k.order[:0]
}

// sides adds to a list what events from one up to, but not including, another leave.
func (k *keptValues) sides(list []store.SideWrite, from, to int) []store.SideWrite {
	for _, v := range k.order {
		if v.within(from, to) {
			list = append(list, v.write(to-1))
		}
	}
	return list
}

// put stages a value for an event.
func (v *keptValue) put(event int, value []byte) {
	i, again := slices.BinarySearchFunc(v.puts, event, byEvent)
	if again {
		v.puts[i].value = value
		return
	}
	v.puts = slices.Insert(v.puts, i, keptPut{event: event, value: value})
}

func byEvent(p keptPut, event int) int { return cmp.Compare(p.event, event) }

// after returns what the events up to one leave, and whether any of them puts something.
func (v *keptValue) after(event int) (value []byte, staged bool) {
	i, _ := slices.BinarySearchFunc(v.puts, event+1, byEvent)
	if i == 0 {
		return nil, false
	}
	return v.puts[i-1].value, true
}

// within reports whether one of the events from one up to, but not including, another puts
// something.
func (v *keptValue) within(from, to int) bool {
	i, _ := slices.BinarySearchFunc(v.puts, from, byEvent)
	return i < len(v.puts) && v.puts[i].event < to
}

// load reads the value from the store, once. A batch made by hand has none.
func (v *keptValue) load(st *store.Store) error {
	if v.read || st == nil {
		return nil
	}
	side, found, err := st.Side(v.key)
	if err != nil {
		return err
	}
	v.read, v.revision = true, side.Revision
	if found {
		v.value = present(side.Value)
	}
	return nil
}

// present is a value that is there, even where it is empty.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// write is the side write of what events up to one leave.
func (v *keptValue) write(event int) store.SideWrite {
	value, _ := v.after(event)
	w := store.SideWrite{Key: v.key, Value: value, Delete: value == nil}
	if v.read {
		w.Expect = store.Exactly(v.revision)
	}
	return w
}

// reset forgets everything.
func (k *kept) reset() {
	k.values.reset()
	k.due.reset()
	clear(k.scheduled)
	clear(k.counts)
	k.scheduled, k.counts, k.now, k.nowOf = k.scheduled[:0], k.counts[:0], time.Time{}, 0
}

// keeps returns what the batch has of what its worker keeps.
func (b *Batch) keeps() *kept {
	s := b.stage()
	if s.kept == nil {
		s.kept = new(kept)
	}
	return s.kept
}

// keptKey is the key of the side value for a key of the worker.
func (o *batchOwner) keptKey(key string) (string, error) {
	if !o.stateful {
		return "", ErrStateless
	}
	return checkpoint.KeptPrefix(o.ownership.FirstName) + key, nil
}

// Side returns what the worker keeps under a key, as it is after Events[i]: what was put last for
// that event or one before it in the batch, else what the last commit left; found is false where
// there is nothing. The value is read-only.
//
// Where it is put over, the commit expects what was read: if something else was written meanwhile,
// it is refused, and the events are handled again. That happens only where something other than the
// key of this event writes it: keys of what is kept must follow from those of the events.
//
// It needs Worker.Stateful, or it is an [ErrStateless]. Other errors are those of reading, see
// [store.Store.Side]. It panics when there is no Events[i].
func (b *Batch) Side(i int, key string) (value []byte, found bool, err error) {
	_ = b.events[i]
	if key, err = b.own.keptKey(key); err != nil {
		return nil, false, err
	}
	v := b.keeps().values.of(key)
	if value, staged := v.after(i); staged {
		return value, value != nil, nil
	}
	if err := v.load(b.own.st); err != nil {
		return nil, false, err
	}
	return v.value, v.value != nil, nil
}

// Put stages that the worker keeps a value under a key, in place of what it kept there; nil removes
// that. It is written in the commit that has the reactions to Events[i] and moves the checkpoint
// past it, or never: a handler that fails at that event or before drops it. Of several values for
// one key the last one is written.
//
// The key is of the worker's own: no other reader meets it, and a rename of the worker moves it
// along. The value is copied. It needs Worker.Stateful, or it is an [ErrStateless]; a key or a
// value that the store would refuse is a [store.InvalidError]: the key may have control characters
// nowhere and 1,024 bytes with the name of the worker and six more, the value 1 MiB. It panics when
// there is no Events[i].
func (b *Batch) Put(i int, key string, value []byte) error {
	_ = b.events[i]
	key, err := b.own.keptKey(key)
	if err != nil {
		return err
	}
	w := store.SideWrite{Key: key, Value: value}
	if err := w.Validate(); err != nil || b.muted(i) {
		return err
	}
	if value != nil {
		value = present(slices.Clone(value))
	}
	b.keeps().values.of(key).put(i, value)
	return nil
}

// puts reports whether something is put for Events[from:to].
func (s *staged) puts(from, to int) bool {
	if s == nil || s.kept == nil {
		return false
	}
	return slices.ContainsFunc(s.kept.values.order, func(v *keptValue) bool { return v.within(from, to) })
}

// sides adds to a list what is put, scheduled and taken back for Events[from:to].
func (s *staged) sides(list []store.SideWrite, from, to int) []store.SideWrite {
	if s == nil || s.kept == nil {
		return list
	}
	return s.kept.due.sides(s.kept.values.sides(list, from, to), from, to)
}

// keptAt notes that what is put for Events[from:to] was written by the last commit of a lease: what
// comes after rests on that.
func keptAt(b *Batch, lease *checkpoint.Lease, from, to int) {
	if b.staged == nil || b.staged.kept == nil {
		return
	}
	for _, v := range b.staged.kept.values.order {
		if !v.within(from, to) {
			continue
		}
		v.value, _ = v.after(to - 1)
		if v.read, v.revision = true, 0; v.value != nil {
			v.revision = lease.Revision()
		}
	}
}
