package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// ImportError says which line of an export cannot be imported, and why.
type ImportError struct {
	Line int   // from 1; the one after the last where the export is cut off
	Err  error // an [InvalidError], [ErrCorrupt] for what does not continue its chain, or that of the JSON
}

func (e *ImportError) Error() string { return fmt.Sprintf("store: import line %d: %v", e.Line, e.Err) }

// Unwrap returns Err.
func (e *ImportError) Unwrap() error { return e.Err }

// maxLineBytes is more than a line of an export has: a payload in base64 is a third longer.
const maxLineBytes = 4 * MaxPayloadBytes

// Import makes the store that an [Export] was made of, in a directory that holds none, which it
// creates if need be. Ids, positions, times, versions, hashes, idempotency keys and the revisions
// of side values are those of the export, and so is the id of the store: anchors and receipts of
// the one are valid in the other. Of commits it knows only that they are before what is written
// next.
//
// It holds the lock of the directory as a writer does. Of Options the size of segments and the mode
// of files count.
//
// An [ImportError] names the line that is wrong. Each event is compared with the chain of its
// entity, so a line that was changed is refused, as far as there are no more than 262,144 entities;
// of others [Verify] finds it. Other errors: [ErrNotEmpty], [LockedError], ctx's, [ErrDiskFull],
// and those of the reader and of the file system.
//
// After an error, or a crash, the directory holds no store: the next Import, or Open, removes what
// is left. A crash at the very end, while the files get their names, can leave a directory that
// does not open ([CorruptError], segment 1 is missing), and that may be removed. Where it is the
// last sync that fails, the store is there, and a power cut may take it.
func Import(ctx context.Context, dir string, r io.Reader, o Options) error {
	o.ReadOnly, o.MustExist = false, false
	fsys := vfs.OS()
	if o.Device != nil {
		fsys = o.Device.FS
	}
	return importInto(ctx, fsys, dir, r, o)
}

func importInto(ctx context.Context, fsys vfs.FS, dir string, r io.Reader, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	if dir == "" {
		return &InvalidError{Field: "directory", Rule: "must not be empty"}
	}
	s := newStore(fsys, dir, o, false)
	defer s.release()
	if err = s.openDirectory(); err == nil {
		err = s.lockDirectory()
	}
	if err != nil {
		return fmt.Errorf("import into %s: %w", dir, shortage(err))
	}
	numbers, err := s.segmentNumbers()
	switch {
	case err != nil:
	case len(numbers) > 0:
		err = ErrNotEmpty
	default:
		err = s.removeRewritten() // what an import before has left
	}
	if err != nil {
		return fmt.Errorf("import into %s: %w", dir, err)
	}
	m := importing{in: bufio.NewReaderSize(r, windowBytes), files: importedFiles{store: s}, chains: newChains(defaultVerifyEntities)}
	if err = m.all(ctx); err == nil {
		err = m.files.publish()
	}
	if err != nil {
		m.files.remove()
		return shortage(err)
	}
	return nil
}

// importing is the work of one call of Import: it reads lines and checks them. It belongs to the
// goroutine of the caller.
//
//	log -> { dropped -> state … -> receipt … } … -> side … -> event … -> end
type importing struct {
	in     *bufio.Reader
	files  importedFiles
	chains chains

	line     int
	buf      []byte
	log      exportedLog
	counts   exportedEnd
	position uint64   // of the next event
	dropped  uint64   // up to here, and not here
	rest     *rest    // the last that stays of what was dropped, in the present file
	lastKey  string   // of a side value
	fenced   Position // the last of all fences
	hidden   ranges   // by fences that were cancelled
	gone     ranges   // of hidden, what was lost to damage
	time     uint64
	id       uuid.UUID
	lost     []lostEvents // what was dropped before the first event
	ended    bool
}

func (m *importing) all(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store: import: %w", err)
		}
		m.line++
		text, err := m.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = m.take(text)
		}
		if err != nil {
			return err
		}
	}
	if !m.ended {
		return m.refuse(&InvalidError{Field: "export", Rule: "ends before its last line"})
	}
	return nil
}

func (m *importing) refuse(err error) error { return &ImportError{Line: m.line, Err: err} }

