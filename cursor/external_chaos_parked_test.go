package cursor_test

import (
	"context"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// decide decides about what failed. What follows of its key is held when it is parked.
func (k *keeping) decide() {
	first := k.failed
	if k.failed = 0; first == 0 || !k.runner.IsFailed(first) {
		return
	}
	if k.chance(20) && cursor.DependenciesOf(k.runner).Defer(first, true) { // as in an outage
		return
	}
	verdicts := []supervision.Verdict{toPark(errBroken, 3), toPark(errBroken, 3), toSkip(errBroken, 3), again, again}
	require.NoError(k.t, k.runner.Settle(first, verdicts[k.random.IntN(len(verdicts))]))
}

func (k *keeping) replay() {
	which := cursor.ParkedFilter{Key: fmt.Sprint("in:", k.random.IntN(3))}
	if k.random.IntN(4) == 0 {
		which = cursor.ParkedFilter{All: true, Max: k.random.IntN(3)}
	}
	k.operate(func(ctx context.Context, o cursor.Operator) error {
		_, err := o.Replay(ctx, which, checkpoint.Request{})
		return err
	})
}

func (k *keeping) discard() {
	which := cursor.ParkedFilter{Error: errBroken.Error(), Max: 1 + k.random.IntN(3)}
	if p := k.someParked(); p > 0 {
		which = cursor.ParkedFilter{Position: p}
	}
	k.operate(func(ctx context.Context, o cursor.Operator) error {
		_, err := o.Discard(ctx, which, checkpoint.Request{})
		return err
	})
}

// probe handles a parked event where it is, as in an outage.
func (k *keeping) probe() {
	if k.task == nil {
		k.run(cursor.DependenciesOf(k.runner).ProbeAt(k.t.Context(), k.someParked()))
	}
}

// takeBack lets a parked event be handled again, as at the end of an outage.
func (k *keeping) takeBack() {
	cursor.DependenciesOf(k.runner).TakeBack([]store.Position{k.someParked()})
}

func (k *keeping) doubt() {
	cursor.DependenciesOf(k.runner).Doubt(k.someParked(), k.random.IntN(2) == 0)
}

// someParked returns an event that is parked, 0 where there is none.
func (k *keeping) someParked() store.Position {
	var all []store.Position
	for entry, err := range checkpoint.ParkedEvents(k.st, "keeping") {
		if err == nil {
			all = append(all, entry.Position)
		}
	}
	if len(all) == 0 {
		return 0
	}
	return all[k.random.IntN(len(all))]
}

// ordered reports a parked event that is handled together with others, and nothing says that it is
// to be handled again.
func (k *keeping) ordered(events []store.Event) error {
	for _, e := range events {
		for entry, err := range checkpoint.ParkedEvents(k.st, "keeping", e.Position) {
			if err == nil && len(events) > 1 && !entry.Replaying {
				return fmt.Errorf("event %d is handled, which was parked", e.Position)
			}
		}
	}
	return nil
}
