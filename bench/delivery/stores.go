package delivery

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	bolt "go.etcd.io/bbolt"

	"github.com/penstock-io/penstock/bench/workload"
)

// quiet keeps Pebble's reports out of the results.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, _ ...any) { panic("pebble: " + format) }

// OpenPebble opens a store with a 64 MiB memtable, a 256 MiB cache, and else its defaults.
func OpenPebble(dir string) (*pebble.DB, error) {
	cache := pebble.NewCache(256 << 20)
	defer cache.Unref()
	return pebble.Open(dir, &pebble.Options{Logger: quiet{}, MemTableSize: 64 << 20, Cache: cache})
}

// PebbleCheckpoints overwrites one small value per worker, each time synced; Pebble shares its
// syncs.
func PebbleCheckpoints(workers int) Run {
	return func(_ context.Context, t Turn) (Result, error) {
		db, err := OpenPebble(t.Dir)
		if err != nil {
			return nil, err
		}
		keys := checkpointKeys(workers)
		o, err := workload.Drive(workers, t.Time, func(w, i int) error {
			return db.Set(keys[w], workload.Payload(i)[:CheckpointBytes], pebble.Sync)
		})
		return checkpoints(o), errors.Join(err, db.Close())
	}
}

func checkpointKeys(workers int) [][]byte {
	keys := make([][]byte, workers)
	for w := range keys {
		keys[w] = workload.RecordKey(w)
	}
	return keys
}

// BoltCheckpoints overwrites one small value per worker with Batch, which gathers what comes within
// 10 ms, at most 1000 calls, into one transaction; a transaction is synced.
func BoltCheckpoints(workers int) Run {
	return func(_ context.Context, t Turn) (Result, error) {
		db, err := bolt.Open(filepath.Join(t.Dir, "bolt"), 0o600, &bolt.Options{
			NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
		})
		if err != nil {
			return nil, err
		}
		bucket, keys := []byte("checkpoints"), checkpointKeys(workers)
		err = db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket(bucket)
			return err
		})
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		o, err := workload.Drive(workers, t.Time, func(w, i int) error {
			return db.Batch(func(tx *bolt.Tx) error {
				return tx.Bucket(bucket).Put(keys[w], workload.Payload(i)[:CheckpointBytes])
			})
		})
		return checkpoints(o), errors.Join(err, db.Close())
	}
}
