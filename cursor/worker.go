package cursor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Action is what is to happen after a batch that was handled without an error.
type Action uint8

const (
	// Continue commits the batch and reads on.
	Continue Action = iota
	// Stop commits the batch and ends the worker.
	Stop
	// StopWithRollback ends the worker and commits nothing of the batch: the next owner gets it
	// again.
	StopWithRollback
)

// String returns the name of the action.
func (a Action) String() string {
	switch a {
	case Continue:
		return "continue"
	case Stop:
		return "stop"
	case StopWithRollback:
		return "stop with rollback"
	default:
		return fmt.Sprintf("action %d", uint8(a))
	}
}

// Handler handles a batch of one or more events. The contract:
//
// Repetition: it may be called again for the same events: after an error, a panic, a crash, a
// refused commit, a rewind. What it does outside the store happens at least once;
// [Batch.AtLeastOnce] and the IDs of events make keys for that.
//
// Result: nil and an [Action] when all events are done. An error made by [FailedAt] names the event
// it failed at: those before it are committed, with their reactions. Any other error fails the
// whole batch, and so does a panic, unless [Batch.Begin] or the size of the batch shows where it
// was. A directive of package supervision (Park, Skip, Wait, Halt, RetryAfter), wrapped or not,
// decides instead of the policy.
//
// Context: it ends when the worker is stopped or its group restarts, and at its deadline once
// Worker.Timeout is over (context.DeadlineExceeded, with the cause [ErrTimeout]). The handler
// should return soon after, with an error: after a stop nothing is recorded of that, after the
// timeout it is an attempt at the event. One that does not return is never run beside another of
// its worker: the worker is shown as hung. Its values are not those of the caller that appended the
// event.
//
// Blocking: it may block; only its own worker waits for it, or with lanes only the events of its
// key.
//
// Goroutines: without lanes it is called by one goroutine at a time, not always the same, and what
// one call wrote the next one sees. With lanes it is called by one goroutine per lane, never two at
// a time for one key, and must guard what it shares. A goroutine that it starts must not use the
// batch, and must be done before it returns if its failure matters. Its own goroutine runs other
// workers next: it must undo what it did to it or to its thread, as by runtime.LockOSThread, also
// where it panics.
//
// Batch: it belongs to the call, and so does its slice of events, which may be sorted or filtered
// in place; neither may be kept. Payloads and headers are shared with other readers of the log:
// they may be kept, and must not be changed.
//
// Ahead: the next batch may be handled while the commit of the last one is under way. Its reactions
// may not be in the store yet then, and where that commit is refused (a full disk, say) the batch
// that was handled ahead comes again: what it failed with is no attempt, and a panic in it restarts
// the worker. With a BatchSize of 1, lanes or an ExternalPosition, after a
// reaction with an expectation, and while something fails, is parked or replayed, no batch is
// handled ahead.
//
// Reentrancy: it may read and append to the store. An append of its own is not part of the commit
// of the batch: it happens once more with each repetition, unless it has an idempotency key. Calls
// that wait for the worker itself, such as to stop its system, are refused with an error.
type Handler func(ctx context.Context, b *Batch) (Action, error)

