package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"unicode/utf8"

	"github.com/tidwall/btree"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// Export writes the log as it is at one moment to w, as JSON of which each object is a line:
//
//	{"log":{"version":1,"store":"…","incarnation":1,"sequence":18,"first":1}}
//	{"side":{"key":"checkpoint/mail","revision":17,"text":"…"}}
//	{"event":{"position":1,"id":"…","time":"2026-01-02T15:04:05.678Z","entity":"order:1",
//	  "scope":"shop","kind":"order.placed","version":1,"hash":"…","salt":"…","codec":"json",
//	  "payload":{"sku":"lamp"}}}
//	{"end":{"events":1,"sides":1}}
//
// Side values that are present come first, by key, as text where they are UTF-8, else as data; then
// the events by position, those included that no region sees. What an event does not have is not
// there: cause, depth, schema, headers, meta, emitter, and the key of the commit that it begins. A
// payload that is JSON on one line stands there byte for byte; any other is in data. All bytes are
// in base64. An erased event has no headers and no payload, but the digest of what they were, and
// the note that says when, by whom and why.
//
// Hashes and salts are as they are in the log, so [Import] makes the same log of it, and what was
// changed in between does not continue the chains. Who has an export has what erasure is to remove.
//
// Where retention has dropped the beginning of the log, the first event is the first that the log
// has, and what stays of those before comes after the first line: for each file of it the position
// that follows and the id of its last event, then the entities by name, and the idempotency keys:
//
//	{"dropped":{"next":41,"last":"…","time":"2026-01-02T15:04:05.678Z"}}
//	{"state":{"entity":"order:1","position":7,"version":3,"time":"…","hash":"…"}}
//	{"receipt":{"key":"place-1","events":1,"sequence":5,"digest":"…","first":6,"time":"…",
//	  "recorded":[{"id":"…","version":2}]}}
//
// It holds up no commit. Errors: a [CorruptError] for what cannot be read, before which the export
// ends, see [Verify]; ctx's, [ErrClosed], that of w; and [ErrBusy] while a fence is open, or when
// something was dropped or rewritten away meanwhile, which may be tried again. Without the last
// line an export is not whole.
func Export(ctx context.Context, st *Store, w io.Writer) error {
	st.catchUp()
	if err := st.readable(ctx); err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, windowBytes)
	x := exporting{store: st, out: out, decoder: st.decoders.get()}
	defer st.decoders.put(x.decoder)
	if err := x.all(ctx); err != nil {
		return st.readError(err)
	}
	return out.Flush()
}

// exporting is the work of one call of Export. It belongs to the goroutine of the caller.
type exporting struct {
	store   *Store
	out     *bufio.Writer
	decoder *decoder
	upTo    Position
	written Position
	pending erasures // as of before the segment was looked at
	end     exportedEnd
	line    []byte
}

func (x *exporting) all(ctx context.Context) error {
	sides, head := x.store.sides.moment(x.store)
	x.upTo = head
	segments := *x.store.segments.Load()
	first := firstOf(segments)
	x.written = first - 1
	origin := x.store.Origin()
	err := x.write(&exportedLine{Log: &exportedLog{
		Version: exportVersion, Store: origin.Store, Incarnation: origin.Incarnation,
		Sequence: x.store.sequence.Load(), First: uint64(first),
	}})
	if err != nil {
		return err
	}
	if err := x.dropped(ctx, segments[:droppedOf(segments)]); err != nil {
		return err
	}
	if err := x.sides(ctx, sides); err != nil {
		return err
	}
	if err := x.events(ctx); err != nil {
		return err
	}
	return x.write(&exportedLine{End: &x.end})
}

// moment returns the side values and the head as they are at one moment: a checkpoint among them
// must not be of more, or less, than the events that are exported.
func (t *sideTable) moment(s *Store) (*btree.BTreeG[index.Side], Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tree.Copy(), Position(s.head.Load())
}

func (x *exporting) write(l *exportedLine) error {
	b, err := encodeLine(l)
	if err == nil {
		_, err = x.out.Write(b)
	}
	return err
}

func (x *exporting) sides(ctx context.Context, sides *btree.BTreeG[index.Side]) (err error) {
	sides.Scan(func(place index.Side) bool {
		if err = x.store.readable(ctx); err != nil || place.Deleted {
			return err == nil
		}
		err = x.side(place)
		return err == nil
	})
	return err
}

