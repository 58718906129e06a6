package drive

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestWhatBecomesOfAnError(t *testing.T) {
	commit := func(event store.Position, err error) error {
		return fmt.Errorf("wrapped: %w", &cursor.RunnerError{Worker: "w", Err: cursor.ErrCommit, Event: event, Reason: err})
	}
	whole := func(err error) *cursor.HandlerError {
		return &cursor.HandlerError{Worker: "w", First: 7, Size: 9, Err: err}
	}
	at := func(err error) *cursor.HandlerError {
		return &cursor.HandlerError{Worker: "w", First: 7, Event: 7, Size: 9, Err: err}
	}
	panicked := whole(errBroken)
	panicked.Panic = true
	key := &cursor.RunnerError{Worker: "w", Err: cursor.ErrKey, Event: 7, Reason: store.ErrClosed}
	for name, c := range map[string]struct {
		err       error
		cancelled bool
		outcome   outcome
		first     store.Position
		limit     int
		delay     time.Duration
		halt      bool
		noAttempt bool
	}{
		"error at an event":               {err: at(errBroken), outcome: outcomeCharged, first: 7},
		"error at an event, cancelled":    {err: at(errBroken), cancelled: true, outcome: outcomeCharged, first: 7},
		"error of a batch":                {err: whole(errBroken), outcome: outcomeHalved, first: 7, limit: 4},
		"panic in a batch":                {err: panicked, outcome: outcomeReplaced, first: 7, limit: 4},
		"batch to try later":              {err: whole(supervision.RetryAfter(time.Hour, nil)), outcome: outcomeHalved, first: 7, limit: 4, delay: time.Hour},
		"batch that waits":                {err: whole(supervision.Wait(nil)), outcome: outcomeCharged, first: 7},
		"batch that halts":                {err: whole(supervision.Halt(nil)), outcome: outcomeCharged, first: 7, halt: true},
		"batch to park":                   {err: whole(supervision.Park(nil)), outcome: outcomeHalved, first: 7, limit: 4},
		"handler's own store is closed":   {err: at(store.ErrClosed), outcome: outcomeCharged, first: 7},
		"handler's own disk is full":      {err: at(store.ErrDiskFull), outcome: outcomeCharged, first: 7},
		"handler lost a race of its own":  {err: at(&store.ConflictError{}), outcome: outcomeCharged, first: 7},
		"handler's own checkpoint fenced": {err: at(checkpoint.ErrFenced), outcome: outcomeCharged, first: 7},
		"handler's own runner commits":    {err: whole(commit(3, store.ErrDiskFull)), outcome: outcomeHalved, first: 7, limit: 4},
		"lost race":                       {err: commit(7, store.ErrConflict), outcome: outcomeRace, first: 7},
		"lost race, cancelled":            {err: commit(7, store.ErrConflict), cancelled: true, outcome: outcomeNothing},
		"fenced":                          {err: commit(0, checkpoint.ErrFenced), outcome: outcomeCharged, halt: true},
		"fenced, cancelled":               {err: commit(0, checkpoint.ErrFenced), cancelled: true, outcome: outcomeCharged, halt: true},
		"full disk":                       {err: commit(0, store.ErrDiskFull), outcome: outcomeCharged, noAttempt: true},
		"full disk at an event":           {err: commit(7, store.ErrDiskFull), outcome: outcomeCharged, noAttempt: true},
		"full disk, cancelled":            {err: commit(0, store.ErrDiskFull), cancelled: true, outcome: outcomeNothing},
		"no descriptor left":              {err: commit(0, fmt.Errorf("make segment: %w", store.ErrBusy)), outcome: outcomeCharged, noAttempt: true},
		"no descriptor left, cancelled":   {err: commit(0, store.ErrBusy), cancelled: true, outcome: outcomeNothing},
		"no descriptor left to read":      {err: fmt.Errorf("read: %w", store.ErrBusy), outcome: outcomeCharged, noAttempt: true},
		"handler's own store is busy":     {err: at(store.ErrBusy), outcome: outcomeCharged, first: 7},
		"closed store":                    {err: commit(0, store.ErrClosed), outcome: outcomeStoreFailed},
		"poisoned store":                  {err: commit(7, store.ErrPoisoned), outcome: outcomeStoreFailed},
		"poisoned store, cancelled":       {err: commit(7, store.ErrPoisoned), cancelled: true, outcome: outcomeStoreFailed},
		"store closed while reading":      {err: store.ErrClosed, outcome: outcomeStoreFailed},
		"key that panics":                 {err: fmt.Errorf("read: %w", key), outcome: outcomeCharged, halt: true},
		"reading fails":                   {err: errBroken, outcome: outcomeCharged},
		"damage":                          {err: fmt.Errorf("read: %w", store.ErrCorrupt), outcome: outcomeCharged},
		"reading is cancelled":            {err: errBroken, cancelled: true, outcome: outcomeNothing},
	} {
		t.Run(name, func(t *testing.T) {
			r := classify(c.err, c.cancelled)
			require.Equal(t, c.outcome, r.outcome)
			require.Equal(t, c.first, r.first)
			require.Equal(t, c.limit, r.limit)
			require.Equal(t, c.delay, r.delay)
			require.Equal(t, c.noAttempt, r.failure.NoAttempt)
			d, _ := supervision.DirectiveOf(r.failure.Err)
			require.Equal(t, c.halt, d.Action == supervision.ActionHalt)
		})
	}
}

func TestAChargeNamesTheEventAndWhatIsKnownOfIt(t *testing.T) {
	r := classify(&cursor.HandlerError{
		Worker: "w", First: 7, Event: 7, Size: 9, Crashes: 2, Panic: true, Stack: []byte("stack"),
		Err: errBroken,
	}, false)
	require.Equal(t, ruling{
		outcome: outcomeCharged, first: 7, crashes: 2,
		failure: supervision.Failure{Err: errBroken, Event: 7, Panic: true, Stack: []byte("stack")},
	}, r)
}

func TestOnlyACommitThatNamesNoEventLeavesEverythingUnwritten(t *testing.T) {
	require.True(t, unnamed(&cursor.RunnerError{Err: cursor.ErrCommit, Reason: store.ErrDiskFull}))
	require.False(t, unnamed(&cursor.RunnerError{Err: cursor.ErrCommit, Event: 1, Reason: store.ErrConflict}))
	require.False(t, unnamed(failure(1)))
	require.False(t, unnamed(errors.New("other")))
}
