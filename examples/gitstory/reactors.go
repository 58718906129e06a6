package main

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

const (
	// maxTogether is the largest commit that makes pairs: its files make 120 of them.
	maxTogether = 16
	// batchSize is small, so that there is something to see: of progress, and of crashes.
	batchSize = 64
)

// reactors returns the three, for one repository. The threshold is part of a name: another
// threshold is another question, and its reactor begins at the first event.
func reactors(scope string, threshold uint64) []*reactor.Reactor {
	all := []*reactor.Reactor{
		reactor.New("contributors", reactor.On(credit)),
		reactor.New(fmt.Sprintf("hotspots-%d", threshold), reactor.On(hotspots{threshold}.changed)),
		reactor.New("pairs", reactor.On(pair)),
	}
	for _, r := range all {
		r.Region = store.Region{Scope: scope}
		r.BatchSize = batchSize
	}
	return all
}

// credit turns the history of the repository into one history per author.
func credit(_ context.Context, e reactor.Event[Recorded], out *reactor.Reactions) error {
	c := e.Body
	out.Append(store.At(authorEntity(c.Author), e.Coordinate.Scope),
		Credited{Author: c.Author, Commit: c.Hash, Added: c.Added, Deleted: c.Deleted})
	return nil
}

type hotspots struct{ threshold uint64 }

// changed finds the change that makes a file a hotspot: the version of the event says how many
// there are so far.
func (h hotspots) changed(_ context.Context, e reactor.Event[Changed], out *reactor.Reactions) error {
	if e.Version == h.threshold {
		out.Append(store.At(hotspotEntity(e.Body.Path), e.Coordinate.Scope),
			Hotspot{Path: e.Body.Path, Changes: e.Version, Commit: e.Body.Commit})
	}
	return nil
}

// pair says of each two files of a commit that they changed together.
func pair(_ context.Context, e reactor.Event[Recorded], out *reactor.Reactions) error {
	c := e.Body
	if c.Files > maxTogether {
		return nil
	}
	for i, a := range c.Paths {
		for _, b := range c.Paths[i+1:] {
			out.Append(store.At(pairEntity(a, b), e.Coordinate.Scope), Together{A: a, B: b, Commit: c.Hash})
		}
	}
	return nil
}

// supervise makes them one group, in which a failure of one does not touch the others.
func supervise(all []*reactor.Reactor, handled func(events int)) supervision.Group {
	group := supervision.Group{
		Name: "story", Strategy: supervision.OneForOne,
		// A commit that is left out would make every number wrong: better no table than that one.
		Policy: supervision.Policy{Exhausted: supervision.ActionHalt},
	}
	for _, r := range all {
		group.Children = append(group.Children, observed{Reactor: r, handled: handled})
	}
	return group
}

// observed is a reactor that reports each batch that it has handled, before that batch is
// committed.
type observed struct {
	*reactor.Reactor
	handled func(events int)
}

// CursorWorker returns the worker of the reactor, with an observer around its handler.
func (o observed) CursorWorker() (cursor.Worker, error) {
	w, err := o.Reactor.CursorWorker()
	if err != nil {
		return w, err
	}
	handle := w.Handle
	w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		action, err := handle(ctx, b)
		if err == nil {
			o.handled(len(b.Events))
		}
		return action, err
	}
	return w, nil
}