func (x *exporting) side(place index.Side) error {
	value, found, err := x.store.sides.readAt(place)
	if err != nil {
		return err
	}
	if !found || value.Revision != place.Revision {
		return fmt.Errorf("%w: side value %q was replaced while it was exported", ErrBusy, place.Key())
	}
	if isFenceKey(value.Key) {
		if value.Value, err = x.fence(value.Value); err != nil {
			return fmt.Errorf("store: export side value %q: %w", value.Key, err)
		}
	}
	line := &exportedSide{Key: value.Key, Revision: value.Revision}
	if utf8.Valid(value.Value) {
		line.Text = string(value.Value)
	} else {
		line.Data = value.Value
	}
	x.end.Sides++
	return x.write(&exportedLine{Side: line})
}

// fence returns the state of a fence as it is in a log whose writers have ended: one that is open,
// and all of whose events are before the head, was cancelled by a crash. What others would hide is
// not known before they end.
func (x *exporting) fence(value []byte) ([]byte, error) {
	r, err := parseFence(value)
	switch {
	case err != nil:
		return nil, err
	case r.ranges.span().To > x.upTo:
		return nil, fmt.Errorf("%w: the fence is open, or one before it", ErrBusy)
	case r.state == fenceOpen:
		r.state = fenceCancelled
	}
	return r.encode(), nil
}

// events writes the events up to the head that was. A segment that was rewritten meanwhile is read
// again, and what was written is passed over.
func (x *exporting) events(ctx context.Context) error {
	for x.written < x.upTo {
		x.pending = x.store.erasing.pending() // once they have ended, files are replaced, and not what was read of them
		segments := *x.store.segments.Load()
		i := sort.Search(len(segments), func(i int) bool { return segments[i].first > x.written+1 }) - 1
		if i < 0 || segments[i].dropped { // since it was begun
			return errDroppedMeanwhile(x.written + 1)
		}
		before, g := x.written, segments[i]
		err := x.batches(ctx, g, func(h *wal.BatchHeader, batch []byte) error {
			if x.written == x.upTo {
				return errEnough
			}
			return x.batch(g, h, batch)
		})
		if x.store.again(&err) {
			continue
		}
		if err == nil && x.written == before {
			err = g.corrupt(g.end.Load(), fmt.Sprintf("event %d is missing", before+1))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func errDroppedMeanwhile(p Position) error {
	return fmt.Errorf("%w: event %d was dropped while the log was exported", ErrBusy, p)
}

// batches calls take with the batches of a segment, up to the end or errEnough.
func (x *exporting) batches(ctx context.Context, g *segment, take func(*wal.BatchHeader, []byte) error) error {
	h, err := g.header()
	if err != nil {
		return err
	}
	end := g.end.Load()
	for at, p := newScan(g, &h).next, g.pieces(end); at.Offset < end; {
		if err := x.store.readable(ctx); err != nil {
			return err
		}
		h, batch, err := p.Next(&at)
		if err != nil {
			return err
		}
		if batch == nil {
			return g.corrupt(at.Offset, "batch does not match its checksum or place")
		}
		if err := take(&h, batch); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
		at.Advance(&h)
	}
	return nil
}

// batch writes the events of a batch. The key of a commit is after its events, and belongs to the
// first.
func (x *exporting) batch(g *segment, h *wal.BatchHeader, batch []byte) error {
	if Position(h.FirstPosition+uint64(h.Events)) <= x.written+1 {
		return nil
	}
	var events [][]byte
	keys := make(map[uint64]wal.Key)
	since := x.store.erasing.pending()
	err := wal.Records(h, batch, func(rec []byte, _ int) error {
		if rec = since.left(x.pending.left(rec)); wal.IsEvent(rec) {
			events = append(events, rec)
		} else if wal.Type(rec) == wal.TypeKey {
			k, err := wal.ParseKey(rec)
			keys[k.FirstPosition] = k
			return err
		}
		return nil
	})
	if err != nil {
		return g.corrupt(int64(h.Offset), "batch with a good checksum and bad records: "+err.Error())
	}
	for i, rec := range events {
		if p := Position(h.FirstPosition) + Position(i); p > x.written && p <= x.upTo {
			if err := x.event(g, h, rec, p, keys); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *exporting) event(g *segment, h *wal.BatchHeader, rec []byte, p Position, keys map[uint64]wal.Key) error {
	e, ok := x.decoder.decode(rec)
	if !ok || e.Position != p {
		return g.corrupt(int64(h.Offset), fmt.Sprintf("event %d is not in its place", p))
	}
	var key *wal.Key
	if k, ok := keys[uint64(p)]; ok {
		key = &k
	}
	line, err := exportEvent(&e, key)
	if err != nil {
		return err
	}
	if x.line, err = line.appendTo(x.line[:0]); err != nil {
		return err
	}
	x.written, x.end.Events = p, x.end.Events+1
	_, err = x.out.Write(x.line)
	return err
}
