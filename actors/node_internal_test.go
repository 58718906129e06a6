package actors

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor/drive"
)

// These are sizes that the allocator has; of a large object with pointers 8 bytes are its own.
func TestWhatAWorkerIsMadeOfTakesNoMoreMemoryThanThis(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(node{})+8, uintptr(896))
	require.LessOrEqual(t, unsafe.Sizeof(worker{}), uintptr(176))
	require.LessOrEqual(t, unsafe.Sizeof(drive.Worker{}), uintptr(288))
}
