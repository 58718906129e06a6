// Package vfs is the small seam between an append-only log and the file system,
// with two sides: [OS], the machine's own, and [Memory], a disk in memory whose
// power can be cut before any operation and which can then be looked at in every
// state a real one might have been left in.
//
// The promise of both sides is the same, and it is no more than POSIX gives:
//
//	content   is visible to every reader when WriteAt or Truncate returns,
//	          and durable when a later Sync of that file returns
//	names     are visible when Create, Rename or Remove returns,
//	          and durable when a later Sync of their directory returns;
//	          syncing a file does not make its name durable
//	dirs      are durable when MkdirAll returns, and found by their path once:
//	          an open one stays the same, whatever has that path later
//	locks     end with Close or with the process, and leave their file behind
//
// # The power-cut model of Memory
//
// Each mutating call takes a number, from 1, whether it succeeds or not. CutAt(n)
// stops the machine at call n: that call and every later one fails with
// [ErrPowerCut], and call n was in flight, which means that it may have had all,
// part or none of its effect. Image then yields the disk that the next boot finds:
//
//	file       durable bytes     since the last Sync, in order
//	           ┌─────────────┐   ┌───────┐ ┌──────────┐ ┌───────┐
//	           │ always kept │ + │ write │ │ truncate │ │ write │
//	           └─────────────┘   └───────┘ └──────────┘ └───────┘
//	                             each kept, lost, or (a write) torn: every
//	                             512-byte sector of it kept or lost by itself
//
//	directory  durable names     since the last Sync, in order
//	           ┌─────────────┐   ┌────────┐ ┌────────┐ ┌────────┐
//	           │ always kept │ + │ create │ │ rename │ │ remove │
//	           └─────────────┘   └────────┘ └────────┘ └────────┘
//	                             each kept or lost whole
//
// A flush is a hint to write out bytes ahead of a sync, and counts as one more write of them: it
// may leave them where the writes before it are lost.
//
// A write that made the file longer may leave the new length without its bytes,
// which then read as zeros. A name change survives only where the names it touches
// still mean what they meant to the program, so that a rename is old or new, an
// inode never has two names, and none vanishes that the program did not remove.
// Content and names are independent: a created file may survive empty, and synced
// bytes are lost with a name that was never synced.
//
// The model is harsher than most file systems: it keeps no order at all between
// changes that no sync separates. It does not model a device that lies about a
// sync. One that drops data with a failed sync is [Partly]: the data is still read, as it is
// in the page cache, and no later Sync makes it durable.
//
// # Boundaries
//
// The package knows nothing of segments, records, checksums or recovery. It starts
// no goroutine. Memory has one mutex and calls nothing while holding it; OS has
// no state at all.
package vfs
