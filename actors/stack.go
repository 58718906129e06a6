package actors

import (
	"bytes"
	"fmt"
	"runtime/pprof"
)

// stackOf returns the stacks of the goroutines that run handlers of a worker, as the goroutine
// profile shows them.
func stackOf(worker string) []byte {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return nil
	}
	label := fmt.Sprintf("%q:%q", profileLabel, worker)
	var found [][]byte
	for part := range bytes.SplitSeq(all.Bytes(), []byte("\n\n")) {
		if bytes.Contains(part, []byte(label)) {
			found = append(found, part)
		}
	}
	return bytes.Join(found, []byte("\n\n"))
}
