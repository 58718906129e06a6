package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// announcer wakes the goroutines that wait for the head to move. It carries no value: a waiter
// takes the channel first and looks at the head afterwards, so a head that moves in between has
// closed the channel, and no wake-up is lost. The head is a level: a waiter that comes late sees it
// at once, and any number of moves may be one wake-up.
type announcer struct {
	mu   sync.Mutex
	next chan struct{} // closed by the next announcement; nil while no goroutine waits
}

func (a *announcer) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = make(chan struct{})
	}
	return a.next
}

func (a *announcer) announce() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		close(a.next)
		a.next = nil
	}
}

// Wait returns the head as soon as it is past a position. It returns ctx's error when ctx ends,
// [ErrClosed] when the store is closed, and [ErrPoisoned] when the writer has failed and the head
// will not move again; a read-only store returns the error of the damage that it cannot get past,
// and of a file that it cannot read now, for which it may be called again. The head is returned
// with an error too. Waiting needs no polling, but for a store opened read-only, which looks every
// 20 ms.
//
// The head is looked at before anything that ends the waiting: a position that was reached is
// reported also by a store that was closed or poisoned since.
func (s *Store) Wait(ctx context.Context, after Position) (Position, error) {
	for {
		if head := Position(s.head.Load()); head > after { // a look that saves the making of a channel
			return head, nil
		}
		moved := s.announcer.wait()
		if head := s.Head(); head > after { // a reader beside a writer looks at the files
			return head, nil
		}
		if s.closed.Load() {
			return s.Head(), ErrClosed
		}
		if s.follower != nil {
			if failed := s.follower.failed.Load(); failed != nil {
				return s.Head(), *failed
			}
			if err := s.follower.obstacle(); err != nil && !errors.Is(err, ErrBusy) {
				return s.Head(), fmt.Errorf("store: look for more: %w", s.readError(err))
			}
			if err := s.pause(ctx, moved); err != nil {
				return s.Head(), err
			}
			continue
		}
		if err := s.committer.writer.poisoned(); err != nil {
			return s.Head(), err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return s.Head(), fmt.Errorf("store: wait: %w", ctx.Err())
		}
	}
}

// pause lets a follower wait until it is time to look again. The other process cannot wake it, and
// watching the file system would cost more than a look at the beacon every 20 ms. moved is closed
// when another reader of this store has taken in what is new, or it was closed.
func (s *Store) pause(ctx context.Context, moved <-chan struct{}) error {
	timer := time.NewTimer(followInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-moved: // closed
	case <-ctx.Done():
		return fmt.Errorf("store: wait: %w", ctx.Err())
	}
	return nil
}

func (s *Store) announce() { s.announcer.announce() }
