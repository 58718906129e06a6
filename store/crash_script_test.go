package store

import (
	"context"
	"fmt"
	"slices"
	"testing/synctest"
	"time"
)

// crashStep is one call of a script, or one end and reopening. It is made from what the oracle
// knows at the time, so that a step that failed without a trace can be taken again.
type crashStep func(r *crashRun) error

// crashScript is everything that a writer does, in an order that fills a segment of 64 KiB per
// round.
func crashScript(rounds int) []crashStep {
	steps := []crashStep{(*crashRun).open}
	for round := range rounds {
		steps = append(steps, crashRound(round)...)
		switch round % 4 {
		case 0:
			steps = append(steps, (*crashRun).killAndReopen)
		case 1:
			steps = append(steps, (*crashRun).sleep)
		case 2:
			steps = append(steps, (*crashRun).closeAndReopen)
		}
	}
	return append(steps, (*crashRun).end)
}

func crashRound(round int) []crashStep {
	i := round * 100
	return []crashStep{
		commitOne(crashProposal("order:1", i, 40)),
		commitOne(crashProposal(fmt.Sprintf("order:%d", round), i+1, 700)),
		commitSeveral(i+2, 300, 4000, 90),
		commitLazy(i+3, 5000),
		commitSides(i + 4),
		commitWithKey(i+5, 1200),
		repeatLastKey,
		commitOne(crashProposal("stock:lamp", i+6, 9000+round*700)),
		commitEffect,
		commitGroup(i+7, 2500),
		meetConflicts,
		meetConditions(i + 8),
		commitLazy(i+9, 12000),
		commitLazy(i+10, 12000),
		(*crashRun).sleep,
		commitDeletion,
		commitSeveral(i+11, 2500, 20, 3000),
		commitOne(crashProposal("stock:lamp", i+12, 0)),
	}
}

// rewritingScript fills segments with side values that are soon superseded.
func rewritingScript(rounds int) []crashStep {
	steps := []crashStep{(*crashRun).open}
	for round := range rounds {
		i := round * 100
		steps = append(steps, commitOne(crashProposal("order:1", i, 400)), commitWithKey(i+1, 300), commitSides(i+2))
		for j := range 8 { // some 60 KB
			steps = append(steps, commitLazy(0, 7500+j+round))
		}
		steps = append(steps, commitDeletion, (*crashRun).sleep, commitSeveral(i+3, 200, 100))
		for j := range 9 {
			steps = append(steps, commitLazy(j/6, 7500+j+round))
		}
		steps = append(steps, commitSides(i+4), repeatLastKey)
		if round%2 == 0 {
			steps = append(steps, (*crashRun).killAndReopen)
		}
	}
	return append(steps, (*crashRun).end)
}

// droppingScript drops what it has written before.
func droppingScript(rounds int) []crashStep {
	steps := []crashStep{(*crashRun).open}
	for round := range rounds {
		i := round * 100
		steps = append(steps,
			commitOne(crashProposal(fmt.Sprint("new:", round), i, 400)), commitWithKey(i+1, 9000), commitSides(i+2),
			commitSeveral(i+3, 12000, 100, 9000), commitLazy(0, 5000), commitEffect, commitGroup(i+4, 5000), repeatLastKey,
			commitSeveral(i+5, 12000, 100, 15000), commitDeletion,
			commitOne(crashProposal("stock:lamp", i+6, 30000)), commitLazy(1, 300), commitSides(i+7), commitOne(crashProposal("stock:lamp", i+8, 20)), drop,
		)
		if round%2 == 0 {
			steps = append(steps, (*crashRun).killAndReopen)
		} else {
			steps = append(steps, (*crashRun).sleep)
		}
	}
	return append(steps, (*crashRun).end)
}

// drop drops all segments but the active one.
func drop(r *crashRun) error {
	r.dropping = r.st.Head() + 1
	report, err := Retain(context.Background(), r.st, nil, RetainOptions{Before: r.dropping})
	if err != nil {
		return err
	}
	if r.dropped = report.First; report.Segments > 0 {
		r.floor = len(r.commits)
	}
	return nil
}

// largeScript fills a segment of two fillPieces, so that it is flushed once, and begins the next.
func largeScript() []crashStep {
	steps := []crashStep{(*crashRun).open}
	for i := range 5 {
		steps = append(steps, commitSeveral(i, 40, 2*fillPiece/5, 100))
	}
	return append(steps, (*crashRun).end)
}

func commitOne(p Proposal) crashStep {
	return func(r *crashRun) error {
		p.Expect = Absent
		if v := r.replay(len(r.commits)).versions[p.At.Entity]; v > 0 {
			p.Expect = Exactly(v)
		}
		return r.submit(Batch{Events: []Proposal{p}})
	}
}

// commitSeveral commits events of three entities and a side value that says how far they reach.
func commitSeveral(i int, sizes ...int) crashStep {
	return func(r *crashRun) error {
		b := Batch{}
		for j, size := range sizes {
			p := crashProposal([]string{"order:1", "stock:lamp", "order:1", "saga"}[(i+j)%4], i+j, size)
			p.Headers = map[string]string{"from": "test", "n": fmt.Sprint(i + j)}
			b.Events = append(b.Events, p)
		}
		last := len(r.replay(len(r.commits)).events) + len(sizes)
		b.Sides = []SideWrite{{Key: "checkpoint", Value: fmt.Appendf(nil, "at %d", last)}}
		return r.submit(b)
	}
}

