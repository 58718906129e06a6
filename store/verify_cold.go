package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// VerifyDir is [Verify] for a directory that no store has open, and that may not open any more:
// then it reads the files for themselves. It changes nothing. Beside a writer it works only for a
// log that opens. Errors are those of [Open] but for damage, and those of Verify.
func VerifyDir(ctx context.Context, dir string, o VerifyOptions) (VerifyReport, error) {
	return verifyDir(ctx, vfs.OS(), dir, o)
}

func verifyDir(ctx context.Context, fsys vfs.FS, dir string, o VerifyOptions) (VerifyReport, error) {
	st, err := open(fsys, dir, Options{ReadOnly: true}, false)
	if err == nil {
		defer func() { _ = st.Close() }()
		return Verify(ctx, st, o)
	}
	if !errors.Is(err, ErrCorrupt) {
		return VerifyReport{}, err
	}
	options, err := Options{ReadOnly: true}.withDefaults()
	if err != nil {
		return VerifyReport{}, err
	}
	cold := newStore(fsys, dir, options, false)
	defer cold.release()
	v := newVerifier(cold, o)
	if err := v.loadCold(); err != nil {
		return VerifyReport{}, fmt.Errorf("verify %s: %w", dir, err)
	}
	return v.verify(ctx)
}

// loadCold takes in the segments of a directory that does not open, as far as they have a header.
func (v *verifier) loadCold() error {
	s := v.store
	v.cold, v.first, v.upTo = true, true, math.MaxUint64
	if err := s.openDirectory(); err != nil {
		return err
	}
	numbers, err := s.segmentNumbers()
	if err != nil {
		return err
	}
	last := uint32(0)
	for _, number := range numbers {
		if number <= last { // merged into one before
			continue
		}
		g := newSegment(number, &s.files)
		size, err := g.size()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if h, err := g.header(); err == nil {
			g.is(&h)
			v.report.Origin.Store = h.Store
			s.origin.Store = h.Store
		} else if errors.Is(err, ErrNewerFormat) {
			return err
		}
		g.end.Store(size)
		if t, ok := readTrailer(g, size); ok {
			g.trailer.Store(&t)
			g.end.Store(int64(t.DataEnd))
		}
		last = g.last
		s.addSegment(g)
	}
	v.hide()
	return nil
}

// hide finds out what cancelled fences hide in a directory that does not open, as far as the side
// values can be read that say so.
func (v *verifier) hide() {
	s := v.store
	for _, g := range *s.segments.Load() {
		if g.trailer.Load() != nil {
			_, _ = s.sides.load(g)
		} else if h, err := g.header(); err == nil {
			sc := newScan(g, &h)
			_ = sc.run(g.pieces(g.end.Load()))
			s.sides.loadScan(sc)
		}
	}
	if fences, err := s.loadFences(math.MaxUint32); err == nil {
		hidden, _ := fences.apply(0)
		s.conceal(&fences, hidden)
	}
}
