package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func headLaws() []law {
	const about = "head"
	return []law{
		{about: about, says: "what was acknowledged is visible", test: acknowledgedIsVisible},
		{about: about, says: "a wait ends when the head has passed", test: waitEnds},
		{about: about, says: "a wait ends with its context", test: waitEndsWithContext},
	}
}

func acknowledgedIsVisible(x *scene) {
	for i := range 20 {
		r := x.append(fmt.Sprint("e:", i), "all")
		require.Equal(x, r.Position(), x.Reader.Head())
		require.NoError(x, x.Reader.WaitVisible(x.ctx, r))
		e, err := x.Reader.Get(x.ctx, r.Events[0].ID)
		require.NoError(x, err)
		require.Equal(x, r.Events[0].Position, e.Position)
		version, err := x.Reader.Version(x.ctx, "all")
		require.NoError(x, err)
		require.Equal(x, uint64(i+1), version)
	}
	foreign := x.append("a")
	foreign.Events = []store.Recorded{{ID: foreign.Events[0].ID, Position: 1, Version: 1}}
	require.ErrorIs(x, x.Reader.WaitVisible(x.ctx, foreign), store.ErrForeignHistory)
}

func waitEnds(x *scene) {
	for after := range store.Position(3) {
		began, waited := make(chan struct{}), make(chan error, 1)
		go func() {
			close(began)
			head, err := x.Reader.Wait(x.ctx, after)
			if err == nil && head <= after {
				err = fmt.Errorf("a wait for more than %d has ended at %d", after, head)
			}
			waited <- err
		}()
		<-began
		x.commit(store.Batch{Sides: []store.SideWrite{{Key: "s"}}}) // moves no head
		r := x.append("a")
		require.NoError(x, <-waited)
		head, err := x.Reader.Wait(x.ctx, after)
		require.NoError(x, err)
		require.Equal(x, r.Position(), head)
	}
}

func waitEndsWithContext(x *scene) {
	x.append("a")
	ctx, cancel := context.WithCancel(x.ctx)
	cancel()
	head, err := x.Reader.Wait(ctx, 0)
	require.NoError(x, err, "what was reached is told to any caller")
	require.Equal(x, store.Position(1), head)
	head, err = x.Reader.Wait(ctx, 1)
	require.ErrorIs(x, err, context.Canceled)
	require.Equal(x, store.Position(1), head)
	ctx, cancel = context.WithTimeout(x.ctx, 5*time.Millisecond)
	defer cancel()
	_, err = x.Reader.Wait(ctx, 1)
	require.ErrorIs(x, err, context.DeadlineExceeded)
}

func versionLaws() []law {
	const about = "version"
	return []law{
		{about: about, says: "each entity counts its events from 1, over all scopes", test: versionsCount},
		{about: about, says: "an expectation that does not hold is a conflict with the actual version", test: expectations},
		{about: about, says: "of those who race for a version one wins", test: raceForVersion},
	}
}

func versionsCount(x *scene) {
	for i := range 5 {
		for _, scope := range []string{"s", "t"} {
			r, err := x.Writer.Append(x.ctx, store.At("a", scope), store.Exactly(uint64(2*i)+uint64(scope[0]-'s')), store.Raw{Type: "thing.done"})
			require.NoError(x, err)
			version, err := x.Reader.Version(x.ctx, "a")
			require.NoError(x, err)
			require.Equal(x, r.Events[0].Version, version)
		}
		x.append("a:1", "ab")
	}
	for entity, want := range map[string]uint64{"a": 10, "a:1": 5, "ab": 5, "b": 0, "a:": 0} {
		version, err := x.Reader.Version(x.ctx, entity)
		require.NoError(x, err)
		require.Equal(x, want, version, entity)
	}
	for i, e := range x.seen(store.Region{Entity: "ab"}) {
		require.Equal(x, uint64(i+1), e.Version)
	}
}

func expectations(x *scene) {
	expecting := func(entity string, all ...store.Expect) error {
		b := store.Batch{}
		for _, expect := range all {
			p := eventsAt(entity)[0]
			p.Expect = expect
			b.Events = append(b.Events, p)
		}
		_, err := x.Writer.Commit(x.ctx, b)
		return err
	}
	require.NoError(x, expecting("a", store.Absent))
	require.NoError(x, expecting("a", store.Exactly(1)))
	require.NoError(x, expecting("a", store.Any))
	require.NoError(x, expecting("a", store.Exactly(3), store.Exactly(4), store.Any, store.Exactly(6)), "events of the batch count")
	require.NoError(x, expecting("b", store.Exactly(0), store.Exactly(1)))
	for _, expect := range []store.Expect{store.Absent, store.Exactly(6), store.Exactly(8)} {
		refused(x, &store.ConflictError{Entity: "a", Expected: expect, Actual: 7}, expecting("a", expect))
		_, err := x.Writer.Append(x.ctx, store.At("a", "law"), expect, store.Raw{Type: "thing.done"})
		refused(x, &store.ConflictError{Entity: "a", Expected: expect, Actual: 7}, err)
	}
	refused(x, &store.ConflictError{Entity: "a", Expected: 7, Actual: 8}, expecting("a", store.Exactly(7), store.Exactly(7)))
	require.Equal(x, store.Position(9), x.Reader.Head())
}

