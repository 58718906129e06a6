package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// faults are the shares of what goes wrong, 0 to 1. The seed chooses which: the same seed has the
// same orders refused and cancelled.
type faults struct {
	refuse, cancel   float64 // of orders
	flaky, slow, lie float64 // of requests
	seed             uint64
}

// fault is what a service does with a request beside doing it.
type fault int

const (
	fine  fault = iota
	flaky       // it is not done, and fails
	slow        // it is done, and there is no answer
	lie         // it is done, and answered as if it had failed
)

func (f faults) check() error {
	for _, share := range []float64{f.refuse, f.cancel, f.flaky, f.slow, f.lie} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%v is not a share: it is 0 to 1", share)
		}
	}
	if f.flaky+f.slow+f.lie > 0.9 {
		return fmt.Errorf("of ten requests one must get through: -flaky, -slow and -lie are at most 0.9 together")
	}
	return nil
}

// roll returns a number from 0 up to 1, the same for the same words.
func (f faults) roll(words ...string) float64 {
	h := fnv.New64a()
	for _, w := range words {
		fmt.Fprintf(h, "%q", w)
	}
	return rand.New(rand.NewPCG(f.seed, h.Sum64())).Float64() //nolint:gosec // it is to be repeatable
}

// cancels reports whether the customer of an order takes it back.
func (f faults) cancels(order string) bool { return f.roll("cancel", order) < f.cancel }

// refuses reports whether a service refuses an action for an order: each order is refused by one of
// them at most. Behind the pivot there is no refusing.
func (f faults) refuses(action, order string) bool {
	if f.roll("refuse", order) >= f.refuse {
		return false
	}
	refusing := []string{reserve, charge, label}
	return action == refusing[int(f.roll("refusing", order)*float64(len(refusing)))]
}

// of returns the fault of one try at a request.
func (f faults) of(request string, try int) fault {
	r := f.roll("fault", request, fmt.Sprint(try))
	for _, next := range []struct {
		share float64
		fault fault
	}{{f.flaky, flaky}, {f.slow, slow}, {f.lie, lie}} {
		if r < next.share {
			return next.fault
		}
		r -= next.share
	}
	return fine
}
