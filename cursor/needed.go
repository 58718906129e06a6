package cursor

import (
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Hold stages that the worker comes back to an event that counts as handled, so that
// [store.Retain] keeps it, and all after it: see checkpoint.Holds. note says what for, and stands
// in the report; at most 1 KiB of it counts. The event is Events[i], or one that is held already,
// whose note is replaced: others may be dropped. It is held until [Batch.ReleaseHold], over
// restarts, from the commit of the reactions to Events[i] on, with which it is dropped where the
// handler fails.
//
// It needs Worker.Stateful, or it is an [ErrStateless]. It panics when there is no Events[i].
func (b *Batch) Hold(i int, p store.Position, note string) error {
	if len(note) > maxHoldNote {
		note = note[:maxHoldNote]
	}
	return putSide(b, i, checkpoint.Need(b.own.ownership.FirstName, p, note))
}

// maxHoldNote is that of a store.Hold.
const maxHoldNote = 1024

// ReleaseHold stages that an event is not held any more. One that was not is none the worse. See
// [Batch.Hold], with the errors.
func (b *Batch) ReleaseHold(i int, p store.Position) error {
	return putSide(b, i, checkpoint.Needless(b.own.ownership.FirstName, p))
}

// putSide stages a side write for Events[i], which nothing reads.
func putSide(b *Batch, i int, w store.SideWrite) error {
	_ = b.events[i]
	if !b.own.stateful {
		return ErrStateless
	}
	if !b.muted(i) {
		b.keeps().values.of(w.Key).put(i, w.Value)
	}
	return nil
}
