package main

import (
	"os"
	"sync/atomic"
)

// crash ends the process after a number of batches, as kill -9 would: nothing is flushed, no deferred call runs.
type crash struct {
	after int64 // 0: never
	done  atomic.Int64
}

func crashAfter(batches int) *crash { return &crash{after: int64(batches)} }

// batch counts a batch. It may be called by several workers at the same time.
func (c *crash) batch() {
	if c.done.Add(1) != c.after {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // the signal is on its way; this batch is not committed
}
