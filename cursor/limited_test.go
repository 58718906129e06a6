package cursor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The timer may have fired while its goroutine has not run yet.
func TestTimeThatIsOverIsNotGivenToTheNextEvent(t *testing.T) {
	l := newLimited(t.Context(), time.Hour)
	defer l.stop()
	require.False(t, l.restart())
	l.timer.Stop() // as after it has fired
	require.NoError(t, l.Err())
	require.True(t, l.restart())
}

// A context that is made of it with a later deadline compares the two: by elapsed time, whatever
// the wall clock is set to.
func TestTheDeadlineOfAnEventIsElapsedTime(t *testing.T) {
	l := newLimited(t.Context(), time.Hour)
	defer l.stop()
	l.restart()
	due, _ := l.Deadline()
	require.NotEqual(t, due.Round(0), due, "it has a monotonic reading")
}

// Package context panics in a goroutine that derives from a context which is done and has no error.
func TestAContextThatIsDoneHasAnError(t *testing.T) {
	for range 2000 {
		l := newLimited(t.Context(), time.Hour)
		seen := make(chan error)
		go func() {
			<-l.Done()
			seen <- l.Err()
		}()
		l.stop()
		require.Equal(t, context.Canceled, <-seen)
	}
}
