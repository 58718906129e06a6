// Package growth measures what must not grow: with the events, entities and idempotency keys of a
// log ([Log]), and with side values ([Sides]).
//
// Logs are written without syncs, and read from the page cache: what is measured is the work, not
// the disk. A kill is measured on what it would have left ([Killed]), not by one.
package growth
