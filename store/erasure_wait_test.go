package store

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// An erasure that begins while another goroutine has the rewriter, and has looked already, waits
// for that to leave, and no longer; nor longer than the store is open.
func TestAnErasureWaitsNoLongerThanForTheRewriterOrTheEndOfTheStore(t *testing.T) {
	for _, closes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			disk := vfs.NewMemory()
			s, err := open(disk, logDir, smallSegments(SyncAlways), false)
			require.NoError(t, err)
			write(t, s, Batch{Events: []Proposal{personal("customer:7", 30)}})
			require.True(t, s.rewriter.busy.tryTake())
			var failed error
			returned := false
			go func() {
				_, failed = Erase(t.Context(), s, forgets("customer:7"))
				returned = true
			}()
			synctest.Wait()
			require.False(t, returned)
			require.Len(t, s.erasing.pending(), 1)
			if closes { // which takes the rewriter before any other
				closed := make(chan error)
				go func() { closed <- s.Close() }()
				synctest.Wait()
				s.rewriter.busy.leave()
				require.NoError(t, <-closed)
			} else {
				s.leaveRewriter()
			}
			synctest.Wait()
			require.True(t, returned)
			if closes {
				require.ErrorIs(t, failed, ErrClosed)
				return
			}
			require.NoError(t, failed)
			require.Empty(t, filesWithSecrets(t, disk, logDir))
			require.NoError(t, s.Close())
		})
	}
}
