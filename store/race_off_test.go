//go:build !race

package store

// thinning is of how many states the exhaustive tests try one: all of them, and all histories.
const thinning = 1
