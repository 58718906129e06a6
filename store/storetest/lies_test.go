package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// lie is a way to break a law.
type lie struct {
	law  string // that finds it
	name string
	tell func(s *Subject, l *liar)
	open func(o *store.Options) // instead of what the suite asks for
}

func lies() []lie {
	return slices.Concat(liesOfCommits(), liesOfKeys(), liesOfFences(), liesOfReaders(), liesOfSides(), liesOfErasures(), liesOfRetention(), liesOverLives())
}

func liesOfCommits() []lie {
	return []lie{
		{law: "a commit is all of it or nothing", name: "commits what comes before a refusal", tell: onePerEvent},
		{law: "a commit is all of it or nothing", name: "forgets side values", tell: changed(func(b *store.Batch) {
			if len(b.Events) > 0 {
				b.Sides = nil
			}
		})},
		{law: "a batch becomes visible whole", name: "commits one event after the other", tell: onePerEvent},
		{law: "the receipt says what was recorded", name: "counts versions from 0", tell: told(func(r *store.Receipt, _ *error) {
			for i := range r.Events {
				r.Events[i].Version--
			}
		})},
		{law: "a batch of nothing is refused", name: "accepts it", tell: told(func(_ *store.Receipt, err *error) {
			if errors.Is(*err, store.ErrInvalid) {
				*err = nil
			}
		})},
		{law: "positions are 1, 2, 3 and so on, whatever is refused in between", name: "spends one on a refusal", tell: func(_ *Subject, l *liar) {
			l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
				r, err := l.Store.Commit(ctx, b)
				if errors.Is(err, store.ErrConflict) {
					_, _ = l.Store.Append(ctx, store.At("refused", "law"), store.Any, store.Raw{Type: "k"})
				}
				return r, err
			}
		}},
		{law: "a condition refuses what an event of its region after its position breaks", name: "looks at the first condition alone", tell: changed(func(b *store.Batch) {
			b.Conditions = b.Conditions[:min(1, len(b.Conditions))]
		})},
		{law: "an expectation that does not hold is a conflict with the actual version", name: "forgets expectations", tell: changed(func(b *store.Batch) {
			for i := range b.Events {
				b.Events[i].Expect = store.Any
			}
		})},
		{law: "an expectation that does not hold is a conflict with the actual version", name: "does not say which", tell: told(vague)},
		{law: "of those who race for a version one wins", name: "looks before it commits", tell: lookFirst},
		{law: "of those who race for a region one wins", name: "looks before it commits", tell: lookFirst},
		{law: "what breaks a rule gets a typed error, and nothing is written", name: "does not say which", tell: told(vague)},
		{law: "a context that has ended writes nothing", name: "does not look at it", tell: func(_ *Subject, l *liar) {
			l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
				return l.Store.Commit(context.WithoutCancel(ctx), b)
			}
		}},
		{law: "a closed handle says so", name: "does not close", tell: func(_ *Subject, l *liar) { l.close = func() error { return nil } }},
		{law: "verdicts are in the receipt", name: "leaves them out", tell: told(func(r *store.Receipt, _ *error) { r.Verdicts = nil })},
		{law: "a denial says why, and nothing is written", name: "asks no gate", open: func(o *store.Options) { o.Gates = nil }},
		{law: "a bypass keeps its reason with the event", name: "drops it", tell: changed(func(b *store.Batch) {
			for i := range b.Events {
				b.Events[i].Bypass = ""
			}
		})},
		{law: "a repeated key is answered whatever the gates say", name: "forgets keys", tell: changed(forgetKey)},
		{law: "a gate knows what is committed beside an open fence, and what is staged before", name: "asks no gate", open: func(o *store.Options) { o.Gates = nil }},
		{law: "what a gate requires makes its verdict certain", name: "asks no gate", open: func(o *store.Options) { o.Gates = nil }},
	}
}

func vague(_ *store.Receipt, err *error) {
	if *err != nil {
		*err = errVague
	}
}

