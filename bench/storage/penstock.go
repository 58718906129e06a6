package storage

import (
	"context"

	"github.com/penstock-io/penstock/bench/workload"
	"github.com/penstock-io/penstock/store"
)

// log is Penstock's.
type log struct {
	ctx   context.Context
	st    *store.Store
	count func(store.Region) (int, error) // reads
}

func openPenstock(ctx context.Context, dir string, s settings) (records, error) {
	l, err := openLog(ctx, dir, s)
	if err != nil {
		return nil, err
	}
	l.count = l.countRead
	return l, nil
}

// openScanning opens a store whose events are lent to the reader until the next one.
func openScanning(ctx context.Context, dir string, s settings) (records, error) {
	l, err := openLog(ctx, dir, s)
	if err != nil {
		return nil, err
	}
	l.count = l.countScan
	return l, nil
}

func openLog(ctx context.Context, dir string, s settings) (*log, error) {
	o := store.Options{Sync: store.SyncNever}
	if s.synced {
		o.Sync = store.SyncAlways
	}
	st, err := store.Open(dir, o)
	return &log{ctx: ctx, st: st}, err
}

func (l *log) append(_, i, n int) error {
	if n == 1 {
		_, err := l.st.Append(l.ctx, workload.Coordinates[i%workload.Entities], store.Any, workload.Event(i))
		return err
	}
	_, err := l.st.Commit(l.ctx, store.Batch{Events: workload.Proposals(i, n, workload.Proposal)})
	return err
}

func (l *log) readAll() (int, error) { return l.count(store.Region{}) }

func (l *log) readMatching(entity int) (int, error) {
	return l.count(store.Region{Entity: workload.Coordinates[entity].Entity})
}

func (l *log) countRead(r store.Region) (n int, err error) {
	for e, err := range l.st.Read(l.ctx, r, store.Beginning()) {
		if err != nil {
			return n, err
		}
		if len(e.Payload) == workload.PayloadBytes {
			n++
		}
	}
	return n, nil
}

func (l *log) countScan(r store.Region) (n int, err error) {
	for e, err := range l.st.Scan(l.ctx, r, store.Beginning()) {
		if err != nil {
			return n, err
		}
		if len(e.Payload) == workload.PayloadBytes {
			n++
		}
	}
	return n, nil
}

func (l *log) close() error { return l.st.Close() }
