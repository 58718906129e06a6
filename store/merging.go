package store

import (
	"bytes"
	"cmp"
	"iter"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// rest is a record of what stays of events, and what it is sorted by.
type rest struct {
	record []byte
	name   []byte // of the entity, or the key
	time   uint64 // of the last event that it speaks of
}

func (r *rest) kind() byte { return wal.Type(r.record) }

func compareRests(a, b *rest) int {
	return cmp.Or(cmp.Compare(a.kind(), b.kind()), bytes.Compare(a.name, b.name))
}

// restOf returns nil for a record of something else.
func restOf(rec []byte) (*rest, error) {
	switch wal.Type(rec) {
	case wal.TypeState:
		s, err := wal.ParseState(rec)
		return &rest{rec, s.Entity, s.Time}, err
	case wal.TypeReceipt:
		r, err := wal.ParseReceipt(rec)
		return &rest{rec, r.Key.Key, r.Time}, err
	}
	return nil, nil //nolint:nilnil // as it says
}

// merging yields what several sequences in order have, in order; of what is in more than one that
// of the last.
type merging struct {
	sources []*restSource // the oldest first
}

type restSource struct {
	head *rest // nil at the end
	pull func() (*rest, error, bool)
	stop func()
}

func (m *merging) end() {
	for _, s := range m.sources {
		s.stop()
	}
}

func (m *merging) add(sequence iter.Seq2[*rest, error]) {
	s := &restSource{}
	s.pull, s.stop = iter.Pull2(sequence)
	m.sources = append(m.sources, s)
}

// next returns nil at the end. What it returns is valid until the next call.
func (m *merging) next() (least *rest, err error) {
	for _, s := range m.sources {
		if s.pull != nil && s.head == nil {
			if err := s.advance(); err != nil {
				return nil, err
			}
		}
		if s.head != nil && (least == nil || compareRests(s.head, least) <= 0) {
			least = s.head
		}
	}
	for _, s := range m.sources {
		if s.head != nil && compareRests(s.head, least) == 0 {
			s.head = nil // it moves on when the next one is asked for
		}
	}
	return least, nil
}

func (s *restSource) advance() error {
	head, err, more := s.pull()
	if !more {
		s.pull = nil
		return nil
	}
	s.head = head
	return err
}
