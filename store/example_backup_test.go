package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/penstock-io/penstock/store"
)

// A backup is made beside commits, as often as one likes, and costs what was written since the one
// before. What was kept outside of the store is judged by its anchor when the backup is restored.
func ExampleBackup() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "penstock")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	st, err := store.Open(filepath.Join(dir, "data"), store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	before, err := st.Append(ctx, store.At("order:42", "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		panic(err)
	}

	report, err := store.Backup(ctx, st, filepath.Join(dir, "backup"), store.BackupOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Println("backed up to event", report.Anchor.Position)
	after, err := st.Append(ctx, store.At("order:42", "shop"), store.Exactly(1), Shipped{})
	if err != nil {
		panic(err)
	}

	// The disk of the store is lost.
	data := filepath.Join(dir, "restored")
	if _, err := store.Restore(ctx, filepath.Join(dir, "backup"), data, store.RestoreOptions{}); err != nil {
		panic(err)
	}
	again, err := store.Open(data, store.Options{MustExist: true})
	if err != nil {
		panic(err)
	}
	defer again.Close()
	fmt.Println("incarnation", again.Origin().Incarnation, "with event", again.Head())
	fmt.Println(again.CheckAnchor(ctx, before.Anchor()))
	fmt.Println(errors.Is(again.CheckAnchor(ctx, after.Anchor()), store.ErrForeignHistory))
	// Output:
	// backed up to event 1
	// incarnation 2 with event 1
	// <nil>
	// true
}
