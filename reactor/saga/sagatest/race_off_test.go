//go:build !race

package sagatest_test

const underRace = false
