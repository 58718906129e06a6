package saga

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// effectsSuffix is behind the name of the saga in that of the worker that carries out its actions.
const effectsSuffix = ".do"

// readAhead is how many requests there may be for each lane that are not answered, before no more
// are read: those that wait in a backoff are among them, and must not hold up others. A batch is of
// one step of one instance, and hardly ever has two.
const readAhead = 16

// effects is the worker that carries out actions.
type effects[S any] struct{ s *Saga[S] }

// Spec describes it to its supervisor.
func (f effects[S]) Spec() supervision.Spec {
	return supervision.Spec{Name: f.s.name + effectsSuffix, Policy: f.s.Effects.Policy}
}

// CursorWorker returns the worker, or all that is wrong with the saga.
func (f effects[S]) CursorWorker() (cursor.Worker, error) {
	p, err := f.s.program()
	if err != nil {
		return cursor.Worker{}, err
	}
	lanes := f.s.Effects.Lanes
	if lanes == 0 {
		lanes = defaultEffectLanes
	}
	run := &performer[S]{program: p}
	open := func(_ context.Context, o *cursor.Opening) error {
		run.open(o)
		return nil
	}
	requests := []string{whatRequested.kind(p.name), whatRecalled.kind(p.name)}
	return cursor.Worker{
		Name: f.s.name + effectsSuffix, Region: store.Region{Scope: p.scope}, Kinds: requests, OwnKinds: requests,
		Handle: each(run.carryOut), Open: open, GiveUp: run.giveUp, Discarded: p.discarded, Lanes: lanes, Key: run.lane, Dependency: run.dependency, Policy: f.s.Effects.Policy,
		Rate: f.s.Effects.Rate, BatchSize: readAhead, NewChains: true, Erased: true,
		Stateful: true, // it keeps nothing, but instances wait for the answers to requests: none may be skipped
	}.CursorWorker()
}

// Why a request waits, which says nothing against what its step calls.
var (
	errSuspended error = fault{errors.New("saga: the instance is suspended")}
	errBusy      error = fault{errors.New("saga: an attempt of a request before is under way")}
)

// performer carries out requests. Its lanes share it.
type performer[S any] struct {
	*program[S]

	kept   atomic.Pointer[string] // begins the keys of what the coordinator keeps; nil until it is known
	before atomic.Uint64          // requests up to here may have been attempted by another owner
	tried  tries                  // of requests whose answer is not committed
	busy   sync.Map               // key of an effect -> *attempt: it is under way
	left   atomic.Int64           // how many of these are overdue
}

// lane is a request by its effect: what was requested of a step earlier, and waits in a backoff
// though it was settled, holds up neither its next visit nor its next undo.
func (p *performer[S]) lane(e store.Event) string {
	var r request
	if err := decode(&e, &r); err != nil {
		return e.Coordinate.Entity + "/"
	}
	return laneOf(e.Coordinate.Entity, &r, p.dependency(e))
}

// laneOf is the lane of a request of an entity, by what it depends on.
func laneOf(entity string, r *request, dependency string) string {
	return fmt.Sprintf("%s/%d.%d %s", entity, r.Run, r.number(), dependency)
}

// supersede has a request end at once that is answered, or that its instance does not wait for any
// more: it may be in a backoff, and is seen to fail until then.
func supersede(b *cursor.Batch, e *store.Event, r *request) {
	cursor.Nudge(b, laneOf(e.Coordinate.Entity, r, r.dependency()))
}

// instanceOf returns the key of the instance of a lane, and whether it is one of this saga. A key
// may have slashes, the names of steps have none.
func instanceOf(saga, lane string) (key string, ok bool) {
	last := strings.LastIndexByte(lane, '/')
	if last < 0 {
		return "", false
	}
	return strings.CutPrefix(lane[:last], entity(saga, ""))
}

// dependency is the action, or the undo: what it calls may be out of order, and others continue; a
// service that cannot cancel may book. What an operator has tried again is one of its own: so it is
// tried at once, whatever waits.
func (p *performer[S]) dependency(e store.Event) string {
	var r request
	if err := decode(&e, &r); err != nil {
		return ""
	}
	if whatOf(p.name, e.Kind) == whatRecalled { // which calls nothing
		return string(whatRecalled) + " " + Attempt{Step: r.Step, Undo: r.Undo}.String()
	}
	return r.dependency()
}

// dependency is that of a request.
func (r *request) dependency() string {
	name := Attempt{Step: r.Step, Undo: r.Undo}.String()
	if r.retried() {
		return fmt.Sprintf("%s, retry %d", name, r.Try)
	}
	return name
}

// open begins an ownership of the requests: of those that are there already, any may have been
// attempted by the owner before.
func (p *performer[S]) open(o *cursor.Opening) { p.before.Store(uint64(o.Store().Head())) }

// start finds out where the coordinator keeps its instances. Until there is a request it may never
// have run.
func (p *performer[S]) start(b *cursor.Batch) error {
	if p.kept.Load() != nil {
		return nil
	}
	id := checkpoint.ID(p.name)
	info, err := checkpoint.Inspect(b.Store(), id)
	if err == nil {
		kept := checkpoint.KeptPrefix(info.Record.FirstName(id))
		p.kept.Store(&kept)
	}
	return err
}

