package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

type Credited struct{ Cents int64 }

func (Credited) Kind() string { return "account.credited" }

// A projector keeps balances in a table. The handler's transaction also moves the position, so each
// credit is in the table once, whatever crashes in between.
func Example() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	db, err := sql.Open("sqlite", "file:balances?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE balance (account TEXT PRIMARY KEY, cents BIGINT NOT NULL)"); err != nil {
		log.Fatal(err)
	}

	book := func(ctx context.Context, tx *sql.Tx, e reactor.Event[Credited]) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO balance VALUES ($1, $2)
			ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents`, e.Coordinate.Entity, e.Body.Cents)
		return err // an error that is kept from the projector would let it commit what the database has rolled back
	}
	balances := projector.New("balances", db, projector.On(book))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "bank", Children: []supervision.Child{balances}})
	if err != nil {
		log.Fatal(err)
	}

	var last store.Receipt
	for _, cents := range []int64{250, 175} {
		if last, err = st.Append(ctx, store.At("account:ada", "bank"), store.Any, Credited{Cents: cents}); err != nil {
			log.Fatal(err)
		}
	}
	if err := errors.Join(sys.WaitApplied(ctx, "balances", last), sys.Stop(ctx)); err != nil {
		log.Fatal(err)
	}
	var account string
	var cents, position int64
	err = db.QueryRowContext(ctx, `SELECT account, cents, position FROM balance, penstock_position WHERE worker = 'balances'`).
		Scan(&account, &cents, &position)
	fmt.Println(account, "has", cents, "as of event", position, err)
	// Output:
	// account:ada has 425 as of event 2 <nil>
}
