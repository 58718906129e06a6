package store

import "fmt"

// FenceCancelledError says which fence was cancelled, and by what. It wraps [ErrFenceCancelled].
type FenceCancelledError struct {
	Reason string // of FenceOptions
	By     FenceEnd
}

func (e *FenceCancelledError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s by %s", ErrFenceCancelled, e.By)
	}
	return fmt.Sprintf("store: fence %q was cancelled by %s", e.Reason, e.By)
}

// Unwrap returns [ErrFenceCancelled].
func (e *FenceCancelledError) Unwrap() error { return ErrFenceCancelled }

// FenceEnd is what has cancelled a [Fence].
type FenceEnd uint8

// What cancels a fence. A log that was imported takes the last for the first.
const (
	ByCancel   FenceEnd = iota // a call of [Fence.Cancel]
	ByDeadline                 // its deadline had passed
	ByClose                    // its store was closed, or the process or the machine has ended
)

// String is as in "its deadline".
func (e FenceEnd) String() string {
	switch e {
	case ByCancel:
		return "its owner"
	case ByDeadline:
		return "its deadline"
	case ByClose:
		return "the end of its store"
	}
	return fmt.Sprintf("FenceEnd(%d)", uint8(e))
}

// cancelledBy is what a state that is not published says of it. One that is open is that of a
// writer which has ended.
func (s fenceState) cancelledBy() FenceEnd {
	switch s {
	case fenceCancelled:
		return ByCancel
	case fenceEnding, fenceExpired:
		return ByDeadline
	default:
		return ByClose
	}
}
