package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Pass says what is special about the present way through the log, after a rewind or a widening.
// The zero value is an ordinary first pass. It is kept in a side value of its own until the
// checkpoint has passed its end.
//
//	rewound from 9 to 3   position 3   handled: 4 to 9, less what was not   from 4 on all
//	widened at 9          position 0   skip: 1 to 9 of the former region    of 1 to 9 the rest
//
// What a reader passed over without handling it, because it started after it or was sent past it,
// counts as handled. What is parked counts as handled in skip, since it is handled from its list.
//
// A layer states what was so when it was made and is never updated: what is done after that follows
// from the position of the checkpoint.
type Pass struct {
	skip    []layer // an event in one of these is not delivered
	handled []layer // an event in one of these is delivered as a replay
	emit    []span  // where replays emit again: ascending, and apart from each other
}

// layer is events that were handled before the present pass, or earlier in it: those after from, up
// to upTo, that lie in region, less the ones in except (ascending, all within these bounds).
type layer struct {
	from, upTo store.Position
	region     store.Region
	except     []store.Position
}

// span is the positions after from, up to upTo.
type span struct{ from, upTo store.Position }

func (l layer) covers(e *store.Event) bool {
	return l.from < e.Position && e.Position <= l.upTo && !contains(l.except, e.Position) && l.region.Matches(*e)
}

// between is the part of the layer after from and up to upTo, less what is pending.
func (l layer) between(from, upTo store.Position, pending []store.Position) layer {
	l.from, l.upTo = max(l.from, from), min(l.upTo, upTo)
	l.except = within(union(l.except, pending), l.from, l.upTo)
	return l
}

// holds reports whether whatever other covers is covered by l, as far as that shows without the
// events.
func (l layer) holds(other layer) bool {
	if l.from > other.from || l.upTo < other.upTo || l.region.Identity() != other.region.Identity() {
		return false
	}
	return !slices.ContainsFunc(within(l.except, other.from, other.upTo), func(p store.Position) bool {
		return !contains(other.except, p)
	})
}

// Empty reports whether there is nothing special.
func (p Pass) Empty() bool { return len(p.skip) == 0 && len(p.handled) == 0 }

// Delivers reports whether an event of the region is delivered in this pass.
func (p Pass) Delivers(e store.Event) bool { return !covered(p.skip, &e) }

// Skips reports whether there may be events that are not delivered in this pass.
func (p Pass) Skips() bool { return len(p.skip) > 0 }

// Replayed reports whether an event was handled before this pass.
func (p Pass) Replayed(e store.Event) bool { return covered(p.handled, &e) }

// Mutes reports whether the reactions to an event are dropped: it is a replay, and the rewind did
// not say that it emits again.
func (p Pass) Mutes(e store.Event) bool {
	emits := slices.ContainsFunc(p.emit, func(s span) bool { return s.from < e.Position && e.Position <= s.upTo })
	return !emits && p.Replayed(e)
}

func covered(layers []layer, e *store.Event) bool {
	return slices.ContainsFunc(layers, func(l layer) bool { return l.covers(e) })
}

// end is the last position that the pass says something about.
func (p Pass) end() store.Position {
	var end store.Position
	for _, l := range slices.Concat(p.skip, p.handled) {
		end = max(end, l.upTo)
	}
	return end
}

// rewound returns the pass of a reader that has read a region up to scanned and goes back to
// position to, and the position where that pass begins. pending, ascending, is what was not
// handled: events in flight, wherever they lie, and what was parked after to and leaves the list.
//
// The pass begins before to where an event is pending there, or where a back-fill was still before
// to. In that part only what was not handled is delivered, and it emits as it would have without
// the rewind.
func (p Pass) rewound(
	scanned, to store.Position, reads store.Region, pending []store.Position, emit bool,
) (Pass, store.Position) {
	at := min(scanned, to)
	if len(pending) > 0 {
		at = min(at, pending[0]-1)
	}
	next := Pass{emit: p.emitting(at, to, emit)}
	for _, l := range p.handled {
		if l.upTo > at {
			next.handled = add(next.handled, l)
		}
	}
	for _, l := range append([]layer{{upTo: scanned, region: reads}}, p.skip...) {
		next.skip = add(next.skip, l.between(at, to, pending))
		next.handled = add(next.handled, l.between(to, math.MaxUint64, pending))
	}
	if next.Empty() {
		next = Pass{}
	}
	return next, at
}

