package store

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
	"github.com/penstock-io/penstock/store/lineage"
)

// Question is one of [Causes], [Effects] and [Correlated].
type Question = func(ctx context.Context, st *Store, of uuid.UUID, reach Reach) iter.Seq2[Event, error]

// Lineage asks a question and returns the answer as a value that can be drawn: each event under its
// cause, with who emitted it and how long after its cause. What the answer does not hold shows as a
// boundary: a cause that was not asked for, or that the log does not have, is a node of that state,
// and each node says how many of its effects the log has beside those that are shown. An event that
// is not there is a boundary, too: the error is [ErrNotFound] where there is nothing else.
// Forest.Cut says that the count of the reach left out events.
//
// It costs what the question does, and a look into the indexes for each event. All of the answer is
// in memory, without payloads: use a reach where it may be large.
func Lineage(ctx context.Context, st *Store, ask Question, of uuid.UUID, reach Reach) (lineage.Forest, error) {
	b := forestBuilder{store: st, places: make(map[uuid.UUID]int), shown: make(map[int]int)}
	events, cut, err := gather(ask(ctx, st, of, Reach{Depth: reach.Depth, Count: oneMore(reach.Count)}), reach.Count)
	if err != nil {
		return lineage.Forest{}, err
	}
	for _, e := range events {
		if err := b.add(e); err != nil {
			return lineage.Forest{}, err
		}
	}
	for i, id := range b.ids {
		if err := b.countMore(ctx, i, id); err != nil {
			return lineage.Forest{}, err
		}
	}
	return lineage.Forest{Nodes: b.nodes, Cut: cut}, nil
}

func oneMore(count int) int {
	if count < 1 {
		return count
	}
	return count + 1
}

// told is what is kept of an event.
type told struct {
	node      lineage.Node
	id, cause uuid.UUID
}

// gather reads the events of an answer, by position, at most count of them where that is a bound. A
// cause that is missing ends it as any other end: the event that has it says so.
func gather(answer iter.Seq2[Event, error], count int) (events []told, cut bool, err error) {
	for e, err := range answer {
		var missing *MissingCauseError
		switch {
		case errors.As(err, &missing):
		case err != nil:
			return nil, false, err
		case count > 0 && len(events) == count:
			cut = true
		default:
			events = append(events, told{nodeOf(&e), e.ID, e.Cause})
		}
	}
	slices.SortFunc(events, func(a, b told) int { return cmp.Compare(a.node.Position, b.node.Position) })
	return events, cut, nil
}

// forestBuilder makes nodes of events, causes before effects.
type forestBuilder struct {
	store  *Store
	nodes  []lineage.Node
	ids    []uuid.UUID // of the nodes
	places map[uuid.UUID]int
	shown  map[int]int // how many effects of a node are nodes
}

// add adds a node for an event, and one for its cause if that has none.
func (b *forestBuilder) add(e told) error {
	n, parent := e.node, -1
	if e.cause != uuid.Nil {
		place, known := b.places[e.cause]
		if !known {
			var err error
			if place, err = b.addOutside(e); err != nil {
				return err
			}
		}
		parent = place
		b.shown[place]++
	}
	if n.Parent = parent; parent >= 0 && b.nodes[parent].Position > 0 {
		n.Delay = n.Time.Sub(b.nodes[parent].Time)
	}
	b.append(e.id, n)
	return nil
}

// addOutside adds a node for the cause of an event, which does not belong to the answer.
func (b *forestBuilder) addOutside(effect told) (place int, err error) {
	n := lineage.Node{ID: effect.cause.String(), State: lineage.Missing}
	cause, err := b.store.findBefore(Position(effect.node.Position), effect.cause)
	switch {
	case err == nil:
		n = nodeOf(&cause)
		n.State = lineage.Outside
	case !errors.Is(err, ErrNotFound):
		return 0, err
	}
	n.Parent = -1
	return b.append(effect.cause, n), nil
}

func (b *forestBuilder) append(id uuid.UUID, n lineage.Node) (place int) {
	place = len(b.nodes)
	b.places[id] = place
	b.nodes, b.ids = append(b.nodes, n), append(b.ids, id)
	return place
}

// countMore counts the effects of a node that are no nodes.
func (b *forestBuilder) countMore(ctx context.Context, i int, id uuid.UUID) error {
	n := &b.nodes[i]
	if n.State == lineage.Outside || n.State == lineage.Missing {
		return nil
	}
	effects, err := b.store.countEffects(ctx, id, Position(n.Position))
	n.More = max(0, effects-b.shown[i])
	return err
}

// countEffects counts the effects of an event after a position by the indexes alone.
func (s *Store) countEffects(ctx context.Context, of uuid.UUID, after Position) (n int, err error) {
	var ords []uint32
	for upTo := s.Head(); after < upTo; {
		if err := s.readable(ctx); err != nil {
			return 0, err
		}
		g, idx, from, to, err := s.segmentRange(after, upTo)
		if err == nil {
			ords, err = idx.Linked(index.Cause, of, from, to, ords[:0])
		}
		if s.again(&err) {
			continue
		}
		if err != nil {
			return 0, s.readError(err)
		}
		hidden := s.cancelled()
		for _, ord := range ords {
			if !hidden.has(g.first + Position(ord)) {
				n++
			}
		}
		after = g.first + Position(to) - 1
	}
	return n, nil
}

func nodeOf(e *Event) lineage.Node {
	n := lineage.Node{
		ID: e.ID.String(), Correlation: e.Correlation.String(), Position: uint64(e.Position), Kind: e.Kind,
		Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope, Version: e.Version, Time: e.Time.Time().Round(time.Millisecond),
	}
	if e.Cause != uuid.Nil {
		n.Cause = e.Cause.String()
	}
	if len(e.record) > 0 && wal.Type(e.record) == wal.TypeErased {
		n.State = lineage.Erased
	}
	if by, ok := e.Emitter(); ok {
		n.Worker, n.Build, n.Epoch, n.Attempt = by.Worker, by.Build, by.Epoch, by.Attempt
	}
	return n
}
