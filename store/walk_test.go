package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// randomBatch is one of some events, small and large, with what may stand between events.
func randomBatch(r *rand.Rand) (b Batch) {
	for range r.IntN(12) {
		size := r.IntN(600)
		if r.IntN(40) == 0 {
			size = r.IntN(100 << 10)
		}
		p := Proposal{
			At:      At(fmt.Sprintf("e:%d", r.IntN(5)), "test"),
			Payload: Raw{Type: fmt.Sprintf("k.%d", r.IntN(3)), Data: bytes.Repeat([]byte{byte(r.Uint32())}, size)},
		}
		if r.IntN(8) == 0 {
			p = Audit("e:1", parked{1})
		}
		if r.IntN(4) == 0 {
			p.Headers = map[string]string{"h": fmt.Sprint(r.Uint32())}
		}
		b.Events = append(b.Events, p)
	}
	if len(b.Events) == 0 || r.IntN(4) == 0 {
		b.Sides = []SideWrite{{Key: "k", Value: make([]byte, r.IntN(5000))}}
	}
	if len(b.Events) > 0 && r.IntN(4) == 0 {
		b.IdempotencyKey = fmt.Sprint(r.Uint64())
	}
	return b
}

// randomLog is a log of several segments with batches of all shapes: of one commit, and of many
// that came at the same time.
func randomLog(t *testing.T, seed uint64) (*Store, *vfs.Memory, *rand.Rand) {
	t.Helper()
	disk, r := vfs.NewMemory(), rand.New(rand.NewPCG(seed, 1))
	s := openLog(t, disk, smallSegments(SyncNever))
	s.poisons = false
	for s.Stats().Segments < 5 {
		var answers []<-chan answer
		for range 1 + r.IntN(6) {
			answers = append(answers, async(t.Context(), s, randomBatch(r)))
		}
		for _, a := range answers {
			require.NoError(t, (<-a).err)
		}
	}
	return s, disk, r
}

// single reads the events one by one: each by its own checksum, and by nothing else.
func single(s *Store) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for p := Position(1); p <= s.Head(); p++ {
			if e, err := s.GetAt(context.Background(), p); !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// clones keeps the events of an iteration, up to its error.
func clones(list iter.Seq2[Event, error]) (events []Event, err error) {
	for e, err := range list {
		if err != nil {
			return events, err
		}
		events = append(events, e.Clone())
	}
	return events, nil
}

// borrowed is Scan as if it were Read.
func borrowed(s *Store, r Region) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for e, err := range s.Scan(context.Background(), r, Beginning()) {
			if err != nil {
				yield(Event{}, err)
				return
			}
			if !yield(*e, nil) {
				return
			}
		}
	}
}

func requireSameEvents(t *testing.T, want, got []Event, about ...any) {
	t.Helper()
	require.Len(t, got, len(want), about...)
	for i := range want {
		if !bytes.Equal(want[i].record, got[i].record) {
			require.Equal(t, want[i], got[i], about...)
		}
	}
}

// pages reads a region by ReadPage.
func pages(s *Store, r Region, limit int) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for after, head := Position(0), s.Head(); after < head; {
			page, err := s.ReadPage(context.Background(), r, after, head, limit)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range page.Events {
				if !yield(e, nil) {
					return
				}
			}
			after = page.Scanned
		}
	}
}

var walkedRegions = []Region{
	{},
	{Entity: "e"},
	{Entity: "e:3"},
	{Kinds: []string{"k.1", "k.2"}},
	{Category: "k", MinVersion: 4},
	{Scope: ReservedScope},
	{Entity: "e:2", Kinds: []string{"k.0"}},
}

func TestScanReadAndPagesSeeTheSameEventsWhileAWriterAppends(t *testing.T) {
	for seed := range uint64(3) {
		s, _, r := randomLog(t, seed)
		for _, region := range walkedRegions {
			every, err := clones(single(s))
			require.NoError(t, err)
			var want []Event
			for _, e := range every {
				if region.Matches(e) {
					want = append(want, e)
				}
			}
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = s.Append(t.Context(), At("later", "test"), Any, Raw{Type: "k.9", Data: make([]byte, 300)})
					}
				}
			}()
			got := [][]Event{}
			for _, list := range []iter.Seq2[Event, error]{
				borrowed(s, region), s.Read(t.Context(), region, Beginning()),
				pages(s, region, 1+r.IntN(40)), pages(s, region, 1<<30),
			} {
				events, err := clones(list)
				require.NoError(t, err)
				got = append(got, events)
			}
			close(stop)
			<-done
			for i := range got {
				require.GreaterOrEqual(t, len(got[i]), len(want), "%v, reader %d", region, i)
				requireSameEvents(t, want, got[i][:len(want)], "%v, reader %d", region, i)
				requireSameEvents(t, got[3][:min(len(got[i]), len(got[3]))], got[i][:min(len(got[i]), len(got[3]))])
			}
		}
	}
}

func TestAScanMayStartAnywhereEndEarlyAndNest(t *testing.T) {
	s, _, _ := randomLog(t, 7)
	want, err := clones(s.Read(t.Context(), Region{}, Beginning()))
	require.NoError(t, err)
	for i := 0; i < len(want); i += 17 {
		n := 0
		for outer, err := range s.Scan(t.Context(), Region{}, After(want[i].Position-1)) {
			require.NoError(t, err)
			requireSameEvents(t, want[i+n:i+n+1], []Event{*outer})
			for inner, err := range s.Scan(t.Context(), Region{}, After(outer.Position)) {
				require.NoError(t, err)
				requireSameEvents(t, want[i+n+1:i+n+2], []Event{*inner})
				break
			}
			requireSameEvents(t, want[i+n:i+n+1], []Event{*outer}, "a nested scan changed it")
			if n++; n == 5 {
				break
			}
		}
	}
}

