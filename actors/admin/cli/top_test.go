package cli

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// screen is a top whose terminal is the test.
type screen struct {
	*top

	t *testing.T
	s *shop
}

func onScreen(t *testing.T, s *shop) *screen {
	t.Helper()
	a := newApp(Options{})
	a.typed = func() []string { return nil }
	c := &call{app: a, ctx: t.Context(), cmd: a.root, target: s.dir}
	t.Cleanup(c.close)
	top := newTop(c)
	top.style = &render.Printer{}
	top.width, top.height = 110, 9
	out := &screen{top, t, s}
	out.sees()
	return out
}

// sees looks at the target, as the loop does each second.
func (s *screen) sees() { s.look()()() }

// types presses keys, and does what they ask for.
func (s *screen) types(keys ...string) {
	for _, key := range keys {
		if next := s.key(key); next != nil {
			next()()
		}
	}
}

// View is the screen.
func (s *screen) View() string { return strings.Join(s.lines(), "\n") }

func (s *screen) frame(what string) string {
	return fmt.Sprintf("=== %s\n%s\n", what, masked(s.s, s.View()))
}

func TestTheScreen(t *testing.T) {
	shop := inMode(t, admin.Live)
	s := onScreen(t, shop)
	frames := s.frame("all workers")
	s.types("enter")
	frames += s.frame("enter")
	s.types("down", "down")
	require.NotContains(t, s.View(), "live")
	s.types("up", "up", "up")
	require.Contains(t, s.View(), "live")
	s.types("esc", "x")
	s.sees()
	frames += s.frame("x")
	s.types("esc", "p")
	frames += s.frame("p")
	s.types("the bank", " ", "is downn", "backspace", "enter")
	s.sees()
	frames += s.frame("paused")
	s.types("/", "nothing", "enter")
	frames += s.frame("filter")
	require.Empty(t, s.selected)
	s.types("p", "esc", "esc")
	require.Equal(t, allWorkers, s.page)
	s.types("/", "paus", "enter", "r", "enter")
	require.Contains(t, s.View(), "needs a reason")
	s.types("r", "it is up", "enter")
	s.sees()
	require.Contains(t, s.View(), "resumed bill")
	require.Contains(t, run(t, "audit", shop.dir).out, "the bank is down")
	compare(t, filepath.Join("testdata", "screen.golden"), frames)

	shop.end()
	s.sees()
	require.Contains(t, s.View(), "not seen any more")
	s.sees()
	s.types("esc")
	require.Contains(t, s.View(), "cold ", "it looks again at what the directory is")
	require.False(t, s.over)
	s.types("p", "ctrl+c")
	require.True(t, s.over)
}

// The loop takes keys in while the target is asked, and ends after what it has begun.
func TestTheScreenEndsWithAKey(t *testing.T) {
	s := onScreen(t, inMode(t, admin.Live))
	keys := make(chan string)
	ticks := make(chan time.Time)
	ended := make(chan error)
	frames := 0
	go func() {
		ended <- s.show(t.Context(), keys, ticks, func(*top) error { frames++; return nil })
	}()
	for _, key := range keysOf([]byte("\x1b[A\x1b[Bp\x7fthe bä\x7fank\x1b[5~\r/x\x1b")) {
		keys <- key
	}
	ticks <- time.Now()
	keys <- "q"
	require.NoError(t, <-ended)
	require.Greater(t, frames, 5)
	require.Contains(t, run(t, "audit", s.s.dir).out, "the bank")
	require.True(t, strings.HasPrefix(string(s.draw()), toTheTop))
}

// The selection is on the screen, wherever it is in the list.
func TestTheScreenScrolls(t *testing.T) {
	s := onScreen(t, inMode(t, admin.Cold))
	var at Status
	for i := range 30 {
		at.Workers = append(at.Workers, admin.Worker{Name: fmt.Sprintf("w%02d", i)})
	}
	s.looked(&at, nil, nil)
	require.Equal(t, "w00", s.selected)
	for i := range 35 {
		view := strings.Split(s.View(), "\n")
		require.Len(t, view, 9)
		require.Contains(t, view[1], "WORKER")
		row := rowsOf(s.View(), marked)
		require.Len(t, row, 1, s.View())
		require.Contains(t, row[0], fmt.Sprintf("w%02d", min(i, 29)))
		s.types("down")
	}
	s.types("up", "j", "k", "k")
	require.Equal(t, "w27", s.selected)
}

func TestWithoutATerminalTheScreenIsStatus(t *testing.T) {
	s := inMode(t, admin.Cold)
	now := time.Now()
	require.Equal(t, newApp(Options{}).at(now).runs(t, "status", s.dir), newApp(Options{}).at(now).runs(t, "top", s.dir))
}
