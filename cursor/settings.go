package cursor

import (
	"cmp"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Settings are those that every reader of events has that is built on a [Worker] with handlers of
// its own: they are embedded in a reactor and a projector. They mean what the fields of Worker with
// the same names mean; the zero values work.
type Settings struct {
	// Formerly are names that it had in earlier versions of the program; see [Worker].
	Formerly []string
	// Region is where it reads, narrowed to the kinds that it handles. Kinds or a category in it
	// must leave room for every one of them. The zero value is the whole log, without Penstock's
	// own events.
	Region store.Region
	// Start is where it begins without a checkpoint.
	Start store.From
	// BatchSize is the largest number of events that are handled and committed together; 0 means
	// the default of [Worker]. With 1 an event is handled once what came of the one before is in the
	// store.
	BatchSize int
	// Key of an event: what must stay in order, and what is held after a parked event. nil means
	// the entity. KeyVersion names its version.
	Key        func(store.Event) string
	KeyVersion uint32
	// Dependency names what the handler of an event needs, so that an outage is told from bad events;
	// nil means the kind. See [Worker].
	Dependency func(store.Event) string
	// MaxParkedKeys and MaxParked are at how many keys and events parked the reader waits for room,
	// visibly; 0 means 1,000 and 10,000.
	MaxParkedKeys, MaxParked int
	// Timeout bounds the handling of one event: then the context of the handler ends. 0 means none.
	Timeout time.Duration
	// Rate is how many events are handled in a second at most, each try counted; 0 means no limit. See
	// [Worker].
	Rate float64
	// NewKinds decides about kinds that were added or left out since it ran last:
	// checkpoint.RefuseNewKinds (the zero value), checkpoint.NewKindsFromNow or
	// checkpoint.NewKindsBackfill.
	NewKinds checkpoint.NewKinds
	// Policy is the ladder that an event climbs when it fails, and the intensity of restarts.
	Policy supervision.Policy
	// Restart and StopTimeout are for the supervisor too; see [supervision.Spec].
	Restart     supervision.Restart
	StopTimeout time.Duration
}

// With returns the worker with these settings in place of its own. Handle has code for Kinds alone,
// so while it runs it can be bound to no others.
func (w Worker) With(s Settings) Worker {
	w.handled = slices.Clone(w.Kinds)
	w.Formerly, w.Region, w.Start, w.BatchSize = slices.Clone(s.Formerly), s.Region, s.Start, s.BatchSize
	w.Key, w.KeyVersion, w.Timeout, w.NewKinds = s.Key, s.KeyVersion, s.Timeout, s.NewKinds
	w.Dependency, w.MaxParkedKeys, w.MaxParked, w.Rate = s.Dependency, s.MaxParkedKeys, s.MaxParked, s.Rate
	w.Policy, w.Restart, w.StopTimeout = s.Policy, s.Restart, s.StopTimeout
	return w
}

// WithDefaults returns the worker with each setting that is zero set to its default.
func (w Worker) WithDefaults() Worker {
	w.BatchSize, w.Lanes = cmp.Or(w.BatchSize, defaultBatchSize), max(1, w.Lanes)
	w.MaxParkedKeys, w.MaxParked = cmp.Or(w.MaxParkedKeys, defaultMaxParkedKeys), cmp.Or(w.MaxParked, defaultMaxParked)
	w.Policy = w.Policy.WithDefaults()
	return w
}
