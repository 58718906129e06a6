package store

import (
	"context"
	"sync"
	"sync/atomic"
)

// holding keeps two apart: those who begin to need events, and the moment in which [Retain] looks
// at who needs which, and replaces files.
//
//	     enter            exclude, once all have left
//	------------> held                          admit
//	free <------------     free -----> dropping -----> free
//	     leave
//
// Any number enter at a time. Once a drop waits none does, until it is over, so it waits for no
// more than the commits that are under way. It locks itself.
type holding struct {
	mu   sync.Mutex
	n    int           // have entered
	idle chan struct{} // closed when they have left; nil unless a drop waits for that
	over chan struct{} // closed when the drop is over; nil where there is none

	// unseen is the first position of a drop whose file is in its place and could not be opened
	// yet; 0 for none. Until it is, the segments are those of before.
	unseen atomic.Uint64
}

func (h *holding) enter(ctx context.Context) error {
	for {
		h.mu.Lock()
		over := h.over
		if over == nil {
			h.n++
		}
		h.mu.Unlock()
		if over == nil {
			return nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *holding) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n--; h.n == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}

// exclude waits until all have left. Only the goroutine that has the rewriter calls it.
func (h *holding) exclude(ctx context.Context) error {
	h.mu.Lock()
	h.over = make(chan struct{})
	idle := make(chan struct{})
	if h.n == 0 {
		close(idle)
	} else {
		h.idle = idle
	}
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		h.admit()
		return ctx.Err()
	}
}

func (h *holding) admit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.over)
	h.over, h.idle = nil, nil
}

// WithoutDrops calls a function, and [Retain] drops nothing meanwhile: what [First] says at its
// beginning holds until it returns, and what it commits by then counts when Retain looks at who
// needs what, be the outcome of the commit known or not. So a reader that keeps a position in the
// log, and returns it among the holds of a [Holders], begins, or moves backwards, without being too
// late in the next moment:
//
//	err := store.WithoutDrops(ctx, st, func() error {
//		if from < store.First(st) {
//			return errTooLate
//		}
//		return commit(from)
//	})
//
// Package checkpoint does so, and SetHold. Moving forwards needs no such care. It waits for a drop
// that is under way, for as long as files are replaced, and not while what stays is written. The
// function should take no longer than a commit, as drops and later calls wait for it; it must not
// call WithoutDrops again, nor what does. Errors: those of the function, and ctx's, when it was not
// called.
func WithoutDrops(ctx context.Context, st *Store, do func() error) error {
	if err := st.holding.enter(ctx); err != nil {
		return err
	}
	defer st.holding.leave()
	return do()
}
