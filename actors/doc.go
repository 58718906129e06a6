// Package actors runs workers as actors under supervision: it starts, stops and watches
// everything, and is the only package that knows protoactor.
//
//	System                       Start, Stop, Status, Watch, WaitApplied, WaitCaughtUp, Done, Err
//	  |                          Pause, Resume, PauseGroup, ResumeGroup, Apply, Parked, Replay,
//	  |                          Discard, Add, Remove, Stack, Interrupt
//	  |
//	root                         stops the supervisor first, then the store actor
//	  |-- store                  answers pulls; parks those that find nothing
//	  |-- supervisor             decides for all groups; spawns, stops and watches all workers
//	        |-- worker "reserve-stock"
//	        |-- worker "search-index"
//	              |-- its lanes
//
// A group is no actor: a failure that it escalates, or a restart of its siblings, is a step inside
// one machine, so there is no moment at which one group knows of it and another does not.
//
// What an actor does next is decided by package drive: drive.Tree decides for the supervisor,
// drive.Worker for a worker. The actors are the transport: mailboxes, timers, goroutines and
// panics. protoactor's own supervision only reports panics of our code to the supervisor: its
// restarts know neither delays nor a budget, and would run a worker beside its own handler.
//
// # One worker
//
//	      pull {scanned, region}             +-------------+
//	  +------------------------------------> | store actor |  parks the pull if there is
//	  |   bounds {up to P}                   +-------------+  nothing, until the head moves
//	  |  <----------------------------------------+           over an event of its region
//	+--------+
//	| worker |  reads a page, handles, commits reactions + checkpoint as one batch;
//	+--------+  again up to P; then pulls again
//	  |   report {event, error}              +------------+
//	  +------------------------------------> | supervisor |  retry after a delay | park | skip |
//	     decision                            +------------+  stop, and restart as a fresh actor |
//	                                                         halt | escalate
//
// The goroutine that commits wakes the workers whose events it has made visible, by the terms that
// it has in memory; what would hold it up it leaves to the store actor, which reads what is new.
//
// One pull in flight is the back-pressure. The mailbox holds nothing that matters: a worker's
// state is its checkpoint, read when the actor starts and written with each batch. Whatever ends
// an actor, the next one repeats at most the batches whose reactions were never written: one, or
// two where the worker handled the second one while the first was being written.
//
// With lanes a worker has a child actor for each, which runs the handler for one batch of one key
// and returns it; the worker commits what is done by then, all of it in one batch of the store.
// An event that waits for a retry holds up its key alone.
//
// A process identifier is only a name, and all incarnations of a worker have that of the worker: a
// late answer, or a timer, reaches the next one. Therefore each carries the incarnation that it is
// for, and any other one ignores it.
//
// # Failures
//
// A handler's error is retried in place, its panic restarts the worker as a fresh actor (one built
// from plain functions keeps the state that these have). How often and how fast is up to its
// supervision.Policy. A handler of batches that does not say which event failed receives halves of
// the batch until the event stands alone; only then an attempt is counted. When the attempts at an
// event are used up it is parked, with what follows of its key, or the worker skips it or halts.
// Where events of several keys fail and none of their dependency is handled, that is an outage:
// nothing of it is parked or skipped, and one event at a time is tried until one is handled. A full
// disk is waited for, and is no attempt; a lost race of expectations is handled again. A worker
// whose checkpoint was acquired by another owner halts. A halted worker is an error in Status,
// WaitApplied, Err and Stop until it is resumed; the others continue.
//
// A failure restarts one child, all children of its group, or those after it, as the strategy
// says; siblings are cancelled, stopped in reverse, acquire their checkpoints side by side, and
// begin in order once all have. One whose handler does not return in time is halted with its
// stack, and never run beside itself. A failure that escalates beyond the top group halts all
// workers. When the store itself fails, nothing can be committed any more: the handlers' contexts
// are cancelled, all workers stop, and Err says why.
//
// # What it tells of itself
//
// [System.Status] has the groups with what is left of their budgets, and of each worker its
// definition, its state, why it is in trouble, every event that fails with a reason of its own, and
// what its handlers have in flight, also while they hang. It waits for no worker. [ReasonOf] makes
// of each reason a [Code], a word that stays, from one table of typed errors; all of it is JSON.
//
// # What is logged
//
// Options.Logger receives the entries of [LogEntry], each at a level that Options.Levels may
// change. An outage is logged when it begins and when it is over, and what is waited for at each
// doubling of the number of times. A panic has its stack as a field, once, and an ordinary error
// has none. [System.Watch] has all transitions, numbered, and the last
// 1,024 also afterwards.
//
// What functions of the program say goes through Options.Redact, and is cut, before anything shows
// or keeps it.
//
// # What it must not know
//
// Segment formats and codecs, typed events, how a batch becomes reactions, when to retry, restart
// or halt.
//
// # Goroutines
//
// An actor has a goroutine only while it handles a message, so an idle worker has none; those that
// wait for nothing take turns on a few, see dispatcher. A System over a store that was opened
// read-only has one of its own, the waker, which waits for the head and ends when the system stops;
// any other has none. The watchdog is a timer that ends with the system. A worker whose commit is
// under way has none: a message tells of the answer. Only a commit beside which it handles the next
// batch has one of its own, which ends with the commit. Timers of delays belong to the actor that
// waits and are stopped with it.
//
// The pulls that wait have a lock, parkedPulls.mu, which a goroutine that commits tries and never
// waits for. No other lock is taken under it.
package actors
