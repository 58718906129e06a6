package saga_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

type orderPlaced struct {
	Order string
	Cents int64
}

func (orderPlaced) Kind() string { return "order.placed" }

type orderCancelled struct{ Order string }

func (orderCancelled) Kind() string { return "order.cancelled" }

// order is the state of a checkout.
type order struct {
	ID              string
	Cents           int64
	Payment, Parcel string `json:",omitempty"`
}

func byOrder(e orderPlaced) string { return e.Order }

// world is what the steps call: it remembers effects by their keys, as a good service does.
type world struct {
	mu    sync.Mutex
	calls []string           // in order, repetitions included
	done  map[string]bool    // by key of the action: whether its effect is there
	noes  map[string]error   // by key: what was refused stays refused
	fails map[string][]error // by name of the step: what the next calls return
	lies  map[string]bool    // the effect happens, and the caller gets an error
}

func newWorld() *world {
	return &world{done: make(map[string]bool), noes: make(map[string]error), fails: make(map[string][]error), lies: make(map[string]bool)}
}

var errDown = errors.New("the service is down")

func (w *world) do(step, key string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, step)
	if err := w.fail(step, key); err != nil {
		if w.lies[step] {
			w.done[key] = true
		}
		return "", err
	}
	w.done[key] = true
	return step + "-" + key, nil
}

// fail is the error of a call with a key.
func (w *world) fail(call, key string) error {
	if no := w.noes[key]; no != nil {
		return no
	}
	list := w.fails[call]
	if len(list) == 0 {
		return nil
	}
	if errors.Is(list[0], saga.ErrRefused) {
		w.noes[key] = list[0]
	}
	if len(list) > 1 || w.noes[key] != nil { // else it is down from then on
		w.fails[call] = list[1:]
	}
	return list[0]
}

// undo takes back what was done under the key of an action. Its own key tells it from others.
func (w *world) undo(step, own, key string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, "undo "+step)
	if err := w.fail("undo "+step, own); err != nil {
		return err
	}
	delete(w.done, key)
	return nil
}

func (w *world) effects() (keys []string) {
	for k := range w.done {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (w *world) action(step string) func(context.Context, saga.Step[order]) (string, error) {
	return func(_ context.Context, s saga.Step[order]) (string, error) { return w.do(step, s.Key) }
}

func (w *world) back(step string) func(context.Context, saga.Step[order], saga.Done[string]) error {
	return func(_ context.Context, s saga.Step[order], d saga.Done[string]) error {
		return w.undo(step, s.Key, d.Key)
	}
}

func (w *world) checkout() *saga.Saga[order] {
	s := saga.Steps("checkout",
		saga.Starts(byOrder, func(o *order, e orderPlaced) { *o = order{ID: e.Order, Cents: e.Cents} }),
		saga.Do("reserve", w.action("reserve"), w.back("reserve")),
		saga.Do("charge", w.action("charge"), w.back("charge")).Keep(func(o *order, p string) { o.Payment = p }),
		saga.All("dispatch",
			saga.Do("label", w.action("label"), w.back("label")).Keep(func(o *order, p string) { o.Parcel = p }),
			saga.Do("invoice", w.action("invoice"), nil)),
		saga.Pivot[order](),
		saga.Do("ship", w.action("ship"), nil),
		saga.CancelOn[order](func(e orderCancelled) string { return e.Order }),
	)
	s.Version, s.Deadline = 1, 30*time.Minute
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 3, true
	return s
}

func at(id string) store.Coordinate { return store.At("order:"+id, "shop") }

// begun is a run in which instance 42 has begun, and all was done that takes no time.
func begun[S any](t *testing.T, s *saga.Saga[S]) *reactortest.Run {
	t.Helper()
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	return run
}

func placed(id string) orderPlaced { return orderPlaced{Order: id, Cents: 900} }

var _ = fmt.Sprint
