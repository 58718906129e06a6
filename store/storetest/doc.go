// Package storetest is what tests of programs on a store need: stores in memory, on a disk whose
// power can be cut.
package storetest
