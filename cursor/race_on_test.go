//go:build race

package cursor_test

// thinned is how many times fewer histories and power cuts there are under the race detector, which
// makes them several times slower, and finds in a few of them what it would in all.
const thinned = 5
