package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// A reader that has the former files open does not show what they have: not while an erasure is
// unfinished, not once it is finished, and not where it learns of both at once.
func TestAReaderBesideTheWriterSeesNothingOfWhatWasErased(t *testing.T) {
	failed := errors.New("no such luck")
	base := vfs.NewMemory()
	s, err := open(base, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	personalLog(t, s)
	before := visibleEvents(t, s)
	require.NoError(t, s.Close())
	interrupted := 0
	for n := 1; ; n += 3 {
		disk := base.Image(vfs.KeepAll)
		s, err := open(disk, logDir, smallSegments(SyncAlways), true)
		require.NoError(t, err)
		reader, err := open(disk, logDir, Options{ReadOnly: true}, true)
		require.NoError(t, err)
		require.Equal(t, before[0].record, visibleEvents(t, reader)[0].record)
		from := disk.Ops()
		disk.FailAt(from+n, failed)
		_, err = Erase(t.Context(), s, forgets("customer:7"))
		where := fmt.Sprintf("operation %d (%s) failed: %v", n, lastOf(disk.Trace()), err)
		if s.Stats().Poisoned {
			killStore(s)
			require.NoError(t, reader.Close())
			continue
		}
		if err != nil {
			interrupted++
			requireForgotten(t, before, visibleEvents(t, reader), where)
			if _, err = Erase(t.Context(), s, forgets("customer:7")); errors.Is(err, ErrBusy) { // the next opening finishes it
				require.NoError(t, s.Close())
				s, err = open(disk, logDir, smallSegments(SyncAlways), true)
			}
			require.NoError(t, err, where)
		}
		requireForgotten(t, before, visibleEvents(t, reader), where)
		require.NoError(t, reader.Close())
		last := disk.Ops() < from+n
		if _ = s.Close(); last { // which may be what fails
			break
		}
	}
	require.Positive(t, interrupted)
}
