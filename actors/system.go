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

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// System runs a tree of workers over one store. Its methods may be called from many goroutines.
type System struct {
	// Set before the first actor exists, never changed, and so read by any goroutine without a lock.
	store   *store.Store
	options Options
	log     journal
	workers *roster       // locked
	groups  []*drive.Node // of them any goroutine reads what never changes

	dispatcher dispatcher // locked
	actors     *actor.ActorSystem
	root       *actor.PID
	supervisor *actor.PID
	// storeActor is set by the root actor before it spawns the supervisor: workers, which it spawns,
	// and the waker, which starts after the answer in started, read it without a lock.
	storeActor *actor.PID
	// started has room for the one answer to Start, so that its sender never waits.
	started chan error
	// start is the context of Start while that runs, nil afterwards: see acquisition.
	start atomic.Pointer[context.Context]

	handlers context.Context //nolint:containedctx // parent of the handlers' contexts
	kill     context.CancelCauseFunc
	// acquire is the context of acquisitions after Start; it ends when the system stops.
	acquire       context.Context //nolint:containedctx // as handlers
	stopAcquiring context.CancelCauseFunc
	parked        *parkedPulls

	stop     sync.Once
	stopping chan struct{} // closed: no worker begins another batch

	waker     sync.WaitGroup
	life      context.Context //nolint:containedctx // of the waker
	stopWaker context.CancelFunc

	transitions transitions // locked
	charges     charges     // locked

	watchdog *watchdog
	pages    cursor.Pages // of all workers; locked

	mu       sync.Mutex
	failure  error       // of the store, or of our own code; the first one stays
	deadline *time.Timer // for handlers to return, once there is a failure

	end  sync.Once
	hung error         // a HungError, or nil; set before done is closed
	done chan struct{} // closed: the system has stopped
}

// Start runs the workers of a tree over a store, and returns when each of them has acquired its
// checkpoint, or has said why not. Groups start their children in order. A worker's name is that of
// its checkpoint, so it is unique in the whole tree, not just in its group. A worker that was
// halted in an earlier run starts with a fresh count of attempts, and tries the event again.
//
// A mistake of the program fails Start, and nothing runs: no handler has been called. Mistakes are
// those in the tree, in its workers, and between a worker and the checkpoint of its name: another
// region, changed kinds, another version of keys, a name that is taken or was left. These three are
// looked at in turn, and all problems of the first that has any are joined. They wrap [ErrChild]
// and the errors of supervision, cursor, reactor, checkpoint or store; what concerns one child
// names its path. Checkpoints that were acquired before another one failed stay acquired: their
// owners before are fenced. Any other error is [ErrOptions], or that of the store or of ctx. ctx
// bounds the start only; the system lives until [System.Stop].
//
// What else keeps a worker from its checkpoint concerns that worker alone, and shows in
// [System.Status] when Start returns. A place that cannot be reached (an unavailable database), or
// a full disk, is waited for; any other error of ExternalPosition is tried again as Policy says; a
// checkpoint or a database that belongs to another history, or cannot be read, halts it. With
// Options.AllOrNothing each of these fails Start.
//
// The caller closes the store, afterwards.
func Start(ctx context.Context, st *store.Store, o Options, tree supervision.Group) (*System, error) {
	if st == nil {
		return nil, fmt.Errorf("%w: the store is nil", ErrOptions)
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	top, workers, err := planTree(tree)
	if err != nil {
		return nil, err
	}
	s := newSystem(st, o, top, workers)
	s.start.Store(&ctx)
	supervisor := func() actor.Actor { return newSupervisor(s, top) }
	_, err = s.actors.Root.SpawnNamed(newProps(&s.dispatcher, func() actor.Actor { return &root{sys: s, make: supervisor} }), rootName)
	if err != nil {
		return nil, fmt.Errorf("actors: spawn: %w", err)
	}
	if err := awaitStart(ctx, s); err != nil {
		s.shut(nil)
		return nil, err
	}
	watchHead(s)
	s.watchdog.clock.look(s)
	s.watchdog.start()
	s.actors.Root.Send(s.root, &begin{})
	s.log.Info("started", zap.Int("workers", len(workers)))
	warnOfUnread(st, s.log.Logger, s.workers)
	warnOfUnwritten(s, s.workers.all())
	warnOfExposure(st, s.log.Logger)
	return s, nil
}

// awaitStart returns how the start went. What ctx cut short is no failure of a worker.
func awaitStart(ctx context.Context, s *System) (err error) {
	select {
	case err = <-s.started:
	case <-s.done: // an actor of ours has panicked
		err = s.Err()
	}
	s.start.Store(nil)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("actors: start: %w", ctx.Err())
	}
	return err
}

// The names of the root actor, and of the supervisor below it.
const (
	rootName       = "penstock"
	supervisorName = "supervisor"
)

func newSystem(st *store.Store, o Options, top *drive.Node, workers []*node) *System {
	s := &System{
		store:    st,
		options:  o,
		log:      newJournal(o),
		workers:  newRoster(workers),
		groups:   groupsOf(top),
		started:  make(chan error, 1),
		stopping: make(chan struct{}),
		done:     make(chan struct{}),
	}
	for _, n := range workers {
		n.join(s)
	}
	s.watchdog = &watchdog{sys: s}
	s.life, s.stopWaker = context.WithCancel(context.Background())
	s.handlers, s.kill = context.WithCancelCause(context.Background())
	s.acquire, s.stopAcquiring = context.WithCancelCause(context.Background())
	s.actors = actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return newBridge(s.log.Logger) }))
	s.root = s.actors.NewLocalPID(rootName)
	s.supervisor = s.actors.NewLocalPID(rootName + "/" + supervisorName)
	s.parked = newParkedPulls(s)
	return s
}

