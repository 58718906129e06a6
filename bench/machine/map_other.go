//go:build !unix

package machine

import "os"

// MapFile returns the content of a file.
func MapFile(name string) ([]byte, error) { return os.ReadFile(name) }
