package store

import (
	"bytes"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// An erasure that begins while its event is being dropped reaches what stays of the event: what an
// idempotency key knows would confirm a guess at what it said.
func TestAnErasureThatBeginsDuringADropReachesWhatStays(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), false)
	require.NoError(t, err)
	ctx := t.Context()
	r := write(t, s, Batch{IdempotencyKey: "secret", Events: eventsOf("customer", "order")})
	write(t, s, Batch{IdempotencyKey: "other", Events: eventsOf("order")})
	keyedLogFrom(t, s, 0, 200)
	before, found, err := s.findKey("secret")
	require.NoError(t, err)
	require.True(t, found)

	erased, calls := make(chan error, 1), 0
	_, err = Retain(ctx, s, func(*Store, []string) ([]Hold, error) {
		if calls++; calls == 2 { // what stays is written, and not in its place
			go func() {
				_, err := Erase(ctx, s, Erasure{Events: []uuid.UUID{r.Events[0].ID}, Reason: "asked for", By: "test"})
				erased <- err
			}()
			for len(s.erasing.pending()) == 0 {
				if _, err := s.Commit(ctx, Batch{Sides: []SideWrite{{Key: "k"}}}); err != nil {
					return nil, err
				}
			}
		}
		return nil, nil
	}, RetainOptions{Before: 150})
	require.NoError(t, err)
	require.NoError(t, <-erased)
	require.Greater(t, s.first(), Position(10))
	for range 2 {
		k, found, err := s.findKey("secret")
		require.NoError(t, err)
		require.True(t, found && k.Erased)
		again, err := s.storedReceipt(string(k.Key.Key), k)
		require.NoError(t, err)
		require.Equal(t, r.Events, again.Events)
		names, err := disk.List(logDir)
		require.NoError(t, err)
		for _, name := range names {
			b := disk.Bytes(logDir + "/" + name)
			require.False(t, bytes.Contains(b, before.Digest[:]) || bytes.Contains(b, before.Salt[:]), name)
		}
		require.True(t, write(t, s, Batch{IdempotencyKey: "other", Events: eventsOf("order")}).Duplicate)
		report, err := Verify(ctx, s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, report.Err())
		s = reopen(t, s)
	}
	require.NoError(t, s.Close())
}

// A key that was found in a segment which is dropped in the next moment still has its receipt.
func TestAKeyThatIsDroppedWhileItIsLookedUpHasItsReceipt(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	r := write(t, s, Batch{IdempotencyKey: "order", Events: eventsOf("order", "customer")})
	keyedLogFrom(t, s, 0, 200)
	k, found, err := s.findKey("order")
	require.NoError(t, err)
	require.True(t, found)
	dropBefore(t, s, 150)
	got, err := s.storedReceipt("order", k)
	require.NoError(t, err)
	require.Equal(t, r.Events, got.Events)
	require.NoError(t, s.Close())
}

// What was dropped is gone, and does not keep an erasure from the rest.
func TestWhatWasDroppedCountsAsErased(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	gone := write(t, s, Batch{Events: []Proposal{personal("customer:7", 30), personal("customer:7", 30)}})
	keyedLogFrom(t, s, 0, 200)
	stays := write(t, s, Batch{Events: []Proposal{personal("booking:1", 30)}})
	dropBefore(t, s, 150)
	require.Greater(t, s.first(), gone.Events[1].Position)

	e := forgets("customer:7")
	report, err := Erase(t.Context(), s, e)
	require.NoError(t, err)
	require.Equal(t, 2, report.Dropped)
	require.Empty(t, report.Events)
	e.Events = []uuid.UUID{gone.Events[0].ID, stays.Events[0].ID}
	report, err = Erase(t.Context(), s, e)
	require.NoError(t, err)
	require.Equal(t, 3, report.Dropped)
	require.Equal(t, []Recorded{stays.Events[0]}, report.Events)
	require.Empty(t, filesWithSecrets(t, disk, logDir))
	_, err = Erase(t.Context(), s, forgets("customer:8"))
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, s.Close())
}
