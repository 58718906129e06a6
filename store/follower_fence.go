package store

// What a read-only store knows of fences. All of it runs under follower.mu, but for the opening.

// takeFences takes in what the scan has found of fences. Should a value not be readable now, it is
// tried again by the next look, and nothing after it is shown before.
func (f *follower) takeFences() error {
	if !f.tail.fenced {
		return nil
	}
	g := f.tail.segment
	for key, place := range f.tail.sides {
		if !isFenceKey(key) {
			continue
		}
		value, err := []byte(nil), error(nil)
		switch {
		case place.Deleted:
		case place.Inline:
			value = []byte(place.Value())
		default:
			value, err = g.sideValue(&place)
		}
		if err == nil {
			err = f.fences.take(g, &place, value)
		}
		if err != nil {
			return err
		}
	}
	f.tail.fenced = false
	return nil
}

// fence stores what is assigned and hidden as of the end of the log, and returns the head, which is
// not moved yet. A batch of a later writer says that the ones before have ended.
func (f *follower) fence(s *Store) (head Position) {
	f.fences.end(f.chain.WriterEpoch)
	assigned := Position(f.chain.Position - 1)
	s.assigned.Store(uint64(assigned))
	if len(f.fences.records) == 0 {
		return assigned
	}
	hidden, head := f.fences.apply(assigned)
	s.conceal(&f.fences, hidden)
	return head
}

// endFences shows what lies after a fence that was left open, once there is no writer that could
// publish it, and nothing in the files that may not be shown yet: the end of the fence might be
// there. The next writer takes it for cancelled, too.
func (f *follower) endFences(s *Store, l limit) error {
	if l.writer || f.withheld.Load() || len(f.fences.records) == 0 || f.fences.ended > f.chain.WriterEpoch {
		return nil
	}
	if began, err := s.dir.Locked(lockName); err != nil || began {
		return err
	}
	f.fences.end(f.chain.WriterEpoch + 1)
	if head := f.fence(s); uint64(head) != s.head.Load() {
		s.head.Store(uint64(head))
		s.announce()
	}
	return nil
}
