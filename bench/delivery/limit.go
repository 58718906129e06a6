package delivery

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/bench/limit"
)

const (
	checkpointBytes = 64
	batchSize       = 256
)

const bare = "fdatasync, nothing else"

// limitCheckpoints: writers that share a journal.
func limitCheckpoints(workers int) Contestant {
	return Contestant{Name: "limit", Promise: bare, Run: func(env Env) ([]float64, error) {
		z, err := limit.NewZeroed(env.Dir)
		if err != nil {
			return nil, err
		}
		j := limit.NewJournal(z)
		rate, err := closedLoops(workers, env.Turn, func(int) error { return j.Append(make([]byte, checkpointBytes)) })
		return []float64{rate}, errors.Join(err, j.Close())
	}}
}

// closedLoops lets workers do something again and again, and counts after half a turn for a turn.
func closedLoops(workers int, turn time.Duration, do func(worker int) error) (perSec float64, err error) {
	var done atomic.Int64
	var stop atomic.Bool
	var wait sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wait.Go(func() {
			for !stop.Load() && errs[w] == nil {
				errs[w] = do(w)
				done.Add(1)
			}
		})
	}
	perSec = during(turn, done.Load)
	stop.Store(true)
	wait.Wait()
	return perSec, errors.Join(errs...)
}

// during reads a counter after half a turn, and a turn later.
func during(turn time.Duration, count func() int64) (perSec float64) {
	time.Sleep(turn / 2)
	before, began := count(), time.Now()
	time.Sleep(turn)
	return perSecond(int(count()-before), time.Since(began))
}

// limitReactor: the same JSON on one goroutine, and one write and fdatasync per batch.
func limitReactor() Contestant {
	return Contestant{Name: "limit", Promise: "the same JSON, one write and fdatasync per 256", Run: func(env Env) ([]float64, error) {
		z, err := limit.NewZeroed(env.Dir)
		if err != nil {
			return nil, err
		}
		inputs := make([][]byte, loadBatch)
		for i := range inputs {
			inputs[i] = orderJSON(i)
		}
		var buf []byte
		began := time.Now()
		for i := range env.Events {
			out, err := answerJSON(inputs[i%loadBatch])
			if err != nil {
				return nil, err
			}
			buf = limit.AppendFrame(buf, out)
			if (i+1)%batchSize == 0 || i == env.Events-1 {
				if err := errors.Join(z.Write(buf), z.Sync()); err != nil {
					return nil, err
				}
				buf = buf[:0]
			}
		}
		return []float64{perSecond(env.Events, time.Since(began))}, z.Close()
	}}
}

// limitReaction: two writes with an fdatasync each.
func limitReaction() Contestant {
	return Contestant{Name: "limit", Promise: "two writes, each with fdatasync", Run: func(env Env) ([]float64, error) {
		z, err := limit.NewZeroed(env.Dir)
		if err != nil {
			return nil, err
		}
		var took []time.Duration
		for i := range samples(env) {
			rec := limit.AppendFrame(nil, orderJSON(i))
			time.Sleep(spacing())
			began := time.Now()
			for range 2 {
				if err := errors.Join(z.Write(rec), z.Sync()); err != nil {
					return nil, err
				}
			}
			took = append(took, time.Since(began))
		}
		return latencies(took), z.Close()
	}}
}
