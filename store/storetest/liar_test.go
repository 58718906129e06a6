package storetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// liar is a wrapper that breaks a promise by the functions that are set.
type liar struct {
	*store.Store
	tb testing.TB

	commit  func(ctx context.Context, b store.Batch) (store.Receipt, error)
	head    func() store.Position
	wait    func(ctx context.Context, after store.Position) (store.Position, error)
	read    func(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error]
	scan    func(ctx context.Context, r store.Region, from store.From) iter.Seq2[*store.Event, error]
	page    func(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (store.Page, error)
	count   func(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (int, error)
	get     func(ctx context.Context, id uuid.UUID) (store.Event, error)
	at      func(ctx context.Context, p store.Position) (store.Event, error)
	resolve func(ctx context.Context, from store.From) (store.Position, error)
	version func(ctx context.Context, entity string) (uint64, error)
	side    func(key string) (store.SideValue, bool, error)
	sides   func(from, to string, limit int) iter.Seq2[store.SideValue, error]
	visible func(ctx context.Context, r store.Receipt) error
	check   func(ctx context.Context, a store.Anchor) error
	close   func() error

	mu     sync.Mutex
	fences []Fence
	keys   map[string]store.Receipt
	meets  chan struct{}
}

func (l *liar) Append(ctx context.Context, at store.Coordinate, expect store.Expect, p store.Payload) (store.Receipt, error) {
	return l.Commit(ctx, store.Batch{Events: []store.Proposal{{At: at, Expect: expect, Payload: p}}})
}

func (l *liar) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if l.commit != nil {
		return l.commit(ctx, b)
	}
	return l.Store.Commit(ctx, b)
}

func (l *liar) Head() store.Position {
	if l.head != nil {
		return l.head()
	}
	return l.Store.Head()
}

func (l *liar) Wait(ctx context.Context, after store.Position) (store.Position, error) {
	if l.wait != nil {
		return l.wait(ctx, after)
	}
	return l.Store.Wait(ctx, after)
}

func (l *liar) WaitVisible(ctx context.Context, r store.Receipt) error {
	if l.visible != nil {
		return l.visible(ctx, r)
	}
	return l.Store.WaitVisible(ctx, r)
}

func (l *liar) Read(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
	if l.read != nil {
		return l.read(ctx, r, from)
	}
	return l.Store.Read(ctx, r, from)
}

func (l *liar) Scan(ctx context.Context, r store.Region, from store.From) iter.Seq2[*store.Event, error] {
	if l.scan != nil {
		return l.scan(ctx, r, from)
	}
	return l.Store.Scan(ctx, r, from)
}

func (l *liar) ReadPage(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (store.Page, error) {
	if l.page != nil {
		return l.page(ctx, r, after, upTo, limit)
	}
	return l.Store.ReadPage(ctx, r, after, upTo, limit)
}

func (l *liar) Count(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (int, error) {
	if l.count != nil {
		return l.count(ctx, r, after, upTo, limit)
	}
	return l.Store.Count(ctx, r, after, upTo, limit)
}

func (l *liar) Get(ctx context.Context, id uuid.UUID) (store.Event, error) {
	if l.get != nil {
		return l.get(ctx, id)
	}
	return l.Store.Get(ctx, id)
}

func (l *liar) GetAt(ctx context.Context, p store.Position) (store.Event, error) {
	if l.at != nil {
		return l.at(ctx, p)
	}
	return l.Store.GetAt(ctx, p)
}

func (l *liar) Resolve(ctx context.Context, from store.From) (store.Position, error) {
	if l.resolve != nil {
		return l.resolve(ctx, from)
	}
	return l.Store.Resolve(ctx, from)
}

func (l *liar) Version(ctx context.Context, entity string) (uint64, error) {
	if l.version != nil {
		return l.version(ctx, entity)
	}
	return l.Store.Version(ctx, entity)
}

func (l *liar) Side(key string) (store.SideValue, bool, error) {
	if l.side != nil {
		return l.side(key)
	}
	return l.Store.Side(key)
}

func (l *liar) SideRange(from, to string, limit int) iter.Seq2[store.SideValue, error] {
	if l.sides != nil {
		return l.sides(from, to, limit)
	}
	return l.Store.SideRange(from, to, limit)
}

func (l *liar) Sides(prefix string) iter.Seq2[store.SideValue, error] {
	if l.sides != nil && prefix == "" {
		return l.sides("", "", 0)
	}
	return l.Store.Sides(prefix)
}

func (l *liar) CheckAnchor(ctx context.Context, a store.Anchor) error {
	if l.check != nil {
		return l.check(ctx, a)
	}
	return l.Store.CheckAnchor(ctx, a)
}

func (l *liar) Close() error {
	if l.close != nil {
		return l.close()
	}
	return l.Store.Close()
}

// lyingFence breaks a promise likewise.
type lyingFence struct {
	Fence

	stage  func(ctx context.Context, b store.Batch) (store.Receipt, error)
	cancel func(ctx context.Context) error
}

func (f *lyingFence) Stage(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if f.stage != nil {
		return f.stage(ctx, b)
	}
	return f.Fence.Stage(ctx, b)
}

func (f *lyingFence) Cancel(ctx context.Context) error {
	if f.cancel != nil {
		return f.cancel(ctx)
	}
	return f.Fence.Cancel(ctx)
}

// changed is a lie about what is committed.
func changed(change func(b *store.Batch)) func(s *Subject, l *liar) {
	return func(_ *Subject, l *liar) {
		l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
			b.Events, b.Sides = slices.Clone(b.Events), slices.Clone(b.Sides)
			change(&b)
			return l.Store.Commit(ctx, b)
		}
	}
}

// told is a lie about the outcome of a commit.
func told(change func(r *store.Receipt, err *error)) func(s *Subject, l *liar) {
	return func(_ *Subject, l *liar) {
		l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
			r, err := l.Store.Commit(ctx, b)
			r.Events = slices.Clone(r.Events)
			change(&r, &err)
			return r, err
		}
	}
}

// shown is a lie about the events of a region.
func shown(change func(events []store.Event) []store.Event) func(s *Subject, l *liar) {
	return func(_ *Subject, l *liar) {
		l.read = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
			return func(yield func(store.Event, error) bool) {
				events, err := collect(l.Store.Read(ctx, r, from))
				for _, e := range change(events) {
					if !yield(e, nil) {
						return
					}
				}
				if err != nil {
					yield(store.Event{}, err)
				}
			}
		}
	}
}

