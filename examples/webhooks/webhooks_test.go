package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// target is a receiver that behaves as its mode says. It keeps what it has accepted, once however
// often it comes, as its sender may not have had the answer in time, and the effect keys of all
// requests.
type target struct {
	mu       sync.Mutex
	mode     string // "fine", "failing", "hanging", "strict"
	hung     int
	accepted map[string][]int
	keys     map[string]map[string]bool // effect keys by body
	changed  chan struct{}
	release  chan struct{}
}

func (tg *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		N      int
		Poison bool
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	hook := r.Header.Get("Webhook-Key")
	tg.mu.Lock()
	defer tg.mu.Unlock()
	defer tg.notify()
	id := fmt.Sprint(hook, body.N)
	known := slices.Contains(tg.accepted[hook], body.N)
	if tg.keys[id] == nil {
		tg.keys[id] = make(map[string]bool)
	}
	tg.keys[id][r.Header.Get("Idempotency-Key")] = true
	switch {
	case tg.mode == "failing":
		w.WriteHeader(http.StatusBadGateway)
	case tg.mode == "hanging":
		tg.hung++
		tg.notify()
		tg.mu.Unlock()
		select {
		case <-r.Context().Done():
		case <-tg.release:
		}
		tg.mu.Lock()
	case tg.mode == "strict" && body.Poison:
		w.WriteHeader(http.StatusUnprocessableEntity)
	case !known:
		tg.accepted[hook] = append(tg.accepted[hook], body.N)
	}
}

// notify is called under mu.
func (tg *target) notify() {
	close(tg.changed)
	tg.changed = make(chan struct{})
}

func (tg *target) set(mode string) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	tg.mode = mode
}

// look calls f while no request changes anything: one that its sender waits for no longer may be
// under way still.
func (tg *target) look(f func()) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	f()
}

// await waits until the target has come so far.
func (tg *target) await(t *testing.T, reached func() bool) {
	t.Helper()
	for {
		tg.mu.Lock()
		done, changed := reached(), tg.changed
		tg.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("the target was never reached")
		}
	}
}

func (tg *target) total() (n int) {
	for _, list := range tg.accepted {
		n += len(list)
	}
	return n
}

func post(t *testing.T, url, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer
}

func newTarget(mode string) *target {
	return &target{
		mode: mode, accepted: make(map[string][]int), keys: make(map[string]map[string]bool),
		changed: make(chan struct{}), release: make(chan struct{}),
	}
}

// request is one that has come in for a key.
func request(key string, n int, poison bool) store.Payload {
	return reactortest.At(store.At("hook:"+key, "webhooks"), requested{Body: fmt.Appendf(nil, `{"N":%d,"Poison":%t}`, n, poison)})
}

// A sender that does not know whether its request arrived sends it again, as part of another trace.
func TestARequestThatIsSentAgainIsOneWhateverItsTraceAndHandsOnThatOfTheFirst(t *testing.T) {
	var traces []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		traces = append(traces, r.Header.Get(traceparent))
	}))
	defer receiver.Close()
	run := reactortest.Start(t, deliverer(receiver.URL, 0, supervision.Policy{}))
	for _, trace := range []string{"00-first", "00-second", ""} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/inbox/a", strings.NewReader(`{"N":1}`))
		r.SetPathValue("key", "a")
		r.Header.Set("Idempotency-Key", "request-1")
		r.Header.Set(traceparent, trace)
		w := httptest.NewRecorder()
		accept(run.Store(), w, r)
		require.Equal(t, http.StatusAccepted, w.Code)
		require.Equal(t, "1\n", w.Body.String())
	}
	run.Settle()
	run.Then(delivered{Status: http.StatusOK})
	require.Equal(t, []string{"00-first"}, traces)
}

func TestAFailingTargetIsRetriedForAsLongAsThePolicySays(t *testing.T) {
	tg := newTarget("failing")
	receiver := httptest.NewServer(tg)
	defer receiver.Close()
	policy := supervision.Policy{Attempts: 20, Backoff: supervision.Backoff{Initial: time.Second, Max: time.Minute}}
	run := reactortest.Start(t, deliverer(receiver.URL, 0, policy))
	run.Given(request("a", 0, false))
	run.Advance(10 * time.Minute)
	s := run.Status(worker)
	require.Equal(t, actors.Retrying, s.State)
	require.ErrorContains(t, s.Reason, "502 Bad Gateway")
	tg.set("fine")
	run.Advance(time.Minute)
	run.Then(delivered{Status: http.StatusOK})

	tg.set("failing")
	run.Given(request("a", 1, false))
	run.Advance(time.Hour)
	require.Len(t, run.Parked(worker), 1)
	require.Equal(t, 20, run.Parked(worker)[0].Attempts)
}

