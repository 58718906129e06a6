package store

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// A power cut that left out sectors of a footer is told from damage: nothing is lost by it.
func TestAFooterThatWasNotWrittenWholeIsToldFromADamagedOne(t *testing.T) {
	disk := verifiedLog(t, 4)
	w := readWritten(t, disk)
	s := openLog(t, disk.Image(vfs.KeepAll), Options{ReadOnly: true})
	first := (*s.segments.Load())[0].trailer.Load()
	path, from := segmentPath(logDir, 1), int(first.DataEnd)
	tables := from + int(first.IndexLen) + int(first.SidesLen)
	torn := 0
	for at := from; at < tables; {
		to := min(tables, at-at%sectorBytes+sectorBytes)
		data := bytes.Clone(disk.Bytes(path))
		clear(data[at:to])
		if !bytes.Equal(data, disk.Bytes(path)) {
			torn++
			requireFooter(t, replaced(t, disk, path, data), &w, TornFooter)
			data[at] ^= 1 // something was written there
			requireFooter(t, replaced(t, disk, path, data), &w, DamagedFooter)
		}
		at = to
	}
	require.Positive(t, torn)
}

// The next opening for writing makes it again.
func TestATrailerThatIsDamagedIsReportedUntilTheNextOpeningForWriting(t *testing.T) {
	disk := verifiedLog(t, 4)
	w := readWritten(t, disk)
	path := segmentPath(logDir, 1)
	whole := disk.Bytes(path)
	from := len(whole) - wal.TrailerSize
	for at := from; at < len(whole); at += 7 {
		data := bytes.Clone(whole)
		data[at] ^= 4
		bad := replaced(t, disk, path, data)
		requireFooter(t, bad, &w, DamagedFooter)
		s := openLog(t, bad, smallSegments(SyncAlways))
		requireWhole(t, s)
		require.NoError(t, s.Close())
		require.Equal(t, whole, bad.Bytes(path))
	}
	data := bytes.Clone(whole)
	clear(data[from:]) // as a crash leaves it
	r, err := verifyDir(t.Context(), replaced(t, disk, path, data), logDir, VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, r.Err())
}

func requireFooter(t *testing.T, disk *vfs.Memory, w *asWritten, kind DamageKind) {
	t.Helper()
	r, err := verifyDir(t.Context(), disk, logDir, VerifyOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, r.Damage)
	worst := r.Damage[0]
	for _, d := range r.Damage {
		require.EqualValues(t, 1, d.Segment)
		worst.Kind = max(worst.Kind, d.Kind)
	}
	require.Equal(t, kind, worst.Kind, "%v", r.Damage)
	require.EqualValues(t, len(w.events), r.Events)
	requireReported(t, disk, w, &r)
}
