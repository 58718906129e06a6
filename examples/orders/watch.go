package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/saga"
)

// between is the time from one look at the instances to the next.
const between = 50 * time.Millisecond

// census says how many instances have ended, and how many have not.
type census struct{ ended, alive int }

func count(h *saga.Instances[order]) (c census, err error) {
	counts, err := h.Counts()
	for life, n := range counts {
		if life.Ended() {
			c.ended += n
		} else {
			c.alive += n
		}
	}
	return c, err
}

// watch shows the instances until so many have ended, or the system cannot continue. It is the
// operator, too: what is stuck it has tried again.
func watch(ctx context.Context, sys *actors.System, h *saga.Instances[order], orders int, d *display) error {
	tick := time.NewTicker(between)
	defer tick.Stop()
	asked := make(map[string]time.Time) // since when it was stuck as its retry was asked for
	for {
		ended := 0
		var all []saga.Instance[order]
		for o, err := range h.List() {
			if err != nil {
				return err
			}
			all = append(all, o)
			if o.Life.Ended() {
				ended++
			}
			if err := retryStuck(ctx, h, &o, asked); err != nil {
				return err
			}
		}
		if d.show(all, orders); ended >= orders {
			return nil
		}
		if err := sys.Err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sys.Done():
			return sys.Err()
		case <-tick.C:
		}
	}
}

// retryStuck asks once for each time that an instance is stuck.
func retryStuck(ctx context.Context, h *saga.Instances[order], o *saga.Instance[order], asked map[string]time.Time) error {
	var stuck *saga.StuckError
	if o.Life != saga.Stuck || !errors.As(o.Err, &stuck) || asked[o.Key].Equal(stuck.Since) {
		return nil
	}
	asked[o.Key] = stuck.Since
	_, err := h.Retry(ctx, o.Key, checkpoint.Request{Reason: "services come back in this town", By: "orders"})
	if errors.Is(err, saga.ErrUnfit) { // it is not stuck any more
		return nil
	}
	return err
}

// describe says how many orders there are of each life.
func describe(counts map[saga.Life]int) string {
	var parts []string
	for l := saga.None; l <= saga.Failed; l++ {
		if counts[l] > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", counts[l], l))
		}
	}
	return strings.Join(parts, ", ")
}
