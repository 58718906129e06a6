package store

import (
	"errors"
	"io"
	"runtime"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// sealedIndex answers from the index of a sealed segment as it lies in a file, mapped where the
// system can do that. Where that turns out to be damaged, at whatever question, it answers from one
// that is made from the events, in memory: a reader changes no segment, and each opening finds the
// same damage and returns the same answers. So a caller sees an error only where the segment itself
// cannot be read. The same goes for one that does not know what is asked, see [index.ErrNoLinks].
type sealedIndex struct {
	index.Index
	store   *Store
	segment *segment
}

// ask asks once more where the answer was damage, or that the index does not know such things.
func (x *sealedIndex) ask(question func(index.Index) error) error {
	err := question(x.Index)
	damaged := isDamage(err)
	if !damaged && !errors.Is(err, index.ErrNoLinks) {
		return err
	}
	mended, err := x.store.indexes.mend(x.segment, x.store, damaged)
	if err != nil {
		return err
	}
	return question(mended)
}

// isDamage reports whether the error of an index says that another one is needed.
func isDamage(err error) bool { return errors.Is(err, index.ErrCorrupt) || errors.Is(err, io.EOF) }

func (x *sealedIndex) Offset(ord uint32) (offset uint32, err error) {
	err = x.ask(func(i index.Index) (err error) { offset, err = i.Offset(ord); return err })
	return offset, err
}

func (x *sealedIndex) Extents(ords []uint32, dst []index.Extent) (extents []index.Extent, err error) {
	err = x.ask(func(i index.Index) (err error) { extents, err = i.Extents(ords, dst); return err })
	return extents, err
}

func (x *sealedIndex) Select(
	q index.Query, from, to uint32, limit int, dst []uint32,
) (ords []uint32, next uint32, err error) {
	err = x.ask(func(i index.Index) (err error) { ords, next, err = i.Select(q, from, to, limit, dst); return err })
	return ords, next, err
}

func (x *sealedIndex) Count(q index.Query, from, to uint32, limit int) (n int, err error) {
	err = x.ask(func(i index.Index) (err error) { n, err = i.Count(q, from, to, limit); return err })
	return n, err
}

func (x *sealedIndex) Linked(by index.Link, id [16]byte, from, to uint32, dst []uint32) (ords []uint32, err error) {
	err = x.ask(func(i index.Index) (err error) { ords, err = i.Linked(by, id, from, to, dst); return err })
	return ords, err
}

func (x *sealedIndex) LastOf(entity string) (ord uint32, ok bool, err error) {
	err = x.ask(func(i index.Index) (err error) { ord, ok, err = i.LastOf(entity); return err })
	return ord, ok, err
}

// LastPublished is LastOf: what is sealed is visible.
func (x *sealedIndex) LastPublished(entity string) (ord uint32, ok bool, err error) {
	return x.LastOf(entity)
}

func (x *sealedIndex) FindKey(key string) (offset uint32, ok bool, err error) {
	err = x.ask(func(i index.Index) (err error) { offset, ok, err = i.FindKey(key); return err })
	return offset, ok, err
}

func (x *sealedIndex) FindState(entity string) (offset uint32, ok bool, err error) {
	err = x.ask(func(i index.Index) (err error) { offset, ok, err = i.FindState(entity); return err })
	return offset, ok, err
}

// openIndex opens the index of a sealed segment, or makes one.
func (s *Store) openIndex(g *segment) (*loadedIndex, error) {
	open := footerIndex
	if g.trailer.Load().Version == 1 {
		open = s.besideIndex
	}
	sealed, memory, err := open(g)
	if isDamage(err) {
		return s.makeIndex(g)
	}
	if err != nil {
		return nil, err
	}
	return &loadedIndex{Index: &sealedIndex{Index: sealed, store: s, segment: g}, sealed: sealed, bytes: memory}, nil
}

// makeIndex makes the index of a sealed segment from its events. A file that ends before its
// events do is damage.
func (s *Store) makeIndex(g *segment) (*loadedIndex, error) {
	end := int64(g.trailer.Load().DataEnd)
	scan, err := scanSegment(g, end)
	if errors.Is(err, io.EOF) {
		return nil, g.corrupt(end, "the file ends before its events do")
	}
	if err != nil {
		return nil, err
	}
	blob, _ := scan.active.Footer()
	sealed, err := index.OpenSealed(blob)
	if err != nil {
		return nil, err
	}
	return &loadedIndex{Index: sealed, sealed: sealed, bytes: int64(len(blob)), made: true}, nil
}

// footerIndex opens the index in the footer of a segment.
func footerIndex(g *segment) (sealed *index.Sealed, memory int64, err error) {
	file, err := g.hold()
	if err != nil {
		return nil, 0, err
	}
	defer file.drop()
	t := g.trailer.Load()
	sealed, err = mapIndex(file.File, int64(t.DataEnd), int(t.IndexLen))
	if errors.Is(err, errors.ErrUnsupported) {
		sealed, err = index.OpenSealedAt(io.NewSectionReader(g, int64(t.DataEnd), int64(t.IndexLen)), int(t.IndexLen))
	}
	if err == nil && sealed.Sum() != t.IndexSum {
		err = index.ErrCorrupt
	}
	return sealed, 0, err
}

// mapIndex opens an index in a file that can be mapped, which lasts as long as the index; else the
// error is [errors.ErrUnsupported], also where the system has no room for another mapping.
func mapIndex(file vfs.File, from int64, size int) (*index.Sealed, error) {
	viewer, ok := file.(vfs.Viewer)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	b, unmap, err := viewer.View(from, size)
	if err != nil {
		return nil, errors.Join(errors.ErrUnsupported, err)
	}
	sealed, err := index.OpenSealed(b)
	if err != nil {
		return nil, errors.Join(err, unmap())
	}
	runtime.AddCleanup(sealed, func(unmap func() error) { _ = unmap() }, unmap)
	return sealed, nil
}

// readFooterOne reads the index of version 1 in a footer, and returns it in the present one.
func readFooterOne(g *segment) ([]byte, error) {
	t := g.trailer.Load()
	blob, err := g.bytes(int64(t.DataEnd), int64(t.DataEnd)+int64(t.IndexLen))
	if err != nil {
		return nil, err
	}
	if wal.Checksum(blob) != t.IndexSum {
		return nil, index.ErrCorrupt
	}
	return index.Upgrade(blob)
}
