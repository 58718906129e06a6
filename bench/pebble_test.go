package bench

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/workload"
)

func openPebble(b *testing.B, dir string) *pebble.DB {
	b.Helper()
	db, err := delivery.OpenPebble(dir)
	must(b, err)
	return db
}

// durablePebble sets one key per event, each synced.
func durablePebble(writers int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		db := openPebble(b, dir)
		records := make([][]byte, writers)
		for w := range records {
			records[w] = make([]byte, workload.RecordBytes)
		}
		return contestant{close: db.Close, op: func(w, i int) error {
			workload.EncodeRecord(records[w], i)
			return db.Set(workload.RecordKey(i), records[w], pebble.Sync)
		}}
	}
}

// unsyncedPebble commits batches without a sync, for a single writer.
func unsyncedPebble(batch int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		db := openPebble(b, dir)
		return contestant{close: db.Close, op: func(_, i int) error {
			return pebbleBatch(db, i*batch, batch, false)
		}}
	}
}

// pebbleBatch writes the events from i on, with an index entry for each entity on demand.
func pebbleBatch(db *pebble.DB, i, n int, index bool) error {
	batch := db.NewBatch()
	for k := i; k < i+n; k++ {
		rec := make([]byte, workload.RecordBytes)
		workload.EncodeRecord(rec, k)
		if err := batch.Set(workload.RecordKey(k), rec, nil); err != nil {
			return err
		}
		if !index {
			continue
		}
		if err := batch.Set(entityKey(k%workload.Entities, k), nil, nil); err != nil {
			return err
		}
	}
	return batch.Commit(pebble.NoSync)
}

// entityKey sorts after all records.
func entityKey(entity, i int) []byte {
	key := append([]byte{0xff}, byte(entity))
	return binary.BigEndian.AppendUint64(key, uint64(i))
}

// replayPebble iterates over all records and decodes their metadata.
func replayPebble(db *pebble.DB) (events int, err error) {
	iter, err := db.NewIter(&pebble.IterOptions{UpperBound: []byte{0xff}})
	if err != nil {
		return 0, err
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		if i, _ := workload.DecodeRecord(iter.Value()); i != events {
			break
		}
		events++
	}
	return events, iter.Close()
}

// matchPebble asks the index for the events of one entity and looks each of them up.
func matchPebble(db *pebble.DB, entity int) (events int, err error) {
	index, err := db.NewIter(&pebble.IterOptions{LowerBound: entityKey(entity, 0), UpperBound: entityKey(entity+1, 0)})
	if err != nil {
		return 0, err
	}
	defer index.Close()
	records, err := db.NewIter(&pebble.IterOptions{UpperBound: []byte{0xff}})
	if err != nil {
		return 0, err
	}
	defer records.Close()
	for ok := index.First(); ok; ok = index.Next() {
		if !records.SeekGE(index.Key()[2:]) {
			break
		}
		if _, e := workload.DecodeRecord(records.Value()); e == entity {
			events++
		}
	}
	return events, nil
}