// Worker describes a reader that handles batches of events in order: a projection, or reactions
// that need the whole batch. Name and Handle are required; the zero value of everything else works.
// Once in use it must not be changed.
//
// A worker is built from a plain function: after a panic the same function is called again, with
// the state that it left. To have everything handled again, as for a projection that is rebuilt,
// apply a checkpoint.Reset to it.
//
//nolint:recvcheck // a value to its callers; a runner shares it by pointer with thousands of others
type Worker struct {
	// Name names the worker in its group and is the ID of its checkpoint. The rules are those of
	// [supervision.Spec].
	Name string
	// Formerly are names that the worker had in earlier versions of the program. Where its
	// checkpoint still has one of them, the checkpoint is renamed when the worker starts, with all
	// that belongs to it: see checkpoint.Rename.
	Formerly []string
	// Region is where the worker reads, and what its checkpoint is bound to: another one is a
	// checkpoint.ErrRegion.
	Region store.Region
	// Kinds that Handle handles; empty means all kinds of the region. Only they are read. The list
	// is kept with the checkpoint. NewKinds decides about a changed one, since events that were
	// passed over would be missing.
	//
	// Prefer it to Region.Kinds, which selects the same events: where the list changes, a
	// checkpoint.MismatchError says what was added and removed. Region.Kinds is for a [Cursor],
	// which has no other.
	Kinds []string
	// OwnKinds are those of Kinds that the worker's own program writes, as the answers to what it asks
	// for: that there is none of them yet is no mistake, and System.Status tells of none.
	OwnKinds []string
	// Handle is called with one batch at a time.
	Handle Handler
	// SchemaVersions are the newest schema versions that Handle reads, by kind. A handler parks an
	// event of a newer one at once (supervision.Park); that is noted with it, and a worker that starts
	// with that version, as one of a later build, handles it again by itself. Packages reactor and
	// projector set it. A kind that is not among them has no such limit.
	SchemaVersions map[string]uint16
	// BatchSize is the largest number of events in a batch; 0 means 256, the most is
	// [MaxBatchSize]. With 1 an event is handled once what came of the one before is in the store.
	BatchSize int
	// Start is where a worker without a checkpoint begins.
	Start store.From
	// Lanes is how many events of different keys are handled at the same time; 0 and 1 mean one
	// after the other, in the order of the log. With more, events of one key stay in order and
	// those of other keys overtake; a batch then holds events of one key only, and the next one of
	// that key begins when the former is committed. Handle is called from as many goroutines. At
	// most 1,024.
	Lanes int
	// Key of an event: what must stay in order. It decides what overtakes what, and which later
	// events are held after one that is parked. nil means the entity. It must return the same key
	// for the same event always, of at most 1,024 bytes; one that panics halts the worker.
	Key func(store.Event) string
	// Resolve finds the key of an event in what the worker keeps, in place of Key: a payment has a
	// reference, and an earlier event has kept which order it is of. side reads what is kept under a
	// key, as the events that are done have left it. Where nothing there tells the key, known is
	// false: then the event waits until all before it are done or parked, and what comes after it
	// waits, too; it is asked again, and what Resolve returns then is the key, known or not. One that
	// is not known even then is handled before what comes after it is read on. So each event has the
	// key that it would have if all were handled one after the other, with lanes and after a restart,
	// and the handler finds the state that Resolve has found. The price are events whose key is never
	// known, as those of others: each waits for a commit, and so do all other lanes.
	//
	// A key that is known once must stay so, whatever the events of other keys do. It is called where
	// Key would be, by the rules of Key; an error of its own halts the worker, one that side has
	// returned does not. It needs Stateful. Also without lanes a batch has the events of one key.
	Resolve func(
		e store.Event, side func(key string) (value []byte, found bool, err error),
	) (key string, known bool, err error)
	// KeyVersion names the version of Key. A worker with parked or pending events refuses to start
	// with another one: their keys would no longer fit.
	KeyVersion uint32
	// Dependency names what the handler needs for an event, as a service that it calls: failures of
	// events of one dependency, with nothing handled in between, are taken for its outage, by
	// Policy.Outage. nil means the kind of the event, and so does a call that panics. With lanes
	// events of other dependencies continue in an outage.
	Dependency func(store.Event) string
	// MaxParkedKeys is for how many keys events are parked, and MaxParked how many events altogether,
	// those included that are held; 0 means 1,000 and 10,000, the most is 50,000. At either limit the
	// worker reads no new events, and an event that would have to be parked is tried again with the
	// longest delay of the policy. Both are shown, with a [ParkLimitError]. What is parked can still
	// be replayed and discarded; once there is room the worker continues by itself. A limit below what
	// a checkpoint has parked already is one that is reached.
	MaxParkedKeys, MaxParked int
	// GiveUp is called for an event in place of being parked or skipped: its attempts are used up,
	// its handler says Park or Skip, or the process ended each time it was handled
	// ([ErrCrashLoop]). So what waits for the event hears of its end, and nothing of its key is
	// held. It gets a batch of that event, and may stage what Handle may; that is committed with
	// the event as done, and an audit event (checkpoint.AuditGivenUp).
	//
	// It is called like Handle, and again where its commit lost a race. If it fails or panics, its
	// reactions are refused, or the process ends in it each time, the event is parked, with both
	// errors. An error that is failure, or wraps it, has what is due without GiveUp done; one of
	// supervision.Halt halts. If the process ends before the commit, or the worker is moved, the
	// event is handled again. In an outage nothing is given up. It excludes Volatile and
	// ExternalPosition.
	GiveUp func(ctx context.Context, b *Batch, failure error, attempts int) error
	// Discarded returns what is written where an operator discards a parked event, as a reaction to
	// it, in the commit of that: so what waits for what the event says hears that it is gone. The
	// event may be one that was erased; for one that retention has dropped it is not called. It may be
	// called again, and not for a dry run. An error of it, or a panic, is that of the call of the
	// operator, and the event stays parked. nil means that nothing is written.
	// Where the program of the worker does not run, nothing of it can be discarded: [ErrAnswers].
	Discarded func(e store.Event) ([]store.Proposal, error)
	// Timeout bounds the handling of one event: when it is over, the context of the handler ends,
	// and if the handler then returns an error, that is an attempt at the event. It counts from the
	// call of the handler, and again from each [Batch.Begin]: a handler that never calls that has
	// it for the whole batch. If an event took longer and is done in the end, what follows it in
	// the batch is handled again with a context of its own. 0 means none.
	Timeout time.Duration
	// Rate is how many events are handed to the handler in a second at most, each try counted, over
	// all lanes and whatever is replayed: for a service that refuses more. 0.1 is one in ten seconds.
	// They come evenly, in batches of at most a tenth of a second's worth, so that BatchSize counts
	// only where it is smaller. A worker that waits for its rate is Throttled, which is no stall. A
	// restart does not reset it, a new process does. 0 means no limit; else it is from 0.000001 to
	// 1,000,000.
	Rate float64
	// Policy, StopTimeout and Restart are for the supervisor; see [supervision.Spec].
	Policy      supervision.Policy
	StopTimeout time.Duration
	Restart     supervision.Restart
	// Erased has Handle get events whose content was erased, too: [store.Event.Erased] tells them from
	// others, and they have no payload. Otherwise they are passed over as if they were handled, and a
	// parked one that is replayed is off the list. A handler that was called before the erasure may
	// still be at work: what it emits and keeps is not written, unless that is under way, and the next
	// attempt at the event, also one that waits for its turn, heeds it. A
	// worker that keeps beside its ExternalPosition what is parked has to ask for them, to note that
	// one is done.
	Erased bool
	// NewKinds decides about a changed list of Kinds: the zero value refuses it, with a
	// checkpoint.ErrKindsChanged.
	NewKinds checkpoint.NewKinds
	// Stateful says that Handle keeps something, see [Batch.Put]. What it keeps goes with what it has
	// handled, so such a worker cannot be moved away from it: a rewind, a skip or a wider region is a
	// checkpoint.ErrStateful, and a checkpoint.Reset removes it, to be made again. It excludes
	// Volatile and ExternalPosition.
	Stateful bool
	// NewChains gives each reaction depth 1 ([store.Event.Depth]), with the cause and the correlation
	// that any reaction has: for a worker that ends by itself each loop that leads through it. No
	// limit of depth does that then, and workers that answer it do not fail after so many rounds.
	NewChains bool
	// Impersonal says that what Handle schedules says nothing of what events say: it is written also
	// where the event that it is a reaction to is erased meanwhile.
	Impersonal bool
	// SyncCheckpoints makes a batch without reactions wait until its checkpoint is safe from a
	// power cut too. Otherwise such a checkpoint survives the death of the process at once, and a
	// power cut some 10 ms later.
	SyncCheckpoints bool
	// Volatile means no checkpoint: each new runner begins at Start again, and reactions may be
	// written twice. Within the life of a system a restart resumes where the worker had come to. It
	// suits what is lost with the process, such as a cache in memory; System.WaitCaughtUp of package
	// actors tells when that is complete. store.Retain does not wait for it, but for a hold set
	// with store.SetHold. A worker that stores its own position uses ExternalPosition.
	Volatile bool
	// KeptText returns what is kept under a key as text, for people, and for tests that compare what
	// is left; nil means that it is text.
	KeptText func(key string, value []byte) string
	// ExternalPosition is for a worker that keeps its position itself, in the transaction in which
	// it saves. It is called each time the checkpoint was acquired, before the first event is read,
	// and returns the position after which to read; see [ResumeState]. The checkpoint is only a
	// copy then, for Status. Such a worker has no lanes, and cannot be rewound or widened from
	// here. Package reactor/projector does all that for a database.
	ExternalPosition func(ctx context.Context, at ResumeState) (store.Position, error)
	// Open is called each time the checkpoint was acquired, after ExternalPosition, and after an
	// operator has moved it: before the first event is read. So it sees what the worker keeps as the
	// events before have left it, and alone. What it puts and emits is one commit with the checkpoint
	// as it is; where it returns an error there is none, and that is a failure of the worker, which is
	// restarted as Policy says. A supervision.Halt in it halts the worker at once, and is an error of
	// the start of its system: for what only another program can mend. It is called again where an
	// event was erased meanwhile, and after a crash. When ctx ends the worker does not wait for it any
	// longer. It excludes Volatile.
	Open func(ctx context.Context, o *Opening) error
	// Gaps is how many gap observations are kept until they are taken, at most 65,536; 0 keeps
	// none. See [Gap].
	Gaps int

	emission *emission // set by WithBuild
	redact   Redact    // set by WithRedact
	pages    *Pages    // set by WithPages, nil for none
	handled  []string  // the kinds that Handle has code for, set by With; none: all
}

