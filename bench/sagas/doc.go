// Package sagas measures processes of several steps, which continue after a crash: sagas of
// Penstock, and what is used for the same from Go. Its rows are those of package delivery: see
// there how turns and rounds are taken.
//
// A peer is used as its documentation recommends. None of them undoes what was done by itself; what
// is measured here is the way forward, in which no step fails.
package sagas
