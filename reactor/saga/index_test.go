package saga_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store/storetest"
)

// requireIndexed requires that the numbers and the lists of lives say what the instances do.
func requireIndexed(t *testing.T, in *saga.Instances[order]) map[saga.Life]int {
	t.Helper()
	counts, keys := make(map[saga.Life]int), make(map[saga.Life][]string)
	for o, err := range in.List() {
		require.NoError(t, err)
		counts[o.Life]++
		keys[o.Life] = append(keys[o.Life], o.Key)
	}
	got, err := in.Counts()
	require.NoError(t, err)
	require.Equal(t, counts, got)
	for l := saga.Running; l <= saga.Failed; l++ {
		var listed []string
		for o, err := range in.List(saga.Filter{Lives: []saga.Life{l}}) {
			require.NoError(t, err)
			require.Equal(t, l, o.Life)
			listed = append(listed, o.Key)
		}
		require.Equal(t, keys[l], listed, "%v", l)
	}
	return counts
}

// Whatever happens to instances, and wherever the power is cut.
func TestNumbersAndListsOfLivesAreThoseOfTheInstances(t *testing.T) {
	all := make(map[saga.Life]int)
	for seed := range uint64(less(30)) {
		dice := rand.New(rand.NewPCG(seed, 5))
		w := newWorld()
		s := w.checkout()
		s.Restarts, s.Retain = saga.AfterEnd, time.Hour
		s.Effects.Policy.Attempts = 2
		run := reactortest.Start(t, s)
		run.Shuffle(seed)
		for range 40 {
			key := fmt.Sprint(dice.IntN(5))
			switch dice.IntN(12) {
			case 0, 1, 2:
				run.Given(reactortest.At(at(key), placed(key)))
			case 3:
				run.Given(reactortest.At(at(key), orderCancelled{key}))
			case 4:
				run.CrashAt(1 + dice.IntN(40))
			case 5:
				step := []string{"reserve", "charge", "ship", "undo charge", "undo reserve"}[dice.IntN(5)]
				w.fails[step] = [][]error{{saga.Refuse(errDown)}, {errDown, saga.Refuse(errDown)}}[dice.IntN(2)]
			case 6:
				run.Advance(time.Duration(dice.IntN(90)) * time.Minute)
			case 7:
				run.Settle()
				if n, err := run.Store().Version(t.Context(), "order:"+key); err == nil && n > 0 {
					reactortest.Erase(run, "order:"+key, s)
				}
			default:
				run.Settle()
				askAny(t, dice, s.In(run.Store()), key)
			}
			if dice.IntN(2) == 0 {
				run.Settle()
			}
			for l, n := range requireIndexed(t, s.In(run.Store())) {
				all[l] += n
			}
		}
	}
	if !underRace {
		for l := saga.Running; l <= saga.Failed; l++ {
			require.NotZero(t, all[l], "there was none that is %v", l)
		}
	}
}

// askAny has an operator ask something of an instance, which may not fit.
func askAny(t *testing.T, dice *rand.Rand, in *saga.Instances[order], key string) {
	t.Helper()
	by := checkpoint.Request{By: "ana"}
	var err error
	switch dice.IntN(7) {
	case 0:
		_, err = in.Suspend(t.Context(), key, by)
	case 1, 2:
		_, err = in.Resume(t.Context(), key, by)
	case 3:
		_, err = in.Retry(t.Context(), key, by)
	case 4:
		_, err = in.SkipUndo(t.Context(), key, by)
	case 5:
		_, err = in.Abandon(t.Context(), key, by)
	case 6:
		_, err = in.Purge(t.Context(), key, by)
	}
	if !errors.Is(err, saga.ErrUnfit) && !errors.Is(err, saga.ErrNotFound) && !errors.Is(err, storetest.ErrPowerCut) {
		require.NoError(t, err)
	}
}

func TestInstancesAreFound(t *testing.T) {
	p := play(t, func(s *saga.Saga[order]) { s.Version = 3 })
	for _, id := range []string{"1", "2", "3"} {
		p.Given(reactortest.At(at(id), placed(id)))
	}
	p.Settle()
	p.Advance(time.Hour)
	p.Given(reactortest.At(at("2"), stockReserved{"2"}))
	p.Settle()
	p.Advance(10 * time.Minute)
	_, err := p.s.In(p.Store()).Suspend(t.Context(), "1", checkpoint.Request{})
	require.NoError(t, err)
	p.Settle()
	for want, only := range map[string][]saga.Filter{
		"[1 2 3]": nil,
		"[2]":     {{Phase: "paying"}},
		"[1 3]":   {{OlderThan: time.Hour}},
		"[1]":     {{Lives: []saga.Life{saga.Suspended, saga.Stuck}}},
		"[3]":     {{OlderThan: time.Hour, Lives: []saga.Life{saga.Running}}},
		"[1 2]":   {{Phase: "paying"}, {Lives: []saga.Life{saga.Suspended}}},
		"[]":      {{Versions: []uint32{1, 2}}},
	} {
		keys := []string{}
		for o, err := range p.s.In(p.Store()).List(only...) {
			require.NoError(t, err)
			keys = append(keys, o.Key)
		}
		require.Equal(t, want, fmt.Sprint(keys))
	}
}
