package index

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// sure is an index that must not fail.
type sure struct{ Index }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (s sure) Offset(ord uint32) uint32 {
	offset, err := s.Index.Offset(ord)
	must(err)
	return offset
}

func (s sure) Extents(ords []uint32, dst []Extent) []Extent {
	extents, err := s.Index.Extents(ords, dst)
	must(err)
	return extents
}

func (s sure) Select(q Query, from, to uint32, limit int, dst []uint32) (ords []uint32, next uint32) {
	ords, next, err := s.Index.Select(q, from, to, limit, dst)
	must(err)
	return ords, next
}

func (s sure) Count(q Query, from, to uint32, limit int) int {
	n, err := s.Index.Count(q, from, to, limit)
	must(err)
	return n
}

func (s sure) LastOf(entity string) (uint32, bool) {
	ord, ok, err := s.Index.LastOf(entity)
	must(err)
	return ord, ok
}

func (s sure) LastPublished(entity string) (uint32, bool) {
	ord, ok, err := s.Index.LastPublished(entity)
	must(err)
	return ord, ok
}

func (s sure) FindKey(key string) (uint32, bool) {
	offset, ok, err := s.Index.FindKey(key)
	must(err)
	return offset, ok
}

// sealed opens a blob in both ways.
func sealed(t require.TestingT, blob []byte) []sure {
	memory, err := OpenSealed(blob)
	require.NoError(t, err)
	pieces, err := OpenSealedAt(bytes.NewReader(blob), len(blob))
	require.NoError(t, err)
	return []sure{{memory}, {pieces}}
}

// both returns the index of a model as it grows, and sealed: in memory and read in pieces.
func both(t require.TestingT, m model) []sure {
	if t, ok := t.(*testing.T); ok {
		t.Helper()
	}
	active := m.active()
	blob, _ := active.Footer()
	return append([]sure{{active}}, sealed(t, blob)...)
}

func (s sure) Linked(by Link, id [16]byte, from, to uint32) []uint32 {
	ords, err := s.Index.Linked(by, id, from, to, nil)
	must(err)
	return ords
}
