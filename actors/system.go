package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// System runs a tree of workers over one store. Its methods may be called from many goroutines.
type System struct {
	store   *store.Store
	options Options
	log     *zap.Logger
	workers []*plan // in the order of the tree
	byName  map[string]*plan

	actors     *actor.ActorSystem
	base       *actor.Props
	root       *actor.PID
	storeActor *actor.PID // set before the first worker exists
	started    chan error // one answer
	start      atomic.Pointer[context.Context]

	handlers context.Context //nolint:containedctx // parent of the handlers' contexts
	kill     context.CancelCauseFunc
	draining atomic.Bool // no worker begins another batch
	waking   atomic.Bool // headMoved is under way
	lastGen  atomic.Uint64

	waker     sync.WaitGroup
	stopWaker context.CancelFunc

	mu      sync.Mutex
	failure error // of the store, or of ourselves
	stopped error // what Stop reports, once done is closed
	done    chan struct{}
	end     sync.Once
}

// Start runs the workers of a tree over a store, and returns when all of them have acquired their checkpoints. Groups start
// their children in order.
//
// Anything wrong with the tree, its workers or their checkpoints fails Start with all faults joined ([ErrChild], a
// [ChildError] each, wrapping the error of supervision, cursor, reactor or checkpoint), and nothing runs: no handler has been
// called. ctx bounds the start only; the system lives until [System.Stop]. The caller closes the store, afterwards.
func Start(ctx context.Context, st *store.Store, o Options, tree supervision.Group) (*System, error) {
	if st == nil {
		return nil, ErrNoStore
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	top, workers, err := planTree(tree)
	if err != nil {
		return nil, err
	}
	s := newSystem(st, o, workers)
	s.start.Store(&ctx)
	_, err = s.actors.Root.SpawnNamed(s.props(func() actor.Actor { return &root{sys: s, plan: top} }), rootName)
	if err == nil {
		err = <-s.started
	}
	s.start.Store(nil)
	if err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	s.watchHead()
	s.actors.Root.Send(s.root, &begin{})
	s.log.Info("started", zap.Int("workers", len(workers)))
	return s, nil
}

// rootName is the name of the root actor.
const rootName = "penstock"

func newSystem(st *store.Store, o Options, workers []*plan) *System {
	s := &System{
		store:   st,
		options: o,
		log:     o.Logger,
		workers: workers,
		byName:  make(map[string]*plan, len(workers)),
		started: make(chan error, 1),
		done:    make(chan struct{}),
	}
	for _, p := range workers {
		s.byName[p.worker.Name] = p
	}
	s.stopWaker = func() {}
	s.handlers, s.kill = context.WithCancelCause(context.Background())
	s.actors = actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return newBridge(o.Logger) }))
	s.root = s.actors.NewLocalPID(rootName)
	s.base = actor.PropsFromProducer(nil, actor.WithDispatcher(dispatcher{}), actor.WithReceiverMiddleware(armour))
	return s
}

// props makes the properties of an actor of ours.
func (s *System) props(producer actor.Producer) *actor.Props {
	return s.base.Clone(actor.WithProducer(producer))
}

// generation gives a number that no actor had before.
func (s *System) generation() uint64 { return s.lastGen.Add(1) }

// acquisition is the context for acquiring checkpoints: the caller's during Start, unbounded for restarts.
func (s *System) acquisition() context.Context {
	if ctx := s.start.Load(); ctx != nil {
		return *ctx
	}
	return context.Background()
}

// watchHead starts the waker: the one goroutine of a system, which waits for the head and tells the store actor. It ends with
// the system, or when the store does.
func (s *System) watchHead() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stopWaker = cancel
	head := s.store.Head()
	s.waker.Go(func() {
		for {
			next, err := s.store.Wait(ctx, head)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				s.actors.Root.Send(s.root, &storeFailed{err})
				return
			}
			head = next
			if s.waking.CompareAndSwap(false, true) {
				s.actors.Root.Send(s.storeActor, &headMoved{})
			}
		}
	})
}

// fail ends the system because of something that no restart cures.
func (s *System) fail(err error) {
	s.mu.Lock()
	first := s.failure == nil
	if first {
		s.failure = err
	}
	s.mu.Unlock()
	if first {
		s.log.Error("system fails", errorField(err))
		s.drain()
	}
}

func (s *System) drain() {
	s.draining.Store(true)
	s.actors.Root.Send(s.root, &drain{})
}

// finish is called when the root actor is gone.
func (s *System) finish() {
	s.end.Do(func() { close(s.done) })
}

// Done is closed when the system has stopped: after Stop, or by itself when the store failed, and then [System.Err] says why.
func (s *System) Done() <-chan struct{} { return s.done }

// Err joins the failure of the store, if there was one, and a [HaltedError] for each halted worker; nil while all is well.
func (s *System) Err() error {
	s.mu.Lock()
	errs := []error{s.failure}
	s.mu.Unlock()
	for _, p := range s.workers {
		if v := p.cell.watch(); v.state == Halted {
			errs = append(errs, &HaltedError{Worker: p.worker.Name, Reason: v.reason})
		}
	}
	return errors.Join(errs...)
}

