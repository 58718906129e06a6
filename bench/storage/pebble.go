package storage

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/workload"
)

// pebbleStore has a key per record, and one per record and entity for its index.
type pebbleStore struct {
	db *pebble.DB
	settings
}

func openPebble(_ context.Context, dir string, s settings) (records, error) {
	db, err := delivery.OpenPebble(dir)
	if err != nil {
		return nil, err
	}
	return &pebbleStore{db: db, settings: s}, nil
}

// entityKey sorts after all records.
func entityKey(entity, i int) []byte {
	return binary.BigEndian.AppendUint64([]byte{0xff, byte(entity)}, uint64(i))
}

func (p *pebbleStore) append(_, i, n int) error {
	durably := pebble.NoSync
	if p.synced {
		durably = pebble.Sync
	}
	if n == 1 {
		return p.db.Set(workload.RecordKey(i), record(i), durably)
	}
	batch := p.db.NewBatch()
	for k := i; k < i+n; k++ {
		if err := batch.Set(workload.RecordKey(k), record(k), nil); err != nil {
			return err
		}
		if !p.indexed {
			continue
		}
		if err := batch.Set(entityKey(k%workload.Entities, k), nil, nil); err != nil {
			return err
		}
	}
	return batch.Commit(durably)
}

func (p *pebbleStore) readAll() (n int, err error) {
	it, err := p.db.NewIter(&pebble.IterOptions{UpperBound: []byte{0xff}})
	if err != nil {
		return 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if i, _ := workload.DecodeRecord(it.Value()); i == n {
			n++
		}
	}
	return n, it.Close()
}

func (p *pebbleStore) readMatching(entity int) (n int, err error) {
	index, err := p.db.NewIter(&pebble.IterOptions{LowerBound: entityKey(entity, 0), UpperBound: entityKey(entity+1, 0)})
	if err != nil {
		return 0, err
	}
	defer index.Close()
	list, err := p.db.NewIter(&pebble.IterOptions{UpperBound: []byte{0xff}})
	if err != nil {
		return 0, err
	}
	defer list.Close()
	for ok := index.First(); ok; ok = index.Next() {
		if !list.SeekGE(index.Key()[2:]) {
			break
		}
		if _, e := workload.DecodeRecord(list.Value()); e == entity {
			n++
		}
	}
	return n, nil
}

func (p *pebbleStore) close() error { return p.db.Close() }
