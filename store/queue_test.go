package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
)

func TestCommitsBeyondTheBoundOfTheQueueAreRefusedAndThoseThatLeaveMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var queued []<-chan answer
		large := Batch{Events: []Proposal{{At: At("large", "test"), Payload: Raw{Type: "large", Data: make([]byte, MaxPayloadBytes)}}}}
		for range maxQueuedBytes/MaxPayloadBytes - 1 {
			queued = append(queued, async(ctx, s, large))
			synctest.Wait()
		}
		pending(t, queued...)
		_, err := s.Commit(t.Context(), large)
		require.ErrorIs(t, err, ErrBusy)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		small := async(t.Context(), s, Batch{Events: eventsOf("small")})
		synctest.Wait()
		pending(t, small)

		cancel()
		for _, got := range queued {
			require.ErrorIs(t, (<-got).err, context.Canceled)
		}
		last := async(t.Context(), s, large)
		synctest.Wait()
		pending(t, last)
		gate.open()
		require.NoError(t, (<-leader).err)
		require.NoError(t, (<-small).err)
		require.NoError(t, (<-last).err)
		require.Equal(t, Position(3), s.Head())
	})
}

func TestTheQueueAcceptsAsManyCommitsAsItsBoundAndAnyCommitWhenItIsEmpty(t *testing.T) {
	var q requestQueue
	require.False(t, q.full(&request{size: 2 * maxQueuedBytes}))
	first := &request{}
	q.push(first)
	require.True(t, q.full(&request{size: 2 * maxQueuedBytes}))
	for q.length < maxQueued {
		require.False(t, q.full(&request{}))
		q.push(&request{})
	}
	require.True(t, q.full(&request{}))
	q.remove(first)
	require.False(t, q.full(&request{}))
}

// The queue in its order, whatever leaves it from wherever.
func TestTheQueueKeepsTheOrderOfThoseThatStay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var q requestQueue
	var want []*request
	for range 10_000 {
		if len(want) == 0 || rng.IntN(2) == 0 {
			req := &request{size: rng.IntN(100)}
			q.push(req)
			want = append(want, req)
		} else {
			i := rng.IntN(len(want))
			q.remove(want[i])
			want = slices.Delete(want, i, i+1)
		}
		bytes, forward := 0, []*request(nil)
		for req := q.first; req != nil; req = req.next {
			forward, bytes = append(forward, req), bytes+req.size
		}
		require.True(t, slices.Equal(want, forward))
		require.Equal(t, len(want), q.length)
		require.Equal(t, bytes, q.bytes)
	}
	for req := q.last; req != nil; req = req.prev {
		require.Same(t, want[len(want)-1], req)
		want = want[:len(want)-1]
	}
	require.Empty(t, want)
}

// What is queued is not copied for each group that is taken: with groups of one that would be
// 40,000 squared.
func TestTakingAGroupCostsNothingForWhatStaysQueued(t *testing.T) {
	const queued = 40_000
	c := newCommitter(nil)
	fence := new(Fence) // a commit that ends one is alone
	for range queued {
		c.queue.push(&request{fence: fence, step: fenceCancel})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range queued {
		require.Len(t, c.take(), 1)
	}
	runtime.ReadMemStats(&after)
	require.Empty(t, c.take())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(100*queued))
}

func TestTheMemoryOfALargeBatchIsGivenBack(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "small")
	kept := cap(s.committer.writer.buf)
	require.Positive(t, kept)
	put(t, s, "small")
	require.Equal(t, kept, cap(s.committer.writer.buf), "that of small ones is used again")
	write(t, s, raw(Raw{Type: "large", Data: make([]byte, maxKeptBytes)}))
	require.LessOrEqual(t, cap(s.committer.writer.buf), maxKeptBytes)

	var table sideTable
	table.reset()
	side := func(key string) index.Side { return index.SideOf(key, nil, false) }
	pending := map[string]index.Side{"k": side("k")}
	same := func(a, b map[string]index.Side) bool {
		return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
	}
	next := table.merge(pending)
	require.Empty(t, next)
	require.True(t, same(pending, next))
	for i := range maxPooledItems + 1 {
		next[fmt.Sprint(i)] = side(fmt.Sprint(i))
	}
	require.False(t, same(next, table.merge(next)))
	require.Equal(t, maxPooledItems+2, table.tree.Len())
}

func TestARequestThatWasLargeInAnyWayIsNotKept(t *testing.T) {
	require.False(t, (&request{
		records: make([]byte, maxPooledBytes), events: make([]requestEvent, maxPooledItems), sides: make([]requestSide, maxPooledItems),
	}).large())
	for _, req := range []*request{
		{records: make([]byte, 0, maxPooledBytes+1)},
		{events: make([]requestEvent, 0, maxPooledItems+1)},
		{sides: make([]requestSide, 0, maxPooledItems+1)},
	} {
		require.True(t, req.large())
	}
}

// A field that the next owner finds as the last one left it is a wrong answer, or a token too many.
func TestARequestIsPutIntoThePoolAsNew(t *testing.T) {
	left := map[string]bool{ // by what takes it from the queue
		"queued": true, "prev": true, "next": true,
		"fence": true, "step": true, "extra": true, "settles": true, "begins": true, // one with them is not put into the pool
	}
	kept := map[string]bool{ // what lasts, and what means nothing before it is set again
		"wake": true, "salts": true, "content": true, "use": true, "since": true,
	}
	req := newRequest()
	b := Batch{
		IdempotencyKey: "key", Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "k"}},
		Conditions: []Condition{{Region: Region{Entity: "c"}}},
	}
	require.NoError(t, req.encode(&b, new(emitterTable)))
	req.verdicts, req.denied = []Verdict{{}}, ErrDenied
	req.lazy, req.done, req.lead, req.patient, req.since = true, true, true, true, 7
	req.receipt, req.err, req.answer = Receipt{Sequence: 1}, ErrClosed, func(Receipt, error) {}
	fields := func(visit func(name string, value reflect.Value)) {
		v := reflect.ValueOf(req).Elem()
		for i := range v.NumField() {
			visit(v.Type().Field(i).Name, v.Field(i))
		}
	}
	fields(func(name string, value reflect.Value) { require.True(t, left[name] || !value.IsZero(), name) })
	events, sides := req.events, req.sides
	new(requestPool).put(req)
	fields(func(name string, value reflect.Value) {
		empty := value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0
		require.True(t, kept[name] || empty, name)
	})
	require.Equal(t, make([]requestEvent, 2), events, "it must not pin what the caller gave")
	require.Equal(t, make([]requestSide, 1), sides)
}
