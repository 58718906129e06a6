package cursor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Action is what a handler wants after a batch that it handled without an error.
type Action uint8

const (
	// Continue commits the batch and goes on.
	Continue Action = iota
	// Stop commits the batch and ends the worker.
	Stop
	// StopWithRollback ends the worker and commits nothing of the batch: the next owner gets it again.
	StopWithRollback
)

// String gives the name of the action.
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

// Handler handles a batch of one or more events. It ends soon after ctx does, with an error; nothing is recorded then.
//
// An error made by [FailedAt] names the event, and those before it are committed. Any other error fails the whole batch;
// so does a panic, unless [Batch.Begin] or the size of the batch tell where it was.
type Handler func(ctx context.Context, b *Batch) (Action, error)

// Worker describes a reader that handles batches of events in order: a projection, or reactions that need the whole batch. Name and Handle are required; the zero value of
// everything else works. Once in use it must not be changed.
//
// A worker is built from a plain function: after a panic the same function is called again, with the state it left
// behind. To have everything handled again, as for a projection that is rebuilt, stop the worker and call
// checkpoint.Reset with its name.
type Worker struct {
	// Name names the worker in its group and is the ID of its checkpoint. The rules are those of [supervision.Spec].
	Name string
	// Formerly are names that the worker had in earlier versions of the program. Where its checkpoint still has one
	// of them, the checkpoint is renamed when the worker starts, with all that belongs to it: see checkpoint.Rename.
	Formerly []string
	// Region is where the worker reads, and what its checkpoint is bound to: another one is a checkpoint.RegionError.
	Region store.Region
	// Kinds that Handle handles; empty means all kinds of the region. Only they are read. The list is kept with the
	// checkpoint: a changed one is refused, since events passed over before would be missing.
	//
	// Prefer it to Region.Kinds, which selects the same events: where the list changes, a checkpoint.KindsError says what
	// was added and removed. Region.Kinds is for a [Cursor], which has no other.
	Kinds []string
	// Handle is called with one batch at a time.
	Handle Handler
	// BatchSize is the largest number of events in a batch; 0 means 256, the most is [MaxBatchSize].
	BatchSize int
	// Start is where a worker without a checkpoint begins.
	Start store.From
	// Lanes is how many events of different keys are handled at the same time; 0 and 1 mean one after the other, in the
	// order of the log. With more, events of one key stay in order and those of other keys overtake; a batch then holds
	// events of one key only, and the next one of that key begins when the former is committed. Handle is called from as
	// many goroutines. At most [MaxLanes].
	Lanes int
	// Key of an event: what must stay in order. It decides what overtakes what, and which later events are held back
	// behind one that is parked. nil means the entity. It must give the same key for the same event always; one that
	// panics halts the worker.
	Key func(store.Event) string
	// KeyVersion names the version of Key. A worker with parked events or with events in hand refuses to start with
	// another one: their keys would no longer fit.
	KeyVersion uint32
	// Timeout bounds the handling of one event: when it is over, the context of the handler ends, and if the handler
	// then returns an error, that is an attempt at the event. It counts from the call of the handler, and anew from each
	// [Batch.Begin]: a handler that never calls that has it for the whole batch. If an event took longer and is done in the
	// end, what follows it in the batch is handled again with a context of its own. 0 means none.
	Timeout time.Duration
	// NewKinds says what becomes of a changed list of Kinds. The zero value refuses it.
	NewKinds checkpoint.NewKinds
	// Policy, Restart and StopTimeout are for the supervisor; see [supervision.Spec].
	Policy      supervision.Policy
	Restart     supervision.Restart
	StopTimeout time.Duration
	// SyncCheckpoints makes a batch without reactions wait until its checkpoint is safe from a power cut too.
	// Otherwise such a checkpoint survives the death of the process at once, and a power cut some 10 ms later.
	SyncCheckpoints bool
	// Volatile means no checkpoint: each new runner begins at Start again, and reactions may be written twice. Within the
	// life of a system a restart goes on where the worker came to. It suits a projection that keeps its own position, in the
	// transaction in which it saves: Start is then store.After(that).
	Volatile bool
	// Locate is for a worker that keeps its position itself, in the transaction in which it saves. It is called each time
	// the checkpoint was acquired, before the first event is read, and says behind which position to read; see [ResumeState].
	// The checkpoint is only a copy then, to show. Such a worker has no lanes, and cannot be rewound or widened from here.
	// Package reactor/projector does all that for a database.
	ExternalPosition func(ctx context.Context, at ResumeState) (store.Position, error)
	// Gaps is how many gap observations are kept until they are taken; 0 keeps none. See [Gap].
	Gaps int
}

