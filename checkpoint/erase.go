package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// ErasedText is the text of the error of a parked event whose content was erased: what it was may
// have quoted that.
const ErasedText = "(erased)"

// ErasedSides returns what an erasure needs so that the errors of parked events are erased with
// them, and what workers have scheduled for them: the Sides of a [store.Erasure]. They stay parked,
// with their key, by which others are held after them; what was scheduled is never written. Of one
// that makes no sense to this program, as it is damaged or a newer one wrote it, only its position
// stays, so that it counts as one that failed, of no key.
func ErasedSides(st *store.Store) func(context.Context, func(store.Position) bool) ([]store.SideWrite, error) {
	return func(ctx context.Context, erased func(store.Position) bool) (sides []store.SideWrite, err error) {
		for side, err := range st.Sides(duePrefix) {
			if err = cmp.Or(ctx.Err(), unread(err)); err != nil && !senseless(err) {
				return nil, fmt.Errorf("checkpoint: scheduled events: %w", err)
			}
			if _, position, ok := splitParked(side.Key); ok && erased(position) && !lasts(side.Value) {
				sides = append(sides, store.SideWrite{Key: side.Key, Delete: true})
			}
		}
		for side, err := range st.Sides(parkedPrefix) {
			if err = cmp.Or(ctx.Err(), unread(err)); err != nil && !senseless(err) {
				return nil, fmt.Errorf("checkpoint: parked events: %w", err)
			}
			id, position, ok := splitParked(side.Key)
			if !ok || !erased(position) {
				continue
			}
			p, err := id.parkedOf(side, err)
			if err != nil {
				p = Parked{Position: position, Error: ErasedText, Since: st.Now()}
			} else if p, ok = p.Erased(); !ok {
				continue
			}
			write := p.Write(id)
			write.Expect = store.Exactly(side.Revision)
			sides = append(sides, write)
		}
		return sides, nil
	}
}

// lasts reports whether something that is scheduled says nothing of the event that it is a reaction
// to: see cursor.Worker.Impersonal.
func lasts(scheduled []byte) bool {
	return len(scheduled) > 0 && scheduled[0] == DueLasting
}

// Handled reports whether a reader is done with an event, and has not parked it: for what is kept
// of it, when it is erased. Of a parked one that makes no sense it may have been.
func Handled(st *store.Store, reader Info, at store.Position) (bool, error) {
	for parked, err := range ParkedEvents(st, reader.ID, at) {
		if senseless(err) {
			return true, nil
		}
		return parked.Replay, err
	}
	return reader.Record.Done(at), nil
}

// Erased returns p without the text of its error, and whether there was one.
func (p Parked) Erased() (Parked, bool) {
	if p.Error == "" || p.Error == ErasedText {
		return p, false
	}
	p.Error = ErasedText
	return p, true
}

// splitParked returns whose parked event a side value is, or which event another one is about.
func splitParked(key string) (id ID, p store.Position, ok bool) {
	rest, _ := strings.CutPrefix(key, parkedPrefix)
	at := strings.LastIndexByte(rest, '/')
	if at < 0 {
		return "", 0, false
	}
	position, err := strconv.ParseUint(rest[at+1:], 16, 64)
	return ID(rest[:at]), store.Position(position), err == nil
}
