// Command protobuf keeps payloads as protocol buffers: it takes an order twice, as a client does
// that got no answer, lets a reactor reserve the stock, and shows how the events are written.
//
//	go run -C examples/protobuf . DIRECTORY
//
// The messages are in shoppb/shop.proto. A payload is a type with a kind that holds a message, and
// its codec is a method: nothing else in the program knows of protobuf.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	"google.golang.org/protobuf/proto"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/examples/protobuf/shoppb"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type Placed struct{ *shoppb.Placed }

func (Placed) Kind() string { return "order.placed" }

func (Placed) Codec() store.Codec {
	return protobuf(func(p *Placed) proto.Message { p.Placed = new(shoppb.Placed); return p.Placed })
}

type Reserved struct{ *shoppb.Reserved }

func (Reserved) Kind() string { return "stock.reserved" }

func (Reserved) Codec() store.Codec {
	return protobuf(func(r *Reserved) proto.Message { r.Reserved = new(shoppb.Reserved); return r.Reserved })
}

// protobuf is the codec of payloads that embed a message, by which they are messages themselves.
// into puts an empty message into a payload.
//
// By itself protobuf encodes a map in any order. So Deterministic has to be asked for, and lets a
// commit have an idempotency key: a retry is the same bytes, as long as it is by the same build.
func protobuf[P any](into func(*P) proto.Message) store.Codec {
	return store.Codec{
		Name: "protobuf",
		Marshal: func(v any) ([]byte, error) {
			return proto.MarshalOptions{Deterministic: true}.Marshal(v.(proto.Message))
		},
		Unmarshal:     func(data []byte, v any) error { return proto.Unmarshal(data, into(v.(*P))) },
		Deterministic: true,
	}
}

func reserve(_ context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
	out.Append(store.At("stock:"+e.Body.GetSku(), "shop"), Reserved{&shoppb.Reserved{Order: e.Coordinate.Entity}})
	return nil
}

// take is what a client asks for, under a key that it repeats with each retry.
func take(ctx context.Context, st *store.Store, order string) (store.Receipt, error) {
	placed := Placed{&shoppb.Placed{Sku: "lamp", Cents: map[string]int64{"EUR": 1999, "USD": 2199, "SEK": 21900}}}
	return st.Commit(ctx, store.Batch{
		IdempotencyKey: order,
		Events:         []store.Proposal{{At: store.At(order, "shop"), Payload: placed}},
	})
}

func run(ctx context.Context, dir string) (err error) {
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	stock := reactor.New("reserve-stock", reactor.On(reserve))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{stock}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Stop(context.WithoutCancel(ctx))) }()

	for range 2 {
		receipt, err := take(ctx, st, "order:1")
		if err != nil {
			return err
		}
		fmt.Println("order:1 is event", receipt.Position(), "duplicate:", receipt.Duplicate)
		if err := sys.WaitApplied(ctx, "reserve-stock", receipt); err != nil {
			return err
		}
	}
	return show(ctx, st)
}

// show prints what was placed and reserved, and how it is written.
func show(ctx context.Context, st *store.Store) error {
	for e, err := range st.Read(ctx, store.Region{Kinds: []string{"order.placed"}}, store.Beginning()) {
		if err != nil {
			return err
		}
		var placed Placed
		if err := e.Decode(&placed); err != nil {
			return err
		}
		fmt.Println(e.Coordinate, e.Kind, "in", e.Codec, "of", len(e.Payload), "bytes:", placed.GetSku(), placed.GetCents()["EUR"])
	}
	for e, err := range st.Read(ctx, store.Region{Entity: "stock"}, store.Beginning()) {
		if err != nil {
			return err
		}
		var reserved Reserved
		if err := e.Decode(&reserved); err != nil {
			return err
		}
		fmt.Println(e.Coordinate, e.Kind, "in", e.Codec, "of", len(e.Payload), "bytes:", reserved.GetOrder())
	}
	return nil
}

func main() {
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: protobuf DIRECTORY")
	}
	if err := run(context.Background(), flag.Arg(0)); err != nil {
		log.Fatal(err)
	}
}
