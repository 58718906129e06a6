package store

import "slices"

// fencing is what a writer knows of the fences in which events are staged. It belongs to the holder
// of the committer's role, who has none while there is no such fence: then a commit pays for one
// look at a pointer.
type fencing struct {
	list     []*Fence          // open, or published and waiting for one that is
	entities map[string]*Fence // that are reserved
	keys     map[string]*Fence // likewise, of idempotency keys
}

// of returns the fence in which the event at a position is staged, nil for none.
func (x *fencing) of(p Position) *Fence {
	if x == nil {
		return nil
	}
	for _, f := range x.list {
		if f.isOpen() && f.ranges.has(p) {
			return f
		}
	}
	return nil
}

// reservesKey returns why a request may not use its key: a fence that is not its own has it.
func (x *fencing) reservesKey(req *request) error {
	if f := x.keys[req.key]; f != nil && f != req.fence {
		return &ReservedError{IdempotencyKey: req.key, Reason: f.reason}
	}
	return nil
}

// reservesEntity likewise.
func (x *fencing) reservesEntity(req *request) error {
	for i := range req.events {
		entity := req.events[i].terms.Entity
		if f := x.entities[entity]; f != nil && f != req.fence {
			return &ReservedError{Entity: entity, Reason: f.reason}
		}
	}
	return nil
}

// head returns how far a log with so many positions is visible.
func (x *fencing) head(assigned Position) Position {
	var open, published []Range
	for _, f := range x.list {
		if f.isOpen() {
			open = append(open, f.ranges.span())
		} else {
			published = append(published, f.ranges.span())
		}
	}
	return headBefore(assigned, open, published)
}

// committed returns the last position of the log, visible or not, and what up to there may still be
// cancelled, since it is staged in other fences than own. The order of the looks makes that
// complete: what was staged up to there is in a fence that is open, or that has ended since, and is
// hidden then or for good. Before the head nothing is staged.
func (s *Store) committed(own *Fence) (upTo Position, staged ranges) {
	upTo = Position(s.assigned.Load())
	if Position(s.head.Load()) >= upTo {
		return upTo, nil
	}
	return upTo, s.fences.staged(own, upTo)
}

// isOpen reports whether the fence may still be published, or will be cancelled.
func (f *Fence) isOpen() bool { return fenceState(f.state.Load()) <= fenceEnding }

// admitFence decides whether the fence of a request may take the step, and has it take that which
// ends it.
func admitFence(req *request) (answered bool) {
	f, may := req.fence, false
	switch req.step {
	case fenceStage:
		may = fenceState(f.state.Load()) == fenceOpen
	case fencePublish:
		may = f.become(fencePublished)
	case fenceCancel:
		may = f.become(fenceCancelled) || f.become(fenceExpired)
	}
	if may {
		return false
	}
	switch now := fenceState(f.state.Load()); {
	case now == fencePublished && req.step != fencePublish:
		req.err = ErrFenceEnded
	case now != fencePublished && req.step != fenceCancel:
		req.err = &FenceCancelledError{Reason: f.reason, By: now.cancelledBy()}
	}
	return true
}

// stepFence adds to an admitted request what its step makes of the state of its fence in the log,
// unless it has none there. The first event of the request is the next one of the batch.
func stepFence(w *writer, b *openBatch, req *request) (added bool) {
	f := req.fence
	if req.step == fenceStage {
		stageEvents(w, f, req, Position(w.next.Position)+Position(b.events))
	}
	if len(f.ranges) == 0 {
		return false
	}
	r := fenceRecord{
		state: fenceState(f.state.Load()), epoch: w.next.WriterEpoch, ranges: f.ranges, reason: f.reason,
	}
	if r.state == fenceEnding {
		r.state = fenceOpen
	}
	key := fenceKey(f.ranges[0].From)
	f.deleted = r.state == fencePublished && w.fenced.head(Position(w.next.Position-1)) >= f.ranges.span().To
	if f.deleted { // all of it will be visible
		req.addSide(&SideWrite{Key: key, Delete: true})
	} else {
		req.addSide(&SideWrite{Key: key, Value: r.encode()})
	}
	clearFences(w, req)
	return true
}

// spentFences are deleted at a time.
const spentFences = 8

// clearFences deletes states of fences that were published and are visible by now.
func clearFences(w *writer, req *request) {
	for range min(len(w.spent), spentFences) {
		req.addSide(&SideWrite{Key: w.spent[0], Delete: true})
		w.spent = w.spent[1:]
	}
}

// stageEvents notes what becomes part of a fence.
func stageEvents(w *writer, f *Fence, req *request, first Position) {
	if w.fenced == nil {
		w.fenced = &fencing{entities: make(map[string]*Fence), keys: make(map[string]*Fence)}
	}
	if len(f.ranges) == 0 {
		w.fenced.list = append(w.fenced.list, f)
	}
	for i := range req.events {
		w.fenced.entities[req.events[i].terms.Entity] = f
	}
	if req.key != "" {
		w.fenced.keys[req.key] = f
	}
	n := Position(len(req.events))
	w.store.fences.mu.Lock()
	defer w.store.fences.mu.Unlock()
	f.ranges, f.events = f.ranges.with(Range{From: first, To: first + n - 1}), f.events+uint64(n)
}

// endFence is called once the end of a fence is durable, before the head moves. What was reserved
// is free again. Of a cancelled fence the log shows nothing from now on, and the states of its
// entities are looked up in it again.
func endFence(w *writer, f *Fence) {
	defer w.store.fences.ended(f) // once it is hidden, see Store.committed
	x := w.fenced
	if x == nil || !slices.Contains(x.list, f) { // nothing is staged, or it has ended before
		return
	}
	cancelled := fenceState(f.state.Load()) != fencePublished
	if cancelled {
		w.store.hide(w.store.cancelled().with(f.ranges...))
	}
	for entity, by := range x.entities {
		if by != f {
			continue
		}
		delete(x.entities, entity)
		if cancelled {
			w.entities.forget(entity)
		}
	}
	for key, by := range x.keys {
		if by == f {
			delete(x.keys, key)
		}
	}
	if cancelled {
		x.list = slices.DeleteFunc(x.list, func(other *Fence) bool { return other == f })
	}
}

// visibleUpTo returns the head of a log with so many positions, once the present group is written.
func visibleUpTo(w *writer, assigned Position) Position {
	if req := w.group[0]; req.ends() && req.err == nil { // it is alone
		endFence(w, req.fence)
	}
	if w.fenced == nil {
		return assigned
	}
	head, x := w.fenced.head(assigned), w.fenced
	x.list = slices.DeleteFunc(x.list, func(f *Fence) bool {
		shown := !f.isOpen() && f.ranges.span().To <= head
		if shown && !f.deleted {
			w.spent = append(w.spent, fenceKey(f.ranges[0].From))
		}
		return shown
	})
	if len(x.list) == 0 {
		w.fenced = nil
	}
	return head
}
