package checkpoint_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

var sampleBinding = checkpoint.Binding{Region: orders, Kinds: []string{"order.placed", "order.cancelled"}}

// keepAll is the seed with which a disk loses nothing.
const keepAll = 1

// theFile returns the path of the only file.
func theFile(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	return filepath.Join(dir, entries[0].Name())
}

// filesIn keeps checkpoints in a directory until the test ends.
func filesIn(t *testing.T, dir string) checkpoint.Files {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	return checkpoint.Files{Dir: root}
}

// saved returns a store with 12 events and a record of it, which is saved as "index".
func saved(t *testing.T) (*store.Store, checkpoint.Files, checkpoint.Record) {
	t.Helper()
	st, files := open(t), filesIn(t, t.TempDir())
	fill(t, st, 12)
	r := sample()
	r.Origin, r.Scanned, r.Delivered, r.Pending = st.Origin(), 10, 9, []store.Position{3, 8}
	require.NoError(t, files.Save(t.Context(), st, "index", r))
	return st, files, r
}

func TestASavedFileIsLoadedAsItWas(t *testing.T) {
	st, files, r := saved(t)
	_, err := files.Load(t.Context(), st, "other", sampleBinding)
	require.ErrorIs(t, err, checkpoint.ErrNotFound)
	for range 2 {
		r.Scanned++
		require.NoError(t, files.Save(t.Context(), st, "index", r))
		got, err := files.Load(t.Context(), st, "index", sampleBinding)
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	info, err := os.Stat(theFile(t, files.Dir.Name())) // no temporary file stays
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Zero(t, info.Mode().Perm()&0o077, "for the owner alone")
	}
}

func TestAFileThatDoesNotFitIsRefused(t *testing.T) {
	st, files, r := saved(t)
	other := sampleBinding
	other.Region = store.Region{}
	_, err := files.Load(t.Context(), st, "index", other)
	require.Equal(t, &checkpoint.MismatchError{
		Err: checkpoint.ErrRegion, ID: "index", Stored: orders.String(), Given: "everything",
	}, err)

	_, err = files.Load(t.Context(), st, "index", bound)
	require.Equal(t, &checkpoint.MismatchError{
		Err: checkpoint.ErrKindsChanged, ID: "index", Stored: "order.cancelled, order.placed", Removed: r.Kinds,
	}, err)

	foreign := open(t)
	fill(t, foreign, 12)
	_, err = files.Load(t.Context(), foreign, "index", sampleBinding)
	require.Equal(t, &checkpoint.MismatchError{
		Err: store.ErrForeignHistory, ID: "index", Stored: r.Origin.String(), Given: foreign.Origin().String(),
	}, err)
	require.ErrorIs(t, files.Save(t.Context(), foreign, "index", r), store.ErrForeignHistory)

	for name, ahead := range map[string]func(*checkpoint.Record){
		"scanned":   func(r *checkpoint.Record) { r.Scanned = 13 },
		"delivered": func(r *checkpoint.Record) { r.Delivered = 13 },
		"trying":    func(r *checkpoint.Record) { r.Trying = 13 },
	} {
		bad := r
		ahead(&bad)
		require.Equal(t, &checkpoint.PositionError{Err: checkpoint.ErrAhead, ID: "index", Position: 13, Bound: 12},
			files.Save(t.Context(), st, "index", bad), name)
	}
	_, err = files.Load(t.Context(), st, "index", sampleBinding)
	require.NoError(t, err, "what was refused is not saved")
}

// The log is taken back to a copy, and continues with other events: both have the same incarnation.
func TestAFileIsValidInTheLogsThatHaveItsLastEvent(t *testing.T) {
	disk := storetest.NewDisk()
	st, err := disk.Open("data", store.Options{})
	require.NoError(t, err)
	fill(t, st, 5)
	require.NoError(t, st.Close())
	copied := disk.Rebooted(keepAll)
	st, err = disk.Open("data", store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	fill(t, st, 5)
	files, r := filesIn(t, t.TempDir()), sample()
	r.Origin = st.Origin()
	for _, at := range []store.Position{0, 5, 6, 10} {
		r.Scanned, r.Delivered = at, 0
		require.NoError(t, files.Save(t.Context(), st, checkpoint.ID(fmt.Sprint(at)), r))
	}
	restored, err := copied.Open("data", store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, restored.Close()) }()
	reader, err := copied.Open("data", store.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, reader.Close()) }()

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, id := range []checkpoint.ID{"6", "10"} {
		_, err := files.Load(t.Context(), restored, id, sampleBinding)
		require.ErrorIs(t, err, store.ErrForeignHistory, "after the last event")
		_, err = files.Load(ended, reader, id, sampleBinding)
		require.ErrorIs(t, err, context.Canceled, "its writer may be about to add it")
	}
	fill(t, restored, 20)
	for _, st := range []*store.Store{restored, reader} {
		for _, id := range []checkpoint.ID{"0", "5"} {
			_, err := files.Load(t.Context(), st, id, sampleBinding)
			require.NoError(t, err)
		}
		for _, id := range []checkpoint.ID{"6", "10"} {
			_, err := files.Load(t.Context(), st, id, sampleBinding)
			require.ErrorIs(t, err, store.ErrForeignHistory, "another event")
		}
	}
}

