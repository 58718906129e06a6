package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// payment is a change of an account. Its id stands in no other commit, but for those with its key.
type payment struct {
	ID    string
	Cents int
	Mood  string // of the gate that sees it
}

func (payment) Kind() string { return "payment.made" }

// moody is a gate that lets no account fall below zero, and sometimes does not get that far.
func moody(_ context.Context, c *Case) error {
	var p payment
	if err := c.Proposal.Decode(&p); err != nil {
		return err
	}
	switch p.Mood {
	case "panic":
		panic("moody")
	case "exit":
		runtime.Goexit()
	}
	account := Region{Entity: c.Proposal.At.Entity, Kinds: []string{p.Kind()}}
	c.Require(account)
	account.Kinds[0] = "" // it is the gate's
	balance := p.Cents
	for e, err := range c.Read(Region{Entity: c.Proposal.At.Entity}) {
		if err != nil {
			return err
		}
		var p payment
		if err := e.Decode(&p); err != nil {
			return err
		}
		balance += p.Cents
	}
	if balance < 0 {
		return fmt.Errorf("%s would leave %d", p.ID, balance)
	}
	return nil
}

// payments are made at once by several goroutines, and each answer is noted.
type payments struct {
	store *Store
	mu    sync.Mutex
	made  map[string]Position // by id
	wrong []string
}

func (p *payments) answered(b *Batch, r Receipt, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := b.Events[0].Payload.(payment).ID
	at, known := p.made[id]
	switch {
	case err != nil:
		if !errors.Is(err, ErrDenied) && !errors.Is(err, ErrConflict) && !errors.Is(err, context.Canceled) {
			p.wrong = append(p.wrong, fmt.Sprint(id, " has failed: ", err))
		}
		if r.Events != nil || r.Verdicts != nil {
			p.wrong = append(p.wrong, fmt.Sprint(id, " has failed and has a receipt"))
		}
	case known && at != r.Position(), r.Duplicate != (r.Verdicts == nil):
		p.wrong = append(p.wrong, fmt.Sprint(id, " has a wrong receipt: ", r, at))
	default:
		p.made[id] = r.Position()
	}
}

// pay makes the n-th payment of a goroutine, in some way. It returns when there is an answer, or
// never will be.
func (p *payments) pay(ctx context.Context, random *rand.Rand, n int) {
	b := Batch{Events: []Proposal{{
		At:      At(fmt.Sprint("account:", random.IntN(3)), "bank"),
		Payload: payment{ID: fmt.Sprint(n), Cents: random.IntN(40) - 20},
	}}}
	change := b.Events[0].Payload.(payment)
	switch random.IntN(8) {
	case 0: // as others do, or again
		id := random.IntN(10)
		b.IdempotencyKey, b.Events[0].At.Entity = fmt.Sprint("key ", id), fmt.Sprint("account:", id%3)
		change.ID, change.Cents = b.IdempotencyKey, 13-2*id
	case 1:
		change.Mood = []string{"panic", "exit"}[random.IntN(2)]
	case 2:
		if change.Cents < 0 {
			b.Events[0].Bypass = "so be it"
			change.Cents = 0
		}
	}
	b.Events[0].Payload = change
	switch way := random.IntN(6); {
	case way == 0 && change.Mood != "exit":
		done := make(chan struct{})
		Submit(p.store, b, func(r Receipt, err error) { p.answered(&b, r, err); close(done) })
		<-done
		return
	case way == 1:
		var cancel func()
		ctx, cancel = context.WithCancel(ctx)
		go cancel()
	case way == 2 && b.IdempotencyKey == "" && b.Events[0].Bypass == "":
		r, err := p.store.Append(ctx, b.Events[0].At, Any, change)
		p.answered(&b, r, err)
		return
	}
	r, err := p.store.Commit(ctx, b)
	p.answered(&b, r, err)
}

func TestGatesHoldWhateverEndsBesideThem(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), Options{Sync: SyncNever, SegmentBytes: minSegmentBytes, Gates: []Gate{{Name: "moody", Judge: moody}}})
	p := payments{store: s, made: make(map[string]Position)}
	const goroutines, each = 4, 60
	race(goroutines, func(g int) error {
		random := rand.New(rand.NewPCG(uint64(g), 1))
		for i := range each {
			var one sync.WaitGroup
			one.Go(func() { p.pay(t.Context(), random, g*each+i) }) // Goexit ends it alone
			one.Wait()
		}
		return nil
	})
	require.Empty(t, p.wrong)
	require.Greater(t, len(p.made), goroutines*each/4)

	balances, ids := make(map[string]int), make(map[string]Position)
	for _, e := range all(t, s, Region{}) {
		var change payment
		require.NoError(t, e.Decode(&change))
		require.Zero(t, ids[change.ID], "%s stands twice", change.ID)
		ids[change.ID] = e.Position
		balances[e.Coordinate.Entity] += change.Cents
		require.GreaterOrEqual(t, balances[e.Coordinate.Entity], 0, "after event %d", e.Position)
		require.Empty(t, change.Mood)
	}
	for id, at := range p.made {
		require.Equal(t, at, ids[id], "payment %s", id)
	}
	requireChains(t, all(t, s, Region{}))
}