func forgetKey(b *store.Batch) { b.IdempotencyKey = "" }

func liesOfKeys() []lie {
	return []lie{
		{law: "a key answers with the first receipt and changes nothing", name: "commits twice", tell: changed(forgetKey)},
		{law: "a key answers with the first receipt and changes nothing", name: "answers with a receipt of its own", tell: told(func(r *store.Receipt, _ *error) {
			if r.Duplicate {
				r.Sequence++
			}
		})},
		{law: "a key with other content is refused", name: "does not compare", tell: ownKeys},
		{law: "what is not content may differ", name: "takes notes for content", tell: changed(func(b *store.Batch) {
			for i := range b.Events {
				if b.Events[i].Meta != nil {
					b.Events[i].Headers, b.Events[i].Meta = b.Events[i].Meta, nil
				}
			}
		})},
		{law: "a refused commit leaves its key free", name: "spends it", tell: func(_ *Subject, l *liar) {
			l.keys = make(map[string]store.Receipt)
			l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
				if _, spent := l.keys[b.IdempotencyKey]; spent {
					return store.Receipt{}, store.ErrIdempotencyKeyReused
				}
				r, err := l.Store.Commit(ctx, b)
				if err != nil {
					l.keys[b.IdempotencyKey] = r
				}
				return r, err
			}
		}},
		{law: "concurrent commits with one key are one", name: "acknowledges twice", tell: told(func(r *store.Receipt, _ *error) { r.Duplicate = false })},
		{law: "a key makes a retry after any outcome safe", name: "forgets keys", tell: changed(forgetKey)},
		{law: "a key is remembered over a reopening", name: "keeps keys in memory", tell: ownKeys},
	}
}

func liesOfFences() []lie {
	return []lie{
		{law: "what is staged becomes visible at once", name: "commits it", tell: staged(func(l *liar, f *lyingFence) {
			f.stage = l.Store.Commit
		})},
		{law: "what is cancelled is hidden forever and leaves no hole in versions", name: "publishes it", tell: staged(func(_ *liar, f *lyingFence) {
			f.cancel = f.Publish
		})},
		{law: "an anchor is valid where the same is hidden", name: "looks at the event alone", tell: func(_ *Subject, l *liar) {
			l.check = func(ctx context.Context, a store.Anchor) error {
				a.Hidden = ""
				return l.Store.CheckAnchor(ctx, a)
			}
		}},
		{law: "what a fence uses is reserved until it ends", name: "calls it a conflict", tell: told(func(_ *store.Receipt, err *error) {
			if errors.Is(*err, store.ErrReserved) {
				*err = store.ErrConflict
			}
		})},
		{law: "stages see each other", name: "forgets what stages require", tell: staged(func(_ *liar, f *lyingFence) {
			f.stage = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
				b.Events, b.Conditions = slices.Clone(b.Events), nil
				for i := range b.Events {
					b.Events[i].Expect = store.Any
				}
				return f.Fence.Stage(ctx, b)
			}
		})},
		{law: "a version is that of the head while a fence is open", name: "counts what is staged, too", tell: func(_ *Subject, l *liar) {
			known := make(map[string]uint64)
			l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
				r, err := l.Store.Commit(ctx, b)
				for i, e := range r.Events {
					known[b.Events[i].At.Entity] = e.Version
				}
				return r, err
			}
			l.version = func(_ context.Context, entity string) (uint64, error) { return known[entity], nil }
		}},
		{law: "side values are visible while a fence is open", name: "hides them", tell: func(_ *Subject, l *liar) {
			l.side = func(key string) (store.SideValue, bool, error) {
				if len(l.Stats().Fences) > 0 {
					return store.SideValue{}, false, nil
				}
				return l.Store.Side(key)
			}
		}},
		{law: "none of two fences is visible in part", name: "has one fence for all", tell: func(s *Subject, _ *liar) {
			open := s.OpenFence
			var one Fence
			s.OpenFence = func(ctx context.Context, o store.FenceOptions) (f Fence, err error) {
				if one == nil {
					one, err = open(ctx, o)
				}
				return one, err
			}
		}},
		{law: "a deadline cancels", name: "waits longer", tell: func(s *Subject, _ *liar) {
			open := s.OpenFence
			s.OpenFence = func(ctx context.Context, o store.FenceOptions) (Fence, error) {
				o.Deadline = store.MaxFenceDeadline
				return open(ctx, o)
			}
		}},
		{law: "a fence ends once", name: "stages after the end", tell: staged(func(l *liar, f *lyingFence) {
			f.stage = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
				r, err := f.Fence.Stage(ctx, b)
				if errors.Is(err, store.ErrFenceEnded) {
					return l.Store.Commit(ctx, b)
				}
				return r, err
			}
		})},
	}
}

