package storetest_test

import (
	"context"
	"iter"
	"testing"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Sealed is a store that keeps payloads in another form than its callers see, as one that encrypts
// would: each method that takes a payload seals it, and each that returns one opens it.
type Sealed struct{ *store.Store }

// seal and open stand for a cipher, which would be deterministic where idempotency keys are used.
func seal(b []byte) []byte {
	sealed := make([]byte, len(b))
	for i := range b {
		sealed[i] = ^b[i]
	}
	return sealed
}

func open(e store.Event) store.Event {
	if _, erased := e.Erased(); !erased {
		e.Payload = seal(e.Payload)
	}
	return e
}

func sealed(b store.Batch) (store.Batch, error) {
	events := b.Events
	b.Events = make([]store.Proposal, len(events))
	for i, p := range events {
		p, err := p.Encode()
		if err != nil {
			return b, err
		}
		raw, _ := p.Payload.(store.Raw)
		raw.Data = seal(raw.Data)
		p.Payload = raw
		b.Events[i] = p
	}
	return b, nil
}

func (s Sealed) Append(ctx context.Context, at store.Coordinate, expect store.Expect, p store.Payload) (store.Receipt, error) {
	return s.Commit(ctx, store.Batch{Events: []store.Proposal{{At: at, Expect: expect, Payload: p}}})
}

func (s Sealed) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	b, err := sealed(b)
	if err != nil {
		return store.Receipt{}, err
	}
	return s.Store.Commit(ctx, b)
}

func (s Sealed) Read(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		for e, err := range s.Store.Read(ctx, r, from) {
			if !yield(open(e), err) {
				return
			}
		}
	}
}

func (s Sealed) Scan(ctx context.Context, r store.Region, from store.From) iter.Seq2[*store.Event, error] {
	return func(yield func(*store.Event, error) bool) {
		for e, err := range s.Store.Scan(ctx, r, from) {
			if e != nil { // what is lent is not written to
				opened := open(*e)
				e = &opened
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (s Sealed) ReadPage(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (store.Page, error) {
	page, err := s.Store.ReadPage(ctx, r, after, upTo, limit)
	for i := range page.Events {
		page.Events[i] = open(page.Events[i])
	}
	return page, err
}

func (s Sealed) Get(ctx context.Context, id uuid.UUID) (store.Event, error) {
	e, err := s.Store.Get(ctx, id)
	return open(e), err
}

func (s Sealed) GetAt(ctx context.Context, p store.Position) (store.Event, error) {
	e, err := s.Store.GetAt(ctx, p)
	return open(e), err
}

// SealedFence is a fence of such a store.
type SealedFence struct{ *store.Fence }

func (f SealedFence) Stage(ctx context.Context, b store.Batch) (store.Receipt, error) {
	b, err := sealed(b)
	if err != nil {
		return store.Receipt{}, err
	}
	return f.Fence.Stage(ctx, b)
}

// A wrapper that changes what is written has a fence of its own, and its gates would see what is
// sealed: their laws are left out.
func TestSealedKeepsTheLawsOverCrashes(t *testing.T) {
	storetest.Run(t, storetest.OnDisk(store.Options{SegmentBytes: smallest}, func(st *store.Store) storetest.Subject {
		s := storetest.Of(st)
		s.Writer, s.Ungated = Sealed{st}, true
		s.OpenFence = func(ctx context.Context, o store.FenceOptions) (storetest.Fence, error) {
			f, err := store.OpenFence(ctx, st, o)
			if err != nil {
				return nil, err
			}
			return SealedFence{f}, nil
		}
		return s
	}))
}

// Bare reads and commits, and can do nothing else.
type Bare struct{ storetest.Writer }

func TestAHandleThatReadsAndCommitsAndNoMoreIsTestedByTheLawsOfThat(t *testing.T) {
	storetest.Run(t, func(tb testing.TB, o store.Options) storetest.Subject {
		tb.Helper()
		o.SegmentBytes = smallest
		st, err := storetest.Open(o)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = st.Close() })
		return storetest.Subject{Writer: Bare{st}}
	})
}