// staged is a lie about fences.
func staged(change func(l *liar, f *lyingFence)) func(s *Subject, l *liar) {
	return func(s *Subject, l *liar) {
		open := s.OpenFence
		s.OpenFence = func(ctx context.Context, o store.FenceOptions) (Fence, error) {
			f, err := open(ctx, o)
			if err != nil {
				return nil, err
			}
			lying := &lyingFence{Fence: f}
			change(l, lying)
			l.fences = append(l.fences, lying)
			return lying, nil
		}
	}
}

// meet returns when two callers have called it, or soon.
func (l *liar) meet() {
	l.mu.Lock()
	if first := l.meets; first != nil {
		l.meets = nil
		close(first)
		l.mu.Unlock()
		return
	}
	other := make(chan struct{})
	l.meets = other
	l.mu.Unlock()
	select {
	case <-other:
	case <-time.After(3 * time.Millisecond):
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.meets == other {
		l.meets = nil
	}
}

// lookFirst judges what a batch requires beside the commit, and not in it.
func lookFirst(_ *Subject, l *liar) {
	l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
		for _, c := range b.Conditions {
			page, err := l.ReadPage(ctx, c.Region, c.After, 0, 1)
			if err != nil {
				return store.Receipt{}, err
			}
			if len(page.Events) > 0 {
				return store.Receipt{}, &store.ConflictError{Condition: &c, Position: page.Events[0].Position}
			}
		}
		b.Events, b.Conditions = slices.Clone(b.Events), nil
		for i := range b.Events {
			p := &b.Events[i]
			if version, _ := l.Version(ctx, p.At.Entity); !accepts(p.Expect, version) {
				return store.Receipt{}, &store.ConflictError{Entity: p.At.Entity, Expected: p.Expect, Actual: version}
			}
			p.Expect = store.Any
		}
		l.meet()
		return l.Store.Commit(ctx, b)
	}
}

// onePerEvent commits each event by itself.
func onePerEvent(_ *Subject, l *liar) {
	l.commit = func(ctx context.Context, b store.Batch) (r store.Receipt, err error) {
		if len(b.Events) == 0 {
			return l.Store.Commit(ctx, b)
		}
		var all store.Receipt
		for i := range b.Events {
			one := store.Batch{Events: b.Events[i : i+1]}
			if i == len(b.Events)-1 {
				one.Sides, one.Conditions = b.Sides, b.Conditions
			}
			if r, err = l.Store.Commit(ctx, one); err != nil {
				return r, err
			}
			all.Origin, all.Sequence = r.Origin, r.Sequence
			all.Events = append(all.Events, r.Events...)
			l.meet()
		}
		return all, nil
	}
}

