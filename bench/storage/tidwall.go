package storage

import (
	"context"
	"errors"
	"sync"

	"github.com/tidwall/wal"

	"github.com/penstock-io/penstock/bench/workload"
)

// tidwallStore is a log whose callers number its entries, so that they write one after the other.
type tidwallStore struct {
	mu   sync.Mutex
	log  *wal.Log
	last uint64 // entry; guarded by mu
}

func openTidwall(_ context.Context, dir string, s settings) (records, error) {
	l, err := wal.Open(dir, &wal.Options{NoSync: !s.synced, NoCopy: true})
	if err != nil {
		return nil, err
	}
	last, err := l.LastIndex()
	return &tidwallStore{log: l, last: last}, err
}

func (t *tidwallStore) append(_, i, n int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n == 1 {
		t.last++
		return t.log.Write(t.last, record(i))
	}
	var batch wal.Batch
	for k := range n {
		t.last++
		batch.Write(t.last, record(i+k))
	}
	return t.log.WriteBatch(&batch)
}

func (t *tidwallStore) readAll() (n int, err error) {
	for entry := uint64(1); entry <= t.last; entry++ {
		rec, err := t.log.Read(entry)
		if err != nil {
			return n, err
		}
		if i, _ := workload.DecodeRecord(rec); i == n {
			n++
		}
	}
	return n, nil
}

func (*tidwallStore) readMatching(int) (int, error) {
	return 0, errors.New("tidwall/wal has no index")
}

func (t *tidwallStore) close() error { return t.log.Close() }
