package store

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// The commits of a fence are counted, those that no caller waits for any more included: each may
// become a range of its state. What was not written does not count.
func TestAStageCountsUnlessItIsKnownThatNothingWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		gate.shut.Store(false)
		f := fenceOf(t, s)
		keyed := Batch{IdempotencyKey: "k", Events: eventsOf("a")}
		for range 3 {
			_, err := f.Stage(t.Context(), keyed)
			require.NoError(t, err)
			require.EqualValues(t, 1, f.stages.Load())
		}

		gate.shut.Store(true)
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		left := make(chan error, 3)
		leaving := func(do func(context.Context) error) (leave func()) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { left <- do(ctx) }()
			synctest.Wait()
			return cancel
		}
		stage := func(ctx context.Context) error {
			_, err := f.Stage(ctx, Batch{Events: eventsOf("b")})
			return err
		}
		for _, do := range []func(context.Context) error{stage, f.Publish, f.Cancel} {
			leaving(do)() // from the queue
			err := <-left
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
		}
		require.EqualValues(t, 1, f.stages.Load())
		require.Zero(t, s.committer.queue.length)

		next := async(t.Context(), s, Batch{Events: eventsOf("next")})
		synctest.Wait()
		leave := leaving(stage)
		gate.step() // the leader is answered, and the others are being synced
		synctest.Wait()
		require.NoError(t, (<-leader).err)
		leave()
		require.ErrorIs(t, <-left, ErrOutcomeUnknown)
		require.EqualValues(t, 2, f.stages.Load(), "it may be written")
		gate.open()
		require.NoError(t, (<-next).err)
		require.NoError(t, f.Publish(t.Context()))
		require.Equal(t, []string{"a", "leader", "next", "b"}, visible(t, s))
		require.False(t, f.timer.Stop(), "nothing waits for the deadline of a fence that has ended")

		f.stages.Store(maxFenceStages)
		require.ErrorIs(t, stage(t.Context()), ErrInvalid)
		require.EqualValues(t, maxFenceStages, f.stages.Load())
	})
}

// A stage writes the state of its fence, too, which grows with each.
func TestAStageThatLeavesNoRoomForTheStateOfItsFenceIsRefused(t *testing.T) {
	s := memoryLog(t)
	large := func(n int) Batch {
		b := Batch{Events: eventsOf("a")}
		for left := n; left > 0; left -= MaxPayloadBytes {
			p := Proposal{At: At("a", "test"), Payload: Raw{Type: "k", Data: make([]byte, min(left, MaxPayloadBytes))}}
			b.Events = append(b.Events, p)
		}
		return b
	}
	const about = MaxBatchBytes - MaxPayloadBytes/2
	req, b := newRequest(), large(about)
	require.NoError(t, req.encode(&b, &s.emitters))
	f := fenceOf(t, s) // late: what is above takes long under the race detector
	for _, stages := range []int64{0, maxFenceStages - 1} {
		f.stages.Store(stages)
		room := MaxBatchBytes - f.recordBytes(stages+1)
		_, err := f.Stage(t.Context(), large(about+room-req.size+1))
		require.ErrorIs(t, err, ErrInvalid)
		require.EqualValues(t, stages, f.stages.Load())
		require.Zero(t, s.Stats().Fences[0].Events)
	}
}

// A group is bounded in bytes, but for one commit that is larger alone; what ends a fence is one.
func TestAGroupHasAtMostSoManyBytesOrOneCommit(t *testing.T) {
	fence := new(Fence)
	stage := func(size int) *request { return &request{fence: fence, size: size} }
	end := &request{fence: fence, step: fencePublish, size: 1}
	for _, is := range []struct {
		queued []*request
		groups []int
	}{
		{[]*request{stage(maxGroupBytes - 1), stage(1), {size: 1}, stage(1)}, []int{2, 2}},
		{[]*request{{size: maxGroupBytes}, {size: 1}}, []int{1, 1}},
		{[]*request{stage(3 * maxGroupBytes), stage(1), {size: 3 * maxGroupBytes}}, []int{1, 1, 1}},
		{[]*request{{size: maxGroupBytes / 2}, stage(maxGroupBytes / 2), {size: maxGroupBytes / 2}, {size: maxGroupBytes / 2}}, []int{2, 2}},
		{[]*request{stage(1), end, stage(1), {size: 1}}, []int{1, 1, 2}},
	} {
		c := newCommitter(nil)
		for _, req := range is.queued {
			c.queue.push(req)
		}
		for _, n := range is.groups {
			require.Len(t, c.take(), n)
		}
		require.Empty(t, c.take())
		require.Zero(t, c.queue.bytes)
	}
}

// What is answered, or chosen to lead, is not left; and what only syncs finds room in a full queue.
func TestACommitIsLeftOnlyWhileItsOutcomeIsOpen(t *testing.T) {
	c := newCommitter(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, c.abandon(ctx, &request{done: true}))
	queued := &request{}
	c.queue.push(queued)
	queued.lead = true
	require.NoError(t, c.abandon(ctx, queued))
	require.Equal(t, 1, c.queue.length)
	queued.lead = false
	require.NotErrorIs(t, c.abandon(ctx, queued), ErrOutcomeUnknown)
	require.Zero(t, c.queue.length)
	require.ErrorIs(t, c.abandon(ctx, &request{}), ErrOutcomeUnknown)

	c.leading, c.queue.length = true, maxQueued
	_, _, err := c.enqueue(&request{events: make([]requestEvent, 1)})
	require.ErrorIs(t, err, ErrBusy)
	_, _, err = c.enqueue(newRequest())
	require.NoError(t, err)
}
