// Package admin is what an operator sees and does: one surface, whether the system runs in this
// process, in another one, or nowhere.
//
//	penstock, console, curl, Prometheus            a program of yours
//	          | Open                                    | New
//	          |                                         |
//	   HTTP: JSON, server-sent events                   |
//	   over a socket that OWNER names                   |
//	          v                                         v
//	        Handler  ------------------------------> Surface
//	                                                  |     |
//	                                      actors.System     store.Store
//
// A program that runs a system lets itself be looked at with three lines:
//
//	surface := admin.New(st, system, admin.Options{})
//	server, err := admin.Listen(surface)
//	defer server.Close()
//
// # The three modes
//
// [Open] finds out which of them a directory is in, and each answer says so, and as of which
// position it holds:
//
//	Live    the process that has the store open serves a surface, or this is that process: all that
//	        there is to see, and to do
//	Beside  another process has the store open, and serves none: the log and the checkpoints, as a
//	        reader beside it sees them; nothing can be changed
//	Cold    no process has it open: the same, and each change opens the store for writing, makes
//	        its one commit, and closes it
//
// What only a running system knows (states, failing events, restarts) is absent in the other two.
// A directory that is not there is never made.
//
// # Changes
//
// A change needs a reason, says who made it, can be asked without being done (DryRun), tells what
// it touches, and is one commit with an audit event. What takes it back, where something does, is
// in its answer.
//
// # Safety
//
// [Access] has three levels: Read shows neither payloads nor lets anything be changed, Payloads
// shows them, Control changes. Through a socket of [Listen] the user whose process it is has all
// three: it lies in a folder that only that user may enter, outside of the store's directory, which
// is copied. [Handler] is for everything else: without an authorizer it answers only to the machine
// itself, and refuses requests that a page of another origin has sent.
//
// # Runbook
//
// What is not as it should be, what it means, and what to type. DIR is the directory of the store,
// or the URL of a surface; W a worker. "penstock stuck DIR" finds all but the last two, and names
// the command that helps.
//
//	halted            Its policy has ended it: an event failed too often and may not be parked, or it
//	                  was restarted more often than its budget allows. Mend the cause, then
//	                  penstock worker resume DIR W; the next start of the program does so, too.
//	stalled           It is behind and does not move, while its handler has not returned:
//	                  penstock stuck DIR shows the event, its key and the stack; penstock worker
//	                  interrupt ends the handler's context, as a failed attempt at that event.
//	outage            What its handlers call cannot be reached. Nothing is parked or lost, one event
//	                  at a time is tried; it continues by itself. See to the other service.
//	parked growing    Events fail for good, one by one: penstock parked ls DIR W says why. Mend the
//	                  program or the data, then penstock parked replay DIR W --error TEXT --max 10,
//	                  and more once those pass. At its limit the worker is full, and reads no more.
//	                  Those that must never be handled: penstock parked discard.
//	lag growing       It is slower than what comes: penstock worker show DIR W has its lanes, batch
//	                  and rate; more lanes help where events of other keys may overtake.
//	fenced            A newer owner has its checkpoint: the same worker was started twice, or an
//	                  operator has changed it cold. One of the two ends; start the right one again.
//	disk full         Commits are refused, nothing is half written, and readers continue. Make room,
//	                  or penstock store retain DIR --max-age 2160h --dry-run to see what may go.
//	poisoned          A sync of the disk failed, so that what was written last is not known to be
//	                  there; the store takes no more commits. Look at the disk, then start the
//	                  program again: opening keeps all that was acknowledged.
//	foreign history   A checkpoint speaks of another log than this one: a copy was put in its place,
//	                  or one that had lost its end. penstock store info DIR tells which it is; put
//	                  the right one back, or penstock worker reset for readers that may start over.
//	damage            penstock store verify DIR names segment and offset, and what it costs; a backup
//	                  is restored with penstock store restore, what is whole is saved with penstock
//	                  store repair.
//	twice             An effect came twice: penstock why DIR EVENT shows worker, build, epoch and
//	                  attempt of each; penstock audit DIR --worker W who rewound or replayed.
//
// It must not know how segments, checkpoints and records are written, and decides nothing that a
// call of the packages below does not decide: it is a front.
package admin