func liesOfReaders() []lie {
	return []lie{
		{law: "what was acknowledged is visible", name: "lags by one", tell: func(_ *Subject, l *liar) {
			l.head = func() store.Position { return max(1, l.Store.Head()) - 1 }
		}},
		{law: "what was acknowledged is visible", name: "does not look at receipts", tell: func(_ *Subject, l *liar) {
			l.visible = func(context.Context, store.Receipt) error { return nil }
		}},
		{law: "a wait ends when the head has passed", name: "does not wait", tell: func(_ *Subject, l *liar) {
			l.wait = func(context.Context, store.Position) (store.Position, error) { return l.Store.Head(), nil }
		}},
		{law: "a wait ends with its context", name: "does not say so", tell: func(_ *Subject, l *liar) {
			l.wait = func(ctx context.Context, after store.Position) (store.Position, error) {
				head, _ := l.Store.Wait(ctx, after)
				return head, nil
			}
		}},
		{law: "ids and times grow with positions", name: "draws ids", tell: shown(randomID)},
		{law: "an anchor is good in this log alone", name: "accepts all", tell: func(_ *Subject, l *liar) {
			l.check = func(context.Context, store.Anchor) error { return nil }
		}},
		{law: "each entity counts its events from 1, over all scopes", name: "counts the namespace", tell: func(_ *Subject, l *liar) {
			l.version = func(ctx context.Context, entity string) (uint64, error) {
				n, err := l.Store.Count(ctx, store.Region{Entity: entity}, 0, 0, 1000)
				return uint64(n), err
			}
		}},
		{law: "an event says what its proposal said", name: "drops headers", tell: changed(func(b *store.Batch) {
			for i := range b.Events {
				b.Events[i].Headers = nil
			}
		})},
		{law: "an event says what its proposal said", name: "drops an event", tell: shown(func(events []store.Event) []store.Event {
			return slices.Delete(events, len(events)/2, len(events)/2+min(1, len(events)))
		})},
		{law: "an event says what its proposal said", name: "changes the order", tell: shown(func(events []store.Event) []store.Event {
			slices.Reverse(events)
			return events
		})},
		{law: "an event without a cause starts a correlation, an effect continues it", name: "drops causes", tell: changed(func(b *store.Batch) {
			for i := range b.Events {
				b.Events[i].Causation = store.Causation{}
			}
		})},
		{law: "every way to read an event finds the same", name: "finds the one before", tell: func(_ *Subject, l *liar) {
			l.at = func(ctx context.Context, p store.Position) (store.Event, error) {
				return l.Store.GetAt(ctx, max(1, p)-1)
			}
		}},
		{law: "the hash covers the content and the past of the entity", name: "has none", tell: shown(func(events []store.Event) []store.Event {
			for i := range events {
				events[i] = bare(events[i])
			}
			return events
		})},
		{law: "a region is what its fields say", name: "takes a beginning for a namespace", tell: wide},
		{law: "reading begins where it is told", name: "begins at the beginning", tell: func(_ *Subject, l *liar) {
			l.read = func(ctx context.Context, r store.Region, _ store.From) iter.Seq2[store.Event, error] {
				return l.Store.Read(ctx, r, store.Beginning())
			}
		}},
		{law: "reading begins where it is told", name: "takes now for the beginning", tell: func(_ *Subject, l *liar) {
			l.resolve = func(ctx context.Context, from store.From) (store.Position, error) {
				if from == store.Now() {
					from = store.Beginning()
				}
				return l.Store.Resolve(ctx, from)
			}
		}},
		{law: "reading ends at the head as it was", name: "follows", tell: follow},
		{law: "pages add up to the region", name: "skips what a page has no room for", tell: func(_ *Subject, l *liar) {
			l.page = func(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (store.Page, error) {
				page, err := l.Store.ReadPage(ctx, r, after, upTo, limit)
				if upTo == 0 {
					upTo = l.Store.Head()
				}
				page.Scanned = upTo
				return page, err
			}
		}},
		{law: "events that were read stay as they are", name: "uses them again", tell: lend},
		{law: "a region that breaks a rule is refused", name: "finds nothing", tell: shownWithoutError},
		{law: "the reserved scope is entered by audits alone, and seen by those that name it", name: "shows it to all", tell: func(_ *Subject, l *liar) {
			l.read = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
				if r.Scope == "" && l.Store.Head() > 1 {
					r.Scope = store.ReservedScope
				}
				return l.Store.Read(ctx, r, from)
			}
		}},
		{law: "causes go up, effects down, and a correlation is the whole story", name: "asks another log", tell: askElsewhere},
		{law: "a cause that is not there is a boundary", name: "asks another log", tell: askElsewhere},
		{law: "the history of an entity is a chain", name: "asks another log", tell: askElsewhere},
		{law: "a log that is whole is verified without a finding", name: "verifies another log", tell: askElsewhere},
		{law: "any history agrees with a plain log", name: "counts one too many", tell: func(_ *Subject, l *liar) {
			l.count = func(ctx context.Context, r store.Region, after, upTo store.Position, limit int) (int, error) {
				n, err := l.Store.Count(ctx, r, after, upTo, limit)
				return min(n+1, limit), err
			}
		}},
		{law: "any history agrees with a plain log", name: "scans what is gone", tell: func(_ *Subject, l *liar) {
			l.scan = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[*store.Event, error] {
				return func(yield func(*store.Event, error) bool) {
					for e, err := range l.Store.Scan(ctx, r, from) {
						if e != nil {
							e.Version++
						}
						if !yield(e, err) {
							return
						}
					}
				}
			}
		}},
		{law: "concurrent calls are as if one came after the other", name: "tells a version of before", tell: func(_ *Subject, l *liar) {
			known := make(map[string]uint64)
			l.version = func(ctx context.Context, entity string) (uint64, error) {
				version, err := l.Store.Version(ctx, entity)
				l.mu.Lock()
				defer l.mu.Unlock()
				before := known[entity]
				known[entity] = version
				return before, err
			}
		}},
		{law: "concurrent calls are as if one came after the other", name: "looks before it commits", tell: lookFirst},
	}
}

