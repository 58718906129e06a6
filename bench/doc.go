// Package bench measures Penstock beside the limit of the machine and beside other stores, in one
// run.
//
// There is nothing to import here: the programs are benchmarks, and use public packages only. What
// they share with command compare is in the packages below.
//
//	go test -run '^$' -bench DurableAppend -benchtime 3x
//
// One iteration of a benchmark is one round. In a round each contestant has one turn, one after the
// other, so that all of them meet the same machine and only ratios count:
//
//	round 1    limit | pebble | penstock        every turn opens a store of its own, warms up, is
//	round 2    limit | pebble | penstock        measured for the time of -turn, and is removed
//
// A figure is the median over the rounds, a ratio the median of the ratios within the rounds. Units
// say what a figure is: "pebble-ev/s" what Pebble did, "x-pebble>=1.2" how many times as much
// Penstock did, and what is wanted of it.
//
// Command growth, in cmd/growth, measures what must not grow with a log: look-ups and memory.
//
// Limit means a loop that does only what cannot be avoided: frame, checksum, write, fdatasync,
// copy. See package machine.
//
// Command compare, in cmd/compare, measures stores beside more of them (package storage), and what
// is built on top of a store, beside systems that do the same: workers, reactors, checkpoints
// (package delivery).
//
// Logs are written to the directory of the environment's TMPDIR, which should lie on the disk that
// is of interest, not in memory: the line "fs:" of the output tells.
package bench
