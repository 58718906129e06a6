package store

import "testing"

// CachesOfOne is for tests outside of the package.
func CachesOfOne(t *testing.T) {
	t.Helper()
	cachesOfOne(t)
}
