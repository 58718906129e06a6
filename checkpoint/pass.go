package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Layer is events that were handled before the present pass, or before this place of it: those behind From, up to UpTo,
// that lie in Region, less the ones in Except (ascending, all within these bounds).
type Layer struct {
	From, UpTo store.Position
	Region     store.Region
	Except     []store.Position
}

func (l Layer) covers(e *store.Event) bool {
	return l.From < e.Position && e.Position <= l.UpTo && !contains(l.Except, e.Position) && l.Region.Matches(*e)
}

// between is the part of the layer behind from and up to upTo, less what is undone.
func (l Layer) between(from, upTo store.Position, undone []store.Position) Layer {
	l.From, l.UpTo = max(l.From, from), min(l.UpTo, upTo)
	l.Except = within(union(l.Except, undone), l.From, l.UpTo)
	return l
}

// holds reports whether whatever other covers is covered by l, as far as that shows without the events.
func (l Layer) holds(other Layer) bool {
	if l.From > other.From || l.UpTo < other.UpTo || l.Region.Identity() != other.Region.Identity() {
		return false
	}
	return !slices.ContainsFunc(within(l.Except, other.From, other.UpTo), func(p store.Position) bool {
		return !contains(other.Except, p)
	})
}

// Pass says what is special about the present way through the log, after a rewind or a widening. The zero value is an
// ordinary first pass. It is kept in a side value of its own until the checkpoint is behind its end.
//
//	rewound from 9 to 3       position 3    Emitted: 4 to 9, less what was not handled    everything from 4 on is delivered
//	widened at 9              position 0    Skip: 1 to 9 of the former region             of 1 to 9, only the rest is delivered
//
// What a reader passed over without handling it, because it started or was sent behind it, counts as handled; what is
// parked counts as handled by Skip, since it is handled from its list.
//
// Each layer says what was so when it was made, and stays so: what is done since is told by the position.
type Pass struct {
	// Skip: what one of these covers is not delivered.
	Skip []Layer
	// Emitted: what one of these covers is delivered as a replay.
	Emitted []Layer
	// Emit is where replays emit again: ascending, and apart from each other.
	Emit []Span
}

// Span is the positions behind From, up to UpTo.
type Span struct{ From, UpTo store.Position }

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
func (p Pass) Delivers(e store.Event) bool { return !covered(p.Skip, &e) }

// Replayed reports whether an event was handled before this pass.
func (p Pass) Replayed(e store.Event) bool { return covered(p.Emitted, &e) }

// Mutes reports whether the reactions to an event are dropped: it is a replay, and nobody asked for them.
func (p Pass) Mutes(e store.Event) bool {
	asked := slices.ContainsFunc(p.Emit, func(s Span) bool { return s.From < e.Position && e.Position <= s.UpTo })
	return !asked && p.Replayed(e)
}

func covered(layers []Layer, e *store.Event) bool {
	return slices.ContainsFunc(layers, func(l Layer) bool { return l.covers(e) })
}

// Rewound gives the pass of a reader that has scanned a region up to a position, but for what is undone, and goes back
// behind position to; and where it begins. undone, ascending, are the events in hand, wherever they lie, and what was
// parked behind to and is parked no more. It begins further back than to where something in hand or a back-fill does, and
// is delivered only that before to, and emits if it would have.
func (p Pass) Rewound(
	scanned, to store.Position, reads store.Region, undone []store.Position, emit bool,
) (Pass, store.Position) {
	at := min(scanned, to)
	if len(undone) > 0 {
		at = min(at, undone[0]-1)
	}
	next := Pass{Emit: p.emitting(at, to, emit)}
	for _, l := range p.Emitted {
		if l.UpTo > at {
			next.Emitted = add(next.Emitted, l)
		}
	}
	for _, l := range append([]Layer{{UpTo: scanned, Region: reads}}, p.Skip...) {
		next.Skip = add(next.Skip, l.between(at, to, undone))
		next.Emitted = add(next.Emitted, l.between(to, math.MaxUint64, undone))
	}
	if next.Empty() {
		next = Pass{}
	}
	return next, at
}

// emitting is where replays emit: up to position to and behind at as now, and from there on as is said.
func (p Pass) emitting(at, to store.Position, emit bool) (spans []Span) {
	for _, s := range p.Emit {
		if s.From, s.UpTo = max(s.From, at), min(s.UpTo, to); s.From < s.UpTo {
			spans = append(spans, s)
		}
	}
	if !emit {
		return spans
	}
	if n := len(spans); n > 0 && spans[n-1].UpTo == to {
		spans[n-1].UpTo = math.MaxUint64
		return spans
	}
	return append(spans, Span{From: to, UpTo: math.MaxUint64})
}

// Widened gives the pass of a reader that has scanned a region up to a position, but for what is undone (ascending), and
// from now on reads one that contains it, from the beginning.
func (p Pass) Widened(scanned store.Position, before store.Region, undone []store.Position) Pass {
	next := Pass{Emitted: p.Emitted, Emit: p.Emit}
	next.Skip = add(nil, Layer{UpTo: scanned, Region: before}.between(0, scanned, undone))
	for _, l := range p.Skip {
		if l.UpTo > scanned { // or the one above has all of it, and what was done of its exceptions since
			next.Skip = add(next.Skip, l)
		}
	}
	return next
}

// add adds a layer, unless it covers nothing or another one has all of it.
func add(layers []Layer, l Layer) []Layer {
	if l.UpTo <= l.From || slices.ContainsFunc(layers, func(o Layer) bool { return o.holds(l) }) {
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
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Emit)))
	for _, s := range p.Emit {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.From))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.UpTo))
	}
	return seal(b)
}

func appendLayers(b []byte, layers []Layer) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(layers)))
	for _, l := range layers {
		b = binary.LittleEndian.AppendUint64(b, uint64(l.From))
		b = binary.LittleEndian.AppendUint64(b, uint64(l.UpTo))
		b = appendText(b, l.Region.Identity())
		b = appendPositions(b, l.Except)
	}
	return b
}

// layers reads as many as there are; the number is not believed.
func (r *reader) layers() (layers []Layer) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		l := Layer{From: store.Position(r.u64()), UpTo: store.Position(r.u64())}
		region, ok := store.RegionOf(r.text())
		l.Region, l.Except = region, r.positions()
		r.bad = r.bad || !ok || l.UpTo <= l.From || len(within(l.Except, l.From, l.UpTo)) < len(l.Except)
		layers = append(layers, l)
	}
	return layers
}

// spans reads as many as there are.
func (r *reader) spans() (spans []Span) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		s := Span{From: store.Position(r.u64()), UpTo: store.Position(r.u64())}
		r.bad = r.bad || s.UpTo <= s.From || len(spans) > 0 && s.From <= spans[len(spans)-1].UpTo
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
	p := Pass{Skip: in.layers(), Emitted: in.layers(), Emit: in.spans()}
	in.bad = in.bad || p.Empty() // is not written
	if err := in.end(); err != nil {
		return Pass{}, err
	}
	return p, nil
}

// PassOf gives the pass of a checkpoint, or an error that wraps [ErrCorrupt] or [ErrNewerFormat].
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
