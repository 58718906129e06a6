package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Several erasures of the same events at a time, while fences stage others of the same entities,
// and segments are rewritten and merged: each returns, and an event is erased by one of them.
func TestErasuresBesideFencesMergesAndEachOther(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncNever))
	ctx := t.Context()
	customer := func(n int) string { return fmt.Sprint("customer:", n%5) }
	for i := range 20 {
		write(t, s, Batch{IdempotencyKey: fmt.Sprint("k", i), Events: []Proposal{personal(customer(i), 1+300*i)}})
	}
	var busy sync.WaitGroup
	ids := make(chan uuid.UUID, 100)
	for w := range 3 {
		busy.Go(func() {
			for i := range 10 {
				report, err := Erase(ctx, s, forgets(customer(w+i)))
				if err != nil && !errors.Is(err, ErrReserved) {
					t.Error(err)
				}
				ids <- report.ID
			}
		})
	}
	busy.Go(func() {
		for i := range 8 {
			f, err := OpenFence(ctx, s, FenceOptions{Deadline: MaxFenceDeadline})
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 3 {
				_, err = f.Stage(ctx, Batch{IdempotencyKey: fmt.Sprint("f", i, n), Events: []Proposal{personal(customer(i+n), 900)}})
				err = errors.Join(err, appendErr(s, fmt.Sprint("filler:", n)))
			}
			if i%2 == 0 {
				err = errors.Join(err, f.Publish(ctx))
			} else {
				err = errors.Join(err, f.Cancel(ctx))
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	busy.Go(func() {
		for i := range 400 {
			if _, err := s.Commit(ctx, Batch{Lazy: true, Sides: []SideWrite{{Key: fmt.Sprint("k/", i%3), Value: make([]byte, 2000)}}}); err != nil {
				t.Error(err)
			}
		}
	})
	busy.Wait()
	close(ids)
	known := make(map[uuid.UUID]bool)
	for id := range ids {
		known[id] = true
	}
	for n := range 5 {
		report, err := Erase(ctx, s, forgets(customer(n)))
		require.NoError(t, err)
		known[report.ID] = true
	}
	require.Empty(t, filesWithSecrets(t, disk, logDir))
	for range 2 {
		for _, e := range visibleEvents(t, s) {
			by, erased := e.Erased()
			require.Equal(t, e.Kind == "customer.moved", erased)
			require.True(t, !erased || known[by.Erasure])
		}
		requireWhole(t, s)
		s = reopen(t, s)
	}
}

func appendErr(s *Store, entity string) error {
	_, err := s.Commit(context.Background(), Batch{Events: eventsOf(entity)})
	return err
}

// Side values that the caller redacts are written with the erasure or not at all, whatever is cut
// off: also while a fence is open, of which nothing is left then.
func TestAPowerCutLeavesSideValuesAsTheirErasureDoes(t *testing.T) {
	base := vfs.NewMemory()
	s, err := open(base, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	at := write(t, s, Batch{Events: []Proposal{personal("customer:7", 30), personal("customer:7", 9000)}}).Position()
	for _, key := range []string{"profile/7", namedAfter(at)} {
		write(t, s, Batch{Sides: []SideWrite{{Key: key, Value: []byte("first " + secret)}}})
		write(t, s, Batch{Sides: []SideWrite{{Key: key, Value: []byte(secret)}}})
	}
	require.NoError(t, s.Close())
	base = base.Image(vfs.KeepAll)
	done, undone := 0, 0
	for n := 1; ; n += thinning {
		disk := base.Image(vfs.KeepAll)
		s, err := open(disk, logDir, smallSegments(SyncAlways), true)
		require.NoError(t, err)
		_, err = fenceOf(t, s).Stage(t.Context(), Batch{Events: []Proposal{crashProposal("staged", n, 40)}})
		require.NoError(t, err)
		from := disk.Ops()
		disk.CutAt(from + n)
		_, err = Erase(t.Context(), s, redacting(s, at))
		killStore(s)
		if disk.Ops() < from+n {
			require.NoError(t, err)
			break
		}
		for seed := range uint64(3) {
			where := fmt.Sprintf("cut at operation %d (%s), image %d", n, lastOf(disk.Trace()), seed)
			img := powerCutImage(t, disk, seed)
			r, err := open(img, logDir, Options{ReadOnly: true}, true)
			require.NoError(t, err, where)
			e, err := r.GetAt(t.Context(), at)
			require.NoError(t, err, where)
			want := secret
			if _, erased := e.Erased(); erased {
				want, done = "redacted", done+1
			} else {
				undone++
			}
			require.Equal(t, want, sideText(r, "profile/7"), where)
			require.Equal(t, want, sideText(r, namedAfter(at)), where)
			require.EqualValues(t, 0, mustVersion(t, r, "staged"), where)
			require.NoError(t, r.Close())
			s, err := open(img, logDir, smallSegments(SyncAlways), true)
			require.NoError(t, err, where)
			if want == secret {
				_, err := Erase(t.Context(), s, redacting(s, at))
				require.NoError(t, err, where)
			}
			require.Empty(t, filesWithSecrets(t, img, logDir), where)
			require.Equal(t, "redacted", sideText(s, "profile/7"), where)
			requireWhole(t, s)
			killStore(s)
		}
	}
	require.Positive(t, done)
	require.Positive(t, undone)
}

// redacting erases customer 7 with two side values that know something.
func redacting(s *Store, at Position) Erasure {
	e := forgets("customer:7")
	e.Sides = func(context.Context, func(Position) bool) (sides []SideWrite, err error) {
		for _, key := range []string{"profile/7", namedAfter(at)} {
			if sideText(s, key) != "redacted" {
				sides = append(sides, SideWrite{Key: key, Value: []byte("redacted")})
			}
		}
		return sides, nil
	}
	return e
}
