package reactor_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// probe is decoded by what a test says.
type probe struct {
	N    int
	Fill string
}

func (probe) Kind() string { return "probe" }

// probing is the decoder of the test that runs: none of them runs beside another one.
//
//nolint:gochecknoglobals // a method of a zero value has nothing else
var probing func(n int)

func (p *probe) UnmarshalJSON(data []byte) error {
	type plain probe
	if err := json.Unmarshal(data, (*plain)(p)); err != nil {
		return err
	}
	if probing != nil {
		probing(p.N)
	}
	return nil
}

// probes are events of a batch: the i-th says i.
func probes(t *testing.T, n int, fill string) []store.Event {
	t.Helper()
	events := make([]store.Event, n)
	for i := range events {
		data, err := json.Marshal(probe{N: i, Fill: fill})
		require.NoError(t, err)
		events[i] = event(store.Position(i+1), string(data))
		events[i].Kind = probe{}.Kind()
	}
	return events
}

// handleAll lets the worker of a reactor handle a batch, outside any runner.
func handleAll(t *testing.T, r *reactor.Reactor, events []store.Event) ([]store.Proposal, error) {
	t.Helper()
	w, err := r.CursorWorker()
	require.NoError(t, err)
	b := cursor.NewBatch(events, cursor.Ownership{})
	_, err = w.Handle(t.Context(), b)
	return b.Staged(), err
}

func withProbing(t *testing.T, f func(n int)) {
	t.Helper()
	probing = f
	t.Cleanup(func() { probing = nil })
}

// A batch that is large enough is decoded whole while its first handler runs, as far as memory for
// it goes.
func TestABatchIsDecodedBesideItsHandlers(t *testing.T) {
	for name, c := range map[string]struct {
		events, lanes, decoded int
		fill                   string
	}{
		"large":           {events: 300, decoded: 300},
		"least":           {events: 32, decoded: 32},
		"small":           {events: 31, decoded: 1},
		"with lanes":      {events: 300, lanes: 2, decoded: 1},
		"of large events": {events: 32, decoded: 1 + 10, fill: strings.Repeat("x", 100_000)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var decoded atomic.Int64
				withProbing(t, func(int) { decoded.Add(1) })
				var seen []int
				r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[probe], out *reactor.Reactions) error {
					if len(seen) == 0 {
						synctest.Wait()
						require.EqualValues(t, c.decoded, decoded.Load())
					}
					seen = append(seen, e.Body.N)
					require.Equal(t, store.Position(e.Body.N+1), e.Position)
					out.Append(shop, probe{N: e.Body.N})
					return nil
				}))
				r.Lanes = c.lanes
				r.Key = func(store.Event) string { return "" }
				staged, err := handleAll(t, r, probes(t, c.events, c.fill))
				require.NoError(t, err)
				require.Len(t, seen, c.events)
				for i, p := range staged {
					require.Equal(t, i, seen[i])
					require.Equal(t, probe{N: i}, p.Payload)
				}
				require.EqualValues(t, c.events, decoded.Load(), "each is decoded once where neither waits for the other")
			})
		})
	}
}

func TestWhereverTheyMeetEachHandlerGetsTheBodyOfItsEvent(t *testing.T) {
	events := probes(t, 200, "")
	for pace := range 40 { // so the handlers come to meet the other goroutine here and there
		next := 0
		r := reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[probe], _ *reactor.Reactions) error {
			require.Equal(t, next, e.Body.N)
			require.Equal(t, store.Position(next+1), e.Position)
			next++
			for range pace % 4 {
				runtime.Gosched()
			}
			return nil
		}))
		_, err := handleAll(t, r, events)
		require.NoError(t, err)
		require.Equal(t, len(events), next)
	}
}

// What cannot be read is of no concern before its turn.
func TestWhatCannotBeDecodedAheadFailsInItsTurn(t *testing.T) {
	const bad = 40
	for name, c := range map[string]struct {
		payload string
		probing func(n int)
		panics  bool
	}{
		"no JSON": {payload: `{"N":`},
		"a panic": {payload: `{"N":40}`, panics: true, probing: func(n int) {
			if n == bad {
				panic("unreadable")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				withProbing(t, c.probing)
				st := openStore(t)
				events := probes(t, 64, "")
				events[bad].Payload = []byte(c.payload)
				for _, e := range events {
					appendAll(t, st, store.Raw{Type: e.Kind, Data: e.Payload})
				}
				handled := 0
				run := runner(t, st, reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[probe], _ *reactor.Reactions) error {
					if handled == 0 {
						synctest.Wait()
					}
					require.Equal(t, handled, e.Body.N)
					handled++
					return nil
				})))
				out, err := run.Step(t.Context(), 0, 0)
				failed := requireAs[*cursor.HandlerError](t, err)
				require.Equal(t, store.Position(bad+1), failed.Event)
				require.Equal(t, c.panics, failed.Panic)
				require.Equal(t, c.panics, !errors.Is(err, reactor.ErrPayload))
				require.Equal(t, bad, out.Committed)
				require.Equal(t, bad, handled)
			})
		})
	}
}

// The events are the worker's again once its handler has returned.
func TestNothingIsDecodedAfterTheBatch(t *testing.T) {
	for name, end := range map[string]func(){
		"an error": func() {},
		"a panic":  func() { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var begun, ended atomic.Int64
				withProbing(t, func(n int) {
					if n == 0 { // on the goroutine of the handler
						return
					}
					begun.Add(1)
					time.Sleep(time.Second) // until after the handler, if nothing waits for it
					ended.Add(1)
				})
				r := reactor.New("r", reactor.On(func(context.Context, reactor.Event[probe], *reactor.Reactions) error {
					synctest.Wait()
					end()
					return errors.New("broken")
				}))
				func() {
					defer func() { _ = recover() }()
					_, _ = handleAll(t, r, probes(t, 100, ""))
				}()
				require.EqualValues(t, 1, begun.Load())
				require.EqualValues(t, 1, ended.Load())
			})
		})
	}
}
