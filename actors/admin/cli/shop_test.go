package cli

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type ordered struct {
	Item string `json:"item"`
	Card string `json:"card"`
}

func (ordered) Kind() string { return "order.placed" }

type billed struct {
	Item string `json:"item"`
}

func (billed) Kind() string { return "order.billed" }

// shop is a program whose order 2 is parked.
type shop struct {
	dir string
	st  *store.Store
	sys *actors.System
}

func opened(t *testing.T, dir string) *shop {
	t.Helper()
	return openedWith(t, dir, actors.Options{Build: "v7"})
}

// hanging is what the shop's handler does not return from.
const hanging = "bell"

func openedWith(t *testing.T, dir string, o actors.Options) *shop {
	t.Helper()
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	bill := reactor.New("bill", reactor.On(func(ctx context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
		if e.Body.Item == hanging {
			<-ctx.Done()
			return ctx.Err()
		}
		if e.Body.Card == "" {
			return supervision.Park(errors.New("no card for the " + e.Body.Item))
		}
		out.Append(e.Coordinate, billed{e.Body.Item})
		return nil
	}))
	sys, err := actors.Start(t.Context(), st, o, supervision.Group{Name: "shop", Children: []supervision.Child{bill}})
	require.NoError(t, err)
	s := &shop{dir: dir, st: st, sys: sys}
	t.Cleanup(s.end)
	return s
}

func (s *shop) end() {
	if s.st != nil {
		_ = s.sys.Stop(context.Background())
		_ = s.st.Close()
	}
	s.st = nil
}

func (s *shop) order(t *testing.T, id, item, card string) {
	t.Helper()
	r, err := s.st.Append(t.Context(), store.At("order:"+id, "shop"), store.Any, ordered{item, card})
	require.NoError(t, err)
	if err := s.sys.WaitApplied(t.Context(), "bill", r); err != nil {
		require.ErrorIs(t, err, actors.ErrParked)
	}
}

// sold is a shop that has handled two orders, in the directory shop of a folder of its own.
func sold(t *testing.T) *shop {
	t.Helper()
	s := opened(t, filepath.Join(t.TempDir(), "shop"))
	s.order(t, "1", "lamp", "4711")
	s.order(t, "2", "vase", "")
	// What asks a worker lets it look at the log once more, and so know that the last events are none
	// of its own.
	require.NoError(t, s.sys.Pause(t.Context(), "bill", time.Time{}, checkpoint.Request{DryRun: true}))
	require.Eventually(t, func() bool {
		w := s.sys.Status().Workers[0]
		return w.State == actors.Idle && w.Position == s.st.Head()
	}, 10*time.Second, time.Millisecond)
	return s
}

func listening(t *testing.T, s *shop) {
	t.Helper()
	server, err := admin.Listen(admin.New(s.st, s.sys, admin.Options{}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
}

// inMode is a shop as it is found in a mode.
func inMode(t *testing.T, mode admin.Mode) *shop {
	t.Helper()
	s := sold(t)
	switch mode {
	case admin.Live:
		listening(t, s)
	case admin.Cold:
		s.end()
	case admin.Beside:
	}
	return s
}

var allModes = []admin.Mode{admin.Live, admin.Beside, admin.Cold}

// said is what a command has printed, and its exit code.
type said struct {
	out, err string
	code     int
}

// run runs a command line, as a process would.
func run(t *testing.T, args ...string) said { t.Helper(); return runWith(t, Options{}, args...) }

func runWith(t *testing.T, o Options, args ...string) said {
	t.Helper()
	a := newApp(o)
	return a.runs(t, args...)
}

func (a *app) runs(t *testing.T, args ...string) said {
	t.Helper()
	var out, stderr bytes.Buffer
	a.typed = func() []string { return args }
	a.root.SetArgs(args)
	a.root.SetIn(new(bytes.Buffer))
	a.root.SetOut(&out)
	a.root.SetErr(&stderr)
	err := a.root.ExecuteContext(t.Context())
	return said{out.String(), stderr.String(), ExitCode(err)}
}

// leaves are all commands that do something, with the words that name them.
func leaves(cmd *cobra.Command, words ...string) map[string]*cobra.Command {
	found := make(map[string]*cobra.Command)
	for _, below := range cmd.Commands() {
		path := append(append([]string{}, words...), below.Name())
		switch {
		case below.HasSubCommands():
			maps.Copy(found, leaves(below, path...))
		case below.Name() != "help":
			found[joined(path)] = below
		}
	}
	return found
}

func joined(words []string) string {
	out := words[0]
	for _, word := range words[1:] {
		out += " " + word
	}
	return out
}

// at is a time for ages that do not change.
func (a *app) at(now time.Time) *app {
	a.now = func() time.Time { return now }
	return a
}
