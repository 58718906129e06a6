package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/penstock-io/penstock/store"
)

// What is older than what is needed goes, by whole segments; versions and idempotency keys stay. A
// program with checkpoints passes checkpoint.Holds in the place of nil.
func ExampleRetain() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "penstock")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	st, err := store.Open(dir, store.Options{SegmentBytes: 64 << 10})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	for i := range 100 {
		reading := store.Raw{Type: "sensor.read", Codec: "raw", Data: bytes.Repeat([]byte{byte(i)}, 4000)}
		if _, err := st.Append(ctx, store.At(fmt.Sprintf("sensor:%d", i%50), "plant"), store.Any, reading); err != nil {
			panic(err)
		}
	}

	// A report is made from event 40 on, by a program of which the store knows nothing.
	if err := store.SetHold(ctx, st, store.Hold{Who: "monthly report", From: 40}); err != nil {
		panic(err)
	}
	report, err := store.Retain(ctx, st, nil, store.RetainOptions{Before: 90})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Holds[0])
	if err := store.ReleaseHold(ctx, st, "monthly report"); err != nil {
		panic(err)
	}
	report, err = store.Retain(ctx, st, nil, store.RetainOptions{Before: 90})
	if err != nil {
		panic(err)
	}
	fmt.Println("some are gone:", report.Events > 0 && report.First > 40 && report.First <= 90)

	_, err = st.GetAt(ctx, 7)
	fmt.Println(errors.Is(err, store.ErrDropped))
	_, err = st.Append(ctx, store.At("sensor:7", "plant"), store.Absent, store.Raw{Type: "sensor.read"})
	fmt.Println(err)
	// Output:
	// hold "monthly report" from event 40
	// some are gone: true
	// true
	// store: entity "sensor:7" is at version 2, expected absent
}