// carryOut makes one attempt at a request, and answers it, or returns the error of the attempt.
func (p *performer[S]) carryOut(ctx context.Context, b *cursor.Batch, i int) error {
	if err := p.start(b); err != nil {
		return err
	}
	e := &b.Events[i]
	key := keyOfEntity(p.name, e.Coordinate.Entity)
	recalls := whatOf(p.name, e.Kind) == whatRecalled
	if isErased(e) {
		return p.lose(b, i, key, recalls)
	}
	var r request
	if err := decode(e, &r); err != nil {
		return supervision.Park(err)
	}
	effect := effectKey(p.name, key, &r)
	under, busy := p.begin(effect)
	if !busy { // before the record is read: what is recalled meanwhile is not attempted then
		defer p.leave(effect, under)
	}
	underWay := busy && !under.overdue.Load()
	rec, err := p.record(b.Store(), key)
	switch {
	case err != nil:
		return err
	case recalls && underWay, !rec.awaits(&r): // the attempt sees it once it returns; abandoned, settled or purged
		p.drop(e, recalls)
		if recalls && !underWay {
			supersede(b, e, &r)
		}
		return nil
	case recalls:
		return p.recall(ctx, b, i, rec, &r)
	case rec.Life == Suspended:
		return supervision.Wait(errSuspended)
	case r.isUseless(rec):
		return p.giveBack(ctx, b, i, &r, "")
	}
	d, lacks, _ := p.take(rec)
	if lacks != "" {
		return supervision.Wait(fault{fmt.Errorf("%w: it lacks %s", ErrUnrunnable, lacks)})
	}
	if underWay {
		return supervision.Wait(errBusy)
	}
	n := p.tried.add(e.Position)
	return p.act(ctx, b, i, &action[S]{attempt: under, of: d, def: d.steps[r.Step], key: key, effect: effect, rec: rec, request: r, number: n})
}

// drop has an event done without an answer.
func (p *performer[S]) drop(e *store.Event, recalls bool) {
	if !recalls {
		p.tried.forget(e.Position)
	}
}

// awaits reports whether an instance waits for the answer to a request.
func (r *record) awaits(q *request) bool {
	if r.Run != uint64(q.Run) || !r.Life.alive() {
		return false
	}
	if q.Undo {
		u := r.undoing()
		return u != nil && u.awaits(q)
	}
	s := r.Steps[q.Step]
	return s != nil && s.awaits(q)
}

// awaits reports whether a request is the last one of the step, and not answered.
func (s *stepRecord) awaits(q *request) bool {
	return s.Status == requested && nth(s.Visit) == q.Visit && s.Try == q.Try
}

// awaits reports whether a request is that of the undo.
func (u *undoRecord) awaits(q *request) bool {
	return u.Step == q.Step && nth(u.Visit) == q.Visit && (u.Visit > 0 || u.Order == q.Order) && u.Try == q.Try
}

func (p *performer[S]) record(st *store.Store, key string) (*record, error) {
	side, found, err := st.Side(*p.kept.Load() + recordKey(key))
	if err != nil {
		return nil, err
	}
	if !found {
		side.Value = nil
	}
	return decodeRecord(side.Value)
}

// lose answers a request that was erased: nothing says any more what it was.
func (p *performer[S]) lose(b *cursor.Batch, i int, key string, recalls bool) error {
	rec, err := p.record(b.Store(), key)
	if err != nil {
		return err
	}
	if recalls || !rec.awaitsAny() {
		p.drop(&b.Events[i], recalls)
		return nil
	}
	return p.answer(b, i, whatUnknown, &outcome{request: request{Run: nth(rec.Run)}, Lost: true})
}

// awaitsAny reports whether an instance waits for the answer to some request.
func (r *record) awaitsAny() bool {
	return r.Life.alive() && (len(r.inFlight()) > 0 || r.undoing() != nil)
}

// giveUp answers a request whose attempts are used up, or which ends the process each time.
func (p *performer[S]) giveUp(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
	if err := p.start(b); err != nil {
		return err
	}
	if isErased(&b.Events[0]) {
		return p.carryOut(ctx, b, 0)
	}
	if whatOf(p.name, b.Events[0].Kind) == whatRecalled {
		return nil // the request is answered all the same, later
	}
	var r request
	if err := decode(&b.Events[0], &r); err != nil {
		return err
	}
	attempts = max(attempts, p.tried.of(b.Events[0].Position))
	return p.answer(b, 0, whatUnknown, &outcome{request: r, Error: clip(givenUp(failure, attempts)), Attempts: attempts})
}

func (p *performer[S]) answer(b *cursor.Batch, i int, w what, o *outcome) error {
	raw, err := encode(p.name, w, o)
	if err != nil {
		return err
	}
	e := &b.Events[i]
	if err := b.Stage(i, store.Proposal{At: e.Coordinate, Payload: raw}); err != nil {
		return err
	}
	if whatOf(p.name, e.Kind) == whatRequested {
		p.tried.answered(b.Store(), checkpoint.ID(p.name+effectsSuffix), e.Position)
	}
	return nil
}
