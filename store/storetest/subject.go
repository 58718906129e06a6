package storetest

import (
	"context"
	"iter"
	"testing"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// Reader is what the laws ask of a handle that reads: methods of [store.Store], with what its
// documentation promises of them.
type Reader interface {
	Origin() store.Origin
	Head() store.Position
	Wait(ctx context.Context, after store.Position) (store.Position, error)
	WaitVisible(ctx context.Context, r store.Receipt) error
	Resolve(ctx context.Context, from store.From) (store.Position, error)
	Read(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error]
	Scan(ctx context.Context, r store.Region, from store.From) iter.Seq2[*store.Event, error]
	ReadPage(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (store.Page, error)
	Count(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (int, error)
	Get(ctx context.Context, id uuid.UUID) (store.Event, error)
	GetAt(ctx context.Context, p store.Position) (store.Event, error)
	Version(ctx context.Context, entity string) (uint64, error)
	Side(key string) (store.SideValue, bool, error)
	Sides(prefix string) iter.Seq2[store.SideValue, error]
	SideRange(from, to string, limit int) iter.Seq2[store.SideValue, error]
	AnchorAt(ctx context.Context, p store.Position) (store.Anchor, error)
	CheckAnchor(ctx context.Context, a store.Anchor) error
	Close() error
}

// Writer is a [Reader] that commits.
type Writer interface {
	Reader
	Append(ctx context.Context, at store.Coordinate, expect store.Expect, p store.Payload) (store.Receipt, error)
	Commit(ctx context.Context, b store.Batch) (store.Receipt, error)
}

// Fence is what the laws ask of a [store.Fence].
type Fence interface {
	Stage(ctx context.Context, b store.Batch) (store.Receipt, error)
	Publish(ctx context.Context) error
	Cancel(ctx context.Context) error
}

// Subject is the handle, or the pair of them, that the laws are tested on. What it is not able to
// do is left out: laws that need it are then no part of the test.
type Subject struct {
	// Writer commits.
	Writer Writer
	// Reader is asked what Writer has committed; nil where Writer is asked itself. Each call must show
	// all that was acknowledged before: one that lags behind is wrapped so that it waits.
	Reader Reader
	// Store is the store below Reader, for what are functions over a store: lineage and verification.
	// nil leaves their laws out.
	Store *store.Store
	// OpenFence opens a fence of Writer. nil leaves the laws of fences out.
	OpenFence func(ctx context.Context, o store.FenceOptions) (Fence, error)
	// Erase erases in the log of Writer. nil leaves the laws of erasure out.
	Erase func(ctx context.Context, e store.Erasure) (store.ErasureReport, error)
	// Retain drops events of the log of Writer, with no holders but fences. nil leaves the laws of
	// retention out.
	Retain func(ctx context.Context, o store.RetainOptions) (store.RetainReport, error)
	// Ungated says that Writer was opened without the Gates of the options. Their laws are left out.
	Ungated bool
	// Reopen closes what is open and opens the same log again. A Reader beside the Writer may stay
	// open. nil leaves out the laws of what a log keeps.
	Reopen func(tb testing.TB) Subject
	// Crash ends the life of the Writer as a power cut does, also in the midst of commits, and opens
	// what is left of the log. nil leaves the laws of crashes out.
	Crash func(tb testing.TB) Subject
}

// Of is a store as a subject, with what needs no more than the store. A test of a wrapper puts it
// in place of Writer, or of Reader.
func Of(st *store.Store) Subject {
	return Subject{
		Writer: st, Store: st,
		OpenFence: func(ctx context.Context, o store.FenceOptions) (Fence, error) {
			f, err := store.OpenFence(ctx, st, o)
			if err != nil {
				return nil, err
			}
			return f, nil
		},
		Erase: func(ctx context.Context, e store.Erasure) (store.ErasureReport, error) {
			return store.Erase(ctx, st, e)
		},
		Retain: func(ctx context.Context, o store.RetainOptions) (store.RetainReport, error) {
			return store.Retain(ctx, st, nil, o)
		},
	}
}

// Opener opens a new, empty log. Of o it must keep the Gates; all else is for it to choose. What it
// opens it closes itself when the test ends, with tb.Cleanup: some laws close it before.
type Opener func(tb testing.TB, o store.Options) Subject

// OnDisk opens logs on a [Disk] each, and so is able to reopen them and to cut their power. wrap
// makes a subject of the store at each opening: [Of], or a function that puts a wrapper in.
func OnDisk(o store.Options, wrap func(st *store.Store) Subject) Opener {
	return func(tb testing.TB, given store.Options) Subject {
		tb.Helper()
		o := o // of this log
		o.Gates = given.Gates
		return openOn(tb, NewDisk(), o, wrap)
	}
}

func openOn(tb testing.TB, disk *Disk, o store.Options, wrap func(st *store.Store) Subject) Subject {
	tb.Helper()
	st, err := disk.Open("data", o)
	if err != nil {
		tb.Fatalf("storetest: open: %v", err)
	}
	tb.Cleanup(func() { _ = st.Close() })
	s := wrap(st)
	s.Reopen = func(tb testing.TB) Subject {
		tb.Helper()
		if err := s.Writer.Close(); err != nil {
			tb.Fatalf("storetest: close: %v", err)
		}
		return openOn(tb, disk, o, wrap)
	}
	s.Crash = func(tb testing.TB) Subject {
		tb.Helper()
		disk.Cut()
		_ = st.Close() // ends what is running, and writes nothing
		return openOn(tb, disk.Rebooted(uint64(disk.Ops())), o, wrap)
	}
	return s
}