func commitLazy(i, size int) crashStep {
	return func(r *crashRun) error {
		value := crashPayload(i, size).Data
		return r.submit(Batch{Lazy: true, Sides: []SideWrite{{Key: fmt.Sprintf("lazy/%d", i%3), Value: value}}})
	}
}

// commitSides writes two side values under the condition that they are as they were.
func commitSides(i int) crashStep {
	return func(r *crashRun) error {
		var b Batch
		now := r.replay(len(r.commits)).sides
		for _, key := range []string{"swapped", "gone"} {
			b.Sides = append(b.Sides, SideWrite{Key: key, Value: fmt.Append(nil, i), Expect: Exactly(now[key].Revision)})
		}
		return r.submit(b)
	}
}

func commitDeletion(r *crashRun) error {
	return r.submit(Batch{Sides: []SideWrite{{Key: "gone", Delete: true}}})
}

func commitWithKey(i, size int) crashStep {
	return func(r *crashRun) error {
		traced := crashProposal("keyed", i, size)
		traced.Meta = map[string]string{"traceparent": fmt.Sprint(i)}
		return r.submit(Batch{
			IdempotencyKey: fmt.Sprintf("key-%d", i),
			Events:         []Proposal{crashProposal("order:1", i, size), traced},
			Sides:          []SideWrite{{Key: "keyed", Value: fmt.Append(nil, i)}},
		})
	}
}

func repeatLastKey(r *crashRun) error {
	for i, c := range slices.Backward(r.commits) {
		b := c.batch
		if b.IdempotencyKey == "" {
			continue
		}
		if err := r.verifyKeys(r.st, len(r.commits)); err != nil {
			return err
		}
		b.Events = append(b.Events[:0:0], b.Events...)
		b.Events[0].Payload = crashPayload(i, 7)
		return r.refused(b, ErrIdempotencyKeyReused)
	}
	return nil
}

// commitEffect commits an event that says which one caused it.
func commitEffect(r *crashRun) error {
	p := crashProposal("effect", len(r.commits), 100)
	for i := len(r.commits) - 1; i >= 0; i-- {
		if c := &r.commits[i]; c.acked && len(c.receipt.Events) > 0 {
			p.Causation = Causation{Cause: c.receipt.Events[0].ID, Depth: 1}
			break
		}
	}
	return r.submit(Batch{Events: []Proposal{p}})
}

func commitGroup(i, size int) crashStep {
	return func(r *crashRun) error {
		return r.submitGroup(
			Batch{Events: []Proposal{crashProposal("order:1", i, size), crashProposal("group", i, size)}},
			Batch{IdempotencyKey: fmt.Sprintf("group-%d", i), Events: []Proposal{crashProposal("group", i+1, size)}},
			Batch{Sides: []SideWrite{{Key: "group", Value: fmt.Append(nil, i)}}},
			Batch{
				Events: []Proposal{crashProposal("order:1", i+2, 10)},
				Sides:  []SideWrite{{Key: "group", Value: fmt.Append(nil, i+1)}},
			},
		)
	}
}

// meetConflicts expects what is not so.
func meetConflicts(r *crashRun) error {
	now := r.replay(len(r.commits))
	p := crashProposal("order:1", 0, 10)
	p.Expect = Exactly(now.versions["order:1"] + 1)
	if err := r.refused(Batch{Events: []Proposal{p}}, ErrConflict); err != nil {
		return err
	}
	return r.refused(Batch{Sides: []SideWrite{{Key: "group", Expect: Exactly(now.sides["group"].Revision + 1)}}}, ErrConflict)
}

// meetConditions commits under a condition that holds, and tries to under one that does not.
func meetConditions(i int) crashStep {
	return func(r *crashRun) error {
		b := Batch{
			Events:     []Proposal{crashProposal("order:1", i, 200)},
			Conditions: []Condition{{Region: Region{Entity: "order"}}},
		}
		if r.replay(len(r.commits)).versions["order:1"] > 0 {
			if err := r.refused(b, ErrConflict); err != nil {
				return err
			}
		}
		b.Conditions[0].After = r.st.Head()
		return r.submit(b)
	}
}

// sleep lets the clock of lazy and periodic syncs run out.
func (r *crashRun) sleep() error {
	time.Sleep(2 * defaultSyncEvery)
	synctest.Wait()
	if err := r.st.committer.writer.poisoned(); err != nil {
		return err
	}
	if r.mode != SyncNever {
		r.floor = len(r.commits)
	}
	return nil
}

func (r *crashRun) killAndReopen() error {
	r.kill()
	return r.open()
}

func (r *crashRun) closeAndReopen() error {
	if r.st != nil {
		err := r.end()
		r.st = nil
		if err != nil {
			return err
		}
	}
	return r.open()
}

func (r *crashRun) end() error {
	if err := r.st.Close(); err != nil {
		return err
	}
	r.floor = len(r.commits)
	return nil
}
