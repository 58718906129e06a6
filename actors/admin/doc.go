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
// It must not know how segments, checkpoints and records are written, and decides nothing that a
// call of the packages below does not decide: it is a front.
package admin