// Stop ends the system in good order. No worker begins another batch. Those that have one in hand may finish it until
// Options.DrainTimeout or ctx is over; then the contexts of their handlers are cancelled, and they have until
// Options.KillTimeout to return. Commits under way are never cut short. Children stop in reverse order of their start, and
// each worker writes its position.
//
// The error joins what [System.Err] says with a [HungError] that names the workers whose handlers did not return: their
// goroutines are still there. A second Stop waits for the first and says the same. From inside a handler it returns
// [ErrInsideHandler] at once and does nothing.
func (s *System) Stop(ctx context.Context) error {
	if s.insideHandler(ctx) {
		return ErrInsideHandler
	}
	s.drain()
	if !s.waitDone(ctx.Done(), s.options.DrainTimeout) {
		s.kill(ErrStopped)
		if !s.waitDone(nil, s.options.KillTimeout) {
			s.giveUp()
		}
	}
	s.kill(ErrStopped)
	s.stopWaker()
	s.waker.Wait()
	s.mu.Lock()
	hung := s.stopped
	s.mu.Unlock()
	return errors.Join(hung, s.Err())
}

func (s *System) waitDone(cancelled <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.done:
		return true
	case <-timer.C:
	case <-cancelled:
	}
	return false
}

// giveUp notes which handlers did not return.
func (s *System) giveUp() {
	hung := &HungError{}
	for _, p := range s.workers {
		if v := p.cell.watch(); v.state == Running {
			hung.Workers = append(hung.Workers, p.worker.Name)
			hung.Events = append(hung.Events, v.position)
		}
	}
	s.mu.Lock()
	s.stopped = hung
	s.mu.Unlock()
	s.log.Error("handlers do not return", errorField(hung))
	s.finish()
}

// insideHandler reports whether the caller is a handler: by the context that handlers are given, or, should another one be
// passed, by the calls that lead here.
func (s *System) insideHandler(ctx context.Context) bool {
	if w, ok := ctx.Value(insideKey{}).(*worker); ok {
		return w.sys == s
	}
	return onHandlerStack()
}

// onHandlerStack looks for the frame of a worker's step below the caller.
func onHandlerStack() bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for {
			frame, more := frames.Next()
			if strings.HasSuffix(frame.Function, "actors.(*worker).runStep") {
				return true
			}
			if !more {
				break
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// WaitApplied returns when the worker has handled everything up to the event of the receipt, or when nothing up to there
// concerns it. It returns at once with a [HaltedError], [ErrEnded] or [ErrStopped] when that will not happen any more, with
// [store.ErrForeignHistory] for the receipt of another store, with [ErrUnknownWorker], and with [ErrInsideHandler] when the
// worker would wait for itself. ctx bounds the wait. After a commit without events it returns at once.
func (s *System) WaitApplied(ctx context.Context, worker string, r store.Receipt) error {
	p := s.byName[worker]
	if p == nil {
		return fmt.Errorf("%w: %q", ErrUnknownWorker, worker)
	}
	if r.History != s.store.History() {
		return fmt.Errorf("wait for %q: receipt of %s: %w", worker, r.History, store.ErrForeignHistory)
	}
	if s.waitsForItself(ctx, worker) {
		return ErrInsideHandler
	}
	for {
		v := p.cell.watch()
		if applied, err := s.applied(ctx, v, r.Position()); err != nil || applied {
			return err
		}
		switch v.state {
		case Halted:
			return &HaltedError{Worker: worker, Reason: v.reason}
		case Ended:
			return fmt.Errorf("wait for %q: %w", worker, ErrEnded)
		case Stopped:
			return fmt.Errorf("wait for %q: %w", worker, ErrStopped)
		case Starting, Idle, Running, Retrying, Restarting:
		}
		select {
		case <-v.changed:
		case <-s.done:
			return fmt.Errorf("wait for %q: %w", worker, errors.Join(ErrStopped, s.Err()))
		case <-ctx.Done():
			return fmt.Errorf("wait for %q to reach %d: %w", worker, r.Position(), ctx.Err())
		}
	}
}

// applied reports whether everything of the worker's region up to p is handled.
func (s *System) applied(ctx context.Context, v view, p store.Position) (bool, error) {
	if v.position >= p {
		return true, nil
	}
	if v.state == Starting && v.position == 0 {
		return false, nil // where it begins is not known yet
	}
	waiting, err := s.store.Count(ctx, v.region, v.position, p, 1)
	if err != nil {
		return false, fmt.Errorf("actors: wait for position %d: %w", p, err)
	}
	return waiting == 0, nil
}

// waitsForItself reports whether the caller is a handler of the worker. A handler that passes a context of its own is taken
// for one.
func (s *System) waitsForItself(ctx context.Context, name string) bool {
	if w, ok := ctx.Value(insideKey{}).(*worker); ok {
		return w.sys == s && w.plan.worker.Name == name
	}
	return onHandlerStack()
}
