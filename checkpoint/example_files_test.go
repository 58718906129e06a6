package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// A process that opened the store read-only, beside its writer, cannot keep its position in the
// log. It keeps it in a file.
func ExampleFiles() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "penstock")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	writer, err := store.Open(dir, store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()

	follow := func() { // each call is a life of the follower
		st, err := store.Open(dir, store.Options{ReadOnly: true})
		if err != nil {
			log.Fatal(err)
		}
		defer st.Close()
		positions, err := os.OpenRoot(dir)
		if err != nil {
			log.Fatal(err)
		}
		defer positions.Close()
		files := checkpoint.Files{Dir: positions}
		orders := checkpoint.Binding{Region: store.Region{Entity: "order"}}
		record, err := files.Load(ctx, st, "mirror", orders)
		if errors.Is(err, checkpoint.ErrNotFound) { // the first time
			record = checkpoint.Record{Origin: st.Origin(), Region: orders.Region.Identity()}
		} else if err != nil {
			log.Fatal(err)
		}
		for {
			page, err := st.ReadPage(ctx, orders.Reads(), record.Scanned, 0, 100)
			if err != nil {
				log.Fatal(err)
			}
			for _, e := range page.Events {
				fmt.Println("mirrored", e.Position)
				record.Delivered = e.Position
			}
			if page.Scanned == record.Scanned {
				return // in a program: st.Wait(ctx, record.Scanned)
			}
			record.Scanned = page.Scanned
			if err := files.Save(ctx, st, "mirror", record); err != nil {
				log.Fatal(err)
			}
		}
	}

	for range 2 {
		b := store.Batch{}
		for range 2 {
			placed := store.Raw{Type: "order.placed", Codec: store.CodecJSON, Data: []byte(`{}`)}
			b.Events = append(b.Events, store.Proposal{At: store.At("order:42", "shop"), Payload: placed})
		}
		if _, err := writer.Commit(ctx, b); err != nil {
			log.Fatal(err)
		}
		follow()
	}
	// Output:
	// mirrored 1
	// mirrored 2
	// mirrored 3
	// mirrored 4
}
