package storage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"github.com/penstock-io/penstock/bench/workload"
)

// boltStore has a bucket of records, and one with a key per record and entity for its index.
type boltStore struct {
	db *bolt.DB
	settings
}

var recordBucket, entityBucket = []byte("records"), []byte("entities")

func openBolt(_ context.Context, dir string, s settings) (records, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	db, err := bolt.Open(filepath.Join(dir, "bolt"), 0o600, &bolt.Options{
		NoSync: !s.synced, NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err1 := tx.CreateBucketIfNotExists(recordBucket)
		_, err2 := tx.CreateBucketIfNotExists(entityBucket)
		return errors.Join(err1, err2)
	})
	return &boltStore{db: db, settings: s}, err
}

func (b *boltStore) append(_, i, n int) error {
	update := b.db.Update
	if b.writers > 1 {
		update = b.db.Batch
	}
	return update(func(tx *bolt.Tx) error {
		list := tx.Bucket(recordBucket)
		list.FillPercent = 1 // nothing is written between two records later
		for k := i; k < i+n; k++ {
			if err := list.Put(workload.RecordKey(k), record(k)); err != nil {
				return err
			}
			if !b.indexed {
				continue
			}
			if err := tx.Bucket(entityBucket).Put(entityKey(k%workload.Entities, k), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *boltStore) readAll() (n int, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(recordBucket).ForEach(func(_, rec []byte) error {
			if i, _ := workload.DecodeRecord(rec); i == n {
				n++
			}
			return nil
		})
	})
	return n, err
}

func (b *boltStore) readMatching(entity int) (n int, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		index, list := tx.Bucket(entityBucket).Cursor(), tx.Bucket(recordBucket).Cursor()
		from := entityKey(entity, 0)
		for key, _ := index.Seek(from); bytes.HasPrefix(key, from[:2]); key, _ = index.Next() {
			if _, rec := list.Seek(key[2:]); rec != nil {
				if _, e := workload.DecodeRecord(rec); e == entity {
					n++
				}
			}
		}
		return nil
	})
	return n, err
}

func (b *boltStore) close() error { return b.db.Close() }
