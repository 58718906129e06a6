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

		m := newControl(nil)
		asked := make(chan error)
		ask := func() { asked <- sys.answer(t.Context(), p, m) }
		p.calls.add(m)
		require.True(t, p.calls.serve(actor.NewPID("nonhost", "w"), 1), "the first incarnation is told of it")
		go ask()
		synctest.Wait()
		require.Equal(t, []*control{m}, p.calls.take())
		require.True(t, m.claim(), "the worker begins with it")
		require.False(t, p.calls.serve(actor.NewPID("nonhost", "w"), 2), "the next incarnation does not get it")
		p.published.begin(true)
		time.Sleep(time.Hour)
		require.Empty(t, asked)
		m.reply <- nil
		require.NoError(t, <-asked)

		m = newControl(nil)
		p.calls.add(m)
		go ask()
		synctest.Wait()
		require.True(t, p.calls.serve(actor.NewPID("nonhost", "w"), 3), "the second one ended without having begun")
		require.Equal(t, []*control{m}, p.calls.take())
		p.published.set(Halted, nil)
		var halted *HaltedError
		require.ErrorAs(t, <-asked, &halted)
		require.False(t, m.claim(), "the worker must not begin with it any more")

		p.calls.add(m)
		p.calls.remove(m)
		require.Empty(t, p.calls.take(), "its caller is gone")
	})
}