// next reads a line, which is valid until the next call. At the end it is io.EOF.
func (m *importing) next() ([]byte, error) {
	m.buf = m.buf[:0]
	for {
		part, err := m.in.ReadSlice('\n')
		m.buf = append(m.buf, part...)
		switch {
		case len(m.buf) > maxLineBytes:
			return nil, m.refuse(&InvalidError{Field: "line bytes", Limit: maxLineBytes, Value: int64(len(m.buf))})
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(m.buf) > 0:
			return m.buf, nil
		}
		return m.buf, err
	}
}

// take takes in a line. Errors of the disk are not those of the line.
func (m *importing) take(text []byte) error {
	var l exportedLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // what is not known would be lost
	err := d.Decode(&l)
	if err == nil && d.InputOffset() < int64(len(bytes.TrimRight(text, " \t\r\n"))) {
		err = errors.New("more than one value on the line")
	}
	if err != nil {
		return m.refuse(err)
	}
	switch {
	case m.ended:
		err = &InvalidError{Field: "line", Rule: "must not follow the last"}
	case (l.Log != nil) != (m.line == 1):
		err = &InvalidError{Field: "log", Rule: "must be the first line, and no other"}
	case l.Log != nil:
		return m.begin(l.Log)
	case l.Dropped != nil, l.State != nil, l.Receipt != nil:
		return m.takeDropped(&l)
	case m.dropped > 1 && m.dropped != m.log.First:
		err = &InvalidError{Field: "dropped", Rule: fmt.Sprintf("must end before event %d", m.log.First), Value: m.dropped}
	case l.Side != nil:
		return m.side(l.Side)
	case l.Event != nil:
		return m.event(l.Event)
	case l.End != nil:
		return m.end(l.End)
	default:
		err = &InvalidError{Field: "line", Rule: "must be a side value, an event, or the end"}
	}
	return m.refuse(err)
}

func (m *importing) begin(l *exportedLog) error {
	switch {
	case l.Version > exportVersion:
		return m.refuse(ErrNewerFormat)
	case l.Version < 1, l.Store == uuid.Nil, l.Incarnation == 0, l.Sequence == 0, l.First == 0, l.First > 1<<62, l.Sequence > 1<<62:
		return m.refuse(&InvalidError{Field: "log", Rule: "must have version, store, incarnation, sequence and first"})
	}
	m.log, m.position, m.dropped = *l, l.First, 1
	if l.First > 1 {
		m.lost = []lostEvents{{1, Position(l.First) - 1}}
	}
	m.files.begin(l)
	return nil
}

func (m *importing) side(x *exportedSide) error {
	value := x.Data
	if x.Text != "" {
		value = []byte(x.Text)
	}
	err := checkTerm("side key", x.Key, maxSideKeyBytes)
	switch {
	case err != nil:
	case m.counts.Events > 0 || x.Key <= m.lastKey:
		err = &InvalidError{Field: "side key", Rule: "must be after the one before, and before the events", Value: x.Key}
	case x.Revision == 0 || x.Revision >= m.log.Sequence:
		err = &InvalidError{Field: "revision", Rule: "must be a sequence of the log", Value: x.Revision}
	default:
		err = checkMax("side value bytes", len(value), maxSideValueBytes)
	}
	if err == nil && isFenceKey(x.Key) {
		var r fenceRecord
		if r, err = parseFence(value); err == nil {
			m.fenced = max(m.fenced, r.ranges.span().To)
			if r.state != fencePublished {
				m.hidden = m.hidden.with(r.ranges...)
			}
			if r.state == fenceLost {
				m.gone = m.gone.with(r.ranges...)
			}
		}
	}
	if err != nil {
		return m.refuse(err)
	}
	if err := m.files.live(); err != nil {
		return err
	}
	m.lastKey = x.Key
	m.counts.Sides++
	rec := wal.AppendSide(nil, x.Key, value, false)
	wal.StampSide(rec, x.Revision)
	wal.SealRecord(rec, false)
	return m.files.add(rec)
}

