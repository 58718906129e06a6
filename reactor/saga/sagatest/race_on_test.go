//go:build race

package sagatest_test

// underRace thins what is repeated most: the race detector makes it ten times as slow, and finds in
// a few of them what it would in all.
const underRace = true
