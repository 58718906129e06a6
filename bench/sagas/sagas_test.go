package sagas

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

// idler starts sagas that have as many steps as it says.
type idler struct {
	acted func(int)
	acts  int
}

func (d idler) run(context.Context, string) error {
	for range d.acts {
		d.acted(0)
	}
	return nil
}

func (idler) close(context.Context) error { return nil }

func TestASagaThatHasEndedWithoutAllOfItsStepsIsAnError(t *testing.T) {
	for acts, ok := range map[int]bool{steps: true, steps - 1: false} {
		open := func(_ context.Context, _ string, acted func(int)) (engine, error) { return idler{acted, acts}, nil }
		err := use(t.Context(), t.TempDir(), open, func(e engine) (int, error) { return 1, e.run(t.Context(), id(1)) })
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "2 steps of 1 sagas") {
			t.Errorf("%d steps: %v", acts, err)
		}
	}
}

func TestEachNumberIsHandedOutOnceUntilOneFails(t *testing.T) {
	var sum atomic.Int64
	if err := each(100, 7, func(i int) error { sum.Add(int64(i)); return nil }); err != nil || sum.Load() != 5050 {
		t.Errorf("%d, %v", sum.Load(), err)
	}
	broken := errors.New("broken")
	if err := each(100, 1, func(i int) error { sum.Store(int64(i)); return broken }); !errors.Is(err, broken) || sum.Load() != 1 {
		t.Errorf("%d, %v", sum.Load(), err)
	}
}

func TestWhoWaitsForAnEndIsLetGoOnce(t *testing.T) {
	var h hall
	door := h.enter("a")
	h.announce("b")
	select {
	case <-door:
		t.Fatal("the end of another one was taken for it")
	default:
	}
	h.announce("a")
	<-door
	h.announce("a")
}
