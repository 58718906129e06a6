// Package cursor reads the log in order and moves a checkpoint along: pull, handle, commit.
//
// Most programs need only [Worker], [Batch] and [FailedAt]: they describe a worker and hand it to
// package actors, which runs it. A [Cursor] is for a loop of one's own; code that only pulls from
// one takes a [Canal], so that its test can feed it events made by hand. A [Runner] and its [Task],
// [Former], [Submission], [Pages] and [Progress] are the machinery under package actors, as package
// drive is: they follow its needs, and promise no compatibility.
//
//	store    1 2 3 4 5 6 7 8 9          head = 9
//	             | .   |   |            the region matches 3, 6 and 8
//	             v     v   v
//	Cursor   All, Poll, PollBatch, PullBatch; Commit, Rollback: pulled by hand
//	Subscription   the same, lossy
//	Runner   page -> queues -> Worker.Handle(Batch) -> reactions + checkpoint
//	                   ^  |                             + what is parked = ONE batch of the store
//	                   |  +-- an event that failed: Settle retries, skips, or parks it, with what
//	                   |      follows of its key
//	                   +----- Replay: what was parked is handled again
//
// Whatever the shape, positions strictly increase, every visible event of the region comes once in
// a pass, and nothing beyond the head of the store comes at all. A position means "scanned to":
// everything up to it was delivered and handled, or does not match. So a narrow region keeps up
// with a busy log, and a restart does not read it again.
//
// A [Worker] is the description of a reader that handles batches: a plain value. A [Runner]
// executes it, one step at a time, on the goroutine of its caller. When a step fails, what was
// handled before the failure is committed, with its reactions; the rest waits in the runner. When
// the process dies, everything since the last commit is read again. Reactions are in the log
// exactly once in both cases, because they and the checkpoint that says so are one write, and
// because a runner whose checkpoint was acquired by another is refused with its reactions.
//
// Without lanes a batch may be handled while the one before it is written; it is committed after
// the answer, and dropped where that is a refusal: see [Runner.Submit]. So the order of commits,
// and what each of them says, is the same as one after the other; a crash repeats two batches at
// most, and one where BatchSize is 1, which has none handled ahead.
//
// A worker with an ExternalPosition keeps its position itself, where it saves its results: the
// database of a projection. The function is called by each new runner, see [ResumeState], and
// batches say what is parked ([Batch.PassedOver], [Batch.Parked]), so that what the worker stores
// can be exact without the log.
//
// With lanes, events of one key are a queue of their own, and while one is handled, or waits for
// another try, the others continue. The checkpoint then names the events that are not done one by
// one, so a restart repeats nothing that was done. Pause, Apply, Replay and Discard change what a
// runner does next, each as one commit with an audit event.
//
// # Keeping
//
// A worker that is Stateful keeps side values of its own beside its checkpoint, for as long as that
// exists: [Batch.Side] reads one, [Batch.Put] writes it.
//
//   - A handler reads what the events before have left, those of the same batch included: that is
//     staged, not written yet.
//   - What is put for an event, the reactions to it and the checkpoint that says that it is done
//     are one commit. So a crash leaves all of them or none, and an event changes what is kept
//     once. What was put for an event that fails, or after it, is dropped with its reactions.
//   - Of several values for one key a commit writes the last one.
//   - The checkpoint has one owner, so there is no other writer. With lanes a key of what is kept
//     must follow from the key of the event, so that no two lanes share one. If they do all the
//     same, no write is lost: the commit of the second is refused, as what it read is not there any
//     more, and its event is handled again at once, which is no attempt. A value that a handler
//     puts without having read the former one replaces whatever is there.
//   - After a batch that puts something, none is handled ahead.
//   - It goes by the first name of the checkpoint, so a rename takes it along; checkpoint.Reset and
//     Delete remove it; changes that would move the checkpoint away from it are refused, also where
//     the worker that kept it has gone: while there is any.
//
// With Worker.Open a worker reads and changes what it keeps before its first event. With
// Worker.Resolve it finds in it what the key of an event is, as of a payment that names no order
// but a reference, which an earlier event has kept beside the order. Such a key is that of one
// after the other, also with lanes:
//
//	log      1 a   2 tells that p is of a   3 of p   4 b   5 of q   6 a
//	lanes    1 2        what comes after 2 waits until the key of 3 is known
//	         3 4        it is a
//	         5          whose key is not known: alone
//	         6
//
// # Scheduling
//
// A reaction may have a time ([Batch.Schedule]). Until then it is a side value beside the
// checkpoint, whose key begins with the time:
//
//	batch k      reactions of k + checkpoint + due/reserve/TIME/0000/POSITION   one commit
//	Due          the first of these times; nothing is done before it
//	Ring         the events that are due + none of these values any more + checkpoint   one commit
//
// So an event is there or its side value is, never both or neither, whatever crashes; and an owner
// that was replaced writes none, as its checkpoint is refused. A time is one of the store's clock,
// which does not go back. [Batch.Unschedule] takes the side value back in the commit of its event,
// and [ScheduledEvents] lists them.
//
// # The parts of a runner
//
// Each part knows only the parts below it that it is given; the runner connects them.
//
//	feed         reads pages of the log into the queues
//	  readAhead    serves small batches from larger pages
//	    Pages      which the workers of a store share
//	  barrier      events whose keys are not known yet
//	schedule     chooses the queue that is handled next
//	  replays      parked events, read again
//	parking      decides which events are parked or held
//	outbox       writes: reactions, parked events, checkpoint
//	  taskRange    splits where a batch is refused
//	Submission   a commit that is under way while the next batch is handled
//	crashGuard   finds the event at which the process ends
//	parkedList   what is parked, by key
//	window       what was read and is not done: queues, frontier
//	alarm        when scheduled events are due
//	kept         what a batch has read and put of what the worker keeps
//	owner        the worker, its log and its lease
//
// # Rules
//
// It must not know: actors and mailboxes, who retries and when, typed events.
//
// It starts no goroutine, and takes no lock but that of [Pages], which several runners share, for a
// look at a list. [Task.Run] and [Submission.Send] may be called on any goroutine, and where
// Worker.Timeout is set, a timer of the runtime ends the context of the handler on another one. A
// [Cursor], a [Runner] and a [Batch] belong to one goroutine at a time; a [Worker] is a value that
// may be shared.
package cursor