// Whenever the power fails, each request is delivered, and recorded once as delivered; the target
// may get it again, with the same effect key.
func TestDeliveriesSurviveEveryCrash(t *testing.T) {
	var tg *target
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tg.ServeHTTP(w, r) }))
	defer receiver.Close()
	tree := func() supervision.Child {
		tg = newTarget("strict")
		return deliverer(receiver.URL, 0, supervision.Policy{})
	}
	reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
		run.Given(request("a", 0, false), request("b", 0, true), request("b", 1, false))
		run.Settle()
		run.Then(reactortest.At(store.At("hook:a", "webhooks"), delivered{Status: http.StatusOK}))
		tg.set("fine")
		require.Len(t, run.Replay(worker, cursor.ParkedFilter{All: true}), 2)
		run.Settle()
		run.Then(delivered{Status: http.StatusOK}, delivered{Status: http.StatusOK})
		for id, keys := range tg.keys {
			require.Len(t, keys, 1, "%s was requested with different effect keys", id)
		}
	})
}

func TestDeliveriesArriveInOrderOfTheirKeyHoweverTheTargetBehaves(t *testing.T) {
	tg := newTarget("failing")
	receiver := httptest.NewServer(tg)
	defer receiver.Close()
	defer close(tg.release)
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	policy := supervision.Policy{Attempts: 1000, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: 5 * time.Millisecond}}
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{
		Name: "test", Children: []supervision.Child{deliverer(receiver.URL, 50*time.Millisecond, policy)},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sys.Stop(context.WithoutCancel(t.Context()))) }()
	in := httptest.NewServer(inbox(st, sys))
	defer in.Close()

	var last store.Position
	send := func(key string, n int, poison bool) {
		answer := post(t, in.URL+"/inbox/"+key, fmt.Sprintf(`{"N":%d,"Poison":%t}`, n, poison))
		require.Equal(t, http.StatusAccepted, answer.StatusCode)
		if key == "b" {
			last = st.Head()
		}
	}
	for n := range 5 {
		for _, key := range []string{"a", "b", "c"} {
			send(key, n, key == "b" && n == 2)
		}
	}
	tg.await(t, func() bool { return len(tg.keys) >= 3 })
	tg.set("hanging")
	tg.await(t, func() bool { return tg.hung >= 3 })
	tg.set("strict")
	tg.await(t, func() bool { return tg.total() == 12 })
	tg.look(func() {
		require.Equal(t, map[string][]int{"hook:a": {0, 1, 2, 3, 4}, "hook:b": {0, 1}, "hook:c": {0, 1, 2, 3, 4}}, tg.accepted)
	})

	at, err := st.AnchorAt(t.Context(), last)
	require.NoError(t, err)
	held := store.Receipt{Origin: st.Origin(), Events: []store.Recorded{{ID: at.Event, Position: last}}}
	require.ErrorIs(t, sys.WaitApplied(t.Context(), worker, held), actors.ErrParked)
	require.ErrorIs(t, sys.WaitCaughtUp(t.Context(), worker), actors.ErrParked, "once all others are committed")
	require.Equal(t, 3, sys.Status().Workers[0].Parked)
	tg.set("fine")
	require.Equal(t, http.StatusOK, post(t, in.URL+"/replay", "").StatusCode)
	tg.await(t, func() bool { return tg.total() == 15 })
	tg.look(func() {
		require.Equal(t, []int{0, 1, 2, 3, 4}, tg.accepted["hook:b"])
		for id, keys := range tg.keys {
			require.Len(t, keys, 1, "%s was requested with different effect keys", id)
		}
		require.Len(t, tg.keys, 15)
	})
	require.Equal(t, http.StatusBadRequest, post(t, in.URL+"/inbox/a", "no JSON").StatusCode)
}
