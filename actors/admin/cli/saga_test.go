package cli

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var errBank = errors.New("the bank said no")

// checkout is a saga whose instances become what their cards say.
func checkout() *saga.Saga[ordered] {
	s := saga.Steps("checkout",
		saga.Starts(func(e ordered) string { return e.Item }, func(o *ordered, e ordered) { *o = e }),
		saga.Do("reserve", func(context.Context, saga.Step[ordered]) (string, error) { return "shelf 3", nil },
			func(context.Context, saga.Step[ordered], saga.Done[string]) error { return saga.Refuse(errBank) }),
		saga.Do("charge", func(_ context.Context, s saga.Step[ordered]) (string, error) {
			switch s.State.Card {
			case "refused":
				return "", saga.Refuse(errBank)
			case "unknown":
				return "", errBank
			}
			return "payment 7", nil
		}, nil).Attempts(1).Ask(),
		saga.Do("ship", func(_ context.Context, s saga.Step[ordered]) (string, error) {
			if s.State.Card == "down" {
				return "", errBank
			}
			return "parcel 1", nil
		}, nil))
	s.Deadline, s.Effects.Policy.Attempts = 240*time.Hour, 1_000 // it stays in flight
	return s
}

func known() []admin.Saga { return []admin.Saga{admin.SagaOf(checkout())} }

// sagasIn is a program with a saga as it is found in a mode: instance 1 is completed, 2 is stuck at
// an undo, 3 at a step whose outcome is unknown, 4 waits for an answer, and 5 is suspended.
func sagasIn(t *testing.T, mode admin.Mode) *shop {
	t.Helper()
	s := &shop{dir: filepath.Join(t.TempDir(), "shop")}
	var err error
	s.st, err = store.Open(s.dir, store.Options{})
	require.NoError(t, err)
	s.sys, err = actors.Start(t.Context(), s.st, actors.Options{Build: "v7"}, supervision.Group{Name: "shop", Children: []supervision.Child{checkout()}})
	require.NoError(t, err)
	t.Cleanup(s.end)
	for i, card := range []string{"4711", "refused", "unknown", "down", "down"} {
		key := string(rune('1' + i))
		_, err := s.st.Append(t.Context(), store.At("order:"+key, "shop"), store.Any, ordered{key, card})
		require.NoError(t, err)
		s.become(t, key, func(o saga.Instance[ordered]) bool {
			return o.Life.Ended() || o.Life == saga.Stuck || card == "down" && o.Phase == "ship"
		})
	}
	_, err = checkout().In(s.st).Suspend(t.Context(), "5", checkpoint.Request{Reason: "a test", By: "ann"})
	require.NoError(t, err)
	s.become(t, "5", func(o saga.Instance[ordered]) bool { return o.Life == saga.Suspended })
	switch mode {
	case admin.Live:
		server, err := admin.Listen(admin.New(s.st, s.sys, admin.Options{Sagas: known()}))
		require.NoError(t, err)
		t.Cleanup(func() { _ = server.Close() })
	case admin.Cold:
		s.end()
	case admin.Beside:
	}
	return s
}

// become waits until an instance is as it should be, which may be by a commit without an event.
func (s *shop) become(t *testing.T, key string, is func(saga.Instance[ordered]) bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		o, err := checkout().In(s.st).Get(key)
		return err == nil && is(o)
	}, 10*time.Second, time.Millisecond)
}