// Each bit that is flipped is in an event, in what stands between events, or in padding: the events
// before it, and the error, are those of reading each event by itself.
func TestDamageAnywhereIsMetAtTheSameEventHoweverItIsRead(t *testing.T) {
	s, disk, r := randomLog(t, 11)
	end := (*s.segments.Load())[1].end.Load()
	rounds, met := 150, 0
	if soaking() {
		rounds = 20000
	}
	for range rounds {
		at, bit := r.Int64N(end-wal.SegmentHeaderSize)+wal.SegmentHeaderSize, byte(1)<<r.IntN(8)
		require.NoError(t, disk.Corrupt(segmentPath(logDir, 2), at, bit))
		var want []Event
		everything, damage := clones(single(s))
		for _, e := range everything {
			if (Region{}).Matches(e) {
				want = append(want, e)
			}
		}
		if damage != nil {
			met++
		}
		for i, list := range []iter.Seq2[Event, error]{
			borrowed(s, Region{}), s.Read(t.Context(), Region{}, Beginning()), pages(s, Region{}, 100),
		} {
			got, err := clones(list)
			if damage == nil {
				require.NoError(t, err, "byte %d, reader %d", at, i)
			} else {
				require.Equal(t, damage, err, "byte %d, reader %d", at, i)
				require.ErrorIs(t, err, ErrCorrupt)
			}
			requireSameEvents(t, want, got, "byte %d, reader %d", at, i)
		}
		require.NoError(t, disk.Corrupt(segmentPath(logDir, 2), at, bit))
	}
	require.Greater(t, met, rounds/3)
}

func TestBatchesThatAreReadWholeAreCheckedAsAWhole(t *testing.T) {
	s := memoryLog(t)
	for range 300 {
		write(t, s, Batch{Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "k"}}, IdempotencyKey: fmt.Sprint(s.Head())})
	}
	large := Batch{}
	for range 30 {
		large.Events = append(large.Events, raw(Raw{Type: "large", Data: make([]byte, 20<<10)}).Events...)
	}
	write(t, s, large)
	g := (*s.segments.Load())[0]
	w := s.walk(Region{}, 0, s.Head())
	defer w.end()
	whole := 0
	w.onward, w.budget = true, 1<<40
	w.take = func(Event, error) bool {
		if v := &w.decoder.window; v.next <= v.trusted {
			whole++
		}
		return true
	}
	_, err := w.step(1 << 20)
	require.NoError(t, err)
	require.Equal(t, int(s.Head()), whole)
	require.Equal(t, g.end.Load(), w.decoder.window.trusted)
}

func TestARecordThatOnlyAWrongIndexNamesIsNoEvent(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	e, err := s.GetAt(t.Context(), 1)
	require.NoError(t, err)
	forged := bytes.Clone(e.record)
	forged[16] = 2 // the position, without a checksum of the record
	write(t, s, Batch{Events: append(raw(Raw{Type: "x", Data: forged}).Events, eventsOf("b")...)})

	g := (*s.segments.Load())[0]
	idx, err := s.indexOf(g)
	require.NoError(t, err)
	at, err := idx.Offset(1)
	require.NoError(t, err)
	var w window
	w.seed = wal.Seed(s.origin.Store)
	w.enter(g, idx)
	require.NoError(t, w.show(wal.SegmentHeaderSize, g.end.Load()))
	w.next, w.ordinal = int64(at)-wal.BatchHeaderSize, 1
	_, err = w.record(1, int64(at), g.end.Load())
	require.NoError(t, err)
	require.Equal(t, g.end.Load(), w.trusted)
	inside := int64(at) + int64(bytes.Index(w.at(int64(at)), forged))
	for _, ord := range []uint32{1, 2, 3} {
		_, err = w.record(ord, inside, g.end.Load())
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

func TestWhatAScanLentIsOverwrittenWhenItIsGone(t *testing.T) {
	s, _, _ := randomLog(t, 13)
	s.poisons = true
	want, err := clones(s.Read(t.Context(), Region{}, Beginning()))
	require.NoError(t, err)
	var kept, cloned []Event
	var pointers []*Event
	for e, err := range s.Scan(t.Context(), Region{}, Beginning()) {
		require.NoError(t, err)
		kept, cloned, pointers = append(kept, *e), append(cloned, e.Clone()), append(pointers, e)
	}
	requireSameEvents(t, want, cloned)
	for i, e := range kept {
		require.Equal(t, want[i].Coordinate, e.Coordinate, "strings stay")
		require.Equal(t, want[i].Kind, e.Kind)
		if len(e.Payload) > 0 {
			require.NotEqual(t, want[i].Payload, e.Payload)
		}
		require.Equal(t, len(want[i].Payload), len(e.Clone().Payload))
		require.NotEqual(t, want[i].Hash(), e.Hash())
		_, _ = e.Headers(), e.Meta()
	}
	for _, e := range pointers {
		require.Equal(t, Event{}, *e)
	}
	byHand := Event{Payload: []byte("p")}
	require.Equal(t, byHand, byHand.Clone())
}

func TestAScanEndsWithTheErrorsOfRead(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	last := func(ctx context.Context, r Region) (err error) {
		for _, err = range s.Scan(ctx, r, Beginning()) {
		}
		return err
	}
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, last(ended, Region{}), context.Canceled)
	var invalid *InvalidError
	require.True(t, errors.As(last(t.Context(), Region{Entity: "\x00"}), &invalid))
	require.NoError(t, last(t.Context(), Region{}))
	require.NoError(t, s.Close())
	require.ErrorIs(t, last(t.Context(), Region{}), ErrClosed)
}
