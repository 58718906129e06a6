package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// BenchmarkCommitBesideABackup takes turns of a second: 256 writers that wait for their syncs,
// alone and beside backups of a log of 256 MiB, each into an empty directory. It tells how long the
// slowest of a hundred commits takes, and how many times as long beside a backup as alone: the
// medians over the turns. Run it with -benchtime 9x, and with TMPDIR on the disk that counts, which
// a backup needs a second time.
func BenchmarkCommitBesideABackup(b *testing.B) {
	dir := b.TempDir()
	st := filledStore(b, filepath.Join(dir, "log"), 256<<20)
	var alone, beside, ratios []float64
	backups := 0
	for b.Loop() {
		first := slowestOfHundred(b, st)
		ctx, stop := context.WithCancel(b.Context())
		var copying sync.WaitGroup
		copying.Go(func() {
			for ctx.Err() == nil {
				dst := filepath.Join(dir, "copy")
				if _, err := store.Backup(ctx, st, dst, store.BackupOptions{}); err == nil {
					backups++
				}
				_ = os.RemoveAll(dst)
			}
		})
		second := slowestOfHundred(b, st)
		stop()
		copying.Wait()
		alone, beside, ratios = append(alone, first), append(beside, second), append(ratios, second/first)
	}
	median := func(list []float64) float64 {
		slices.Sort(list)
		return list[len(list)/2]
	}
	b.ReportMetric(median(alone), "p99-alone-µs")
	b.ReportMetric(median(beside), "p99-beside-µs")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(backups)/float64(len(ratios)), "backups")
	b.ReportMetric(0, "ns/op") // of a turn
}

// filledStore has a log of so many bytes of payload.
func filledStore(b *testing.B, dir string, size int) *store.Store {
	b.Helper()
	st, err := store.Open(dir, store.Options{Sync: store.SyncNever})
	require.NoError(b, err)
	payload := store.Raw{Type: "filler", Data: make([]byte, 4<<10)}
	for range size / (64 * len(payload.Data)) {
		var batch store.Batch
		for range 64 {
			batch.Events = append(batch.Events, store.Proposal{At: store.At("filler", "bench"), Payload: payload})
		}
		_, err = st.Commit(b.Context(), batch)
		require.NoError(b, err)
	}
	require.NoError(b, st.Close())
	st, err = store.Open(dir, store.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, st.Close()) })
	return st
}

// slowestOfHundred has 256 writers commit for a second, and returns the 99th percentile of their
// commits in microseconds.
func slowestOfHundred(b *testing.B, st *store.Store) float64 {
	b.Helper()
	took := make([][]time.Duration, 256)
	end := time.Now().Add(time.Second)
	var writers sync.WaitGroup
	for w := range took {
		writers.Go(func() {
			at, payload := store.At(fmt.Sprint("w:", w), "bench"), store.Raw{Type: "bench", Data: make([]byte, 256)}
			for began := time.Now(); began.Before(end); {
				if _, err := st.Append(b.Context(), at, store.Any, payload); err != nil {
					b.Error(err)
					return
				}
				now := time.Now()
				took[w] = append(took[w], now.Sub(began))
				began = now
			}
		})
	}
	writers.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	return float64(all[len(all)*99/100].Nanoseconds()) / 1000
}
