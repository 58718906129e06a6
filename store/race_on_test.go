//go:build race

package store

// thinning is of how many states the exhaustive tests try one, and of how many random histories.
// Each is five times as dear under the race detector, which looks for what is the same in all of
// them; what is on the disk in each, the tests without it find out.
const thinning = 10
