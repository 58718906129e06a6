// Package penstock is an embedded, durable event log for Go with supervised reactors on top.
//
// It holds no code: import the packages below, each usable without the ones above it.
//
// What they promise:
//
//   - What was acknowledged is on disk. A crash leaves a prefix of the log: no hole, no half batch.
//   - A reactor sees every event of its region, in order, and skips none silently.
//   - The events that a reactor emits and the checkpoint that says so are one atomic write. Inside
//     the store a reaction happens exactly once. An effect outside of it happens at least once,
//     with a stable key by which the other side recognises a repetition; in a SQL database, by a
//     projector, exactly once.
//   - A checkpoint is never ahead of the log, because it lies in the log.
//   - Failure is a state with a reason and a time (retrying, parked, paused, halted), never a
//     silence.
//
// One event's way through the packages:
//
//	your code    Append, Commit
//	    |
//	store        many batches, one sync; the head moves when the bytes are durable
//	    |
//	cursor       the next events of a region, after the checkpoint
//	    |
//	reactor      your handler, typed by kind; what it emits is staged
//	    |
//	store        reactions and checkpoint, one batch; then the next pull
//
// Which package may import which, from top to bottom; a linter rule holds it in place:
//
//	actors              runs workers as actors under supervisors; only it knows an actor library
//	  |
//	  |    reactor      typed events, routes, reactions; reactor/saga for processes of several steps,
//	  |      |          reactor/projector for SQL databases, reactor/reactortest for tests in virtual
//	  |      |          time
//	cursor/drive        decides what a worker and a tree of workers do next: pure
//	  |      |
//	cursor              pull, handle, commit: synchronous
//	  |       \
//	checkpoint  \       named positions, bound to their region
//	  |          \
//	store    supervision
//
//	store               events, positions, batches, reading, waiting, recovery
//	supervision         restarts, backoff and verdicts as plain values and arithmetic
//
// To read the code, start at store and walk upwards. The first comment of each package says what it
// promises, what it must not know, and which goroutines it owns.
package penstock
