package storetest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// crashRounds are made unless the environment says otherwise.
const crashRounds = 8

// kept is a commit of a caller that a crash may have interrupted.
type kept struct {
	batch   store.Batch
	receipt store.Receipt
	known   bool // it was acknowledged
}

// crashInMidst cuts the power while callers commit.
func crashInMidst(x *scene) {
	for seed := range seeds(x, crashRounds) {
		x.take(x.open())
		commits := commitUntilCrash(x, seed)
		recovered(x, commits, seed)
		again := 0
		for i := range commits {
			r, err := x.Writer.Commit(x.ctx, commits[i].batch)
			require.NoError(x, err, seedText(seed))
			if commits[i].known && durably(&commits[i].receipt) {
				repeated(x, commits[i].receipt, r)
			}
			again += len(r.Events)
		}
		require.Len(x, x.seen(store.Region{}), again, "each was committed once")
		require.NoError(x, x.Writer.Close())
	}
}

func durably(r *store.Receipt) bool { return r.Sync == store.SyncAlways }

// commitUntilCrash returns the commits of some callers, and leaves what the crash has.
func commitUntilCrash(x *scene, seed uint64) (commits []kept) {
	const callers = 4
	random := rand.New(rand.NewPCG(seed, 0))
	writer, answered := x.Writer, make(chan struct{}, 4096)
	var mu sync.Mutex
	ended := make(chan error, 1)
	go func() {
		ended <- inParallel(callers, func(i int) error {
			for n := 0; n < cap(answered)/callers; n++ {
				entity := fmt.Sprintf("e:%d", i)
				c := kept{batch: store.Batch{IdempotencyKey: fmt.Sprintf("key %d %d", i, n), Events: eventsAt(entity, "all", entity)}}
				var err error
				c.receipt, err = writer.Commit(x.ctx, c.batch)
				c.known = err == nil
				mu.Lock()
				commits = append(commits, c)
				mu.Unlock()
				if err != nil { // the power has failed
					return nil //nolint:nilerr // as it should
				}
				answered <- struct{}{}
			}
			return nil
		})
	}()
	for range random.IntN(40) {
		<-answered
	}
	crashed := x.Crash(x)
	require.NoError(x, <-ended)
	x.take(crashed)
	return commits
}

// recovered compares what a crash has left with what was acknowledged.
func recovered(x *scene, commits []kept, seed uint64) {
	events := x.seen(store.Region{})
	require.Equal(x, store.Position(len(events)), x.Reader.Head(), seedText(seed))
	require.Zero(x, len(events)%3, "a part of a commit has survived, %s", seedText(seed))
	versions := make(map[string]uint64)
	for i, e := range events {
		versions[e.Coordinate.Entity]++
		require.Equal(x, store.Position(i+1), e.Position, seedText(seed))
		require.Equal(x, versions[e.Coordinate.Entity], e.Version, seedText(seed))
	}
	for i := range commits {
		c := &commits[i]
		if !c.known {
			continue
		}
		if last := int(c.receipt.Position()); last > len(events) {
			require.False(x, durably(&c.receipt), "what was acknowledged at position %d is gone, %s", last, seedText(seed))
			continue
		}
		for _, recorded := range c.receipt.Events {
			require.Equal(x, recorded.ID, events[recorded.Position-1].ID, seedText(seed))
		}
	}
}
