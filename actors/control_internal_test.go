package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// A second rewind by the same call would emit again what was emitted after the first.
func TestACallIsMadeOnceEvenIfItsWorkerIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, workers, err := planTree(nested(fine))
		require.NoError(t, err)
		sys, p := newSystem(openMemory(t), Options{Logger: zap.NewNop()}, workers), workers[1]
		pid := actor.NewPID("nonhost", "w")
		p.address.set(pid, 1)

		m := newControl(nil)
		asked := make(chan error)
		ask := func(generation uint64) { asked <- sys.answer(t.Context(), p, p.published.await(), generation, m) }
		go ask(1)
		synctest.Wait()
		require.True(t, m.claim(), "the worker begins with it")
		p.address.set(pid, 2)
		p.published.begin(true)
		time.Sleep(time.Hour)
		require.Empty(t, asked)
		m.reply <- nil
		require.NoError(t, <-asked)

		m = newControl(nil)
		go ask(2)
		synctest.Wait()
		p.address.set(pid, 3)
		p.published.set(Idle, nil)
		require.ErrorIs(t, <-asked, errAgain)
		require.False(t, m.claim(), "the worker must not begin with it any more")

		m = newControl(nil) // sent to the third, which ends before anything waits
		p.address.set(pid, 4)
		go ask(3)
		require.ErrorIs(t, <-asked, errAgain)
	})
}
