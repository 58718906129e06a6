package store

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Each writer has an entity and a side value that says how many events it has, and others that are
// soon superseded, so that segments are rewritten all the time.
func TestABackupBesideWritersIsAPrefixOfTheLog(t *testing.T) {
	const writers, rounds = 4, 6
	disk := vfs.NewMemory().Untraced()
	s := openLog(t, disk, smallSegments(SyncAlways))
	put(t, s, "first")
	r := openLog(t, disk, Options{ReadOnly: true})
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for w := range writers {
		busy.Go(func() { writeCounted(ctx, t, s, w) })
	}
	var copied, all, rewritten int
	for round := 0; round < rounds || round < 20*rounds && (copied == all || rewritten == 0); round++ {
		from := s
		if round%2 == 1 {
			from = r
		}
		floor := s.Head()
		report := backedUp(t, from, "copy")
		require.GreaterOrEqual(t, report.Anchor.Position, floor)
		m, err := copyManifest(disk)
		require.NoError(t, err)
		for _, g := range m.Segments {
			rewritten += int(g.Generation)
		}
		copied, all = copied+report.Copied, all+report.Segments
		c := copyOf(t, disk, "copy")
		requireCounted(t, c, writers)
		requirePrefix(t, s, c)
		require.Equal(t, report.Anchor.Position, c.Head())
		_, err = s.Wait(ctx, c.Head()+Position(150))
		require.NoError(t, err)
	}
	stop()
	busy.Wait()
	require.Less(t, copied, all, "some were kept")
	require.Positive(t, rewritten)
	back := restored(t, disk, "copy", "back")
	requireCounted(t, back, writers)
	requirePrefix(t, s, back)
	t.Logf("%d events, %d of %d segments were copied, %d times one was rewritten", s.Head(), copied, all, rewritten)
}

// writeCounted commits until ctx ends.
func writeCounted(ctx context.Context, t *testing.T, s *Store, w int) {
	t.Helper()
	entity := fmt.Sprint("w", w)
	for n := 1; ctx.Err() == nil; n++ {
		b := Batch{Events: eventsOf(entity), Sides: []SideWrite{
			{Key: entity, Value: []byte(strconv.Itoa(n))}, {Key: entity + "/large", Value: bytes.Repeat([]byte{byte(n)}, 1500)},
		}}
		if _, err := s.Commit(context.WithoutCancel(ctx), b); err != nil {
			t.Errorf("commit: %v", err)
			return
		}
	}
}

// requireCounted requires that events and side values of each writer are of one moment.
func requireCounted(t *testing.T, s *Store, writers int) {
	t.Helper()
	for w := range writers {
		entity := fmt.Sprint("w", w)
		version, err := s.Version(t.Context(), entity)
		require.NoError(t, err)
		if version > 0 {
			require.Equal(t, strconv.FormatUint(version, 10), sideText(s, entity))
		}
	}
}

// requirePrefix requires that a store has the first events of another.
func requirePrefix(t *testing.T, s, c *Store) {
	t.Helper()
	n := 0
	for e, err := range c.Read(t.Context(), Region{}, Beginning()) {
		require.NoError(t, err)
		n++
		if n%20 == 0 || e.Position == c.Head() {
			require.NoError(t, s.CheckAnchor(t.Context(), Anchor{Store: s.Origin().Store, Position: e.Position, Event: e.ID}))
		}
	}
	require.EqualValues(t, c.Head(), n)
}
