// Package drive decides what happens next to a worker and to a tree of workers. It is pure: it is
// called with what happened, and returns what to do about it. Package actors carries that out
// with mailboxes, timers and goroutines, package reactortest step by step in virtual time; both
// have the same decisions, because they are made here. Only [Baton] uses a store: it acquires
// checkpoints and carries out the orders of operators, for both.
//
// It is no interface for programs: its names and signatures follow the needs of those two
// packages and change without notice.
//
// # A tree
//
// [Tree] is one machine for all groups of a tree: strategies, rounds, delays, stops, escalations,
// handlers that do not return, and resumes. A failure that escalates is a call inside of it, so
// that there is no moment at which one group knows of it and another does not.
//
// The workers are its leaves, numbered depth first, so each group is an interval of leaves. A
// leaf has at most one incarnation at any time. These are its phases:
//
//	Down ----> Starting --------> Ready --------> Up
//	 ^  spawned   |     acquired    |    begun    |
//	 |            +--------+--------+-------------+
//	 |                     | drained              | cancelled
//	 |                     v                      v
//	 +----------------- Draining ------------> Cancelled ------------> Hung
//	 |  gone                      cancelled       |        timed out    |
//	 +--------------------------------------------+---------------------+
//
// and all the moves between them:
//
//	Down      spawned    Starting   an actor is made, and acquires the checkpoint
//	Starting  acquired   Ready      it waits for its siblings, where these are started with it
//	Ready     begun      Up         it handles events
//	Starting  drained    Draining   it is to end in good order
//	Ready     drained    Draining
//	Up        drained    Draining
//	Starting  cancelled  Cancelled  it is to end, and the contexts of its handlers end first
//	Ready     cancelled  Cancelled
//	Up        cancelled  Cancelled
//	Draining  cancelled  Cancelled
//	Cancelled timed out  Hung       its handler does not return: it is halted, never run beside it
//	Starting  gone       Down       it disappeared: the system fails
//	Ready     gone       Down
//	Up        gone       Down
//	Draining  gone       Down
//	Cancelled gone       Down
//	Hung      gone       Down
//
// Leaves are started and stopped in rounds: each is over an interval of leaves, one leaf for a
// restart that concerns no sibling. Rounds never overlap: one that would replaces the others, over
// all leaves that they concern. The first round starts all leaves, the last one stops them; all
// others restart what a strategy says. In a round a leaf that cannot acquire its checkpoint tries
// again in place, and the others wait for it, but in the first round. There a mistake of the
// program (other kinds, say) ends the tree, and what the world refuses (a database that is
// unavailable) is that leaf's own affair: it is halted, or tries again while the others run.
//
//	Stopping -----------> Waiting -----> Acquiring ------> Over
//	   |      all down             due      |  all ready    ^
//	   |                                    | held          |
//	   |                                    v        begun  |
//	   |                                   Held ------------+
//	   +----------------------------------------------------+
//	          all gone
//
// and all the moves:
//
//	Stopping  all down   Waiting    leaves are drained in reverse, each when the one after it is down
//	Waiting   due        Acquiring  all are spawned in order, and acquire side by side
//	Acquiring all ready  Over       all begin in order
//	Acquiring held       Held       the first round: all are ready, or could not acquire, which is
//	                                judged now; it waits for Begin
//	Held      begun      Over
//	Stopping  all gone   Over       the last round: those that hung are down, too
//	Stopping  replaced   Over       by a round that overlaps it, or because all its leaves halt
//	Waiting   replaced   Over
//	Acquiring replaced   Over
//	Held      replaced   Over
//
// While a tree runs, leaves are added to its groups and removed; a leaf keeps its number for good.
// One that is added is the last child of its group: it starts at once, or with the round that
// restarts the group or what comes after a child of it. One that is removed is drained like with
// the last round, whatever it is doing, and leaves the tree when it is down, and a round that it is
// part of. One that hangs stays, halted.
//
// A restart of a group is a round over its leaves with fresh judges for all that is below it. One
// of several siblings is a round over these; workers among them keep their judges.
//
// # A worker
//
// [Worker] is one incarnation of a worker over its [Engine]. It takes batches in one phase only;
// in all others nothing new begins, and what is in flight ends first.
//
//	           acquired        begun          failed without an event
//	Acquiring ---------> Ready -------> Working <-----------------> Waiting
//	                       \             ^   |       delay over        |
//	           begun, paused \   resumed |   | paused           paused |
//	                          +--------> Paused <---------------------+
//
//	                   handler panicked          reported
//	Working, Waiting ---------------> Crashed -----------> Leaving
//	                 ---------------> Ending  ----------->
//	                   handler is done
//
//	         close           drain            drained
//	each one ------> Closing ------> Draining --------> Down
//
// and all the moves between them:
//
//	Acquiring acquired                 Ready     it has an engine, and waits for its siblings
//	Acquiring drain                    Draining
//	Ready     begin                    Working
//	Ready     begin, paused            Paused
//	Ready     close                    Closing   the system stops, and an order to drain follows
//	Ready     drain                    Draining
//	Working   failed without an event  Waiting   there is no room, or nothing can be read
//	Working   paused                   Paused
//	Working   handler panicked         Crashed   what is in flight ends first
//	Working   handler is done          Ending    likewise
//	Working   close                    Closing
//	Working   drain                    Draining
//	Waiting   delay over               Working
//	Waiting   paused                   Paused
//	Waiting   handler panicked         Crashed
//	Waiting   handler is done          Ending
//	Waiting   close                    Closing
//	Waiting   drain                    Draining
//	Paused    resumed                  Working
//	Paused    resumed, still waiting   Waiting
//	Paused    close                    Closing
//	Paused    drain                    Draining
//	Crashed   crash reported           Leaving   the supervisor orders it to drain
//	Crashed   close                    Closing
//	Crashed   drain                    Draining
//	Ending    handler panicked         Crashed
//	Ending    end reported             Leaving
//	Ending    end reported, drain      Draining
//	Ending    close                    Closing
//	Leaving   close                    Closing
//	Leaving   drain                    Draining
//	Closing   drain                    Draining
//	Draining  handler is done          Ending    an end outlasts a drain: it is reported first
//	Draining  drained                  Down
//
// Where a worker has a rate, a batch is taken only when the bucket of its limiter is full, and
// costs a token for each of its events; the limiter is passed from one incarnation to the next.
//
// What happens is reported to it by its methods; then [Worker.Next] says what to do, by rules
// that are tried in one order. Only [Worker.Commit] writes what was handled, whatever it is
// written for, and a failure is reported once nothing of what was handled before it is unwritten:
// no change by an operator, no flush and no end can come between the two.
//
// # Handling ahead
//
// A worker without lanes, of more than one event at a time, may handle batch k+1 while the commit
// of batch k is under way:
//
//	Finished k    Submit k ------------------------> StepAnswer    Answered k
//	                      StepRun k+1    Finished k+1 (held)       Finish k+1    Submit k+1
//
// Only the handler of k+1 runs beside the commit. Its task is held until the answer, and nothing of
// it is staged, judged or reported before. So each law holds as it does one after the other:
//
//   - Order, and one write for reactions and checkpoint: there is one commit at a time, and k+1 is
//     staged on what the answer to k left.
//   - A newer owner, or a store that takes nothing any more: k is refused, k+1 is dropped, and
//     [Worker.Commit] meets the same error with k, as without k+1.
//   - No attempt is lost or invented: what k+1 failed with is reported after k is in the log, or
//     forgotten with it, where k was refused. A worker in trouble, with lanes, or that probes an
//     outage, does not submit, and so the state of a failure never changes beside a handler that it
//     concerns.
//   - A handler that panicked is not called again, whatever becomes of k: where it is refused, the
//     panic in k+1 belongs to no event, and is reported as that of the worker once k is written, or
//     refused for an event of its own.
//   - A Stop or rollback of k is obeyed before k+1: it does not submit. One of k+1 leaves k
//     written.
//   - Pauses, orders of operators, flushes, drains and ends come when k is answered and k+1 is
//     finished or was never taken: while a commit is under way a batch is the only thing that
//     begins.
//   - What may kill the process is handled alone: a suspect worker does not submit, and the one
//     after a crash is suspect for two batches.
//
// After a refusal it handles one after the other for a while. Whether it is worth a goroutine is up
// to the transport. A commit that is alone has none beside it: Next orders StepAnswer until it is
// answered, so that nothing has to wait for it meanwhile but the worker.
//
// # An outage
//
// What the handler of a worker needs for an event is the event's dependency. A failure that may be
// that of the dependency is reported to a machine which tells an outage from bad events: see
// [supervision.OutagePolicy] for the rules and the numbers. It knows the dependencies of which
// something fails; these are their phases:
//
//	        an event failed          enough failed
//	Calm ------------------> Suspect --------------> Out
//	 ^                          |                     |
//	 +--------------------------+---------------------+
//	        an event was handled, or none is failing
//
// and all the moves between them:
//
//	Calm      an event failed       Suspect
//	Suspect   an event was handled  Calm     what is parked stays so
//	Suspect   none is failing       Calm     it was skipped, or parked by its handler
//	Suspect   enough failed         Out      what was parked since Calm is taken back
//	Out       an event was handled  Calm     each that failed meanwhile is charged one attempt
//	Out       none is failing       Calm
//
// In Suspect events climb their ladders; one that is parked is probed with the longest delay. In
// Out the engine keeps all events of the dependency back, and the worker probes one at a time, with
// growing delays: first what has not failed, then in turn what has. An event that failed would keep
// others from that, without lanes or where it fills the window: it is deferred, which is to be
// parked without having failed, and to be handled again as soon as it may be. So a crash in an
// outage loses none of them, and order by key is that of what is parked.
//
// Bad events look the same as an outage for as long as none of their dependency is good. So one
// that failed before an outage, too, and was tried often enough in it because there was nothing to
// try that had not failed, is parked in Out. This is where an event waits that failed:
//
//	in its turn   it is tried by its ladder, or probed
//	aside         parked in Suspect after few failures: taken back if enough fail, else for good
//	in doubt      parked in Suspect after more failures, or in Out, and probed where it is
//	on trial      in doubt, and an event was handled since: if it fails again it is parked for good,
//	              at once where all on trial have and they are few, else after as many successes of
//	              others as there are attempts, with a failure between any two of them
//
// The machine belongs to the incarnation: the next one finds out again, and handles again what was
// parked in doubt.
//
// # What it must not know
//
// Actors, mailboxes, goroutines, locks, timers, the clock (moments are passed), chance (a
// function is passed), logging. It is not safe for concurrent use; each value belongs to one
// goroutine.
package drive
