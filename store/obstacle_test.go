package store

import (
	"context"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// deniedDisk does not let segments be opened for reading while it is shut.
type deniedDisk struct {
	vfs.FS
	shut *atomic.Bool
}

type deniedDir struct {
	vfs.Dir
	shut *atomic.Bool
}

func (d deniedDisk) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	opened, err := d.FS.OpenDir(dir, perm)
	return deniedDir{opened, d.shut}, err
}

func (d deniedDir) Open(name string, readOnly bool) (vfs.File, error) {
	if readOnly && strings.HasSuffix(name, ".seg") && d.shut.Load() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
	}
	return d.Dir.Open(name, readOnly)
}

// As where a new segment belongs to the writer's account alone: what is in it is not known, so it
// is neither damage nor the end of the log.
func TestASegmentThatAFollowerMayNotOpenIsNoDamageAndSaysNothingOfTheLog(t *testing.T) {
	for _, writerEnds := range []bool{false, true} {
		memory, shut := vfs.NewMemory(), new(atomic.Bool)
		w := openLog(t, memory, smallSegments(SyncAlways))
		put(t, w, "a")
		follower := openLog(t, deniedDisk{memory, shut}, Options{ReadOnly: true})
		require.Equal(t, Position(1), follower.Head())

		shut.Store(true)
		grow(t, w, 2)
		last := put(t, w, "b")
		if writerEnds {
			require.NoError(t, w.Close())
		}
		_, err := follower.Wait(t.Context(), last.Position()-1)
		require.ErrorIs(t, err, fs.ErrPermission)
		require.NotErrorIs(t, err, ErrCorrupt)
		anchor := last.Anchor()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err = follower.CheckAnchor(ctx, anchor)
		cancel()
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrForeignHistory)
		require.NotErrorIs(t, err, ErrCorrupt)

		shut.Store(false)
		head, err := follower.Wait(t.Context(), last.Position()-1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, head, last.Position())
		require.NoError(t, follower.CheckAnchor(t.Context(), anchor))
	}
}
