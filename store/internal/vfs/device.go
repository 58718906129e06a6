package vfs

// Device is what a store lies on.
type Device struct {
	FS FS
	// Boot changes when the machine loses its power, and not when only a process dies; zero where that
	// is not known.
	Boot [16]byte
}