// acquisition is the context for acquiring checkpoints: the caller's during Start, for restarts one
// that ends when the system stops. What is acquired then is of no use any more.
func (s *System) acquisition() context.Context {
	if ctx := s.start.Load(); ctx != nil {
		return *ctx
	}
	return s.acquire
}

// fail ends the system because of something that no restart cures. Nothing that handlers do now
// can be committed, so their contexts are cancelled; if they do not return, the system ends
// without them.
func (s *System) fail(err error) {
	s.mu.Lock()
	first := s.failure == nil
	if first {
		s.failure = err
		s.deadline = time.AfterFunc(s.options.KillTimeout, s.abandon)
	}
	s.mu.Unlock()
	if first {
		s.log.end("system fails", errorField(err))
		s.drain()
		s.kill(err)
	}
}

func (s *System) drain() {
	s.stop.Do(func() {
		close(s.stopping)
		s.stopAcquiring(ErrStopped)
		s.actors.Root.Send(s.root, &drain{})
	})
}

// actorCrashed ends the system because an actor that no restart brings back has panicked.
func actorCrashed(s *System, pid *actor.PID, failure supervision.Failure) {
	s.log.end("actor panicked", zap.String("actor", pid.Id), errorField(failure.Err), stackField(failure.Stack))
	s.fail(failure.Err)
}

func (s *System) isStopping() bool { return closed(s.stopping) }

func (s *System) isDone() bool { return closed(s.done) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// finish is called when the root actor is gone, or without an end of it when handlers hang. The
// first call counts.
func (s *System) finish(hung error) {
	s.end.Do(func() {
		s.hung = hung
		for _, p := range s.workers.all() {
			if hung == nil || p.published.view().state != Running {
				p.published.set(Stopped, nil)
			}
		}
		s.stopWaker()
		s.watchdog.stop()
		s.mu.Lock()
		if s.deadline != nil {
			s.deadline.Stop()
		}
		s.mu.Unlock()
		close(s.done)
	})
}

// abandon ends the system although handlers have not returned. Their actors end when they do.
func (s *System) abandon() {
	if s.isDone() {
		return
	}
	hung := busy(s.workers.all(), func(v view) bool { return v.state == Running || v.hung && !v.returned })
	if len(hung.Workers) == 0 { // it is not a handler that takes so long: a disk, or a logger
		hung = busy(s.workers.all(), func(v view) bool { return v.state != Halted && v.state != Ended && v.state != Stopped })
	}
	s.log.end("handlers do not return", errorField(hung))
	s.finish(hung)
}

func busy(workers []*node, in func(view) bool) *HungError {
	hung := &HungError{}
	for _, p := range workers {
		if v := p.published.view(); in(v) {
			hung.Workers = append(hung.Workers, p.name())
			hung.Positions = append(hung.Positions, v.position)
		}
	}
	return hung
}

// Done is closed when the system has stopped: after Stop, or by itself when the store failed, and
// then [System.Err] says why.
func (s *System) Done() <-chan struct{} { return s.done }

// Err joins the failure of the store, if there was one, and a [HaltedError] for each halted
// worker; nil while all is well.
func (s *System) Err() error {
	errs := []error{s.failed()}
	for _, p := range s.workers.all() {
		if v := p.published.view(); v.state == Halted {
			errs = append(errs, &HaltedError{Worker: p.name(), Reason: v.reason})
		}
	}
	return errors.Join(errs...)
}

func (s *System) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Stop ends the system in good order. No worker begins another batch. Those that have one in
// flight may finish it until Options.DrainTimeout or ctx is over; then the contexts of their
// handlers are cancelled, and they have until Options.KillTimeout to return. Commits under way
// are never cut short. Children stop in reverse order of their start, and each worker writes its
// position.
//
// The error joins what [System.Err] says with a [HungError] that names the workers whose handlers
// did not return: their goroutines are still there, and should such a handler return without an
// error after all, its batch is committed as long as the store is open. A second Stop waits for
// the first and returns the same.
//
// A ctx that has ended already means no drain: do not pass the one that told the program to stop,
// but context.WithoutCancel of it.
//
// From inside a handler it returns [ErrInsideHandler] at once and does nothing. A handler is
// recognised by the context it was given, and on its own goroutine also without that. A goroutine
// that it started must pass that context on: if the handler waits for a Stop that it cannot be
// seen in, it has to be cancelled like any that takes too long.
func (s *System) Stop(ctx context.Context) error {
	if insideHandler(ctx, s) {
		return ErrInsideHandler
	}
	s.shut(ctx.Done())
	return errors.Join(s.hung, s.Err())
}

// shut drains until the timeout or until it is cut short, then cancels the handlers, and at last
// ends without them.
func (s *System) shut(cut <-chan struct{}) {
	s.drain()
	if !wait(s.done, cut, s.options.DrainTimeout) {
		s.kill(ErrStopped)
		if !wait(s.done, nil, s.options.KillTimeout) {
			s.abandon()
		}
	}
	s.kill(ErrStopped)
	s.waker.Wait()
}

// wait reports whether done is closed within d, before it is cut short.
func wait(done, cut <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-cut:
	}
	return false
}

// insideHandler reports whether the caller is a handler: by the context that handlers are given,
// or, should another one be passed, by the calls that lead here.
func insideHandler(ctx context.Context, s *System) bool {
	if w, ok := ctx.Value(insideKey{}).(*worker); ok {
		return w.sys == s
	}
	return onHandlerStack()
}

// onHandlerStack looks for the frame of a worker's handler below the caller.
func onHandlerStack() bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for {
			frame, more := frames.Next()
			if strings.HasSuffix(frame.Function, "actors.(*worker).handle") {
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
