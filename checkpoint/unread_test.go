package checkpoint_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// spoil changes a byte of each text that the segments of a store hold.
func spoil(t *testing.T, dir, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	n := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		require.NoError(t, err)
		for at := 0; ; n++ {
			i := bytes.Index(data[at:], []byte(text))
			if i < 0 {
				break
			}
			_, err = file.WriteAt([]byte{text[0] ^ 1}, int64(at+i))
			require.NoError(t, err)
			at += i + len(text)
		}
		require.NoError(t, file.Close())
	}
	require.NotZero(t, n)
}

// What the store cannot read is as bad as what makes no sense, and never as good as what is not
// there.
func TestASideValueThatIsDamagedOnDiskIsAnErrorWhereItIsUsedAndCanBeDeleted(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	long := strings.Repeat("long", 50)
	b := checkpoint.Binding{Region: store.Region{Entity: long}}
	for _, id := range []checkpoint.ID{"index", "good", "renamed"} {
		acquire(t, st, id, b)
	}
	pause := checkpoint.Pause{Reason: long}
	keep(t, st,
		checkpoint.Parked{Position: 5, Error: long}.Write("index"), checkpoint.Parked{Position: 6}.Write("index"),
		checkpoint.Parked{Position: 7, Error: long}.Write("renamed"), pause.Write("index"))
	spoil(t, dir, long)
	acquireError := func(id checkpoint.ID) error {
		_, err := checkpoint.Acquire(t.Context(), st, id, b)
		return err
	}
	for _, err := range []error{acquireError("index"), acquireError("good"), apply(t.Context(), st, "index", checkpoint.Reset{})} {
		require.ErrorIs(t, err, checkpoint.ErrCorrupt)
		require.ErrorIs(t, err, store.ErrCorrupt)
		require.NotErrorIs(t, err, checkpoint.ErrNotFound)
	}
	info, err := checkpoint.Inspect(st, "index")
	require.ErrorIs(t, err, checkpoint.ErrCorrupt)
	require.NotZero(t, info.Revision)
	var ids []checkpoint.ID
	for info, err := range checkpoint.List(st) {
		require.ErrorIs(t, err, checkpoint.ErrCorrupt)
		ids = append(ids, info.ID)
	}
	require.Equal(t, []checkpoint.ID{"good", "index", "renamed"}, ids)
	var at []store.Position
	for p, err := range checkpoint.ParkedEvents(st, "index") {
		require.Equal(t, p.Position == 5, err != nil)
		at = append(at, p.Position)
	}
	require.Equal(t, []store.Position{5, 6}, at)

	require.ErrorIs(t, apply(t.Context(), st, "good", checkpoint.Rename{To: "index"}), checkpoint.ErrCorrupt)
	require.NoError(t, apply(t.Context(), st, "good", checkpoint.Delete{}))
	acquire(t, st, "good", checkpoint.Binding{})
	require.ErrorIs(t, apply(t.Context(), st, "good", checkpoint.Rename{To: "index"}), checkpoint.ErrExists)
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Delete{}))
	requireNothing(t, st, "index")
	require.NoError(t, apply(t.Context(), st, "good", checkpoint.Rename{To: "index"}))
}
