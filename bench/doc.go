// Package bench holds the programs that measure Penstock. There is nothing to import here, and they
// use public packages only.
//
// Command compare, in cmd/compare, measures Penstock beside the limit of the machine and beside
// others, in one run: stores (package storage), systems that deliver events and remember which
// consumer has handled what (package delivery), and those that carry out processes of several steps
// (package sagas). In a round each contestant has one turn, one after
// the other, so that all of them meet the same machine and only ratios within a round count. Goals
// are in cmd/compare/goals.go, all of them.
//
// Command growth, in cmd/growth, measures what must not grow with a log: what looking for something
// costs, memory, opening, and the disk that endless checkpoints take (package growth).
//
// Limit means a loop that does only what cannot be avoided: frame, checksum, write, fdatasync,
// copy. See package machine.
//
// Logs are written to the directory of the environment's TMPDIR, which should lie on the disk that
// is of interest, not in memory: the first line of a result names the file system.
package bench