func TestWhatIsAskedOfAnInstanceIsUndoneByWhatItSays(t *testing.T) {
	s := sagasIn(t, admin.Live)
	undo := changed(t, "saga", "suspend", s.dir, "checkout", "4").Undo
	require.Equal(t, "penstock saga resume "+quoted(s.dir)+" checkout 4 --reason '…'", undo)
	s.become(t, "4", func(o saga.Instance[ordered]) bool { return o.Life == saga.Suspended })
	out := run(t, append(typed(undo), "--yes")...)
	require.Zero(t, out.code, out.err)
	s.become(t, "4", func(o saga.Instance[ordered]) bool { return o.Life == saga.Running })

	change := changed(t, "saga", "settle", s.dir, "checkout", "3", "charge", "--done", "--result", `"payment 8"`)
	require.Equal(t, "it continues as if that had been answered", change.Final)
	s.become(t, "3", func(o saga.Instance[ordered]) bool { return o.Life == saga.Completed })
	require.Contains(t, run(t, "saga", "show", s.dir, "checkout", "3").out, `"payment 8"`)
	changed(t, "saga", "settle", s.dir, "checkout", "2", "undo reserve", "--done")
	s.become(t, "2", func(o saga.Instance[ordered]) bool { return o.Life == saga.Compensated })
	e := run(t, "get", s.dir, change.Asked.ID.String()).out
	require.Contains(t, e, `"by": "ann"`)
}

// A program that mounts the command can ask what its sagas need of a log that nothing has open.
func TestAProgramAsksItsOwnSagasCold(t *testing.T) {
	s := sagasIn(t, admin.Cold)
	ask := []string{"saga", "abandon", s.dir, "checkout", "4", "--yes", "--reason", "test", "--json"}
	require.Equal(t, exitRefused, run(t, ask...).code, "the command of anyone does not know the definition")
	out := runWith(t, Options{Sagas: known()}, ask...)
	require.Zero(t, out.code, out.err)
	var change Change
	require.NoError(t, json.Unmarshal([]byte(out.out), &change))
	require.True(t, strings.HasSuffix(change.Touches[0], "leaves as it is reserve, once the saga runs"), change.Touches[0])
	require.NotZero(t, change.Asked.Event)
	require.Contains(t, runWith(t, Options{Sagas: known()}, "saga", "graph", s.dir, "checkout", "").out, "order.placed")
	require.Equal(t, exitRefused, run(t, "saga", "graph", s.dir, "checkout", "").code)
}

func TestWhatIsWrongOfSagasHasAnExitCode(t *testing.T) {
	s := sagasIn(t, admin.Live)
	sure := []string{"--yes", "--reason", "test"}
	for line, code := range map[string]int{
		"saga instances $T checkout --life merry":                    exitUsage,
		"saga instances $T tyop":                                     exitNotFound,
		"saga show $T checkout 9":                                    exitNotFound,
		"explain $T checkout 9":                                      exitNotFound,
		"saga story $T checkout 9":                                   exitNotFound,
		"saga graph $T checkout 2 --format tyop":                     exitUsage,
		"saga settle $T checkout 3 charge":                           exitUsage,
		"saga settle $T checkout 3 charge --done --refused":          exitUsage,
		"saga settle $T checkout 3 charge --refused --result 1":      exitUsage,
		"saga settle $T checkout 3 charge --done --result {":         exitUsage,
		"saga settle $T checkout 3 charge --done --result {\"a\":1}": exitRefused, // it is text
		"saga fire $T checkout 4 tyop":                               exitRefused,
		"saga resume $T checkout 4":                                  exitRefused,
		"saga purge $T checkout 4":                                   exitRefused,
		"saga retry $T checkout 1":                                   exitRefused,
	} {
		words := one{line: line}.words(t, s)
		if !slices.Contains([]string{"show", "instances", "story", "graph", "checkout"}, words[1]) && words[0] == "saga" {
			words = append(words, sure...)
		}
		out := run(t, words...)
		require.Equal(t, code, out.code, "%s: %s", line, out.err)
	}
}

func TestSagasAndKeysAreCompleted(t *testing.T) {
	s := sagasIn(t, admin.Cold)
	require.Contains(t, run(t, "__complete", "saga", "show", s.dir, "").out, "checkout\n")
	require.Contains(t, run(t, "__complete", "saga", "retry", s.dir, "checkout", "").out, "2\tstuck\n")
}