func (m *importing) event(x *exportedEvent) error {
	if err := m.files.live(); err != nil {
		return err
	}
	rec, err := m.record(x)
	if err != nil {
		return m.refuse(err)
	}
	if !m.hidden.has(Position(x.Position)) {
		if reason := m.chains.add(rec, m.lost, m.gone); reason != "" {
			return m.refuse(fmt.Errorf("%w: event %d of %q: %s", ErrCorrupt, x.Position, x.Entity, reason))
		}
	}
	if err := m.commit(x, rec); err != nil {
		return m.refuse(err)
	}
	m.time, m.id, m.position = wal.Time(rec), x.ID, m.position+1
	m.counts.Events++
	return m.files.addEvent(rec)
}

// record makes the record of an event, of what is within the limits.
func (m *importing) record(x *exportedEvent) ([]byte, error) {
	err := errors.Join(
		checkTerm("entity", x.Entity, MaxEntityBytes), checkTerm("scope", x.Scope, MaxScopeBytes),
		checkTerm("kind", x.Kind, MaxKindBytes), checkTerm("codec", x.Codec, maxCodecBytes),
		checkMax("payload bytes", max(len(x.Payload), len(x.Data)), MaxPayloadBytes),
	)
	if err != nil {
		return nil, err
	}
	if x.Position != m.position {
		return nil, &InvalidError{Field: "position", Rule: fmt.Sprintf("must be %d", m.position), Value: x.Position}
	}
	rec, err := x.appendRecord(nil)
	if err != nil {
		return nil, err
	}
	content := len(x.Payload) + len(x.Data) + len(x.Headers) + len(x.RawHeaders) + len(x.Salt)
	switch {
	case x.Erased != nil && content > 0:
		return nil, &InvalidError{Field: "erased", Rule: "must be without headers, payload and salt"}
	case wal.Time(rec) <= m.time:
		return nil, &InvalidError{Field: "time", Rule: "must be after that of the event before", Value: x.Time}
	case bytes.Compare(x.ID[:], m.id[:]) <= 0:
		return nil, &InvalidError{Field: "id", Rule: "must be after that of the event before", Value: x.ID.String()}
	}
	return rec, nil
}

// commit takes in the key of the commit that an event begins, and compares it with all events of
// the commit when the last one is there.
func (m *importing) commit(x *exportedEvent, rec []byte) error {
	if x.Key != nil {
		if err := m.key(x); err != nil {
			return err
		}
	}
	p := m.files.pending
	if p == nil {
		return nil
	}
	p.events = append(p.events, rec)
	if len(p.events) == int(p.key.Events) && !ofEvents(&p.key, p.events) {
		return &InvalidError{Field: "key", Rule: "must have the digest of its events", Value: p.text}
	}
	return checkMax("batch bytes", len(m.files.batch), MaxBatchBytes+rewrittenBatchBytes)
}

// key takes in a key. Its record follows the last event of the commit.
func (m *importing) key(x *exportedEvent) error {
	k, err := x.Key.key(x.Position)
	switch {
	case err != nil:
	case k.Events == 0 || k.Events > MaxBatchEvents || k.Sequence == 0 || k.Sequence >= m.log.Sequence || k.Rule >= 1<<6:
		err = &InvalidError{Field: "key", Rule: "must be of 1 to 65,536 events and of a sequence of the log", Value: x.Key.Key}
	case m.files.pending != nil:
		err = &InvalidError{Field: "key", Rule: "must not begin within the commit of another", Value: x.Key.Key}
	default:
		err = checkTerm("idempotency key", x.Key.Key, MaxIdempotencyKeyBytes)
	}
	if err == nil {
		m.files.pending = &pendingKey{text: x.Key.Key, key: k}
	}
	return err
}

func (m *importing) end(x *exportedEnd) error {
	if *x != m.counts || m.files.pending != nil {
		return m.refuse(&InvalidError{Field: "end", Rule: fmt.Sprintf("must be of %d events, %d side values, %d states and %d receipts",
			m.counts.Events, m.counts.Sides, m.counts.States, m.counts.Receipts)})
	}
	if uint64(m.fenced) >= m.position {
		return m.refuse(&InvalidError{Field: "fence", Rule: "must not be of events that are not there", Value: uint64(m.fenced)})
	}
	if err := m.files.live(); err != nil {
		return err
	}
	m.ended = true
	return m.files.finish()
}