func shownWithoutError(_ *Subject, l *liar) {
	l.read = func(ctx context.Context, r store.Region, from store.From) iter.Seq2[store.Event, error] {
		return func(yield func(store.Event, error) bool) {
			events, _ := collect(l.Store.Read(ctx, r, from))
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func liesOfSides() []lie {
	forget := func(_ *Subject, l *liar) {
		l.commit = func(ctx context.Context, b store.Batch) (store.Receipt, error) {
			b.Sides = slices.Clone(b.Sides)
			for i := range b.Sides {
				b.Sides[i].Expect = store.Any
			}
			l.meet()
			return l.Store.Commit(ctx, b)
		}
	}
	return []lie{
		{law: "a side value takes no position and is in no region", name: "writes an event of it", tell: changed(func(b *store.Batch) {
			if len(b.Events) == 0 {
				b.Events = eventsAt("side")
			}
		})},
		{law: "a revision that does not hold is a conflict with the actual one", name: "forgets what is expected", tell: forget},
		{law: "no increment by compare-and-set is lost", name: "forgets what is expected", tell: forget},
		{law: "values are listed by key", name: "begins at the end", tell: func(_ *Subject, l *liar) {
			l.sides = func(from, to string, limit int) iter.Seq2[store.SideValue, error] {
				return func(yield func(store.SideValue, error) bool) {
					all, _ := collect(l.Store.SideRange(from, to, limit))
					for _, v := range slices.Backward(all) {
						if !yield(v, nil) {
							return
						}
					}
				}
			}
		}},
		{law: "values are listed by key", name: "knows no limit", tell: func(_ *Subject, l *liar) {
			l.sides = func(from, to string, _ int) iter.Seq2[store.SideValue, error] { return l.Store.SideRange(from, to, 0) }
		}},
		{law: "revisions are never used again over a reopening", name: "counts from 1", tell: forgetful},
		{law: "revisions are never used again over a crash", name: "counts from 1", tell: forgetful},
	}
}

func liesOfErasures() []lie {
	pretend := func(s *Subject, _ *liar) {
		erase := s.Erase
		s.Erase = func(ctx context.Context, e store.Erasure) (store.ErasureReport, error) {
			e.DryRun = true
			return erase(ctx, e)
		}
	}
	return []lie{
		{law: "what is erased shows as erased in its place, and all else stays", name: "erases nothing", tell: pretend},
		{law: "what is erased shows as erased in its place, and all else stays", name: "keeps what it has read by id", tell: keepsByID},
		{law: "what is erased shows as erased in its place, and all else stays", name: "keeps what it has read by position", tell: keepsByPosition},
		{law: "what is erased shows as erased in its place, and all else stays", name: "keeps pages", tell: keepsPages},
		{law: "what is erased shows as erased in its place, and all else stays", name: "keeps what it has scanned", tell: keepsScans},
		{law: "what is erased shows as erased in its place, and all else stays", name: "keeps what it has read", tell: keepsReads},
		{law: "what was erased stays so over a reopening", name: "erases nothing", tell: pretend},
		{law: "an erasure that is there before a crash is there after it", name: "erases nothing", tell: pretend},
		{law: "a key of what was erased is refused", name: "forgets keys", tell: changed(forgetKey)},
		{law: "what cannot be erased is refused", name: "says that it was", tell: func(s *Subject, _ *liar) {
			erase := s.Erase
			s.Erase = func(ctx context.Context, e store.Erasure) (store.ErasureReport, error) {
				report, _ := erase(ctx, e)
				return report, nil
			}
		}},
		{law: "any history agrees with a plain log", name: "erases nothing", tell: pretend},
	}
}

func liesOfRetention() []lie {
	pretend := func(s *Subject, l *liar) {
		retain := s.Retain
		s.Retain = func(ctx context.Context, o store.RetainOptions) (store.RetainReport, error) {
			dry := o.DryRun
			o.DryRun = true
			report, err := retain(ctx, o)
			if !dry && err == nil {
				report.First = max(report.First, l.Store.Head())
			}
			return report, err
		}
	}
	return []lie{
		{law: "what was dropped is told, and what counts of it stays", name: "drops nothing", tell: pretend},
		{law: "what was dropped stays so over a reopening", name: "drops nothing", tell: pretend},
		{law: "what a fence has staged is not dropped", name: "cancels fences", tell: func(s *Subject, l *liar) {
			staged(func(*liar, *lyingFence) {})(s, l)
			retain := s.Retain
			s.Retain = func(ctx context.Context, o store.RetainOptions) (store.RetainReport, error) {
				for _, f := range l.fences {
					_ = f.Cancel(ctx)
				}
				return retain(ctx, o)
			}
		}},
		{law: "any history agrees with a plain log", name: "drops nothing", tell: pretend},
	}
}

// liesOverLives are told when the log is opened again.
func liesOverLives() []lie {
	lose := func(s *Subject, _ *liar) {
		s.Reopen = func(tb testing.TB) Subject {
			tb.Helper()
			return another(tb, store.Options{SegmentBytes: smallest})
		}
	}
	publish := func(again func(s *Subject) *func(tb testing.TB) Subject) func(s *Subject, l *liar) {
		return func(s *Subject, l *liar) {
			staged(func(*liar, *lyingFence) {})(s, l)
			next := *again(s)
			*again(s) = func(tb testing.TB) Subject {
				tb.Helper()
				for _, f := range l.fences {
					_ = f.Publish(tb.Context())
				}
				return next(tb)
			}
		}
	}
	return []lie{
		{law: "what was committed stays the same over a reopening", name: "begins again", tell: lose},
		{law: "what was hidden or published stays so over a reopening", name: "begins again", tell: lose},
		{law: "a fence does not outlive its writer", name: "publishes what is open", tell: publish(func(s *Subject) *func(testing.TB) Subject { return &s.Reopen })},
		{law: "a crash cancels a fence", name: "publishes what is open", tell: publish(func(s *Subject) *func(testing.TB) Subject { return &s.Crash })},
		{
			law: "a crash in the midst of commits keeps whole ones, and all that were acknowledged", name: "promises more than it keeps",
			open: func(o *store.Options) { o.Sync = store.SyncNever },
			tell: told(func(r *store.Receipt, _ *error) { r.Sync = store.SyncAlways }),
		},
		{
			law: "any history agrees with a plain log", name: "promises more than it keeps",
			open: func(o *store.Options) { o.Sync = store.SyncNever },
			tell: told(func(r *store.Receipt, _ *error) { r.Sync = store.SyncAlways }),
		},
	}
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB

	ctx      context.Context //nolint:containedctx // of the test
	mu       sync.Mutex
	messages []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) FailNow() { runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// findings tries a law, and returns what it finds.
func findings(t *testing.T, l *law, open Opener) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r := &recorder{TB: t, ctx: ctx}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.try(r, open)
	}()
	<-ended
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	return r.messages
}

func TestEachLieIsFoundByItsLaw(t *testing.T) {
	all := make(map[string]law)
	for _, l := range laws() {
		all[l.says] = l
	}
	for _, lie := range lies() {
		l, known := all[lie.law]
		require.True(t, known, lie.law)
		t.Run(lie.law+": "+lie.name, func(t *testing.T) {
			require.NotEmpty(t, findings(t, &l, lie.opener()), "the lie was believed")
		})
	}
}

const smallest = 64 << 10

// opener opens what lies, at each opening.
func (l *lie) opener() Opener {
	return func(tb testing.TB, o store.Options) Subject {
		tb.Helper()
		o.SegmentBytes = smallest
		if l.open != nil {
			l.open(&o)
		}
		return l.told(tb, OnDisk(o, Of)(tb, o))
	}
}

func (l *lie) told(tb testing.TB, s Subject) Subject {
	tb.Helper()
	lying := &liar{Store: s.Store, tb: tb}
	reopen, crash := s.Reopen, s.Crash
	s.Writer = lying
	s.Reopen = func(tb testing.TB) Subject {
		tb.Helper()
		return l.told(tb, reopen(tb))
	}
	s.Crash = func(tb testing.TB) Subject {
		tb.Helper()
		return l.told(tb, crash(tb))
	}
	if l.tell != nil {
		l.tell(&s, lying)
	}
	return s
}

func TestEachLawIsSeenToFail(t *testing.T) {
	found := make(map[string]bool)
	for _, lie := range lies() {
		found[lie.law] = true
	}
	for _, l := range laws() {
		require.True(t, found[l.says], "no lie breaks: %s", l.says)
	}
}