func raceForVersion(x *scene) {
	const racers, rounds = 6, 10
	for round := range uint64(rounds) {
		winners := make([]int, racers)
		require.NoError(x, inParallel(racers, func(i int) error {
			_, err := x.Writer.Append(x.ctx, store.At("a", "law"), store.Exactly(round), store.Raw{Type: "thing.done"})
			if err == nil {
				winners[i] = 1
			}
			if errors.Is(err, store.ErrConflict) {
				return nil
			}
			return err
		}))
		require.Equal(x, 1, sum(winners))
	}
	require.Equal(x, store.Position(rounds), x.Reader.Head())
}

func sum(all []int) (total int) {
	for _, n := range all {
		total += n
	}
	return total
}

func conditionLaws() []law {
	const about = "condition"
	return []law{
		{about: about, says: "a condition refuses what an event of its region after its position breaks", test: conditions},
		{about: about, says: "of those who race for a region one wins", test: raceForRegion},
	}
}

func conditions(x *scene) {
	x.append("order:1", "order:2")
	x.commit(store.Batch{Events: []store.Proposal{
		{At: store.At("order:1", "other"), Payload: store.Raw{Type: "order.paid"}},
		{At: store.At("orders", "law"), Payload: store.Raw{Type: "pay"}},
	}})
	for _, c := range []struct {
		region store.Region
		broken store.Position // by the last event of the region
	}{
		{store.Region{Entity: "order"}, 3},
		{store.Region{Entity: "order:2"}, 2},
		{store.Region{Entity: "order", Scope: "law"}, 2},
		{store.Region{Kinds: []string{"pay", "none"}}, 4},
		{store.Region{Category: "order"}, 3},
		{store.Region{Entity: "order:1", MinVersion: 2}, 3},
		{store.Region{Entity: "order:1", MaxVersion: 1}, 1},
		{store.Region{}, 4},
		{store.Region{Entity: "cart"}, 0},
		{store.Region{Scope: "none"}, 0},
	} {
		condition := store.Condition{Region: c.region, After: c.broken}
		b := store.Batch{Sides: []store.SideWrite{{Key: "s"}}, Conditions: []store.Condition{condition}}
		_, err := x.Writer.Commit(x.ctx, b)
		require.NoError(x, err, "%s", c.region)
		if c.broken == 0 {
			continue
		}
		condition.After--
		b.Conditions = []store.Condition{{Region: store.Region{Entity: "cart"}}, condition}
		_, err = x.Writer.Commit(x.ctx, b)
		refused(x, &store.ConflictError{Condition: &condition, Position: c.broken}, err)
	}
	all := store.Condition{Region: store.Region{Entity: "order:1"}}
	_, err := x.Writer.Commit(x.ctx, store.Batch{Events: eventsAt("b"), Conditions: []store.Condition{all}})
	refused(x, &store.ConflictError{Condition: &all, Position: 1}, err)
	require.Equal(x, store.Position(4), x.Reader.Head())
	own := store.Condition{Region: store.Region{Entity: "new"}}
	x.commit(store.Batch{Events: eventsAt("new", "new"), Conditions: []store.Condition{own}})
}

// raceForRegion lets deciders look and decide as a program does: none may have decided on what has
// changed since.
func raceForRegion(x *scene) {
	const racers, rounds = 6, 10
	require.NoError(x, inParallel(racers, func(i int) error {
		for won := 0; won < rounds; {
			head := x.Reader.Head()
			found := fmt.Sprint(head)
			_, err := x.Writer.Commit(x.ctx, store.Batch{
				Events: []store.Proposal{{
					At: store.At(fmt.Sprintf("decision:%d", i), "law"), Payload: store.Raw{Type: "decision.made", Data: []byte(found)},
				}},
				Conditions: []store.Condition{{Region: store.Region{Entity: "decision"}, After: head}},
			})
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return nil
	}))
	events := x.seen(store.Region{Entity: "decision"})
	require.Len(x, events, racers*rounds)
	for _, e := range events {
		require.Equal(x, fmt.Sprint(e.Position-1), string(e.Payload), "it was decided on what has changed since")
	}
}
