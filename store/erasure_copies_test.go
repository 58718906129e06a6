package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestTheNextBackupHasNothingAnyMoreOfWhatWasErased(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		disk := vfs.NewMemory()
		s := openLog(t, disk, smallSegments(SyncAlways))
		personalLog(t, s)
		from := s
		if readOnly {
			from = openLog(t, disk, Options{ReadOnly: true})
		}
		depot := depotOn(t, disk)
		early := backedUp(t, from, "early")
		backedUp(t, from, "copy")
		shipOnce(t, from, depot)
		for range visibleEvents(t, from) { // the reader has all files open, and mapped
			require.NotEmpty(t, all(t, from, Region{}))
		}

		report, err := Erase(t.Context(), s, forgets("customer:7"))
		require.NoError(t, err)
		checkpoints(t, s, 0, 300, 2, 700)
		require.True(t, held(t, disk, &report, "copy"))
		require.True(t, heldIn(t, &report, depot))
		next := backedUp(t, from, "copy")
		shipOnce(t, from, depot)
		require.Greater(t, next.Sequence, early.Sequence)
		require.False(t, held(t, disk, &report, "copy"))
		require.False(t, heldIn(t, &report, depot))
		require.True(t, held(t, disk, &report, "early"))
		require.Empty(t, filesWithSecrets(t, disk, "copy"), "read-only: %v", readOnly)
		require.Empty(t, filesWithSecrets(t, disk, "depot"))
		require.NotEmpty(t, filesWithSecrets(t, disk, "early"))
		require.NotEmpty(t, all(t, copyOf(t, disk, "early"), Region{Entity: "customer"})[0].Payload)

		// The log itself tells later which files they were.
		audit := all(t, s, Region{Scope: ReservedScope, Kinds: []string{AuditUnlinked}})
		require.Len(t, audit, 1)
		var said ErasureAudit
		require.NoError(t, audit[0].Decode(&said))
		require.Equal(t, report.Files, said.Files)
		require.Equal(t, report.ID, said.Erasure)
		require.Equal(t, "an officer", said.By)
		require.Len(t, report.Events, said.Events)

		back := restored(t, disk, "copy", "back")
		requireWhole(t, back)
		require.Empty(t, filesWithSecrets(t, disk, "back"))
		back = restored(t, disk, "early", "again")
		_, err = Erase(t.Context(), back, forgets("customer:7"))
		require.NoError(t, err)
		require.Empty(t, filesWithSecrets(t, disk, "again"))
	}
}

func held(t *testing.T, disk *vfs.Memory, r *ErasureReport, dir string) bool {
	t.Helper()
	held, err := r.Files.inBackup(disk, dir)
	require.NoError(t, err)
	return held
}

func heldIn(t *testing.T, r *ErasureReport, depot Depot) bool {
	t.Helper()
	held, err := r.Files.InDepot(t.Context(), depot)
	require.NoError(t, err)
	return held
}

// A copy that was made between the commit of an erasure and its end has what is to be erased, shows
// it as erased, and finishes it when it is opened as a store.
func TestACopyOfAnUnfinishedErasureFinishesIt(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	personalLog(t, s)
	s.tasks.Wait()
	before := visibleEvents(t, s)
	hooks := hook(s)
	hooks.renames = func(string) error { return errors.New("no") }
	report, err := Erase(t.Context(), s, forgets("customer:7"))
	require.ErrorContains(t, err, "no")
	require.ErrorContains(t, s.Stats().Erasing, "no")
	require.Zero(t, report.Sequence)
	requireForgotten(t, before, visibleEvents(t, s), "it has begun")

	backedUp(t, s, "copy")
	require.NotEmpty(t, filesWithSecrets(t, disk, "copy"))
	requireForgotten(t, before, visibleEvents(t, copyOf(t, disk, "copy")), "copy")
	var exported bytes.Buffer
	require.NoError(t, Export(t.Context(), s, &exported))
	require.NotContains(t, exported.String(), secret)
	_, err = Restore(t.Context(), "copy", "back", onDisk(disk))
	require.NoError(t, err)
	back, err := open(disk, "back", smallSegments(SyncAlways), true)
	require.NoError(t, err)
	requireForgotten(t, before, visibleEvents(t, back), "restored")
	require.Empty(t, filesWithSecrets(t, disk, "back"))
	require.NoError(t, back.Close())

	// It is tried again with the next one, whatever that is about.
	s.tasks.Wait() // the rewriter may have continued with other files
	hooks.renames = nil
	_, err = Erase(t.Context(), s, forgets("order:1"))
	require.NoError(t, err)
	require.NoError(t, s.Stats().Erasing)
	require.Empty(t, filesWithSecrets(t, disk, logDir))
	requireWhole(t, s)
}

// A reader has the file that was replaced open, and all that it knows agrees with that.
func TestABackupByAReaderOfAnotherProcessHasNothingOfWhatWasErased(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	write(t, s, Batch{Events: []Proposal{personal("customer:7", 30)}})
	grow(t, s, 2)
	s.tasks.Wait()
	r := openLog(t, disk, Options{ReadOnly: true})
	require.NotEmpty(t, all(t, r, Region{}))
	report, err := Erase(t.Context(), s, forgets("customer:7"))
	require.NoError(t, err)
	require.Equal(t, 1, report.Segments)
	backedUp(t, r, "copy")
	require.Empty(t, filesWithSecrets(t, disk, "copy"))
	require.False(t, held(t, disk, &report, "copy"))
}

// A second call, as after a crash, knows it as well as the first one; and a dry run says that it
// does not.
func TestWhichCopiesHaveItIsKnownAgainOrNotAtAll(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	personalLog(t, s)
	backedUp(t, s, "copy")
	e := forgets("customer:7")
	e.DryRun = true
	dry, err := Erase(t.Context(), s, e)
	require.NoError(t, err)
	_, err = dry.Files.inBackup(disk, "copy")
	require.ErrorIs(t, err, ErrInvalid)

	first, err := Erase(t.Context(), s, forgets("customer:7"))
	require.NoError(t, err)
	s = reopen(t, s)
	again, err := Erase(t.Context(), s, forgets("customer:7"))
	require.NoError(t, err)
	require.Empty(t, again.Events)
	require.Equal(t, first.Files, again.Files)
	require.True(t, held(t, disk, &again, "copy"))
	backedUp(t, s, "copy")
	require.False(t, held(t, disk, &again, "copy"))
}

// endingWriter is a writer that calls end once, with the first bytes that it is given.
type endingWriter struct {
	bytes.Buffer
	end func()
}

func (w *endingWriter) Write(b []byte) (int, error) {
	if w.end != nil {
		w.end()
		w.end = nil
	}
	return w.Buffer.Write(b)
}

// What was read of the file that is replaced is still to be written then.
func TestAnExportHasNothingOfAnErasureThatEndsMeanwhile(t *testing.T) {
	s := memoryLog(t)
	for i := range 300 {
		write(t, s, Batch{Events: []Proposal{crashProposal("order:1", i, 1000), personal("customer:7", 300)}})
	}
	unfinished(t, s, forgets("customer:7"))
	exported := endingWriter{end: func() {
		_, err := Erase(t.Context(), s, forgets("customer:7"))
		require.NoError(t, err)
	}}
	require.NoError(t, Export(t.Context(), s, &exported))
	require.Nil(t, exported.end)
	require.NotContains(t, exported.String(), secret)
}