// ownKeys remembers keys by itself.
func ownKeys(_ *Subject, l *liar) {
	l.keys = make(map[string]store.Receipt)
	l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		key := b.IdempotencyKey
		if r, known := l.keys[key]; known {
			r.Duplicate = true
			return r, nil
		}
		b.IdempotencyKey = ""
		r, err := l.Store.Commit(ctx, b)
		if key != "" && err == nil {
			l.keys[key] = r
		}
		return r, err
	}
}

// cache shows what was read once as it was then. It belongs to one goroutine.
type cache map[store.Position]store.Event

func (c cache) keep(e store.Event) store.Event {
	was, known := c[e.Position]
	if !known {
		was = e.Clone()
		c[e.Position] = was
	}
	return was
}

func (c cache) keepOne(e store.Event, err error) (store.Event, error) {
	if err == nil {
		e = c.keep(e)
	}
	return e, err
}

func keepsByID(_ *Subject, l *liar) {
	c := make(cache)
	l.get = func(ctx context.Context, id uuid.UUID) (store.Event, error) { return c.keepOne(l.Store.Get(ctx, id)) }
}

func keepsByPosition(_ *Subject, l *liar) {
	c := make(cache)
	l.at = func(ctx context.Context, p store.Position) (store.Event, error) {
		return c.keepOne(l.Store.GetAt(ctx, p))
	}
}

func keepsPages(_ *Subject, l *liar) {
	c := make(cache)
	l.page = func(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (store.Page, error) {
		page, err := l.Store.ReadPage(ctx, r, after, upTo, limit)
		for i, e := range page.Events {
			page.Events[i] = c.keep(e)
		}
		return page, err
	}
}

func keepsScans(_ *Subject, l *liar) {
	c := make(cache)
	l.scan = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[*store.Event, error] {
		return func(yield func(*store.Event, error) bool) {
			for e, err := range l.Store.Scan(ctx, r, from) {
				if err == nil {
					was := c.keep(*e)
					e = &was
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

func keepsReads(s *Subject, l *liar) {
	c := make(cache)
	shown(func(events []store.Event) []store.Event {
		for i, e := range events {
			events[i] = c.keep(e)
		}
		return events
	})(s, l)
}

// forgetful numbers commits from 1 at each opening.
func forgetful(_ *Subject, l *liar) {
	first := l.Stats().Sequence
	l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
		r, err := l.Store.Commit(ctx, b)
		r.Sequence -= min(r.Sequence, first)
		return r, err
	}
}

// follow reads what is appended meanwhile, too.
func follow(_ *Subject, l *liar) {
	l.read = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
		return func(yield func(store.Event, error) bool) {
			for more := true; more; {
				more = false
				for e, err := range l.Store.Read(ctx, r, from) {
					if !yield(e, err) {
						return
					}
					more, from = err == nil, store.After(e.Position)
				}
			}
		}
	}
}

// lend yields events that are used again.
func lend(_ *Subject, l *liar) {
	l.read = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
		return func(yield func(store.Event, error) bool) {
			var room []byte
			for e, err := range l.Store.Read(ctx, r, from) {
				room = append(room[:0], e.Payload...)
				e.Payload = room
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// wide matches an entity by how it begins.
func wide(_ *Subject, l *liar) {
	l.read = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
		return func(yield func(store.Event, error) bool) {
			prefix := r.Entity
			r.Entity = ""
			for e, err := range l.Store.Read(ctx, r, from) {
				if strings.HasPrefix(e.Coordinate.Entity, prefix) && !yield(e, err) {
					return
				}
			}
		}
	}
}

// another puts another, empty log in place of the one that is there.
func another(tb testing.TB, o store.Options) Subject {
	tb.Helper()
	return OnDisk(o, Of)(tb, o)
}

func bare(e store.Event) store.Event {
	return store.Event{
		ID: e.ID, Position: e.Position, Coordinate: e.Coordinate, Kind: e.Kind, SchemaVersion: e.SchemaVersion,
		Version: e.Version, Time: e.Time, Cause: e.Cause, Correlation: e.Correlation, Depth: e.Depth, Codec: e.Codec, Payload: e.Payload,
	}
}

var errVague = errors.New("it did not work")

func randomID(events []store.Event) []store.Event {
	for i := range events {
		events[i].ID = uuid.New()
	}
	return events
}

// askElsewhere asks another log.
func askElsewhere(s *Subject, l *liar) {
	s.Store = another(l.tb, store.Options{SegmentBytes: smallest}).Store
}
