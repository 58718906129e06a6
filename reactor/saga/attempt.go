package saga

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// action is a request with what carries it out.
type action[S any] struct {
	*attempt

	of      *definition[S] // of the instance
	def     *step[S]
	key     string
	effect  string // key of it
	rec     *record
	request request
	number  int // which attempt this is
}

// attempt is one that is under way. No other is made of its effect until it has returned.
type attempt struct {
	overdue atomic.Bool // nothing waits for it any more
}

// ended is how an attempt has ended.
type ended struct {
	result json.RawMessage
	err    error
	exit   bool // its goroutine has ended, see runtime.Goexit
}

// How long an attempt is waited for once its time is over: as long as that was, and maxGrace at
// most. That many may be left behind, each with its goroutine, before others are waited for.
const (
	maxGrace   = time.Second
	maxOverdue = 1000
)

// errOverdue is the error of an attempt that is not made.
var errOverdue error = fault{errors.New("saga: an attempt before has not returned, though its time is over")}

// begin begins an attempt at an effect, unless one is under way: then it returns that.
func (p *performer[S]) begin(effect string) (under *attempt, busy bool) {
	mine := new(attempt)
	now, busy := p.busy.LoadOrStore(effect, mine)
	if busy {
		under, _ = now.(*attempt)
		return under, true
	}
	return mine, false
}

// leave notes that an attempt has returned, or was not made.
func (p *performer[S]) leave(effect string, a *attempt) {
	if !a.overdue.Load() {
		p.busy.CompareAndDelete(effect, a)
	}
}

// act calls the action or the undo.
func (p *performer[S]) act(ctx context.Context, b *cursor.Batch, i int, a *action[S]) error {
	s := Step[S]{Key: a.effect, Instance: a.key, Name: a.request.Step}
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
	switch tooLarge := a.of.room(a.rec, a.def, result); {
	case err == nil && tooLarge != nil: // it has happened, and will be as large again
		return p.answer(b, i, whatUnknown, &outcome{request: a.request, Error: tooLarge.Error()})
	case err == nil:
		return p.answer(b, i, whatDone, &outcome{request: a.request, Result: result})
	case errors.Is(err, ErrRefused):
		return p.answer(b, i, whatRefused, &outcome{request: a.request, Error: text(err)})
	}
	return p.failed(ctx, b, i, a, err)
}

// failed is the error of an attempt: that it is tried again, unless it has become useless
// meanwhile. What recalls it then has left it to this one, or comes behind it.
func (p *performer[S]) failed(ctx context.Context, b *cursor.Batch, i int, a *action[S], err error) error {
	p.leave(a.effect, a.attempt)
	rec, bad := p.record(b.Store(), a.key)
	switch {
	case bad != nil:
		return bad
	case !rec.awaits(&a.request):
		p.drop(&b.Events[i], false)
		return nil
	case a.request.isUseless(rec):
		return p.giveBack(ctx, b, i, &a.request, err.Error())
	}
	return a.failed(err)
}

// failed is the error of an attempt that counts. Where the step says how many there are, no other
// counts.
func (a *action[S]) failed(err error) error {
	most := a.def.attempts
	if a.request.Undo {
		most = a.def.undoAttempts
	}
	err = &attemptError{step: a.request.Step, key: a.key, err: err}
	delay := time.Duration(0)
	if a.def.backoff != nil {
		delay = a.def.backoff.Delay(a.number, rand.Float64)
	}
	switch {
	case most > 0 && a.number >= most:
		return supervision.Park(err)
	case most > 0:
		return supervision.WaitFor(delay, err)
	case delay > 0:
		return supervision.RetryAfter(delay, err)
	default:
		return err
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
// it. It returns when its time is over, and a grace, whether the attempt has returned or not: then
// that has failed, and so have those that would follow before it returns.
func (p *performer[S]) attemptAt(ctx context.Context, s Step[S], a *action[S]) (json.RawMessage, error) {
	if a.overdue.Load() {
		return nil, errOverdue
	}
	timeout := cmp.Or(a.def.timeout, a.of.timeout)
	due := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	over := make(chan ended, 1)
	go func() {
		e := ended{exit: true}
		defer func() { over <- e }()
		result, err := p.call(ctx, s, a)
		e = ended{result: result, err: err}
	}()
	select {
	case e := <-over:
		return e.outcome()
	case <-ctx.Done():
	}
	late := time.NewTimer(time.Until(due) + min(timeout, maxGrace))
	defer late.Stop()
	select {
	case e := <-over:
		return e.outcome()
	case <-late.C:
	}
	if p.left.Add(1) > maxOverdue {
		p.left.Add(-1)
		e := <-over
		return e.outcome()
	}
	a.overdue.Store(true)
	go func() { // what it returns is not looked at any more
		<-over
		p.left.Add(-1)
		p.busy.CompareAndDelete(a.effect, a.attempt)
	}()
	return nil, fmt.Errorf("%w: it has not returned in %v", context.DeadlineExceeded, timeout)
}

// outcome of an attempt. A goroutine that it has ended is that of its worker.
func (e ended) outcome() (json.RawMessage, error) {
	if e.exit {
		runtime.Goexit()
	}
	return e.result, e.err
}

// call calls an action, or the undo of one, with what the program has around it.
func (p *performer[S]) call(ctx context.Context, s Step[S], a *action[S]) (result json.RawMessage, err error) {
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
