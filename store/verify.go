package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// VerifyOptions are how a log is verified. The zero value is right for most.
type VerifyOptions struct {
	// Progress is called on the goroutine of the caller, for each MiB or so that was read. Done
	// grows up to total; both are bytes. The total grows when the log has to be read again, see
	// Entities.
	Progress func(done, total int64)
	// Entities is how many hash chains are checked at once; 0 means 262,144, which take some 40 MB.
	// A log with more entities is read again, once for each half to whole of that number.
	Entities int
}

// VerifyReport says what was verified and what is wrong with it. A segment that was rewritten
// meanwhile may count twice, its events excepted.
type VerifyReport struct {
	// Origin of the log. Its incarnation is 0 where the directory does not open.
	Origin Origin
	// First and Head are the first and the last position that were found, 0 without events.
	First, Head Position
	// Segments and Bytes that were read, what is filled ahead of use not counted.
	Segments int
	Bytes    int64
	// Events that are whole, those included that were erased, which Erased counts. Their content is
	// gone, and the digest of it, which the chain covers, is there.
	Events, Erased uint64
	// Hidden counts those of the events that belong to cancelled fences. No chain has them.
	Hidden uint64
	// Lost counts the events that were lost before, and discarded by [Repair]. They are no damage
	// any more, and not among the Events. See [LostRanges].
	Lost uint64
	// Unlinked counts the events of which the chain could not be checked, because the event of the
	// entity before them is not in the log: it was lost by damage that the report names, or the log
	// begins after it.
	Unlinked uint64
	// Keys and Sides are the records of idempotency keys and of side values that are whole, those
	// included that were superseded and not rewritten yet.
	Keys, Sides uint64
	// Damage is what was found, in the order of the log, broken chains after it. At most 1,000 of
	// each; More is the number of those that are not listed.
	Damage []Damage
	More   uint64
}

// Whole reports whether nothing is wrong.
func (r *VerifyReport) Whole() bool { return len(r.Damage) == 0 }

// Err returns nil for a log that is whole, and else a [CorruptError] with what was listed first.
func (r *VerifyReport) Err() error {
	if r.Whole() {
		return nil
	}
	d := &r.Damage[0]
	err := &CorruptError{Segment: d.Segment, Offset: d.Offset, Reason: d.what()}
	if n := uint64(len(r.Damage)-1) + r.More; n > 0 {
		return fmt.Errorf("%w, and %d more", err, n)
	}
	return err
}

// DamageKind is what is damaged.
type DamageKind uint8

// The kinds of damage, by what it costs.
const (
	DamagedBatch   DamageKind = iota // the frame of a batch, or what was superseded in it: nothing is lost
	TornFooter                       // a part of a footer that was never written: as DamagedFooter, but no disk is to blame
	DamagedFooter                    // index, filters, table or trailer of a sealed segment: made again from the events
	DamagedHeader                    // the header of a segment, which keeps the store from opening, or one that does not fit
	DamagedEvents                    // events are lost, First to Last
	DamagedSide                      // the value of SideKey is lost
	DamagedKey                       // an idempotency key that says something wrong of its commit
	BrokenChain                      // the event First does not continue the history of Entity: one is missing, or was changed
	MissingSegment                   // there is no file of that number
)

//nolint:gochecknoglobals // a table that is never written.
var damageNames = [...]string{
	DamagedBatch: "batch", TornFooter: "torn footer", DamagedFooter: "footer", DamagedHeader: "segment header", DamagedEvents: "events",
	DamagedSide: "side value", DamagedKey: "idempotency key", BrokenChain: "chain", MissingSegment: "missing segment",
}

// String returns the name of the kind.
func (k DamageKind) String() string { return damageNames[k] }

// Damage is one thing that is not what was written.
type Damage struct {
	Kind    DamageKind
	Segment uint32 // number of the segment
	Offset  int64  // in bytes from the start of its file
	Reason  string // for people
	// First and Last are the events that are lost, or that a chain breaks at; 0 where none is.
	First, Last Position
	Entity      string // of a broken chain
	SideKey     string // of a side value that is lost
}

