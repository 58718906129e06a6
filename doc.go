// Package penstock is the front door of an embedded, durable event log with supervised reactors on top.
// It holds no code: import the packages below, each usable without the ones above it.
//
// The promise:
//
//   - What was acknowledged is on disk. A crash leaves a prefix of the log: no hole, no half batch.
//   - A reactor sees every event it asked for, in order, and skips none silently.
//   - The events a reactor emits and the checkpoint that says so are one atomic write. Inside the store a
//     reaction happens exactly once; an effect outside it happens at least once, with a stable key by which
//     the other side can recognise a repetition.
//   - A checkpoint is never ahead of the log, because it lives in the log.
//   - Failure is a state with a reason and a time (retrying, restarting, halted), never a silence.
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
// Who may import whom, from top to bottom; a linter rule holds it in place:
//
//	actors            runs workers as actors under supervisors; the only package that knows an actor library
//	  |
//	reactor           typed events, routes, reactions; reactor/reactortest
//	  |
//	cursor            pull, handle, commit: synchronous, without goroutines
//	  |       \
//	checkpoint  \     named positions, bound to their region
//	  |          \
//	store    supervision
//
//	store             events, positions, batches, reading, waiting, recovery
//	supervision       restarts, backoff and verdicts as plain values and arithmetic
//
// To read the code, start at store and walk upwards; the first comment of each package says what it promises,
// what it must not know, and who owns its goroutines.
package penstock
