package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// RepairOptions of [Repair] and [PlanRepair]. The zero value works.
type RepairOptions struct {
	// Store is as in [RestoreOptions].
	Store Options
	// Reason and By, of at most 256 bytes each, are in the audit event of the repair: who discarded
	// what is lost, and why.
	Reason, By string
	// Progress is as in [BackupOptions]; of a plan, which copies nothing, it tells nothing.
	Progress func(CopyProgress)
}

// RepairAction is what is done with a file.
type RepairAction string

const (
	// RepairReindex says that the footer is made again from the batches. Nothing is lost.
	RepairReindex RepairAction = "footer made again"
	// RepairRename says that the file is whole, and is that of another segment than its name says.
	RepairRename RepairAction = "renamed"
	// RepairRewrite says that what is whole in it is written again.
	RepairRewrite RepairAction = "written again"
	// RepairFill says that there is no such file, or nothing is whole in it.
	RepairFill RepairAction = "discarded"
	// RepairIgnore says that the file is none of the log.
	RepairIgnore RepairAction = "left out"
)

// SegmentRepair is a file that is not copied as it is.
type SegmentRepair struct {
	Segment, Last uint32 // numbers of the first and the last segment that the file stands for
	File          string // its name, "" where there is none
	Action        RepairAction
	Damage        []Damage // what is wrong with it
}

// RepairReport says what [Repair] has done, or would do.
type RepairReport struct {
	// Origin is that of the repaired store; of a plan, that of the log, with incarnation 0.
	Origin Origin
	// Last is the position of the last event of the log that was repaired.
	Last Position
	// Kept is how many files are copied as they are; Segments are the others.
	Kept     int
	Segments []SegmentRepair
	// Lost are the positions of the events that are lost, see [LostRanges].
	Lost []Range
	// Sides are the keys of side values that are lost, in order. Each is written as an empty value,
	// so that no former one is taken for it: a checkpoint, for example, is an error where it is
	// loaded, and does not go back silently.
	Sides []string
	// Commits is how many commits were in what is damaged and could not be read to the end. Of
	// these, side values and idempotency keys may be lost that nothing names: an older value, or
	// none, is there then, and a commit may be tried again that was made.
	Commits uint64
	// Rest says that something may be lost of what stays of events which [Retain] has dropped: an
	// entity of which no other event is there may begin with version 1 again, and a commit may be
	// tried again that was made.
	Rest bool
	// Unnamed is the position of the last event which [Retain] has dropped where its id is lost, else
	// 0. What was kept outside with an [Anchor] there is told [ErrForeignHistory]; what starts
	// there for the first time continues. How far the drop went is lost with the id: where files
	// behind it are gone, too, their events count as dropped up to this position, and not as Lost.
	Unnamed Position
	// Cut says that the log ended in damage, or ends before what its last writer said: the commits
	// after it are gone, it is not known how many. Positions after Last are given to other events.
	Cut bool
}

// Clean reports whether nothing is lost.
func (r *RepairReport) Clean() bool {
	return len(r.Lost) == 0 && len(r.Sides) == 0 && r.Commits == 0 && !r.Rest && r.Unnamed == 0 && !r.Cut
}

// Events is how many events are lost, those not counted that Cut speaks of.
func (r *RepairReport) Events() (n uint64) {
	for _, in := range r.Lost {
		n += uint64(in.To - in.From + 1)
	}
	return n
}

