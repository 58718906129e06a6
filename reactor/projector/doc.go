// Package projector keeps tables of a database up to date with the log, exactly once: a handler
// gets the transaction in which the position is kept, too, so what it writes and how far it has
// come are one commit of the database.
//
//	log        1  2  3  4  5  6  7  8           the projector has handled everything up to 5
//	                          |
//	transaction    UPDATE penstock_position SET position = open
//	                   WHERE worker and epoch are ours AND position = 5 AND event = the id of 5
//	               handlers of 6, 7, 8 with the same *sql.Tx
//	               UPDATE penstock_position SET position = 8, event = the id of 8
//	                   WHERE ... AND position = open
//	               COMMIT                       all of it, or nothing
//	                          |
//	log        checkpoint of the worker         a copy of the position, for Status and Lag
//
// After a crash the row says where to resume, whatever the copy says. Where the answer to a COMMIT
// was lost, the row is read again at once, and shows whether it was committed. An owner that was
// replaced finds another epoch in the row, and its transaction changes nothing.
//
// The row names the event at the highest position that it says anything about, and what the log
// hides up to there: a log that has another event there, or none, or hides others, since one of the
// two was replaced by a copy, is refused ([store.ErrForeignHistory]), however long it has become
// meanwhile. [Projector.Adopt] says before the start what to do over a log that was restored. A row
// of an older version names none. It is completed where the log knows that the worker had come that
// far, as it does after a clean end, and else refused.
//
// Events that were parked and are handled again come out of order, and leave the position as it is.
// So the position has exceptions, row by row in penstock_exception: what lies before it and is not
// in the tables, because it is parked or held; and what comes after it and already is.
//
//	position 8, exceptions 4 and 9        in the tables are 1 2 3 5 6 7 8 9
//
// They are written in the transactions that they are about, so the database alone says exactly
// which events it has. The list of what is parked, in the log, may lag behind that, may be lost, or
// may know more, where the database was restored from an older copy: what the database lacks and
// the list does not have comes again, unless it was skipped or discarded.
//
// A projector emits no events: two stores cannot commit as one. A reactor does that, whose
// checkpoint lies in the log.
//
// It speaks SQL that PostgreSQL and SQLite understand, with parameters $1, $2, ...; MySQL has other
// ones. The position is the first row that a transaction writes, and the last one, so SQLite takes
// its lock at once and never has to abandon a transaction in the middle; with more than one writer
// set a busy timeout.
//
// An example with SQLite is in the module reactor/projector/drivertest, since this one requires no
// driver; examples/projection is a whole program.
//
// What it must not know: actors, who supervises, what the tables of the user are.
//
// A handler must not end the transaction. One that does halts the projector with
// [ErrTransactionEnded], or is found out by the next start: the position is written last, and a row
// that is left open says that a handler has committed. It never passes an event that is not in the
// tables.
//
// A handler must return the errors that the transaction gives it. One that swallows an error and
// continues may write outside of the transaction, where the database has ended that because of the
// error (SQLite does so when the disk is full, or for a statement OR ROLLBACK). Where the database
// refuses all further statements instead, as PostgreSQL does, the events of the transaction fail.
//
// It starts no goroutine. A [Projector] runs in one worker at a time; the database may be shared.
package projector
