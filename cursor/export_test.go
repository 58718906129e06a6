package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
)

// CheckParked returns what is wrong with the list of what a runner has parked: a queue of a key
// that does not begin as its entries do, or has one that is not to be handled again after another;
// a key of which nothing failed, nor is to be handled again; an index that is out of date; and,
// where nothing waits for a commit, what the log has otherwise. A log that cannot be read is no
// fault.
func CheckParked(r *Runner) error {
	if r.stale { // it is read again before anything else
		return nil
	}
	held, all, replays := 0, 0, 0
	for key, k := range r.list.keys {
		if err := checkKey(k); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		for _, e := range k.entries {
			if all++; e.Held {
				held++
			}
			if r.list.at[e.Position] != e {
				return fmt.Errorf("key %q: event %d is not indexed", key, e.Position)
			}
		}
		if k.entries[0].Replaying {
			replays++
		}
		if (r.list.replays[key] == k) != k.entries[0].Replaying {
			return fmt.Errorf("key %q: its replay is not indexed", key)
		}
	}
	if held != r.list.held || all != len(r.list.at) || replays != len(r.list.replays) {
		return fmt.Errorf("%d of %d held, %d replayed; indexed are %d, %d, %d",
			held, all, replays, r.list.held, len(r.list.at), len(r.list.replays))
	}
	if !r.out.empty() {
		return nil
	}
	return compareParked(r)
}

func checkKey(k *parkedKey) error {
	if k.orphaned() {
		return fmt.Errorf("event %d is held for nothing, and is not to be handled again", k.entries[0].Position)
	}
	for i := range k.queue.events {
		at := k.queue.events[i].Position
		switch {
		case i >= len(k.entries) || k.entries[i].Position != at:
			return fmt.Errorf("event %d is not number %d", at, i)
		case i > 0 && !k.entries[i].Replaying:
			return fmt.Errorf("event %d is handled after another, and nothing says so", at)
		}
	}
	return nil
}

func compareParked(r *Runner) error {
	n := 0
	for e, err := range checkpoint.ParkedEvents(r.own.st, r.own.lease.ID()) {
		if err != nil {
			return nil
		}
		n++
		ours := r.list.at[e.Position]
		if ours == nil || ours.Key != e.Key || ours.Held != e.Held || ours.Replaying != e.Replaying || ours.Doubt != e.Doubt {
			return fmt.Errorf("event %d: the log has %+v, the runner %+v", e.Position, e, ours)
		}
	}
	if n != len(r.list.at) {
		return fmt.Errorf("the log has %d events, the runner %d", n, len(r.list.at))
	}
	return nil
}

// AfterLook has f called each time a runner has looked at what is erased, before it commits.
func AfterLook(r *Runner, f func()) {
	look := r.out.takeIn
	r.out.takeIn = func(ctx context.Context) {
		look(ctx)
		f()
	}
}
