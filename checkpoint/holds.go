package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Kinds of what [Holds] returns.
const (
	holdsCheckpoint = "checkpoint"
	holdsParked     = "parked event of"
	holdsNeeded     = "waiting event of"
)

// Holds returns what the readers with a checkpoint still need, for [store.Retain]: of each one the
// events after those that are done, from the oldest on that is parked or held, and from the oldest
// on that it comes back to ([Need]), whose note says what for; but for the readers whose names are
// ignored. One that is not used any more holds events until it is deleted.
// A checkpoint that cannot be read is an error, as it may need anything. A reader that is ignored
// and comes to an event that was dropped halts, with a [store.DroppedError]: [Apply] sends it on,
// with a [SkipTo] to the position before the first event of the log, or a [Reset]. What it had
// parked stays parked, and can only be discarded.
//
// A reader without a checkpoint, as a volatile worker, holds nothing: see [store.SetHold].
//
//	o := store.RetainOptions{MaxAge: 90 * 24 * time.Hour}
//	report, err := store.Retain(ctx, st, checkpoint.Holds, o)
func Holds(st *store.Store, ignore []string) (holds []store.Hold, err error) {
	for side, err := range st.Sides(keyPrefix) {
		info, err := infoOf(side, err)
		if slices.Contains(ignore, string(info.ID)) {
			continue
		}
		if err == nil {
			holds, err = appendHolds(holds, st, info)
		}
		if err != nil {
			return nil, err
		}
	}
	return holds, nil
}

// appendHolds adds those of one reader. It may take a parked event back meanwhile, which is in the
// record then: so all of it counts only where the record is the same after the lists were looked
// at. What it parks meanwhile is in the list.
func appendHolds(holds []store.Hold, st *store.Store, info Info) ([]store.Hold, error) {
	for {
		parked, err := firstOf(st, info.ID, info.ID.parkedPrefix(), holdsParked)
		if err != nil {
			return nil, err
		}
		waits, err := firstOf(st, info.ID, needed(info.Record.FirstName(info.ID)), holdsNeeded)
		if err != nil {
			return nil, err
		}
		now, err := look(st, info.ID)
		if errors.Is(err, ErrNotFound) { // deleted
			return holds, nil
		}
		if err != nil {
			return nil, err
		}
		if now.Revision != info.Revision {
			info = now
			continue
		}
		holds = append(holds, store.Hold{Kind: holdsCheckpoint, Who: string(info.ID), From: info.Record.Floor() + 1})
		return append(append(holds, parked...), waits...), nil
	}
}

// firstOf returns the hold of the oldest event in a list of side values, none where that is empty.
// It needs that one alone.
func firstOf(st *store.Store, id ID, prefix, kind string) ([]store.Hold, error) {
	for side, err := range st.SideRange(prefix, prefix+"g", 1) { // positions are in hexadecimal
		if side.Key == "" {
			return nil, err
		}
		n, bad := strconv.ParseUint(strings.TrimPrefix(side.Key, prefix), 16, 64)
		if bad != nil {
			return nil, fmt.Errorf("checkpoint %q: %w: %q", id, ErrCorrupt, side.Key)
		}
		h := store.Hold{Kind: kind, Who: string(id), From: store.Position(n)}
		if kind == holdsNeeded && err == nil {
			h.Note = string(side.Value)
		}
		return []store.Hold{h}, nil
	}
	return nil, nil
}
