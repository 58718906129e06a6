// Package reactor turns typed functions into consumers of the log that emit further events.
//
// The promise: a handler sees every event of its kinds, in the order of the log, and the events it
// emits are written together with the checkpoint that says so, in one batch, or not at all. Inside
// the store each event is therefore reacted to exactly once, whatever crashes in between. What a
// handler does outside the store happens at least once, and [Event.EffectKey] is the key to
// recognise a repetition by.
//
//	log     1 order.placed    2 cart.opened    3 order.cancelled    4 order.placed
//	              |                                  |                    |
//	fetch   the kinds that have a route; the others are neither fetched nor decoded
//	              |                                  |                    |
//	route   On(stock.placed)                On(stock.cancelled)   On(stock.placed)
//	              |                                  |                    |
//	stage   stock.reserved                  stock.released          (it failed)
//	              |                                  |                    x
//	commit  reactions of 1 and 3 + checkpoint = one batch; 4 is tried again
//
// A [Reactor] is built from routes by [New], which never fails: errors of its definition are
// returned by [Reactor.CursorWorker], which actors.Start calls first, and reported by package
// reactortest.
//
// Reactions carry the correlation of the event they answer, name it as their cause, and are one
// step deeper. A limit of depth ends loops of reactors that answer each other, a limit per event
// ends storms.
//
// The error of a handler is an attempt: the event is tried again after a backoff, as the
// [supervision.Policy] says, unless the error is a directive made by [RetryAfter], [Wait], [Park],
// [Skip] or [Halt]. When the attempts are used up the event is parked, what follows of its key is
// held, and the reactor continues with the others; [OnGivenUp] emits something in place of that.
// An event that cannot be decoded is such an
// attempt too; one of a newer schema version than the program knows is parked at once, and handled
// by itself when a program starts that knows it. Older versions are raised by upcasters, which one
// value of [Types] has for all that read the log. Payloads are JSON, or in the codec of their type
// ([store.Codec]); one of a codec that its type does not have is parked at once, and replayed by
// hand once the program has it.
//
// A handler that needs to know what came before keeps a state for each key: [OnState]. It sees what
// all events of the key before this one have left, and what it leaves is written in that same
// batch.
//
// An event that is to come later, as a deadline, is a reaction too: [Reactions.After] and
// [Reactions.At]. It is kept with the checkpoint, and written when its time has come.
//
// An event whose content was erased ([store.Erase]) is passed over, as if it was handled: there is
// nothing to decode. [OnErased] has a handler get those of a kind.
//
// After a rewind, events that were handled before come again as replays ([Event.Replayed]), and
// reactions to them are dropped unless the rewind says that they are emitted again.
//
// The contract of a handler (repetition, context, goroutines, reentrancy) is that of
// [cursor.Handler], event by event: without [Reactor.Lanes] handlers run one after the other, with
// lanes on one goroutine per lane, never two at a time for one key.
//
// The package must not know: how positions are kept (it only hands the settings of a checkpoint
// on), files, actors, clocks. It starts no goroutine and holds no lock.
package reactor
