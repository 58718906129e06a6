package store

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Drops run beside commits, holds, rewriting, erasures, backups, verification and readers: what
// each of them finds is whole, and no hold is passed over.
func TestDroppingBesideAllElseLosesNothing(t *testing.T) {
	cachesOfOne(t)
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	ctx := t.Context()
	const rounds, perRound = 10, 30
	var busy sync.WaitGroup
	beside := func(name string, what func(round int) error) {
		busy.Go(func() {
			for round := range rounds {
				if err := what(round); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for w := range 3 {
		beside("commit", func(round int) error {
			for i := range perRound {
				_, err := s.Commit(ctx, Batch{
					IdempotencyKey: fmt.Sprint(w, round, i),
					Events: []Proposal{
						{At: At(fmt.Sprint("order:", w, round, i), "shop"), Expect: Absent, Payload: Raw{Type: "k", Data: make([]byte, 700)}},
						{At: At(fmt.Sprint("writer:", w), "shop"), Expect: Exactly(uint64(round*perRound + i)), Payload: Raw{Type: "k"}},
					},
					Sides: []SideWrite{{Key: fmt.Sprint("checkpoint/", w), Value: make([]byte, 300)}},
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 2 {
		beside("retain", func(int) error {
			_, err := Retain(ctx, s, nil, RetainOptions{Before: s.Head()})
			return err
		})
	}
	beside("hold", func(int) error {
		from := s.Head() + 1
		if err := SetHold(ctx, s, Hold{Who: "reader", From: from}); isDropped(err) {
			return ReleaseHold(ctx, s, "reader") // others were faster
		} else if err != nil {
			return err
		}
		put(t, s, "held")
		if _, err := s.GetAt(ctx, from); err != nil {
			return err
		}
		return ReleaseHold(ctx, s, "reader")
	})
	beside("erase", func(round int) error {
		r := put(t, s, fmt.Sprint("personal:", round))
		_, err := Erase(ctx, s, Erasure{Entity: fmt.Sprint("personal:", round), Reason: "r", By: "b"})
		if first := s.first(); err != nil && r.Events[0].Position < first {
			return nil // it was dropped before
		}
		return err
	})
	beside("read", func(int) error {
		last := Position(0)
		for e, err := range s.Read(ctx, Region{}, Beginning()) {
			if isDropped(err) && last > 0 {
				break
			}
			if err != nil || e.Position <= last { // audit events are between
				return fmt.Errorf("event %d after %d: %w", e.Position, last, err)
			}
			last = e.Position
		}
		return nil
	})
	beside("verify", func(round int) error {
		if round%5 > 0 {
			return nil
		}
		report, err := Verify(ctx, s, VerifyOptions{})
		if err != nil {
			return err
		}
		return report.Err()
	})
	beside("backup", func(round int) error {
		_, err := Backup(ctx, s, "copy", BackupOptions{})
		if isDropped(err) { // it was too far behind
			emptyDirectory(t, s.fs.(*vfs.Memory), "copy")
			return nil
		}
		return err
	})
	busy.Wait()
	dropBefore(t, s, s.Head())
	require.Greater(t, s.first(), Position(400))
	for range 2 {
		for w := range 3 {
			require.Equal(t, uint64(rounds*perRound), version(t, s, fmt.Sprint("writer:", w)))
			for round := range rounds {
				require.Equal(t, uint64(1), version(t, s, fmt.Sprint("order:", w, round, 7)))
				_, found, err := s.findKey(fmt.Sprint(w, round, 7))
				require.NoError(t, err)
				require.True(t, found)
			}
		}
		report, err := Verify(ctx, s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, report.Err())
		require.Zero(t, report.Unlinked)
		s = reopen(t, s)
	}
	require.NoError(t, s.Close())
}
