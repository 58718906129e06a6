package cursor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A batch that is refused is written in parts, and the disk may be full for one of them. What was
// parked and is written is off the list by then, whatever is done with the list before the rest is.
func TestWhatIsCommittedOfAReplayIsParkedNoMoreWhereTheRestFindsNoRoom(t *testing.T) {
	disk := storetest.NewDisk()
	st, err := disk.Open("data", store.Options{SegmentBytes: 64 << 10})
	require.NoError(t, err)
	defer func() { _ = st.Close() }()
	keyed(t, st, "bad", "bad", "bad", "bad")
	broken := true
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		if broken {
			return cursor.Continue, cursor.FailedAt(0, errBroken)
		}
		for i, e := range b.Events {
			p := store.Proposal{At: store.At("stock:1", "shop"), Payload: reserved{For: e.Position}}
			switch e.Position {
			case 3: // needs a segment of its own
				p.Headers = map[string]string{"h": string(make([]byte, 60<<10))}
				for range 20 {
					b.Propose(i, p)
				}
			case 4: // loses a race
				p.Expect = store.Exactly(1 << 40)
			}
			b.Propose(i, p)
		}
		return cursor.Continue, nil
	}})
	_, err = r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
	_, err = r.Commit(t.Context())
	require.NoError(t, err)
	require.Len(t, parkedIn(t, st), 4)
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)

	broken = false
	looks := 0
	cursor.AfterLook(r, func() {
		if looks++; looks == 3 { // for all four, for the first two, for the others
			disk.SetCapacity(1)
		}
	})
	out, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, store.ErrDiskFull)
	require.Equal(t, 2, out.Committed)
	require.Len(t, parkedIn(t, st), 2)
	require.NoError(t, cursor.CheckParked(r))
	require.Equal(t, 2, r.Progress().Parked)
	d := cursor.DependenciesOf(r)
	for p := range store.Position(4) {
		d.Doubt(p+1, true)
		d.TakeBack([]store.Position{p + 1})
	}

	disk.SetCapacity(1 << 40)
	_, err = r.Commit(t.Context())
	require.ErrorIs(t, err, store.ErrConflict)
	require.NoError(t, cursor.CheckParked(r))
	parked := parkedIn(t, st)
	require.Len(t, parked, 1)
	require.Equal(t, store.Position(4), parked[0].Position)
	require.Equal(t, 1, r.Progress().Parked)
}
