package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/penstock-io/penstock/store"
)

// A file of a log is damaged. The plan says what that costs, and the repaired log has all the rest.
func ExampleRepair() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "repair")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	broken, mended := filepath.Join(dir, "broken"), filepath.Join(dir, "mended")
	damagedLog(ctx, broken)
	_, err = store.Open(broken, store.Options{})
	fmt.Println(errors.Is(err, store.ErrCorrupt))

	plan, err := store.PlanRepair(ctx, broken, store.RepairOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Print(plan.String())
	if _, err := store.Repair(ctx, broken, mended, store.RepairOptions{By: "ann", Reason: "bad disk"}); err != nil {
		panic(err)
	}
	st, err := store.Open(mended, store.Options{})
	if err != nil {
		panic(err)
	}
	defer st.Close()
	_, err = st.GetAt(ctx, 2)
	fmt.Println(err)
	for e, err := range st.Read(ctx, store.Region{}, store.Beginning()) {
		if err != nil {
			panic(err)
		}
		fmt.Println(e.Position, e.Coordinate, e.Kind)
	}
	// Output:
	// true
	// segment 1: written again
	//   segment 1, offset 432: batch: batch does not match its checksum or place
	//   segment 1, offset 432: events 2 to 2: record does not match its checksum
	// lost: events 2 to 2
	// 0 files are copied as they are; the log ends with event 3
	// position 2: store: not found: lost to damage
	// 1 order:1@shop order.placed
	// 3 order:3@shop order.placed
}

// damagedLog writes three events and damages the second.
func damagedLog(ctx context.Context, dir string) {
	st, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	for _, entity := range []string{"order:1", "order:2", "order:3"} {
		if _, err := st.Append(ctx, store.At(entity, "shop"), store.Any, Placed{SKU: "lamp"}); err != nil {
			panic(err)
		}
	}
	if err := st.Close(); err != nil {
		panic(err)
	}
	name := filepath.Join(dir, "0000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	b[600] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		panic(err)
	}
}
