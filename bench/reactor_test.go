package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/limit"
)

// placed and reserved are some 250 bytes of JSON each.
type placed struct {
	Order    string
	Customer string
	SKU      string
	Quantity int
	Note     string
}

func (placed) Kind() string { return "order.placed" }

type reserved struct {
	Order    string
	SKU      string
	Quantity int
	Note     string
}

func (reserved) Kind() string { return "stock.reserved" }

var note = strings.Repeat("leave it at the door ", 7)

func order(i int) placed {
	return placed{
		Order: fmt.Sprintf("order-%08d", i), Customer: fmt.Sprintf("customer-%d", i%1000),
		SKU: fmt.Sprintf("sku-%d", i%entities), Quantity: 1 + i%9, Note: note,
	}
}

func orderAt(i int) store.Coordinate { return store.At(fmt.Sprintf("order:%d", i%1000), eventScope) }

// reserve answers each order with one event.
func reserve(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.SKU, eventScope),
		reserved{Order: e.Body.Order, SKU: e.Body.SKU, Quantity: e.Body.Quantity, Note: e.Body.Note})
	return nil
}

// BenchmarkReactor: one reactor that catches up, JSON in, one reaction per event, JSON out, each batch durable. The limit
// decodes and encodes the same JSON on one goroutine, and does one write and one fdatasync per batch.
func BenchmarkReactor(b *testing.B) {
	const target = 200_000
	events := *logEvents / 10
	for _, batch := range []int{256, 4096} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f := newFigures(b)
			for b.Loop() {
				limit := reactLimit(b, events, batch)
				ours := reactTurn(b, events, batch)
				f.add("limit-ev/s", limit)
				f.add(fmt.Sprintf("penstock-ev/s>=%d", target), ours)
				f.add("x-limit", ours/limit)
			}
			f.report()
		})
	}
}

func reactTurn(b *testing.B, events, batch int) float64 {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	st := openStore(b, dir, store.Options{})
	loadOrders(b, st, events)
	inputs := everything(st)

	var began time.Time
	handled, done := 0, make(chan struct{})
	r := reactor.New("reserve", reactor.On(func(ctx context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		if handled == 0 {
			began = time.Now()
		}
		if handled++; handled == events {
			close(done)
		}
		return reserve(ctx, e, out)
	}))
	r.BatchSize = batch
	sys := start(b, st, r)
	<-done
	must(b, sys.WaitApplied(b.Context(), "reserve", inputs))
	took := time.Since(began)
	must(b, sys.Stop(b.Context()))
	if got := int(st.Head()); got != 2*events {
		b.Fatalf("%d events in the log, want %d", got, 2*events)
	}
	must(b, st.Close())
	return perSecond(events, took)
}

func loadOrders(b *testing.B, st *store.Store, events int) {
	b.Helper()
	for i := 0; i < events; i += loadBatch {
		list := make([]store.Proposal, min(loadBatch, events-i))
		for k := range list {
			list[k] = store.Proposal{At: orderAt(i + k), Payload: order(i + k)}
		}
		_, err := st.Commit(b.Context(), store.Batch{Events: list})
		must(b, err)
	}
}

func reactLimit(b *testing.B, events, batch int) float64 {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	z := newZeroed(b, dir)
	inputs := make([][]byte, loadBatch)
	for i := range inputs {
		inputs[i], _ = json.Marshal(order(i))
	}
	var buf []byte
	began := time.Now()
	for i := range events {
		var in placed
		must(b, json.Unmarshal(inputs[i%loadBatch], &in))
		out, err := json.Marshal(reserved{Order: in.Order, SKU: in.SKU, Quantity: in.Quantity, Note: in.Note})
		must(b, err)
		buf = limit.AppendFrame(append(buf, payload(i)[:metadataBytes]...), out)
		if (i+1)%batch == 0 || i == events-1 {
			must(b, errors.Join(z.Write(buf), z.Sync()))
			buf = buf[:0]
		}
	}
	took := time.Since(began)
	must(b, z.Close())
	return perSecond(events, took)
}

// BenchmarkReaction: from the start of an append to the durable reaction, in a process that is idle in between. The limit is
// two writes with an fdatasync each. "append" is the part until the acknowledgement.
func BenchmarkReaction(b *testing.B) {
	f := newFigures(b)
	for b.Loop() {
		limit, appends, ours := reactionTurn(b)
		f.add("limit-p50-us", micros(quantile(limit, 0.5)))
		f.add("limit-p99-us", micros(quantile(limit, 0.99)))
		f.add("append-p50-us", micros(quantile(appends, 0.5)))
		f.add("penstock-p50-us", micros(quantile(ours, 0.5)))
		f.add("penstock-p99-us", micros(quantile(ours, 0.99)))
		f.add("fdatasyncs<=2.5", 2*float64(quantile(ours, 0.5))/float64(quantile(limit, 0.5)))
	}
	f.report()
}

// reactionTurn takes the limit and Penstock in turns, sample by sample.
func reactionTurn(b *testing.B) (limit, appends, ours []time.Duration) {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	z := newZeroed(b, dir)
	logs, removeLogs := newDir(b)
	defer removeLogs()
	st := openStore(b, logs, store.Options{})
	sys := start(b, st, reactor.New("reserve", reactor.On(reserve)))
	for i := range int(turnTime.Milliseconds()) {
		time.Sleep(spacing())
		first, err := appendRecord(z, i, true)
		must(b, err)
		second, err := appendRecord(z, i, true)
		must(b, err)
		limit = append(limit, first+second)

		time.Sleep(spacing())
		began := time.Now()
		receipt, err := st.Append(b.Context(), orderAt(i), store.Any, order(i))
		must(b, err)
		appends = append(appends, time.Since(began))
		_, err = st.Wait(b.Context(), receipt.Position())
		must(b, err)
		ours = append(ours, time.Since(began))
	}
	must(b, sys.Stop(b.Context()))
	must(b, st.Close())
	must(b, z.Close())
	return limit, appends, ours
}