// String is as in "segment 3, offset 4711: events 5 to 9: record does not match its checksum".
func (d Damage) String() string {
	return fmt.Sprintf("segment %d, offset %d: %s", d.Segment, d.Offset, d.what())
}

// what says what is damaged, without the place.
func (d Damage) what() string {
	text := d.Kind.String()
	switch {
	case d.SideKey != "":
		text += fmt.Sprintf(" %q", d.SideKey)
	case d.Entity != "":
		text += fmt.Sprintf(" of %q at event %d", d.Entity, d.First)
	case d.First > 0:
		text += fmt.Sprintf(" %d to %d", d.First, d.Last)
	}
	return text + ": " + d.Reason
}

// Verify reads the whole log and compares all that it says with all else:
//
//	headers     of segments, with each other and with the batches
//	batches     checksums, places, and that each continues the one before
//	events      positions without a hole, ids and times that grow
//	chains      of each entity: versions without a hole, and the hash of each event with its content
//	keys        the digest of an idempotency key with the events of its commit
//	sides       revisions of side values with the sequence of their commit
//	footers     index, filters, table and trailer of a sealed segment with one that is made from
//	            its batches
//
// It does not stop at damage: what is wrong is in the report, which is an error only when it is
// asked for one ([VerifyReport.Err]). Of events and side values it says lost only where a read
// would say so, too. A read may say so of more where the footer of a segment and its batches are
// both damaged, as neither can be made from the other then. The store may be a writer, one that
// follows another process, or one that was opened with Options.ReadOnly; what is appended meanwhile
// may be in the report or not. A trailer that was damaged is made again by the next opening for
// writing, so a report has such damage only before that. Files beside the segments hold nothing
// that is not in them, and are not looked at.
//
// An error means that the log was not read to the end: ctx's, [ErrClosed], or [ErrBusy]. What the
// disk cannot read is damage.
//
// It takes the memory of the index of one segment, and of Entities chains, and for each event some
// 3 µs of the processor in the first reading; in each further one what reading takes. It holds no
// lock over that, and holds up no commit.
func Verify(ctx context.Context, st *Store, o VerifyOptions) (VerifyReport, error) {
	st.catchUp()
	if err := st.readable(ctx); err != nil {
		return VerifyReport{}, err
	}
	v := newVerifier(st, o)
	v.report.Origin, v.upTo = st.Origin(), st.Head()
	return v.verify(ctx)
}

const (
	defaultVerifyEntities = 1 << 18
	maxListedDamage       = 1000
	progressBytes         = 1 << 20
)

// verifier is the work of one call of Verify. It belongs to the goroutine of the caller.
//
//	pass 1    all of it, and as many chains as there is room for
//	pass 2…   the chains that are left, alone
type verifier struct {
	store   *Store
	options VerifyOptions
	report  VerifyReport
	cold    bool     // the store is not open: its segments end where their batches do
	first   bool     // this is the first pass
	until   uint32   // number of the last segment
	upTo    Position // the head: what is staged after it may still be cancelled

	chains chains
	lost   []lostEvents // in the order of the log

	// In the pass that is under way.
	next       wal.Expected // what the next segment must continue
	begun      bool         // next is known
	seen       Position
	time       uint64
	id         [16]byte
	broken     []Damage // chains
	read       int64    // bytes in all passes
	told, size int64
}

// lostEvents are events that are not in the log.
type lostEvents struct{ from, to Position }

func newVerifier(s *Store, o VerifyOptions) *verifier {
	if o.Entities <= 0 {
		o.Entities = defaultVerifyEntities
	}
	return &verifier{store: s, options: o, chains: newChains(o.Entities)}
}

