// Package storage measures what it costs to keep events and to read them: in Penstock, in the least
// that a machine can do, and in other stores that programs in Go embed.
//
// Rows and rounds are those of package delivery. All contestants of a row have the same records,
// the same file system, and acknowledge when the same is safe:
//
//	append-N         after a sync that covers the record
//	append-unsynced  after write(2): it survives the death of the process, not a power cut
//
// Penstock's events have 256 bytes; records of stores without metadata have 100 more, as have those
// of the limit. Penstock's hash chain, index and checksums are always on. Of the others only those
// logs have an index that are read by one. What a piece of work costs, in processor time and in
// memory allocated, is that of the whole process, a server in it included.
package storage
