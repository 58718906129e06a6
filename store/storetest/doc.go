// Package storetest is what tests of programs on a store need: stores in memory, on a disk whose
// power can be cut, and the laws of a store, for whatever behaves like one.
//
// # The laws
//
// [Run] tests that a handle keeps what package store promises: a writer, a reader beside it, a
// wrapper that encrypts or counts, a replica. Each law is a subtest whose name is its sentence, on
// a new log of its own:
//
//	batch            all of it or nothing, and visible whole
//	position         1, 2, 3 and so on; ids, times, anchors; what was committed stays the same
//	head             what was acknowledged is visible; waiting
//	version          expectations, also of callers that race
//	condition        regions that must be empty, also of callers that race
//	idempotency key  the first receipt, other content, retries
//	fence            published at once or hidden forever; what is reserved; deadlines
//	envelope         all that an event carries, and hashes
//	reading          regions, beginnings, pages
//	lineage          causes, effects, chains, verification
//	gate             verdicts, denials, bypasses, certainty
//	limit            typed errors, the reserved scope, contexts, closing
//	side value       compare-and-set, lists, revisions
//	erasure          what is gone, what stays, keys, crashes
//	retention        what was dropped is told, what counts of it stays
//	history          random calls, concurrent calls, crashes in the midst of commits
//
// The last group draws its calls by a seed, and compares with a log of slices and maps that is
// written down here a second time: after each call of a history; for concurrent calls in some order
// that explains all answers, which package porcupine looks for (linearizability); and after a crash
// with one of the logs that it may have left. What fails prints its calls and its seed.
//
// A handle is described by a [Subject], which says what it is able to do beside reading and
// committing: fences, gates, erasure, retention, being reopened, crashing. Laws that need more are
// no part of its test. The test of a wrapper is an [Opener] that puts it around a store:
//
//	func TestCountedKeepsTheLaws(t *testing.T) {
//		storetest.Run(t, storetest.OnDisk(store.Options{}, func(st *store.Store) storetest.Subject {
//			s := storetest.Of(st)
//			s.Writer = &Counted{Store: st}
//			return s
//		}))
//	}
//
// A wrapper that changes what is written, as one that encrypts, brings a fence of its own, since
// that of [Of] does not know it, and is Ungated where gates would see what it has changed. A handle
// that reads and commits and no more is a Subject of a Writer alone.
//
// That the laws find what they are there for is tested by wrappers that lie: each law has one that
// it must find.
//
// # What it must not know
//
// What lies above a store: cursors, workers. The laws ask a handle through its methods alone, and
// know nothing of files.
//
// # Goroutines
//
// Those of a law end with it, and so with its context, which lasts two minutes: a handle that lets
// a caller wait longer fails. A handle that ignores contexts may keep one.
package storetest
