// Package saga runs processes that take several steps and some time, such as the fulfilment of an
// order: each instance of a saga continues where it was, whatever crashes, waits without a
// goroutine, and where a step fails for good undoes what was done before, in reverse.
//
//	(none) --Start--> Running -------------------------------> Completed
//	                     |
//	      refused, deadline, Compensate, Cancel
//	                     v
//	               Compensating --every undo done------------> Compensated
//	                  |    ^
//	     an undo fails v    Retry, SkipUndo
//	                   Stuck --Abandon-----------------------> Failed
//
// There are two doors to one engine. [Steps] is a list of actions, each with what undoes it; it
// gives order, undo, joins, a deadline and a picture for nothing. [New] is a process manager:
// handlers of events and timers with a typed state, phases and requests, for what is not a list.
//
// # One input, one commit
//
// An instance is the fold of its inputs: the events that its key or one of its aliases finds, its
// timers, the outcomes of its actions, and what operators ask. They are handled one at a time, in
// the order of the log, and never again. What an input leads to is one commit:
//
//	log       order.placed        saga.checkout.done {reserve}      saga.checkout.fired {pay-by}
//	              |                          |                              |
//	handler   read the record           read the record               read the record
//	              |                          |                              |
//	commit    record: Running           record: undo = [reserve]      record: Compensating
//	          request of "reserve"      request of "charge"           request: undo "reserve"
//	          checkpoint                checkpoint                      checkpoint
//
// So after a crash anywhere no record names an input whose outputs are missing, and nothing is
// there without it. A second worker carries out the requests:
//
//	log    saga.checkout.requested {charge} --> charge(ctx, Step) --> saga.checkout.done {result}
//
// An action is tried again until its ladder is used up ([supervision.Policy]); each attempt has the
// same effect key ([Step.Key]), whatever crashed. Its outcome is one of three: done; refused, which
// is a No that its code says ([Refuse]), so that nothing happened; or unknown, as after a time-out,
// a panic or a ladder that is used up. What is unknown may have happened and is undone, too. In an
// outage of what a step calls its ladder is not used up, see Effects.Policy; [Action.Attempts] says
// how often a step is tried whatever fails. Compensation begins once nothing of the instance is in
// flight any more.
//
// # Deploys
//
// A program with another definition continues what waits in one of three ways:
//   - by the new definition, where Saga.Version stays, or the definition has a [Migrate] from the
//     former one: an instance takes the steps that it is not at yet as they are now;
//   - by the one that it began with, where Saga.Version is another one and [Saga.With] names the
//     former definition;
//   - not, in all other cases, and where a step is gone that an instance is at: then the saga does
//     not start, and its [UnrunnableError] says what is missing, for how many.
//
// # What is kept
//
// The record of an instance is a side value of the saga's own checkpoint, named by the key. In it
// everything goes by name, never by a number in a list, so that a deploy may add and move steps.
// Its fields are in format.go; a result is kept once, and the whole of it is written with each
// input. The events of an instance lie at the entity "saga:NAME:KEY".
//
// The package must not know: actors, files, clocks, how a checkpoint is kept. It starts no
// goroutine but one for each attempt, which ends with that, and holds its locks only over what it
// counts in memory.
package saga
