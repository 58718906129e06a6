// Package checkpoint keeps named positions inside the log they belong to: how far a reader has
// come, and who owns it.
//
// A checkpoint has the name of its reader and is a side value of the store. It is written in the
// same batch as the events that follow from what was read, so it is never ahead of the log and
// never later than the reactions; a crash keeps both or neither.
//
//	Acquire("index", region)   epoch 7 -> 8          a commit: fences the owner before
//	   |
//	 Lease     Stage(batch, move)                    adds the record to the batch, on the
//	   |       store.Commit(batch)                   revision that this owner wrote last
//	   |       Committed(receipt, err)               refused: another owner wrote since, ErrFenced
//	   v
//	 side value "checkpoint/index"
//
//	+-------+---------+-------+-------+---------+-----------+--------+-------+
//	| magic | version | store | epoch | scanned | delivered | region | kinds |
//	|   4   |    1    | 16+4  |   8   |    8    |     8     |  4+n   | 4+m   |  bytes, little endian
//	+-------+---------+-------+-------+---------+-----------+--------+-------+
//	| clean | trying | tries | key version | pending (uvarint steps) |         from version 2 on
//	|   1   |   8    |   4   |      4      |           n             |
//	+-------+--------+-------+-------------+-------------------------+
//	| flags | former names (uvarint count) | CRC-32C |             names: version 3, written
//	|   1   |              n               |    4    |             only where there are some
//	+-------+------------------------------+---------+
//
// Pending are events that were delivered and are not done although later ones are: with lanes, keys
// overtake each other. So a restart repeats nothing that was done.
//
// Beside the checkpoint lie what is special about the present way through the log ([Pass], after a
// rewind or a widening), the [Parked] events, and a [Pause]; each is a side value of its own,
// written in the same batches.
//
//	side value            of
//	checkpoint/NAME       the record
//	pass/NAME             the pass, while there is something special
//	parked/NAME/POSITION  one event that failed or is held, the position in 16 hex digits
//	pause/NAME            the pause
//	needed/NAME/POSITION  an event that is done, and that the reader comes back to
//	renamed/FORMER        the present name of the checkpoint that has left this one
//
// An [Audit] event in the reserved scope reports what is done to a worker, or to one of its events.
//
// A checkpoint is bound to the region it was made in, to the kinds that its reader handles, and to
// the history of the store. One that does not fit is an error with evidence. It is never moved, and
// never restarted, silently: that is what a [Change] is for, a value that [Apply] makes of it. Each
// change fences the owner that runs.
//
// [Files] keeps the same records in files, for a follower that opened the store read-only and so
// cannot write to it. A file also names the event that it ends with, as it is not cut and restored
// together with the log.
//
// What it must not know: who pulls, what a handler is, who supervises.
//
// It starts no goroutine and takes no lock. A [Lease] belongs to one goroutine; everything else may
// be called from any.
package checkpoint
