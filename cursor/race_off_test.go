//go:build !race

package cursor_test

// thinned is how many times fewer histories and power cuts there are than there might be.
const thinned = 1
