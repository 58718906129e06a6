// Package reactor turns typed functions into consumers of the log that emit further events.
//
// The promise: a handler sees every event of its kinds, in the order of the log, and the events it emits are
// written together with the checkpoint that says so, in one batch, or not at all. Inside the store each
// event is therefore reacted to exactly once, whatever crashes in between. What a handler does outside the
// store happens at least once, and [Event.EffectKey] is the key to recognise a repetition by.
//
//	log     1 order.placed    2 cart.opened    3 order.cancelled    4 order.placed
//	              |                                  |                    |
//	fetch   the kinds that have a route; the others are neither fetched nor decoded
//	              |                                  |                    |
//	route   On(stock.placed)                On(stock.cancelled)   On(stock.placed)
//	              |                                  |                    |
//	stage   stock.reserved                  stock.released          (it failed)
//	              |                                  |                    x
//	commit  reactions of 1 and 3 + checkpoint = one batch; 4 is tried again, what it staged is dropped
//
// A [Reactor] is built from routes by [New], which never fails: faults of its definition are reported by
// [Reactor.CursorWorker], which whoever runs it calls first, and by package reactortest.
//
// Reactions carry the correlation of the event they answer, name it as their cause, and are one step deeper.
// A limit of depth ends loops of reactors that answer each other, a limit per event ends storms.
//
// The error of a handler is an attempt: the event is tried again after a backoff, as the [supervision.Policy]
// says, unless the error is a directive made by [RetryAfter], [Park], [Skip] or [Halt]. When the attempts are used up the
// event is set aside with what follows of its key, and the reactor goes on. An event that cannot be decoded is such an
// attempt too; one of a newer schema version than the program knows is set aside at once. Older versions are raised by
// upcasters, see [On].
//
// After a rewind, events that were handled before come again as replays ([Event.Replayed]), and reactions to them are
// dropped unless the rewind asked for them.
//
// The package must not know: positions and checkpoints, files, actors, clocks. It starts no goroutine and
// holds no lock; handlers run one after the other on the goroutine of the worker that runs the reactor.
package reactor
