package store

import "time"

// Limits of what can be committed. All are in bytes of UTF-8 unless the name says otherwise. What
// exceeds one is refused with an [InvalidError].
const (
	MaxEntityBytes         = 512
	MaxScopeBytes          = 255
	MaxKindBytes           = 255
	maxCodecBytes          = 64
	MaxIdempotencyKeyBytes = 512
	maxHeaderBytes         = 64 << 10 // all names and values of one event
	MaxPayloadBytes        = 16 << 20
	MaxBatchBytes          = 64 << 20 // one commit as it is written
	MaxBatchEvents         = 1 << 16  // events in one commit
	maxBatchSides          = 1 << 16  // side values in one commit
	maxSideKeyBytes        = 1024
	maxSideValueBytes      = 1 << 20
	maxEmitterBytes        = 1024 // the name of a worker, or of a build
	maxBypassBytes         = 1024 // a reason
)

// Bounds of what the store does at a time and keeps in memory. The sizes of segments are a policy
// of their own: see rollover.go.
const (
	// maxGroupBytes bounds what one turn of the committer writes, so that a flood does not delay
	// the first caller of the flood; a larger single commit makes a group of its own.
	maxGroupBytes = 4 << 20
	// maxQueued and maxQueuedBytes bound the commits that wait for their turn.
	maxQueued      = 1 << 16
	maxQueuedBytes = 4 * MaxBatchBytes
	// maxPooledBytes is the size up to which the memory of a request is kept for the next one, and
	// maxPooledItems that of its events and side values.
	maxPooledBytes = 1 << 20
	maxPooledItems = 1 << 12
	// maxKeptBytes is the size up to which the writer keeps the memory of a batch: what a group
	// takes, and what appending to it leaves free.
	maxKeptBytes = 2 * maxGroupBytes

	readPageEvents = 512      // events that Read fetches at a time
	maxPageBytes   = 4 << 20  // a page ends when its events took as much
	maxPageHops    = 16       // segments that one page looks at
	spanBytes      = 64 << 10 // read of a record whose length is not known
	spanGap        = 2 << 10  // bytes between two events worth reading over
	keepBytes      = 64 << 10 // of events that Read returns in one piece of memory

	// windowBytes is read from a file at a time. A larger window is slower: it leaves the cache.
	windowBytes = 256 << 10
	// maxCheckedBatch is the size up to which a batch is read at once, to be checked as a whole.
	maxCheckedBatch = 1 << 20
	// maxKeptWindow is the size up to which the memory of a window is kept for the next reader.
	maxKeptWindow = 1 << 20

	// sparseReads of at most sparseBytes make a segment one that is worth mapping.
	sparseReads = 64
	sparseBytes = 16 << 10
	// fetchBytes of records are fetched ahead from a mapping: half of the nearest cache of a
	// processor, in lines of cacheLine.
	fetchBytes = 16 << 10
	cacheLine  = 64
	// maxMappings and maxMappedBytes bound what is mapped: addresses, not memory.
	maxMappings    = 64
	maxMappedBytes = 4 << 30

	// maxOpenFiles bounds the descriptors that readers of segments keep open.
	maxOpenFiles = 128
	// nameSlots bounds the events whose strings a decoder remembers, maxNames the emitters.
	nameSlots = 1 << 12
	maxNames  = 8192
	// rewriteBytes is what must be saved at least for a segment to be rewritten, beside half of it,
	// and rewrittenBatchBytes the size from which on its batches grow no more.
	rewriteBytes        = 4 << 10
	rewrittenBatchBytes = 256 << 10
	// sequenceLeap is more than the number of commits whose records fit into a segment, and so more
	// than a power cut can take: the segments before are synced.
	sequenceLeap = maxSegmentBytes / 16
	// restoredLeap is more than the number of commits that a log gets in years after a backup of it
	// was made; a multiple of sequenceLeap.
	restoredLeap = 1 << 40
	// maxFileBytes is more than the file of a segment ever has: batches, then an index smaller than
	// they are.
	maxFileBytes = 2*maxSegmentBytes + 2*MaxBatchBytes
	// maxRunBytes is how much of the active segment gets a run of its own, see runs.go.
	maxRunBytes = 16 << 20
	// openingRetries is how often a read-only opening begins again because a writer began.
	openingRetries = 100
	// beaconRetries is how often a beacon that was read while it was overwritten is read again.
	beaconRetries = 100
)

// Sizes of caches, and of what is carried along. They are variables for tests, which change them
// before a store is opened.
//
//nolint:gochecknoglobals // as it says.
var (
	// maxOpenIndexes bounds the mappings of indexes of sealed segments: a process has some ten
	// thousand at most.
	maxOpenIndexes = 4096
	// maxEntities bounds the states of entities that a writer keeps, which the log has too.
	maxEntities = 1 << 15
	// maxIndexBytes bounds the memory of indexes of sealed segments that cannot be used in place.
	maxIndexBytes int64 = 32 << 20
	// minRestBytes is the size that files of what stays of dropped events grow to, at least.
	minRestBytes int64 = 1 << 20
)

// Times.
const (
	defaultSyncEvery = 100 * time.Millisecond
	// lazySyncDelay bounds how long a lazy commit waits for a sync.
	lazySyncDelay = 10 * time.Millisecond
	// followInterval is how often a waiting read-only store looks whether its writer has written.
	followInterval = 20 * time.Millisecond
)
