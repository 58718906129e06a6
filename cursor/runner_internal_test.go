package cursor

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// The allocator has sizes of 704 and 768 bytes; of a large object with pointers 8 are its own.
func TestARunnerTakesAtMost704Bytes(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Runner{})+8, uintptr(704))
}
