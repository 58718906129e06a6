package checkpoint_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

var sampleBinding = checkpoint.Binding{Region: orders, Kinds: []string{"order.placed", "order.cancelled"}}

// theFile returns the path of the only file.
func theFile(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	return filepath.Join(dir, entries[0].Name())
}

func TestASavedFileIsLoadedAsItWas(t *testing.T) {
	files, r := checkpoint.Files{Dir: t.TempDir()}, sample()
	_, err := files.Load("index", r.Origin, sampleBinding)
	require.ErrorIs(t, err, checkpoint.ErrNotFound)
	for range 2 {
		r.Scanned++
		require.NoError(t, files.Save("index", r))
		got, err := files.Load("index", r.Origin, sampleBinding)
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	theFile(t, files.Dir) // no temporary file stays
}

func TestAFileThatDoesNotFitIsRefused(t *testing.T) {
	files, r := checkpoint.Files{Dir: t.TempDir()}, sample()
	require.NoError(t, files.Save("index", r))

	other := sampleBinding
	other.Region = store.Region{}
	_, err := files.Load("index", r.Origin, other)
	require.Equal(t, &checkpoint.MismatchError{
		Err: checkpoint.ErrRegion, ID: "index", Stored: orders.String(), Given: "everything",
	}, err)

	_, err = files.Load("index", r.Origin, bound)
	require.Equal(t, &checkpoint.MismatchError{
		Err: checkpoint.ErrKindsChanged, ID: "index", Stored: "order.cancelled, order.placed", Removed: r.Kinds,
	}, err)

	for _, history := range []store.Origin{
		{Store: uuid.New(), Incarnation: r.Origin.Incarnation},
		{Store: r.Origin.Store, Incarnation: r.Origin.Incarnation + 1}, // a file outlives a cut of the log
		{Store: r.Origin.Store, Incarnation: r.Origin.Incarnation - 1},
	} {
		_, err = files.Load("index", history, sampleBinding)
		require.Equal(t, &checkpoint.MismatchError{
			Err: store.ErrForeignHistory, ID: "index", Stored: r.Origin.String(), Given: history.String(),
		}, err)
		require.ErrorIs(t, err, store.ErrForeignHistory)
	}
}

func TestADamagedFileIsRefused(t *testing.T) {
	files, r := checkpoint.Files{Dir: t.TempDir()}, sample()
	require.NoError(t, files.Save("index", r))
	path := theFile(t, files.Dir)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		for _, b := range [][]byte{bad, good[:i]} {
			require.NoError(t, os.WriteFile(path, b, 0o600))
			_, err := files.Load("index", r.Origin, sampleBinding)
			require.ErrorIs(t, err, checkpoint.ErrCorrupt)
		}
	}
}

func TestAHalfWrittenTemporaryFileChangesNothing(t *testing.T) {
	files, r := checkpoint.Files{Dir: t.TempDir()}, sample()
	require.NoError(t, files.Save("index", r))
	require.NoError(t, os.WriteFile(theFile(t, files.Dir)+".tmp", []byte("half"), 0o600))
	got, err := files.Load("index", r.Origin, sampleBinding)
	require.NoError(t, err)
	require.Equal(t, r, got)
	r.Scanned++
	require.NoError(t, files.Save("index", r))
	got, err = files.Load("index", r.Origin, sampleBinding)
	require.NoError(t, err)
	require.Equal(t, r, got)
	theFile(t, files.Dir)
}

func TestSavingIntoAMissingDirectoryIsAnError(t *testing.T) {
	files := checkpoint.Files{Dir: filepath.Join(t.TempDir(), "missing")}
	require.ErrorIs(t, files.Save("index", sample()), os.ErrNotExist)
}

func TestEveryIDHasAFileNameOfItsOwnOnAnyFileSystem(t *testing.T) {
	ids := []checkpoint.ID{
		"index", "Index", "INDEX", "con", "NUL", "com1", "a b", "a.", "a..", "...", "a%41", "aA", "a:b", "a*?<>\"", "~",
		"\u00e9", "e\u0301", // one letter to a file system that normalises
		checkpoint.ID(strings.Repeat("x", 255)), checkpoint.ID(strings.Repeat("x", 254) + "y"),
		checkpoint.ID(strings.Repeat("X", 255)), checkpoint.ID(strings.Repeat("ü", 100)),
		checkpoint.ID(strings.Repeat("x", 64)), checkpoint.ID(strings.Repeat("x", 128)), checkpoint.ID(strings.Repeat("x", 129)),
	}
	seen := make(map[string]checkpoint.ID)
	for _, id := range ids {
		files := checkpoint.Files{Dir: t.TempDir()}
		require.NoError(t, files.Save(id, sample()), "%q", id)
		name := filepath.Base(theFile(t, files.Dir))
		require.Regexp(t, regexp.MustCompile(`^id-[a-z0-9%~._-]+\.checkpoint$`), name)
		require.LessOrEqual(t, len(name)+len(".tmp"), 255)
		require.Equal(t, strings.ToLower(name), name)
		require.NotContains(t, seen, name, "%q and %q", id, seen[name])
		seen[name] = id
	}
}