// Source is a child that runs as a worker.
type Source interface {
	supervision.Child
	// CursorWorker returns the worker, or an error that says what is wrong with it.
	CursorWorker() (Worker, error)
}

var _ Source = Worker{}

// binding is what the worker says to its checkpoint. For one that keeps its position itself the
// checkpoint is a copy, and at 0 until there is something to copy: an attempt to start leaves
// nothing that looks as if it had come to its start.
func (w Worker) binding() checkpoint.Binding {
	start := w.Start
	if w.ExternalPosition != nil {
		start = store.Beginning()
	}
	return checkpoint.Binding{
		Region: w.Region, Kinds: w.Kinds, Start: start, NewKinds: w.NewKinds, KeyVersion: w.KeyVersion,
		Formerly: w.formerIDs(), Stateful: w.Stateful, External: w.ExternalPosition != nil,
		Answers: w.Discarded != nil,
	}
}

func (w Worker) formerIDs() (ids []checkpoint.ID) {
	for _, name := range w.Formerly {
		ids = append(ids, checkpoint.ID(name))
	}
	return ids
}

// Spec is what supervision knows of the worker.
func (w Worker) Spec() supervision.Spec {
	return supervision.Spec{Name: w.Name, Policy: w.Policy, Restart: w.Restart, StopTimeout: w.StopTimeout}
}

// CursorWorker returns w, and everything that is wrong with it, joined: an [ErrWorker] each.
func (w Worker) CursorWorker() (Worker, error) { return w, w.validate() }

// narrowed is the region to read: the declared one, less the kinds that are not handled.
func (w *Worker) narrowed() *store.Region {
	if len(w.Kinds) == 0 {
		return &w.Region
	}
	// The kinds lie inside the region, category included, so they say all there is to say about
	// kinds.
	region := w.Region
	region.Kinds, region.Category = slices.Compact(slices.Sorted(slices.Values(w.Kinds))), ""
	return &region
}

func (w Worker) batchSize(limit int) int {
	size := w.BatchSize
	if size == 0 {
		size = defaultBatchSize
	}
	if limit > 0 {
		size = min(size, limit)
	}
	return min(size, w.slice())
}
