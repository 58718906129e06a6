package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// ShipOptions of [Ship]. The zero value is right for most programs.
type ShipOptions struct {
	// Every is the time from one look at the log to the next, 0 means a second.
	Every time.Duration
	// Once ends Ship after one look, as before the store is closed.
	Once bool
	// Shipped is called by the goroutine of Ship each time that the depot has more.
	Shipped func(CopyReport)
}

// Ship copies the log into a depot, and what is committed from then on, until ctx ends, whose error
// it returns. So of a machine that is lost, with its disks, the depot has all but what was
// committed since the last look, and during the last Put: with a depot that keeps up, that is
// Every and the time of two Puts. [RestoreFrom] makes a store of it.
//
// The log is shipped in pieces: what the active segment got since the last look is one, and small
// ones that follow each other become one. A piece is an object that never changes. Which ones count
// says the object "manifest", which is put last: so a crash at any time leaves a prefix of the log,
// that of the last manifest. What counts no more is removed then.
//
// The depot must be empty or have been shipped to from this log: one that has an event which this
// log does not have is [ErrForeignHistory]. One Ship at a time may use it; a second one ends the
// first with [ErrBusy], which a loser of that race finds at its next look at the latest. An error
// of the depot ends Ship, which may be called again at once: it ships again what the active segment
// has, and no other segment. Other errors: [ErrClosed], [CorruptError] for damage, which is not
// shipped.
func Ship(ctx context.Context, st *Store, to Depot, o ShipOptions) error {
	if err := ship(ctx, st, to, o); err != nil {
		return fmt.Errorf("ship %s: %w", st.path, st.readError(err))
	}
	return nil
}