// String is the report for people, a line for each thing that is wrong.
func (r *RepairReport) String() string {
	var b strings.Builder
	for i := range r.Segments {
		g := &r.Segments[i]
		fmt.Fprintf(&b, "segment %d: %s\n", g.Segment, g.Action)
		for _, d := range g.Damage {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	for _, in := range r.Lost {
		fmt.Fprintf(&b, "lost: events %d to %d\n", in.From, in.To)
	}
	for _, key := range r.Sides {
		fmt.Fprintf(&b, "lost: side value %q\n", key)
	}
	if r.Commits > 0 {
		fmt.Fprintf(&b, "may be lost: side values and idempotency keys, which nothing names, of %d commits\n", r.Commits)
	}
	if r.Rest {
		b.WriteString("may be lost: versions of entities, and idempotency keys, of events that were dropped\n")
	}
	if r.Unnamed > 0 {
		fmt.Fprintf(&b, "lost: the id of event %d, the last one that was dropped, so that no anchor there is recognised\n", r.Unnamed)
	}
	if r.Cut {
		fmt.Fprintf(&b, "lost: all commits after event %d, however many there were\n", r.Last)
	}
	fmt.Fprintf(&b, "%d files are copied as they are; the log ends with event %d\n", r.Kept, r.Last)
	return b.String()
}

// Repair makes a store, in a directory that is empty or not there, of all that is whole in a
// directory that is damaged. That one is only read, and no writer may have it open; it is never
// worse off. There must be room for another log. [PlanRepair] says before what would be lost.
//
//	headers, footers     made again, from the batches and the neighbours: nothing is lost
//	files of other names found by what is in them
//	a damaged batch      each record of it that is whole is kept: by its own checksum, and by the
//	                     index, where that is whole
//	a file that is gone  its positions are lost, and its side values
//
// A backup may have what is damaged: the file of the same name in the directory of [Backup], where
// its segment was sealed before the backup was made. Put that in the place of the damaged one while
// no process has the directory open. Where neither was rewritten since, nothing is lost, and Repair
// need not be called: [Verify] tells. It tells, too, where the files are of different times, as
// opening does: then put the damaged file back.
//
// What is kept is byte for byte as it was: positions, versions, ids, times, hashes, keys,
// revisions. The positions of events that are lost stay assigned, and readers pass over them: not
// silently, as [LostRanges] names them, gap observation sees them, and [Store.GetAt] says
// [ErrLost]. An entity that had one of them has a gap in its versions, or continues from a lower
// version, if its last one is lost. After it [Verify] finds no damage, and counts what is lost.
//
// The repaired log begins a new incarnation, as after [Restore], and with an audit event of kind
// "penstock.repaired" that says what was discarded. When Repair returns the store is durable and
// closed. Before that a crash, an error, or the end of ctx leaves a directory that [Open] refuses,
// [ErrUnfinishedCopy]; Repair into it begins from the start.
//
// What cannot be repaired is refused with a [CorruptError] that says why: files of different times,
// of which none is damaged, so that it is not known which one is wrong; and a directory in which
// nothing tells whose log it is. Other errors: [ErrNotStore], [ErrNewerFormat], [ErrLocked],
// fs.ErrExist for a destination with other files, [InvalidError], [ErrDiskFull], those of ctx and
// of the file system. What the disk cannot read is damage.
//
// It takes the memory of one segment and its index, and some 2 µs of the processor for each event.
func Repair(ctx context.Context, src, dst string, o RepairOptions) (RepairReport, error) {
	report, err := repairDirectory(ctx, src, dst, o)
	if err != nil {
		return RepairReport{}, fmt.Errorf("repair %s to %s: %w", src, dst, shortage(err))
	}
	return report, nil
}

// PlanRepair says what [Repair] would do. It writes nothing, and has the errors of Repair.
func PlanRepair(ctx context.Context, src string, o RepairOptions) (RepairReport, error) {
	r := newRepair(o)
	if err := r.open(src); err != nil {
		return RepairReport{}, fmt.Errorf("repair %s: %w", src, shortage(err))
	}
	defer r.close()
	if err := r.run(ctx); err != nil {
		return RepairReport{}, fmt.Errorf("repair %s: %w", src, shortage(err))
	}
	return r.report, nil
}

func repairDirectory(ctx context.Context, src, dst string, o RepairOptions) (report RepairReport, err error) {
	if err := errors.Join(checkMax("reason bytes", len(o.Reason), maxFenceReason), checkMax("by bytes", len(o.By), maxFenceReason)); err != nil {
		return report, err
	}
	options, err := o.Store.withDefaults()
	if err == nil {
		err = apart(src, dst)
	}
	if err != nil {
		return report, err
	}
	r := newRepair(o)
	if err := r.open(src); err != nil {
		return report, err
	}
	defer r.close()
	to, err := openDestination(r.fs, dst, options.FileMode)
	if err != nil {
		return report, err
	}
	defer to.close()
	return r.into(ctx, to, dst, options)
}

// into makes the store in a directory. After an error it has given the room back.
func (r *repairing) into(ctx context.Context, to *destination, path string, o Options) (report RepairReport, err error) {
	held, err := to.held()
	if err != nil {
		return report, err
	}
	if held.State == copyWhole || held.State == copySwitching {
		return report, fmt.Errorf("%w: a backup", fs.ErrExist)
	}
	if err := to.fill(&held); err != nil {
		return report, err
	}
	r.out = &copier{dir: to.dir, tell: r.options.Progress}
	if err = r.run(ctx); err == nil {
		err = to.dir.Sync()
	}
	if err != nil {
		_ = to.empty()
		return report, err
	}
	report = r.report
	if report.Origin, _, err = beginIncarnation(r.fs, path, o, r.giveUp); err != nil {
		return report, err
	}
	return report, removeManifest(to.dir)
}

// Repaired is the payload of the audit event, of kind "penstock.repaired", that [Repair] begins the
// repaired log with, in [ReservedScope] at the entity "store".
type Repaired struct {
	By     string   `json:"by,omitempty"`
	Reason string   `json:"reason,omitempty"`
	Events uint64   `json:"events"`          // that are lost
	Lost   []Range  `json:"lost,omitempty"`  // the first 100 of the ranges
	Sides  []string `json:"sides,omitempty"` // the first 100 of the keys of side values that are lost
	Cut    bool     `json:"cut,omitempty"`   // the end of the log is lost

	// As in the [RepairReport].
	Commits uint64 `json:"commits,omitempty"`
	Rest    bool   `json:"rest,omitempty"`
}

// Kind of the event.
func (Repaired) Kind() string { return auditKinds + "repaired" }

const (
	repairedEntity    = "store" // of the audit event
	maxRepairedListed = 100
)

// giveUp commits what is lost, as the first commit of the new incarnation.
func (r *repairing) giveUp(ctx context.Context, s *Store) error {
	lost := &r.report
	note := Repaired{
		By: r.options.By, Reason: r.options.Reason, Events: lost.Events(), Cut: lost.Cut,
		Commits: lost.Commits, Rest: lost.Rest,
		Lost:  lost.Lost[:min(len(lost.Lost), maxRepairedListed)],
		Sides: lost.Sides[:min(len(lost.Sides), maxRepairedListed)],
	}
	req := s.requests.get()
	err := req.encode(&Batch{Events: []Proposal{Audit(repairedEntity, note)}}, &s.emitters)
	for _, side := range lostSides(lost.Lost, r.options.Reason) {
		req.addSide(&side)
	}
	req.size = len(req.records)
	_, err = s.commit(ctx, req, err)
	return err
}

// open finds the directory that is damaged, and keeps writers out.
func (r *repairing) open(src string) (err error) {
	if r.src, err = r.fs.OpenDir(src, ownerOnly); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %q", ErrNotStore, src)
	}
	if err != nil {
		return err
	}
	r.lock, err = r.src.Lock(lockName)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		err = readOwner(r.src)
	case errors.Is(err, fs.ErrPermission): // a read-only medium, which no writer uses
		r.lock, err = io.NopCloser(nil), nil
	}
	if err == nil {
		err = r.survey()
	}
	if err != nil {
		r.close()
	}
	return err
}

func (r *repairing) close() {
	if r.lock != nil {
		_ = r.lock.Close()
	}
	_ = r.src.Close()
}

// run repairs what the survey has found.
func (r *repairing) run(ctx context.Context) error {
	r.ctx = ctx
	if err := r.walk(); err != nil {
		return err
	}
	r.report.Last = Position(r.x.Position - 1)
	if t, ok, err := (&Store{dir: r.src}).readBeacon(); err != nil {
		return err
	} else if ok && t.store == r.store && (t.assigned > r.report.Last || t.sequence > r.x.Sequence) {
		r.report.Cut = true
	}
	r.report.Lost = ranges(nil).with(r.report.Lost...)
	for key := range r.sides {
		r.report.Sides = append(r.report.Sides, key)
	}
	slices.Sort(r.report.Sides)
	return r.settle()
}