// Source is a child that runs as a worker.
type Source interface {
	supervision.Child
	// CursorWorker gives the worker, or says what is wrong with it.
	CursorWorker() (Worker, error)
}

var _ Source = Worker{}

// binding is what the worker says to its checkpoint.
func (w Worker) binding() checkpoint.Binding {
	return checkpoint.Binding{
		Region: w.Region, Kinds: w.Kinds, Start: w.Start, NewKinds: w.NewKinds, KeyVersion: w.KeyVersion,
		Formerly: w.formerIDs(),
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

// CursorWorker returns w and what [Worker.Validate] says of it.
func (w Worker) CursorWorker() (Worker, error) { return w, w.Validate() }

// Validate reports everything that is wrong with the worker, joined: a [*WorkerError] each.
func (w Worker) Validate() error {
	fault := func(field string, err error) error {
		if err == nil {
			return nil
		}
		return &WorkerError{Worker: w.Name, Field: field, Err: err}
	}
	return errors.Join(
		fault("Spec", w.Spec().Validate()),
		fault("Formerly", w.checkFormerly()),
		fault("Region", w.Region.Validate()),
		fault("Kinds", w.checkKinds()),
		fault("Handle", w.checkHandle()),
		fault("BatchSize", w.checkBatchSize()),
		fault("Lanes", checkRange("Lanes", w.Lanes, MaxLanes)),
		fault("Gaps", checkRange("Gaps", w.Gaps, MaxGaps)),
		fault("Timeout", w.checkTimeout()),
		fault("ExternalPosition", w.checkLocate()),
	)
}

func (w Worker) checkFormerly() error {
	if w.Volatile && len(w.Formerly) > 0 {
		return &store.InvalidError{Field: "Formerly", Rule: "excludes Volatile"}
	}
	if n := len(w.Formerly); n > checkpoint.MaxFormerNames {
		return &store.LimitError{Field: "Formerly", Limit: checkpoint.MaxFormerNames, Value: int64(n)}
	}
	for _, id := range w.formerIDs() {
		if err := id.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (w Worker) checkHandle() error {
	if w.Handle == nil {
		return &store.InvalidError{Field: "Handle", Rule: "must not be nil"}
	}
	return nil
}

func (w Worker) checkBatchSize() error { return checkRange("BatchSize", w.BatchSize, MaxBatchSize) }

func (w Worker) checkTimeout() error {
	if w.Timeout < 0 {
		return &store.InvalidError{Field: "Timeout", Rule: "must not be negative", Value: w.Timeout.String()}
	}
	return nil
}

// checkLocate wants one place only to keep the position, and a single order of events to keep it by.
func (w Worker) checkLocate() error {
	switch {
	case w.ExternalPosition == nil:
		return nil
	case w.Volatile:
		return &store.InvalidError{Field: "ExternalPosition", Rule: "excludes Volatile"}
	case w.Lanes > 1:
		return &store.InvalidError{Field: "ExternalPosition", Rule: "excludes Lanes"}
	case w.NewKinds == checkpoint.NewKindsBackfill:
		return &store.InvalidError{Field: "ExternalPosition", Rule: "excludes NewKindsBackfill"}
	}
	return nil
}

// key of an event, see Worker.Key.
func (w Worker) key(e *store.Event) string {
	if w.Key == nil {
		return e.Coordinate.Entity
	}
	return w.Key(*e)
}

// checkKinds wants every handled kind inside the region, since the others would be waited for in vain.
func (w Worker) checkKinds() error {
	for _, kind := range w.Kinds {
		outside := len(w.Region.Kinds) > 0 && !slices.Contains(w.Region.Kinds, kind) ||
			w.Region.Category != "" && store.Category(kind) != w.Region.Category
		if outside {
			return &store.InvalidError{Field: "Kinds", Rule: "lies outside the region of the worker", Value: kind}
		}
	}
	return store.Region{Kinds: w.Kinds}.Validate()
}

// narrowed is the region to read: the declared one, less the kinds that are not handled.
func (w Worker) narrowed() store.Region {
	region := w.Region
	if len(w.Kinds) > 0 {
		// The kinds lie inside the region, category included, so they say all there is to say about kinds.
		region.Kinds, region.Category = slices.Compact(slices.Sorted(slices.Values(w.Kinds))), ""
	}
	return region
}

func (w Worker) batchSize(limit int) int {
	size := w.BatchSize
	if size == 0 {
		size = defaultBatchSize
	}
	if limit > 0 {
		size = min(size, limit)
	}
	return size
}
