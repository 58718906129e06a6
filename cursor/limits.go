package cursor

import "github.com/penstock-io/penstock/store"

const (
	// defaultBatchSize makes the cost of a commit small beside that of handling, and a repeated
	// batch bearable.
	defaultBatchSize = 256
	// MaxBatchSize bounds the memory of a batch.
	MaxBatchSize = 1 << 16
	// maxLanes bounds the goroutines of a worker.
	maxLanes = 1024
	// maxKeyBytes is the longest key that Worker.Key may return.
	maxKeyBytes = 1024
	// MaxReactions is how many reactions one event may have: what a commit of the store takes, since
	// they are never split, less the audit event of a parked one that is replayed.
	MaxReactions = store.MaxBatchEvents - 1
	// MaxBuildBytes is the longest name of a build, see [Worker.WithBuild].
	MaxBuildBytes = 255
	// maxGaps is the most gap observations that can be kept.
	maxGaps = 1 << 16
	// defaultMaxParkedKeys is for how many keys a worker parks events when nothing else is said: what
	// fails more often than that is not the events.
	defaultMaxParkedKeys = 1000
	// defaultMaxParked is how many events it parks altogether: those that failed, and those held after
	// them.
	defaultMaxParked = 10_000
	// mostParked bounds both settings: a replay marks all of them in one commit of the store.
	mostParked = 50_000
	// defaultWindow is how many positions a [Subscription] may fall behind when nothing else is
	// said: enough for a burst, and little enough that a dashboard shows the present.
	defaultWindow = 1024

	// windowBytes bounds the payloads that a worker with lanes keeps in memory while they wait for
	// a lane, and those of a batch of parked events.
	windowBytes = 64 << 20
	// maxWindow bounds how many events of a worker with lanes are undone, and so the size of its
	// checkpoint.
	maxWindow = 4096
	// aheadEvents and aheadBytes bound what is read in one go for batches that are smaller. The
	// bytes are aimed at, by the size of the events read before; a page of the store is the hard
	// bound.
	aheadEvents = 64
	aheadBytes  = 256 << 10
	// pagesBytes and maxPages bound what is kept of what workers of one store have read last: the
	// pages of one that reads one by one, and of all that are some two thousand events apart from it.
	pagesBytes = 1 << 20
	maxPages   = 64
	// eventBytes is about what an event takes besides its payload.
	eventBytes = 320
	// smallBuffer is how many positions a buffer may have that a worker keeps while it rests.
	smallBuffer = 64
	// maxStagedData is how many bytes of reactions that came encoded the memory of a batch may have
	// that is kept for the next one.
	maxStagedData = 1 << 20
	// maxKeptItems is how many of each kind the memory of a commit may have that is kept for the next
	// one, maxKeptSides that of a [Submission].
	maxKeptItems = 1024
	maxKeptSides = 4
	// maxRuns is at how many events, which are not done, runs of the handler are counted. More than
	// so many cannot fail and wait; those that an operator discarded or left out stay until it is
	// reached.
	maxRuns = 1 << 15
	// maxTrace is how many causes of an event are looked up.
	maxTrace = 64
)

// checkRange requires 0 to most.
func checkRange(field string, value, most int) error {
	switch {
	case value < 0:
		return &store.InvalidError{Field: field, Rule: "must not be negative", Value: value}
	case value > most:
		return &store.InvalidError{Field: field, Limit: int64(most), Value: int64(value)}
	}
	return nil
}