func (v *verifier) verify(ctx context.Context) (VerifyReport, error) {
	segments := *v.store.segments.Load()
	if len(segments) > 0 {
		v.until = segments[len(segments)-1].last
	}
	var broken []Damage
	for v.first = true; ; v.first = false {
		if err := v.pass(ctx); err != nil {
			return VerifyReport{}, v.store.readError(err)
		}
		for _, d := range v.broken { // those of entities that were left to another pass are found there
			if v.chains.has(d.Entity) {
				v.list(&broken, d)
			}
		}
		if !v.chains.further() {
			break
		}
	}
	v.tell(true)
	slices.SortFunc(broken, func(a, b Damage) int { return cmp.Compare(a.First, b.First) })
	v.report.Damage = append(v.report.Damage, broken...)
	v.report.Unlinked = v.chains.unlinked
	return v.report, nil
}

// pass reads the segments in order. One that was rewritten meanwhile is looked for again: where it
// was merged with those before it, what was seen of it is passed over.
func (v *verifier) pass(ctx context.Context) error {
	v.next = wal.Expected{Sequence: 1, Position: 1}
	v.begun, v.seen, v.time, v.id, v.broken = false, 0, 0, [16]byte{}, nil
	for _, g := range *v.store.segments.Load() {
		v.size += g.end.Load()
	}
	for number := uint32(0); number < v.until; {
		segments := *v.store.segments.Load()
		i := slices.IndexFunc(segments, func(g *segment) bool { return g.last > number })
		if i < 0 {
			return nil
		}
		err := v.segment(ctx, segments[i])
		if v.store.again(&err) {
			continue
		}
		if err != nil {
			return err
		}
		number = segments[i].last
	}
	return nil
}

// damage records what is wrong, in the first pass.
func (v *verifier) damage(d Damage) {
	if v.first {
		v.list(&v.report.Damage, d)
	}
}

func (v *verifier) list(in *[]Damage, d Damage) {
	if len(*in) < maxListedDamage {
		*in = append(*in, d)
	} else {
		v.report.More++
	}
}

// tell reports progress, where there is some.
func (v *verifier) tell(end bool) {
	if v.options.Progress == nil || !end && v.read-v.told < progressBytes {
		return
	}
	if v.told = v.read; end {
		v.size = v.read
	}
	v.size = max(v.size, v.read)
	v.options.Progress(v.read, v.size)
}

// event takes in an event that is whole. In another pass, or where segments were merged meanwhile,
// it may have been seen.
func (v *verifier) event(g *segment, rec []byte, offset int64) {
	p := Position(wal.Position(rec))
	if p <= v.seen || p > v.upTo {
		return
	}
	v.seen = p
	if v.first {
		v.count(g, rec, offset)
	}
	if v.store.cancelled().has(p) { // its version was given to another event
		return
	}
	if reason := v.chains.add(rec, v.lost, v.store.losses().ranges); reason != "" {
		v.broken = append(v.broken, Damage{
			Kind: BrokenChain, Segment: g.number, Offset: offset, Reason: reason,
			First: p, Last: p, Entity: string(wal.Entity(rec)),
		})
	}
}

// count takes in what the events say of their order.
func (v *verifier) count(g *segment, rec []byte, offset int64) {
	r, p := &v.report, Position(wal.Position(rec))
	if r.First == 0 {
		r.First = p
	}
	r.Head = p
	if v.store.losses().has(p) {
		r.Lost++
	} else {
		r.Events++
	}
	if wal.Type(rec) == wal.TypeErased {
		r.Erased++
	}
	if v.store.withdrawn(p) {
		r.Hidden++
	}
	time, id := wal.Time(rec), wal.ID(rec)
	if time <= v.time || string(id[:]) <= string(v.id[:]) {
		v.damage(Damage{
			Kind: DamagedEvents, Segment: g.number, Offset: offset, First: p, Last: p,
			Reason: "time or id is not after that of the event before",
		})
	}
	v.time, v.id = time, id
}

// lose records that events are not in the log, and that the chains cannot be followed over them.
func (v *verifier) lose(d Damage) {
	v.damage(d)
	if v.first {
		v.lost = append(v.lost, lostEvents{d.First, d.Last})
	}
}
