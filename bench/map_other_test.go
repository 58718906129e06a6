//go:build !unix

package bench

import "os"

// mapFile returns the content of a file.
func mapFile(name string) ([]byte, error) { return os.ReadFile(name) }
