package store_test

import (
	"context"
	"encoding/xml"
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

type Invoice struct {
	Number int `xml:"number,attr"`
}

func (Invoice) Kind() string { return "invoice.sent" }

// Codec is what all that writes and reads invoices goes by. The same invoice is always the same
// text, so that a commit of one may have an idempotency key.
func (Invoice) Codec() store.Codec {
	return store.Codec{Name: "xml", Marshal: xml.Marshal, Unmarshal: xml.Unmarshal, Deterministic: true}
}

// A type of payload brings its codec, whose name is recorded with each event. For protobuf see
// examples/protobuf.
func ExampleCodec() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()

	send := store.Batch{
		IdempotencyKey: "send-7",
		Events:         []store.Proposal{{At: store.At("invoice:7", "shop"), Payload: Invoice{Number: 7}}},
	}
	for range 2 { // the answer to the first may have been lost
		receipt, err := st.Commit(ctx, send)
		if err != nil {
			panic(err)
		}
		fmt.Println(receipt.Position(), receipt.Duplicate)
	}
	for e, err := range st.Read(ctx, store.Region{Entity: "invoice"}, store.Beginning()) {
		if err != nil {
			panic(err)
		}
		var sent Invoice
		if err := e.Decode(&sent); err != nil {
			panic(err)
		}
		fmt.Println(e.Codec, string(e.Payload), sent.Number)
	}
	// Output:
	// 1 false
	// 1 true
	// xml <Invoice number="7"></Invoice> 7
}
