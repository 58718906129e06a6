package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/penstock-io/penstock/store"
)

// A log is verified, moved to another directory as text, and verified there.
func ExampleVerify() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "verify")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	st, err := store.Open(filepath.Join(dir, "old"), store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	for _, kind := range []string{"order.placed", "order.paid"} {
		if _, err := st.Append(ctx, store.At("order:1", "shop"), store.Any, store.Raw{Type: kind}); err != nil {
			panic(err)
		}
	}

	report, err := store.Verify(ctx, st, store.VerifyOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Events, "events, whole:", report.Whole())
	for _, d := range report.Damage {
		fmt.Println(d) // where it is, and what is lost
	}

	var text bytes.Buffer // or a file
	if err := store.Export(ctx, st, &text); err != nil {
		panic(err)
	}
	if err := store.Import(ctx, filepath.Join(dir, "new"), &text, store.Options{}); err != nil {
		panic(err)
	}
	report, err = store.VerifyDir(ctx, filepath.Join(dir, "new"), store.VerifyOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Events, "events, whole:", report.Whole(), "and of the same store:", report.Origin == st.Origin())
	// Output:
	// 2 events, whole: true
	// 2 events, whole: true and of the same store: true
}