// An older version saved the record alone.
func TestAFileOfAnOlderVersionIsAcceptedWhereItSaysNothingOfAnyEvent(t *testing.T) {
	st, files, r := saved(t)
	path := theFile(t, files.Dir.Name())
	require.NoError(t, os.WriteFile(path, r.Encode(), 0o600))
	_, err := files.Load(t.Context(), st, "index", sampleBinding)
	require.ErrorIs(t, err, store.ErrForeignHistory, "nothing proves that 10 is an event of this log")

	r.Scanned, r.Delivered, r.Pending = 0, 0, nil
	require.NoError(t, os.WriteFile(path, r.Encode(), 0o600))
	got, err := files.Load(t.Context(), st, "index", sampleBinding)
	require.NoError(t, err)
	require.Equal(t, r, got)
}

func TestADamagedFileIsRefused(t *testing.T) {
	st, files, _ := saved(t)
	path := theFile(t, files.Dir.Name())
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		for _, b := range [][]byte{bad, good[:i]} {
			require.NoError(t, os.WriteFile(path, b, 0o600))
			_, err := files.Load(t.Context(), st, "index", sampleBinding)
			require.ErrorIs(t, err, checkpoint.ErrCorrupt)
		}
	}
}

func TestAHalfWrittenTemporaryFileChangesNothing(t *testing.T) {
	st, files, r := saved(t)
	require.NoError(t, os.WriteFile(theFile(t, files.Dir.Name())+".tmp", []byte("half"), 0o600))
	got, err := files.Load(t.Context(), st, "index", sampleBinding)
	require.NoError(t, err)
	require.Equal(t, r, got)
	r.Scanned++
	require.NoError(t, files.Save(t.Context(), st, "index", r))
	got, err = files.Load(t.Context(), st, "index", sampleBinding)
	require.NoError(t, err)
	require.Equal(t, r, got)
	theFile(t, files.Dir.Name())
}

func TestSavingIntoARemovedDirectoryIsAnError(t *testing.T) {
	st, files, r := saved(t)
	require.NoError(t, os.RemoveAll(files.Dir.Name()))
	require.ErrorIs(t, files.Save(t.Context(), st, "index", r), os.ErrNotExist)
}

func TestFilesStayInTheirDirectoryWhateverLiesAtItsPathLater(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there a directory that is in use keeps its path
	}
	st, _, r := saved(t)
	top := t.TempDir()
	mine, theirs := filepath.Join(top, "mine", "data"), filepath.Join(top, "theirs", "data")
	for _, dir := range []string{mine, theirs} {
		require.NoError(t, os.MkdirAll(dir, 0o700))
	}
	t.Chdir(filepath.Dir(theirs))
	require.NoError(t, filesIn(t, "data").Save(t.Context(), st, "index", r))
	t.Chdir(filepath.Dir(mine))
	files := filesIn(t, "data")
	t.Chdir(filepath.Dir(theirs))

	_, err := files.Load(t.Context(), st, "index", sampleBinding)
	require.ErrorIs(t, err, checkpoint.ErrNotFound)
	later := r
	later.Scanned = 12
	require.NoError(t, files.Save(t.Context(), st, "index", later))
	got, err := filesIn(t, theirs).Load(t.Context(), st, "index", sampleBinding)
	require.NoError(t, err)
	require.Equal(t, r, got)
	got, err = filesIn(t, mine).Load(t.Context(), st, "index", sampleBinding)
	require.NoError(t, err)
	require.Equal(t, later, got)
	require.NoError(t, os.Rename(mine, theirs+" too"))
	got, err = files.Load(t.Context(), st, "index", sampleBinding)
	require.NoError(t, err)
	require.Equal(t, later, got)
}

func TestEveryIDHasAFileNameOfItsOwnOnAnyFileSystem(t *testing.T) {
	ids := []checkpoint.ID{
		"index", "Index", "INDEX", "con", "NUL", "com1", "a b", "a.", "a..", "...", "a%41", "aA", "a:b", "a*?<>\"", "~",
		"\u00e9", "e\u0301", // one letter to a file system that normalises
		checkpoint.ID(strings.Repeat("x", 255)), checkpoint.ID(strings.Repeat("x", 254) + "y"),
		checkpoint.ID(strings.Repeat("X", 255)), checkpoint.ID(strings.Repeat("ü", 100)),
		checkpoint.ID(strings.Repeat("x", 64)), checkpoint.ID(strings.Repeat("x", 128)), checkpoint.ID(strings.Repeat("x", 129)),
	}
	st, _, r := saved(t)
	seen := make(map[string]checkpoint.ID)
	for _, id := range ids {
		files := filesIn(t, t.TempDir())
		require.NoError(t, files.Save(t.Context(), st, id, r), "%q", id)
		name := filepath.Base(theFile(t, files.Dir.Name()))
		require.Regexp(t, regexp.MustCompile(`^id-[a-z0-9%~._-]+\.checkpoint$`), name)
		require.LessOrEqual(t, len(name)+len(".tmp"), 255)
		require.Equal(t, strings.ToLower(name), name)
		require.NotContains(t, seen, name, "%q and %q", id, seen[name])
		seen[name] = id
	}
}
