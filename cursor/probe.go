package cursor

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/store"
)

// Probe is told of each try of a handler and of each commit as they happen, for spans and
// histograms: see package actors/telemetry. A worker without one pays a comparison for each.
//
// It is called by many goroutines at once, and must not block: a handler, or a commit, waits for
// it. What it panics with is dropped, and the call counts as one that returned nothing: nothing of
// the work depends on a probe. If it ends its goroutine, that is as if the handler had, or the
// store.
type Probe interface {
	// Handle is called before the handler gets to an event, on its goroutine. What it returns is the
	// context of the handler where the batch is of one event; else [Batch.Enter] returns it. It has
	// to be made from ctx; nil stands for ctx.
	//
	// end, unless it is nil, is called once on the same goroutine when the handler is past the event,
	// with nil, or has failed at it: with a [*HandlerError], whose text is redacted, also for a panic
	// or a runtime.Goexit; with the error of its context where that was ended by a stop. That it was
	// called with nil does not say that the event is done: the commit may be refused. It is not called
	// while a handler hangs, and never where the process ends.
	Handle(ctx context.Context, t Try) (handler context.Context, end func(error))
	// Commit is called before what was handled is written. end, unless it is nil, is called once with
	// what came of that, the text of the error redacted, on the goroutine that commits for all: what
	// it takes others wait for.
	Commit(w Writing) (end func(store.Receipt, error))
}

// Try is what a [Probe] is told of a handler that gets to an event, or that has been through a
// batch without [Batch.Begin] and [Batch.Enter].
type Try struct {
	// Events is the one, or those of the batch. They are shared, and valid until the end of the try.
	Events []store.Event
	// By is the emitter of reactions to the first of them, with the number of this run of the handler.
	By store.Emitter
	// Attempt is that of [Batch.Attempt].
	Attempt  int
	Lane     int  // from 0, and 0 without lanes
	Replayed bool // it was handled before, and a rewind or an operator has it handled again
	Parked   bool // it was parked, and is handled again
	GivesUp  bool // Worker.GiveUp has it, in place of Handle
	// Began is when the handler was called, where the probe is told afterwards: of a batch whose
	// handler did not say where it was. Otherwise it is zero, and the try begins now.
	Began time.Time
}

// Writing is what a [Probe] is told of a commit.
type Writing struct {
	Worker    string
	Handled   int // events that the position moves past
	Reactions int // events that are written, audit events included
	Bytes     int // of their payloads
}

// WithProbe returns the worker with a probe, nil for none; it comes after [Worker.WithBuild].
// Package actors sets it, see actors.Options.Probe.
func (w Worker) WithProbe(p Probe) Worker {
	if w.emission == nil {
		if p == nil {
			return w
		}
		w = w.WithBuild("")
	}
	told := *w.emission
	told.probe = p
	w.emission = &told
	return w
}

// Enter is [Batch.Begin] for a handler that calls others: it returns the context for what is done
// for Events[i], which has what a [Probe] has put into it. Without one it is ctx.
func (b *Batch) Enter(ctx context.Context, i int) context.Context {
	begun(b, i)
	if b.probed == nil {
		return ctx
	}
	return b.probed.enter(ctx, i)
}

// probed is what the probe is told of a batch, while its handler runs, by that.
type probed struct {
	task  *Task
	ctx   context.Context //nolint:containedctx // of the handler, for one that calls Begin
	began time.Time
	at    int // the event that the probe was told of, -1 for none
	end   func(error)
}

// probe returns the context of the handler, which is about to be called.
func (t *Task) probe(ctx context.Context) context.Context {
	if t.own.emission.probe == nil {
		return ctx
	}
	t.batch.probed = &probed{task: t, ctx: ctx, at: -1}
	if t.Size() == 1 {
		return t.batch.probed.enter(ctx, 0)
	}
	t.batch.probed.began = time.Now()
	return ctx
}

// enter tells of an event, and that the handler is past the one before.
func (p *probed) enter(ctx context.Context, i int) context.Context {
	if p.at == i {
		return ctx
	}
	p.leave(nil)
	p.at = i
	return p.tell(ctx, p.try(i, i+1))
}

func (p *probed) try(from, to int) Try {
	b := &p.task.batch
	return Try{
		Events: b.events[from:to:to], By: *emitterOf(b, from), Attempt: b.Attempt(from), Lane: p.task.Lane,
		Replayed: b.Replayed(from), Parked: b.Parked(), GivesUp: p.task.givesUp() != nil,
	}
}

func (p *probed) tell(ctx context.Context, t Try) (handler context.Context) {
	defer func() {
		if recover() != nil || handler == nil {
			handler = ctx
		}
	}()
	handler, p.end = p.task.own.emission.probe.Handle(ctx, t)
	return handler
}

func (p *probed) leave(err error) {
	if end := p.end; end != nil {
		p.end = nil
		defer func() { _ = recover() }()
		end(err)
	}
}

// probeEnd tells how the handler has ended.
func (t *Task) probeEnd() {
	p := t.batch.probed
	if p == nil {
		return
	}
	if p.at < 0 {
		all := p.try(0, t.Size())
		all.Began = p.began
		p.tell(p.ctx, all)
	}
	err := t.Err()
	if err == nil && p.at >= t.good {
		err = ErrTimeout // of an event before it: see timedOutByPredecessor
	}
	p.leave(err)
}

// probeCommit returns nil where no one is to be told of the end.
func probeCommit(o *owner, b *store.Batch, handled int) (end func(store.Receipt, error)) {
	probe := o.emission.probe
	if probe == nil {
		return nil
	}
	defer func() { _ = recover() }()
	w := Writing{Worker: o.worker.Name, Handled: handled, Reactions: len(b.Events)}
	for i := range b.Events {
		if raw, encoded := b.Events[i].Payload.(store.Raw); encoded {
			w.Bytes += len(raw.Data)
		}
	}
	return probe.Commit(w)
}

// probeCommitted tells of the end of a commit.
func probeCommitted(o *owner, end func(store.Receipt, error), r store.Receipt, err error) {
	if end == nil {
		return
	}
	defer func() { _ = recover() }()
	if err != nil {
		err = o.capture(err)
	}
	end(r, err)
}
