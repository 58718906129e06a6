// Package machine says what the machine is that figures belong to.
package machine

import (
	"fmt"
	"io"
	"runtime"
)

// Describe writes a line for each property of the machine, and of the file system that a directory lies on, in a form that
// benchstat takes for properties of a run.
func Describe(w io.Writer, dir string) error {
	_, err := fmt.Fprintf(w, "go: %s\ncores: %d\nkernel: %s\nfs: %s\n",
		runtime.Version(), runtime.GOMAXPROCS(0), kernel(), fileSystem(dir))
	return err
}
