package storage

import (
	"context"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/workload"
)

// records is an open store with records in it. Only append is called by several goroutines.
type records interface {
	// append writes n records, from the i-th on, and returns when they are acknowledged: all at once.
	append(writer, i, n int) error
	// readAll returns how many records there are, each of which it has read.
	readAll() (int, error)
	// readMatching returns how many are of an entity, each of which it has read.
	readMatching(entity int) (int, error)
	close() error
}

// settings of a store.
type settings struct {
	synced  bool // appends are acknowledged after a sync
	writers int  // that append at the same time
	indexed bool // the records of an entity can be found
}

// kind is a kind of store.
type kind struct {
	name             string
	synced, unsynced string // what an acknowledgement promises
	reads            string // what a reader gets, and what is checked
	open             func(ctx context.Context, dir string, s settings) (records, error)
	bare             bool                   // it has no index
	filled           func(dir string) error // called when its log is written, before it is closed; nil for nothing
}

// Names of contestants.
const (
	limit        = "limit"
	penstock     = "Penstock"
	penstockScan = "Penstock, Scan"
	pebbleDB     = "Pebble"
	boltDB       = "bbolt"
	sqliteDB     = "SQLite"
	tidwallLog   = "tidwall/wal"
	jetStream    = "JetStream"
)

const (
	written = "handed to the operating system"
	shared  = "one write and fdatasync for all that wait"
)

// kinds are all kinds of store.
func kinds() []kind {
	return []kind{
		{name: limit, open: openLimit, synced: shared, unsynced: "one write", reads: "a checksum of each record"},
		{
			name: penstock, open: openPenstock, synced: shared, unsynced: written + " (`SyncNever`)",
			reads: "checksums; events that stay valid", filled: keepKilled,
		},
		{
			name: pebbleDB, open: openPebble, synced: "`pebble.Sync`, shared by all that wait", unsynced: "in memory of the process, which a kill loses (`pebble.NoSync`)",
			reads: "a checksum of each block; records that are valid until the next one",
		},
		{
			name: boltDB, open: openBolt, synced: "a transaction, shared by what `Batch` gathers within 10 ms",
			unsynced: "a transaction " + written + " (`NoSync`)", reads: "no checksum; records in mapped memory",
		},
		{
			name: sqliteDB, open: openSQLite, synced: "a transaction each (`synchronous=FULL`)",
			unsynced: "a transaction " + written + " (`synchronous=OFF`)", reads: "no checksum; records that are valid until the next one",
		},
		{
			name: tidwallLog, open: openTidwall, bare: true, synced: "a sync each", unsynced: written + " (`NoSync`)",
			reads: "no checksum; records in a segment that is in memory as a whole",
		},
		{
			name: jetStream, open: openJetStream, synced: "the server syncs each message (`sync_interval: always`)",
			unsynced: written + "; the server syncs every two minutes", reads: "a checksum of each message, which a client gets over a connection",
		},
	}
}

// load fills a store with the first records.
func load(ctx context.Context, k kind, dir string, n int) error {
	// What a kill leaves is that of a writer that syncs; the others are only read.
	r, err := k.open(ctx, dir, settings{writers: 1, indexed: true, synced: k.filled != nil})
	if err != nil {
		return err
	}
	for i := 0; i < n && err == nil; i += workload.LoadBatch {
		err = r.append(0, i, min(workload.LoadBatch, n-i))
	}
	if err == nil && k.filled != nil {
		err = k.filled(dir)
	}
	return closing(r, err)
}

// unit of a figure, by its name.
const (
	unitEvents  = "ev/s"
	unitFirst   = "first-ev/s"
	unitMillis  = "ms"
	unitKilled  = "killed-ms"
	unitCold    = "cold-us"
	unitWarm    = "warm-us"
	unitP50     = "p50-us"
	unitP99     = "p99-us"
	unitCPU     = "cpu-us/ev"
	unitBytes   = "alloc-B/ev"
	unitObjects = "allocs/ev"
)

// costs are the figures of what a piece of work used up, of which each was n events.
func costs(each workload.PerOp, n int) map[string]float64 {
	return map[string]float64{
		unitCPU: figures.Micros(each.CPU) / float64(n), unitBytes: each.Bytes / float64(n), unitObjects: each.Objects / float64(n),
	}
}
