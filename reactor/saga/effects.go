package saga

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	requests := []string{whatRequested.kind(p.name)}
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
	busy   sync.Map               // key of an effect -> struct{}: it is being attempted
}

// lane is a request by its effect: what was requested of a step earlier, and waits in a backoff
// though it was settled, holds up neither its next visit nor its next undo.
func (p *performer[S]) lane(e store.Event) string {
	var r request
	if err := decode(&e, &r); err != nil {
		return e.Coordinate.Entity + "/"
	}
	return fmt.Sprintf("%s/%d.%d %s", e.Coordinate.Entity, r.Run, r.number(), r.what())
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
	return r.what()
}

// what is requested.
func (r *request) what() string {
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
	rec, err := p.record(b.Store(), key)
	if err != nil {
		return err
	}
	var r request
	if isErased(e) {
		return p.lose(b, i, rec)
	}
	if err := decode(e, &r); err != nil {
		return supervision.Park(err)
	}
	switch {
	case !rec.awaits(&r): // abandoned or purged
		p.tried.forget(e.Position)
		return nil
	case rec.Life == Suspended:
		return supervision.Wait(errSuspended)
	}
	if !r.Undo && !r.Ask && rec.Life == Compensating { // there is no use in it any more
		return p.withdraw(b, i, &r)
	}
	d, lacks, _ := p.take(rec)
	if lacks != "" {
		return supervision.Wait(fault{fmt.Errorf("%w: it lacks %s", ErrUnrunnable, lacks)})
	}
	effect := effectKey(p.name, key, &r)
	if _, busy := p.busy.LoadOrStore(effect, struct{}{}); busy {
		return supervision.Wait(errBusy)
	}
	defer p.busy.Delete(effect)
	n := p.tried.add(e.Position)
	return p.act(ctx, b, i, &action[S]{def: d.steps[r.Step], timeout: d.timeout, key: key, rec: rec, request: r, attempt: n})
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
func (p *performer[S]) lose(b *cursor.Batch, i int, rec *record) error {
	if !rec.awaitsAny() {
		p.tried.forget(b.Events[i].Position)
		return nil
	}
	return p.answer(b, i, whatUnknown, &outcome{request: request{Run: nth(rec.Run)}, Lost: true})
}

// awaitsAny reports whether an instance waits for the answer to some request.
func (r *record) awaitsAny() bool {
	return r.Life.alive() && (len(r.inFlight()) > 0 || r.undoing() != nil)
}

// withdraw answers a request that is not carried out. What may have been attempted before may have
// happened.
func (p *performer[S]) withdraw(b *cursor.Batch, i int, r *request) error {
	at := b.Events[i].Position
	if p.tried.of(at) > 0 || r.retried() || uint64(at) <= p.before.Load() {
		return p.answer(b, i, whatUnknown, &outcome{request: *r, Error: "it was not tried again, as the instance compensates"})
	}
	return p.answer(b, i, whatWithdrawn, &outcome{request: *r})
}

// action is a request with what carries it out.
type action[S any] struct {
	def     *step[S]
	timeout time.Duration
	key     string
	rec     *record
	request request
	attempt int // which one this is
}

// act calls the action or the undo.
func (p *performer[S]) act(ctx context.Context, b *cursor.Batch, i int, a *action[S]) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(a.def.timeout, a.timeout))
	defer cancel()
	s := Step[S]{Key: effectKey(p.name, a.key, &a.request), Instance: a.key, Name: a.request.Step}
	if err := decodeState(a.rec, &s.State); err != nil {
		return err
	}
	before := store.Erasures(b.Store())
	result, err := p.attemptAt(ctx, s, a)
	if store.Erasures(b.Store()) != before {
		if now, bad := p.record(b.Store(), a.key); bad != nil || !now.awaits(&a.request) {
			return bad // the instance was erased meanwhile, and what is known of it
		}
	}
	switch {
	case err == nil && len(result) > p.maxState: // it has happened, and will be as large again
		why := fmt.Sprintf("%v: a result of %d bytes, at most %d", ErrLimit, len(result), p.maxState)
		return p.answer(b, i, whatUnknown, &outcome{request: a.request, Error: why})
	case err == nil:
		return p.answer(b, i, whatDone, &outcome{request: a.request, Result: result})
	case errors.Is(err, ErrRefused):
		return p.answer(b, i, whatRefused, &outcome{request: a.request, Error: text(err)})
	}
	return a.failed(err)
}

// failed is the error of an attempt. Where the step says how many there are, no other counts.
func (a *action[S]) failed(err error) error {
	most := a.def.attempts
	if a.request.Undo {
		most = a.def.undoAttempts
	}
	err = &attemptError{step: a.request.Step, key: a.key, err: err}
	switch {
	case most == 0:
		return err
	case a.attempt < most:
		return supervision.Wait(err)
	default:
		return supervision.Park(err)
	}
}

// attemptError names the action of an error.
type attemptError struct {
	step, key string
	err       error
}

func (e *attemptError) Error() string {
	return fmt.Sprintf("step %q of instance %q: %v", e.step, e.key, e.err)
}

func (e *attemptError) Unwrap() error { return e.err }

// givenUp is the text of why a request is given up, for those who know what it asks for.
func givenUp(failure error, attempts int) string {
	if errors.Is(failure, cursor.ErrCrashLoop) {
		return fmt.Sprintf("the process ended each time it was attempted, %d times", attempts)
	}
	if e := new(attemptError); errors.As(failure, &e) {
		failure = e.err
	}
	if attempts <= 1 {
		return failure.Error()
	}
	return fmt.Sprintf("%v (attempt %d)", failure, attempts)
}

// attemptAt makes an attempt at an action, or at the undo of one, with what the program has around
// it.
func (p *performer[S]) attemptAt(ctx context.Context, s Step[S], a *action[S]) (result json.RawMessage, err error) {
	call := func(ctx context.Context) (err error) {
		result, err = a.def.do(ctx, s)
		return err
	}
	if a.request.Undo {
		of := s.Key
		s.Key = undoKey(of, &a.request)
		call = func(ctx context.Context) error { return a.def.undo(ctx, s, a.rec.undoing(), of) }
	}
	if p.around == nil {
		err = guarded(func() error { return call(ctx) })
		return result, err
	}
	at := Attempt{Key: s.Key, Saga: p.name, Instance: s.Instance, Step: s.Name, Undo: a.request.Undo}
	err = guarded(func() error { return p.around(ctx, at, call) })
	return result, err
}

// giveUp answers a request whose attempts are used up, or which ends the process each time.
func (p *performer[S]) giveUp(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
	if err := p.start(b); err != nil {
		return err
	}
	if isErased(&b.Events[0]) {
		return p.carryOut(ctx, b, 0)
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
	p.tried.answered(b.Store(), checkpoint.ID(p.name+effectsSuffix), e.Position)
	return nil
}
