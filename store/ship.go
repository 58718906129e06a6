package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
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
// that of the last manifest. What counts no more is removed then. Other objects than those that
// Ship makes are left alone.
//
// A depot that has an event which this log does not have is [ErrForeignHistory]: it was shipped to
// from another log. So is one that has what this log has lost to damage, an [OnlyCopyError] that
// names it: take another depot.
//
// One Ship at a time uses a depot, the one that began last: the object "shipper" says which. The
// one before ends with [ErrBusy] when it has something to ship, and removes nothing any more. If
// its last Put takes effect only after the next Ship has put a manifest, the depot may not be
// restorable until that one has more to ship.
//
// A depot whose end retention has passed is ErrDropped: it cannot be continued, so ship to another
// one. A hold for the depot keeps [Retain] from that: in ShipOptions.Shipped call [SetHold], from
// the position after that of CopyReport.Anchor on.
//
// An error of the depot ends Ship, which may be called again at once: it ships again what the
// active segment has, and of the others those of which the depot does not list all objects. Other
// errors: [ErrClosed], [CorruptError] for damage, which is not shipped.
func Ship(ctx context.Context, st *Store, to Depot, o ShipOptions) error {
	if err := ship(ctx, st, to, o); err != nil {
		return fmt.Errorf("ship %s to %s: %w", st.path, nameOf(to), st.readError(err))
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

	made  manifest           // that the depot has; the zero one if there is none
	seen  state              // of the log, when it was made by this Ship
	there map[uint32]shipped // what there is of segments, which the next manifest may name
	all   map[string]bool    // names of all pieces
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

const (
	manifestObject = "manifest"
	shipperObject  = "shipper" // the token of the Ship that may change the depot
)

// newShipment finds out what the depot has, and takes it over from the Ship before.
func newShipment(ctx context.Context, st *Store, to Depot) (*shipment, error) {
	s := &shipment{
		store: st, depot: to, token: uuid.NewString()[:8],
		there: make(map[uint32]shipped), all: make(map[string]bool),
	}
	found, err := getObject(ctx, to, manifestObject)
	if err != nil {
		return nil, err
	}
	if found != nil {
		if s.made, err = decodeManifest(found); err == nil {
			if err = st.continues(ctx, &s.made); err != nil {
				err = fmt.Errorf("what was shipped before, up to event %d: %w", s.made.Position, err)
			}
		}
	}
	if err == nil {
		err = to.Put(ctx, shipperObject, strings.NewReader(s.token))
	}
	if err == nil {
		err = s.list(ctx)
	}
	return s, err
}

// list takes in which pieces there are. A segment of which one is missing is shipped again.
func (s *shipment) list(ctx context.Context) error {
	names, err := s.depot.List(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isPiece(name) {
			s.all[name] = true
		}
	}
	for _, g := range s.made.Segments {
		var pieces []piece
		for _, name := range g.Objects {
			if s.all[name] {
				pieces = append(pieces, piece{name: name})
			}
		}
		if len(pieces) == len(g.Objects) {
			s.there[g.Number] = shipped{sum: g.Sum, pieces: pieces}
		}
	}
	return nil
}

// pieceName is that of a piece of a segment.
func (s *shipment) pieceName(segment uint32) string {
	s.puts++
	return fmt.Sprintf("%010d.%s.%d", segment, s.token, s.puts)
}

var piecePattern = regexp.MustCompile(`^[0-9]{10}\.[0-9a-f]{8}\.[0-9]+$`)

func isPiece(name string) bool { return piecePattern.MatchString(name) }

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
		_ = s.sweep(ctx, s.token) // a depot that is full would get fuller with each try
		return false, err
	}
	m.State = copyWhole
	for i := range m.Segments {
		g := &m.Segments[i]
		g.Sum = s.there[g.Number].sum
		for _, p := range s.there[g.Number].pieces {
			g.Objects = append(g.Objects, p.name)
		}
	}
	if err := s.mine(ctx); err != nil {
		return false, err
	}
	if err := s.depot.Put(ctx, manifestObject, bytes.NewReader(m.encode())); err != nil {
		return false, err
	}
	s.seen, s.made = now, m
	return true, s.sweep(ctx, "")
}

// mine returns an error if another Ship has taken the depot over.
func (s *shipment) mine(ctx context.Context) error {
	token, err := getObject(ctx, s.depot, shipperObject)
	if err == nil && string(token) != s.token {
		err = fmt.Errorf("%w: another Ship uses the depot", ErrBusy)
	}
	return err
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

// sweep removes the pieces that the manifest does not name: of the Ship with a token, or of all,
// those of one that was cut off among them.
func (s *shipment) sweep(ctx context.Context, of string) error {
	counts := make(map[string]bool, len(s.all))
	for _, g := range s.made.Segments {
		for _, name := range g.Objects {
			counts[name] = true
		}
	}
	asked := false
	for name := range s.all {
		if counts[name] || !strings.Contains(name, "."+of) {
			continue
		}
		if !asked {
			if err := s.mine(ctx); err != nil {
				return err
			}
			asked = true
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
	next.name = s.pieceName(f.number)
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
