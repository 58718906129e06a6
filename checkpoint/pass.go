package checkpoint

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Layer is the events up to a position that lie in a region.
type Layer struct {
	UpTo   store.Position
	Region store.Region
}

func (l Layer) covers(e *store.Event) bool { return e.Position <= l.UpTo && l.Region.Matches(*e) }

// Pass says what is special about the present way through the log, after a rewind or a widening. The zero value is an
// ordinary first pass. It is kept in a side value of its own until the checkpoint is behind its end.
//
//	rewound from 9 to 3       handled before: 1 2 3 [4 5 6 7 8 9]       replayed: 4 to 9, less what was not handled yet
//	widened at 9              handled before: the old region up to 9    delivered from 1 on: what only the new one has
type Pass struct {
	// Skip: what one of these covers was handled before and is not delivered again, except for Owed (ascending), which was
	// in hand.
	Skip []Layer
	Owed []store.Position
	// Emitted: what one of these covers was handled before. It is delivered as a replay, except for Excluded (ascending),
	// which was parked, held or in hand and has not emitted anything.
	Emitted  []Layer
	Excluded []store.Position
	// Emit says that replays emit again.
	Emit bool
}

// Empty reports whether there is nothing special.
func (p Pass) Empty() bool { return len(p.Skip) == 0 && len(p.Emitted) == 0 }

// End is the position behind which the pass says nothing.
func (p Pass) End() store.Position {
	var end store.Position
	for _, l := range slices.Concat(p.Skip, p.Emitted) {
		end = max(end, l.UpTo)
	}
	return end
}

// Delivers reports whether an event of the region is delivered in this pass.
func (p Pass) Delivers(e store.Event) bool {
	return !covered(p.Skip, &e) || contains(p.Owed, e.Position)
}

// Replayed reports whether an event was handled before this pass.
func (p Pass) Replayed(e store.Event) bool {
	return covered(p.Emitted, &e) && !contains(p.Excluded, e.Position)
}

func covered(layers []Layer, e *store.Event) bool {
	return slices.ContainsFunc(layers, func(l Layer) bool { return l.covers(e) })
}

// Rewound gives the pass of a reader of a region that has scanned up to a position, but for what is undone, and goes back
// behind position to; and where it begins.
func (p Pass) Rewound(
	scanned, to store.Position, reads store.Region, undone []store.Position, emit bool,
) (Pass, store.Position) {
	next := Pass{Emit: emit, Emitted: slices.Clone(p.Emitted)}
	// What is behind `to` in a layer that is skipped was handled too. What lies before stays to be skipped where the
	// back-fill has not come by yet.
	for _, l := range p.Skip {
		if l.UpTo > scanned && l.UpTo > to {
			next.Emitted = append(next.Emitted, l)
		}
		if scanned < to {
			l.UpTo = min(l.UpTo, to)
			next.Skip = append(next.Skip, l)
		}
	}
	next.Emitted = append(next.Emitted, Layer{UpTo: scanned, Region: reads})
	next.Excluded = union(union(behind(p.Excluded, scanned), behind(p.Owed, scanned)), undone)
	if len(next.Skip) > 0 {
		next.Owed = behind(p.Owed, scanned)
	}
	at := min(scanned, to)
	next.Emitted = slices.DeleteFunc(next.Emitted, func(l Layer) bool { return l.UpTo <= at })
	return next, at
}

// behind gives the positions beyond p.
func behind(list []store.Position, p store.Position) []store.Position {
	i, found := slices.BinarySearch(list, p)
	if found {
		i++
	}
	return slices.Clone(list[i:])
}

// Widened gives the pass of a reader that has scanned a region up to a position, but for what is undone, and from now on
// reads one that contains it, from the beginning.
func (p Pass) Widened(scanned store.Position, before store.Region, undone []store.Position) Pass {
	next := Pass{Emitted: p.Emitted, Excluded: p.Excluded, Emit: p.Emit}
	if scanned == 0 {
		next.Skip, next.Owed = p.Skip, p.Owed
		return next
	}
	next.Owed = union(behind(p.Owed, scanned), undone)
	next.Skip = append(next.Skip, Layer{UpTo: scanned, Region: before})
	for _, l := range p.Skip {
		if l.UpTo > scanned {
			next.Skip = append(next.Skip, l)
		}
	}
	return next
}

const (
	passPrefix  = "pass/"
	passMagic   = "PSPA"
	passVersion = 1
)

func (id ID) passKey() string { return passPrefix + string(id) }

// write gives the side write that keeps the pass, or takes the kept one away when there is nothing special.
func (p Pass) write(id ID) store.SideWrite {
	if p.Empty() {
		return store.SideWrite{Key: id.passKey(), Delete: true}
	}
	return store.SideWrite{Key: id.passKey(), Value: p.encode()}
}

func (p Pass) encode() []byte {
	b := append([]byte(passMagic), passVersion)
	b = appendLayers(b, p.Skip)
	b = appendLayers(b, p.Emitted)
	b = appendFlag(b, p.Emit)
	return seal(appendPositions(appendPositions(b, p.Owed), p.Excluded))
}

func appendLayers(b []byte, layers []Layer) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(layers)))
	for _, l := range layers {
		b = binary.LittleEndian.AppendUint64(b, uint64(l.UpTo))
		b = appendText(b, l.Region.Identity())
	}
	return b
}

func (r *reader) layers() (layers []Layer) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		l := Layer{UpTo: store.Position(r.u64())}
		identity := r.text()
		region, ok := store.RegionOf(identity)
		r.bad = r.bad || !ok
		l.Region = region
		layers = append(layers, l)
	}
	return layers
}

func decodePass(b []byte) (Pass, error) {
	_, body, err := open(b, passMagic, passVersion)
	if err != nil {
		return Pass{}, err
	}
	in := reader{rest: body}
	p := Pass{Skip: in.layers(), Emitted: in.layers(), Emit: in.flag()}
	p.Owed, p.Excluded = in.positions(), in.positions()
	if err := in.end(); err != nil {
		return Pass{}, err
	}
	return p, nil
}

// PassOf gives the pass of a checkpoint.
func PassOf(st *store.Store, id ID) (Pass, error) {
	side, ok := st.Side(id.passKey())
	if !ok {
		return Pass{}, nil
	}
	p, err := decodePass(side.Value)
	if err != nil {
		return Pass{}, fmt.Errorf("checkpoint %q: pass: %w", id, err)
	}
	return p, nil
}