func ship(ctx context.Context, st *Store, to Depot, o ShipOptions) error {
	s, err := newShipment(ctx, st, to)
	if err != nil {
		return err
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	again := time.NewTicker(o.Every)
	defer again.Stop()
	for {
		shipped, err := s.look(ctx)
		if err != nil {
			return err
		}
		if shipped && o.Shipped != nil {
			o.Shipped(s.made.report(&s.progress))
		}
		if o.Once {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// shipment is the work of one Ship. It is the [target] in a depot.
type shipment struct {
	store    *Store
	depot    Depot
	token    string // of this Ship, in the names of what it puts
	puts     int
	progress CopyProgress

	found []byte             // the manifest that the depot has, nil if there is none
	made  manifest           // its content, if this Ship made it
	seen  state              // of the log, when it was made
	there map[uint32]shipped // what there is of segments, which the next manifest may name
	all   map[string]bool    // names of all objects
}

// state changes when there is more to ship.
type state struct {
	segments *[]*segment
	sequence uint64
	end      int64
}

// shipped is what the depot has of a segment.
type shipped struct {
	sum    string // of its face; "" while it is not sealed
	pieces []piece
	end    wal.Expected // of its batches; zero where another Ship has put them
	made   uint32       // generation of the file
}

// piece is an object: the bytes of a file from one offset up to another. Of those of another Ship
// the offsets are not known.
type piece struct {
	name     string
	from, to int64
	at       wal.Expected // what its first batch continues
}

const manifestObject = "manifest"

// newShipment finds out what the depot has.
func newShipment(ctx context.Context, st *Store, to Depot) (*shipment, error) {
	s := &shipment{
		store: st, depot: to, token: uuid.NewString()[:8],
		there: make(map[uint32]shipped), all: make(map[string]bool),
	}
	names, err := to.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		s.all[name] = true
	}
	if s.found, err = getObject(ctx, to, manifestObject); err != nil || s.found == nil {
		return s, err
	}
	m, err := decodeManifest(s.found)
	if err != nil {
		return nil, err
	}
	for _, g := range m.Segments {
		var pieces []piece
		for _, name := range g.Objects {
			pieces = append(pieces, piece{name: name})
		}
		s.there[g.Number] = shipped{sum: g.Sum, pieces: pieces}
	}
	return s, st.CheckAnchor(ctx, m.anchor())
}

// getObject reads all of an object, nil where there is none.
func getObject(ctx context.Context, from Depot, name string) ([]byte, error) {
	r, err := from.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxManifestBytes))
	return b, errors.Join(err, r.Close())
}

// look ships what is new, and reports whether there was anything.
func (s *shipment) look(ctx context.Context) (bool, error) {
	if err := s.store.readable(ctx); err != nil {
		return false, err
	}
	now := s.store.state()
	if now == s.seen {
		return false, nil
	}
	m, err := (&backup{store: s.store, to: s}).collect(ctx)
	if err != nil {
		return false, err
	}
	m.State, m.Ship = copyWhole, s.token
	for i := range m.Segments {
		g := &m.Segments[i]
		g.Sum = s.there[g.Number].sum
		for _, p := range s.there[g.Number].pieces {
			g.Objects = append(g.Objects, p.name)
		}
	}
	if err := s.publish(ctx, &m); err != nil {
		return false, err
	}
	s.seen, s.made = now, m
	return true, s.sweep(ctx)
}

// state of the log as it is now.
func (s *Store) state() state {
	s.catchUp()
	t := state{sequence: s.sequence.Load(), segments: s.segments.Load()}
	if n := len(*t.segments); n > 0 {
		t.end = (*t.segments)[n-1].end.Load()
	}
	return t
}

// publish puts the manifest, unless that is another than this Ship has put or found.
func (s *shipment) publish(ctx context.Context, m *manifest) error {
	found, err := getObject(ctx, s.depot, manifestObject)
	if err != nil {
		return err
	}
	if !bytes.Equal(found, s.found) {
		return fmt.Errorf("%w: another Ship uses the depot", ErrBusy)
	}
	content := m.encode()
	if err := s.depot.Put(ctx, manifestObject, bytes.NewReader(content)); err != nil {
		return err
	}
	s.found = content
	return nil
}

// sweep removes the objects that count no more. Those of another Ship that was cut off are among
// them.
func (s *shipment) sweep(ctx context.Context) error {
	counts := map[string]bool{manifestObject: true}
	for _, g := range s.made.Segments {
		for _, name := range g.Objects {
			counts[name] = true
		}
	}
	for name := range s.all {
		if counts[name] {
			continue
		}
		if err := s.depot.Remove(ctx, name); err != nil {
			return err
		}
		delete(s.all, name)
	}
	return nil
}

func (s *shipment) count() *CopyProgress { return &s.progress }

func (s *shipment) has(f *face) (bool, error) { return s.there[f.number].sum == f.sum(), nil }

// sum tells the faces of sealed segments apart, as a face does.
func (f *face) sum() string {
	sum := sha256.Sum256(append(f.header[:], f.trailer[:]...))
	return fmt.Sprintf("%x", sum[:16])
}

// put adds what the depot lacks of a segment as one piece, together with the pieces before it that
// are not much larger: so a byte is put again some log2 times, and there are as many pieces.
func (s *shipment) put(ctx context.Context, in io.ReaderAt, f *face) (end wal.Expected, err error) {
	h, x, err := f.begin()
	if err != nil {
		return x, err
	}
	was := s.there[f.number]
	if was.end.Offset == 0 || was.sum != "" || was.made != h.Generation || was.end.Offset > f.end {
		was = shipped{end: x, made: h.Generation}
	}
	next := piece{to: f.size, at: was.end}
	if n := len(was.pieces); n > 0 {
		next.from = was.pieces[n-1].to
	}
	if next.from == f.size {
		return was.end, nil
	}
	for n := len(was.pieces); n > 0; n-- {
		p := was.pieces[n-1]
		if p.to-p.from > 2*(next.to-next.from) {
			break
		}
		was.pieces, next.from, next.at = was.pieces[:n-1:n-1], p.from, p.at
	}
	s.puts++
	next.name = fmt.Sprintf("%010d.%s.%d", f.number, s.token, s.puts)
	if was.end, err = s.putPiece(ctx, in, f, next); err != nil {
		return was.end, err
	}
	if f.sealed {
		was.sum = f.sum()
	}
	was.pieces = append(was.pieces, next)
	s.there[f.number] = was
	return was.end, nil
}

// putPiece reads the piece in a goroutine of its own, which has ended when it returns.
func (s *shipment) putPiece(ctx context.Context, in io.ReaderAt, f *face, p piece) (end wal.Expected, err error) {
	s.all[p.name] = true
	content, out := io.Pipe()
	read := make(chan error, 1)
	go func() {
		var err error
		end, err = f.copyFrom(ctx, in, out, p.at)
		_ = out.CloseWithError(err) // io.EOF for the reader where there is none
		read <- err
	}()
	err = s.depot.Put(ctx, p.name, content)
	_ = content.Close() // the goroutine stops writing
	if failed := <-read; err == nil {
		err = failed
	}
	s.progress.Segments++
	s.progress.Bytes += p.to - p.from
	return end, err
}