// emitting returns where replays emit after a rewind to position to: between at and to where they
// do now, and after to everywhere or nowhere, as emit says.
func (p Pass) emitting(at, to store.Position, emit bool) (spans []span) {
	for _, s := range p.emit {
		if s.from, s.upTo = max(s.from, at), min(s.upTo, to); s.from < s.upTo {
			spans = append(spans, s)
		}
	}
	if !emit {
		return spans
	}
	if n := len(spans); n > 0 && spans[n-1].upTo == to {
		spans[n-1].upTo = math.MaxUint64
		return spans
	}
	return append(spans, span{from: to, upTo: math.MaxUint64})
}

// widened returns the pass of a reader that has read the region before up to scanned, but for what
// is pending (ascending), and from now on reads one that contains it, from the beginning of the
// log.
func (p Pass) widened(scanned store.Position, before store.Region, pending []store.Position) Pass {
	next := Pass{handled: p.handled, emit: p.emit}
	next.skip = add(nil, layer{upTo: scanned, region: before}.between(0, scanned, pending))
	for _, l := range p.skip {
		if l.upTo > scanned { // else the layer above has all of it, and what was done of its exceptions since
			next.skip = add(next.skip, l)
		}
	}
	return next
}

// add adds a layer, unless it covers nothing or another one has all of it.
func add(layers []layer, l layer) []layer {
	if l.upTo <= l.from || slices.ContainsFunc(layers, func(o layer) bool { return o.holds(l) }) {
		return layers
	}
	return append(slices.DeleteFunc(layers, l.holds), l)
}

const (
	passPrefix  = "pass/"
	passMagic   = "PSPA"
	passVersion = 1
)

func (id ID) passKey() string { return passPrefix + string(id) }

// write returns the side write that keeps the pass, or removes the kept one when there is nothing
// special.
func (p Pass) write(id ID) store.SideWrite {
	if p.Empty() {
		return store.SideWrite{Key: id.passKey(), Delete: true}
	}
	return store.SideWrite{Key: id.passKey(), Value: p.encode()}
}

func (p Pass) encode() []byte {
	b := append([]byte(passMagic), passVersion)
	b = appendLayers(b, p.skip)
	b = appendLayers(b, p.handled)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.emit)))
	for _, s := range p.emit {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.from))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.upTo))
	}
	return seal(b)
}

func appendLayers(b []byte, layers []layer) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(layers)))
	for _, l := range layers {
		b = binary.LittleEndian.AppendUint64(b, uint64(l.from))
		b = binary.LittleEndian.AppendUint64(b, uint64(l.upTo))
		b = appendText(b, l.region.Identity())
		b = appendPositions(b, l.except)
	}
	return b
}

// layers reads as many as there are; the count in the bytes is not trusted.
func (r *reader) layers() (layers []layer) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		l := layer{from: store.Position(r.u64()), upTo: store.Position(r.u64())}
		region, ok := store.RegionOf(r.text())
		l.region, l.except = region, r.positions()
		r.bad = r.bad || !ok || l.upTo <= l.from || len(within(l.except, l.from, l.upTo)) < len(l.except)
		layers = append(layers, l)
	}
	return layers
}

// spans reads as many as there are.
func (r *reader) spans() (spans []span) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		s := span{from: store.Position(r.u64()), upTo: store.Position(r.u64())}
		r.bad = r.bad || s.upTo <= s.from || len(spans) > 0 && s.from <= spans[len(spans)-1].upTo
		spans = append(spans, s)
	}
	return spans
}

func decodePass(b []byte) (Pass, error) {
	_, body, err := open(b, passMagic, passVersion)
	if err != nil {
		return Pass{}, err
	}
	in := reader{rest: body}
	p := Pass{skip: in.layers(), handled: in.layers(), emit: in.spans()}
	in.bad = in.bad || p.Empty() // is not written
	if err := in.end(); err != nil {
		return Pass{}, err
	}
	return p, nil
}

// passOf returns the pass of a checkpoint, or an error, which for bytes that make no sense wraps
// [ErrCorrupt] or [ErrNewerFormat].
func passOf(st *store.Store, id ID) (Pass, error) {
	b, ok, err := read(st, id.passKey())
	if !ok && err == nil {
		return Pass{}, nil
	}
	var p Pass
	if err == nil {
		p, err = decodePass(b)
	}
	if err != nil {
		return Pass{}, fmt.Errorf("checkpoint %q: pass: %w", id, err)
	}
	return p, nil
}
