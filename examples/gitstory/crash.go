package main

import (
	"fmt"
	"os"
	"sync/atomic"
)

// crash ends the process after a number of batches, as kill -9 would: nothing is flushed, no
// deferred call runs.
type crash struct {
	after int64        // 0: never
	say   func(string) // may be called by several goroutines
	done  atomic.Int64
}

func crashAfter(batches int, say func(string)) *crash { return &crash{after: int64(batches), say: say} }

// batch counts a batch. It may be called by several workers at the same time.
func (c *crash) batch() {
	if c.done.Add(1) != c.after {
		return
	}
	c.say(fmt.Sprintf("dying now, at batch %d", c.after))
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // the signal is on its way; this batch is not committed
}

// survived reports why a crash that was requested did not happen.
func (c *crash) survived() {
	switch done := c.done.Load(); {
	case c.after == 0:
	case done == 0:
		c.say("nothing new to handle, so nothing to crash in")
	default:
		c.say(fmt.Sprintf("everything new took %d batches, so there was no batch %d to crash in", done, c.after))
	}
}
