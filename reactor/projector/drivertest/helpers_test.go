package drivertest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

var (
	errBroken = errors.New("broken")
	errLost   = errors.New("connection lost")
)

type paid struct{ Cents int }

func (paid) Kind() string { return "order.paid" }

type refunded struct{ Cents int }

func (refunded) Kind() string { return "order.refunded" }

// tables are what the handlers below write: a row for each event, which cannot be written twice,
// and a sum.
const tables = `
CREATE TABLE IF NOT EXISTS handled (position BIGINT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS totals (entity TEXT PRIMARY KEY, cents BIGINT NOT NULL)`

// newDatabase returns an empty database: SQLite, or PostgreSQL where PENSTOCK_POSTGRES_DSN names
// one, such as postgres://user:password@localhost:5432/database. What is there stays as it is.
func newDatabase(tb testing.TB) *sql.DB {
	tb.Helper()
	if dsn := os.Getenv("PENSTOCK_POSTGRES_DSN"); dsn != "" {
		return prepared(tb, newSchema(tb, dsn))
	}
	return prepared(tb, sql.OpenDB(&flaky{name: sqliteName(tb)}))
}

// newSchema makes a schema of PostgreSQL for the test, and drops it in the end.
func newSchema(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	config, err := pgx.ParseConfig(dsn)
	require.NoError(tb, err)
	outside := stdlib.OpenDB(*config)
	schema := fmt.Sprintf("penstock_test_%d", rand.Uint64())
	_, err = outside.ExecContext(tb.Context(), "CREATE SCHEMA "+schema)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		_, err := outside.ExecContext(context.WithoutCancel(tb.Context()), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(tb, errors.Join(err, outside.Close()))
	})
	config.RuntimeParams["search_path"] = schema
	return stdlib.OpenDB(*config)
}

// newFlaky returns an empty SQLite database whose connections fail where fail says so.
func newFlaky(tb testing.TB) (*sql.DB, *flaky) {
	tb.Helper()
	f := &flaky{name: sqliteName(tb)}
	return prepared(tb, sql.OpenDB(f)), f
}

func sqliteName(tb testing.TB) string {
	tb.Helper()
	path := filepath.ToSlash(filepath.Join(tb.TempDir(), "test.db"))
	return "file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)"
}

func prepared(tb testing.TB, db *sql.DB) *sql.DB {
	tb.Helper()
	_, err := db.ExecContext(tb.Context(), tables)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

// flaky opens connections to SQLite that fail where fail says so: at "begin", at "exec", a
// statement that changes something, at "commit", which is not done then, and at "answer", which is
// that of a commit that was.
type flaky struct {
	name string
	fail func(where string) bool
}

func (f *flaky) fails(where string) error {
	if f.fail != nil && f.fail(where) {
		return errLost
	}
	return nil
}

func (f *flaky) Driver() driver.Driver { return &sqlite.Driver{} }

func (f *flaky) Connect(context.Context) (driver.Conn, error) {
	conn, err := f.Driver().Open(f.name)
	if err != nil {
		return nil, err
	}
	return &flakyConn{Conn: conn, flaky: f}, nil
}

type flakyConn struct {
	driver.Conn
	flaky *flaky
}

func (c *flakyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if err := c.flaky.fails("begin"); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return &flakyTx{Tx: tx, flaky: c.flaky}, err
}

func (c *flakyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.flaky.fails("exec"); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *flakyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *flakyConn) Ping(context.Context) error { return c.flaky.fails("ping") }

type flakyTx struct {
	driver.Tx
	flaky *flaky
}

func (tx *flakyTx) Commit() error {
	if err := tx.flaky.fails("commit"); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return errors.Join(tx.Tx.Commit(), tx.flaky.fails("answer"))
}

// handlers write each event, and fail where trouble returns an error.
type handlers struct {
	trouble func(e store.Event) error // may panic
}

func (h *handlers) write(ctx context.Context, tx *sql.Tx, e store.Event, cents int) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO handled (position) VALUES ($1)", int64(e.Position)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO totals (entity, cents) VALUES ($1, $2)
		ON CONFLICT (entity) DO UPDATE SET cents = totals.cents + excluded.cents`, e.Coordinate.Entity, int64(cents))
	if err == nil && h.trouble != nil {
		err = h.trouble(e)
	}
	return err
}

func (h *handlers) paid(ctx context.Context, tx *sql.Tx, e reactor.Event[paid]) error {
	return h.write(ctx, tx, e.Event, e.Body.Cents)
}

func (h *handlers) refunded(ctx context.Context, tx *sql.Tx, e reactor.Event[refunded]) error {
	return h.write(ctx, tx, e.Event, -e.Body.Cents)
}

func totals(db *sql.DB, h *handlers) *projector.Projector {
	return projector.New("totals", db, projector.On(h.paid), projector.On(h.refunded))
}

func openStore(tb testing.TB, disk *storetest.Disk) *store.Store {
	tb.Helper()
	st, err := disk.Open("data", store.Options{})
	require.NoError(tb, err)
	return st
}

// newStore is an empty log until the end of the test.
func newStore(tb testing.TB) *store.Store {
	tb.Helper()
	st := openStore(tb, storetest.NewDisk())
	tb.Cleanup(func() { require.NoError(tb, st.Close()) })
	return st
}

// appendOrders adds n events of several orders, and one that no route reads.
func appendOrders(tb testing.TB, st *store.Store, n int) {
	tb.Helper()
	b := store.Batch{Events: []store.Proposal{{At: store.At("noise", "shop"), Payload: store.Raw{Type: "noise.made"}}}}
	for i := range n {
		var p store.Payload = paid{Cents: i*i + 7}
		if i%3 == 2 {
			p = refunded{Cents: i}
		}
		b.Events = append(b.Events, store.Proposal{At: store.At(fmt.Sprintf("order:%d", i%4), "shop"), Payload: p})
	}
	_, err := st.Commit(tb.Context(), b)
	require.NoError(tb, err)
}

func newRunner(tb testing.TB, st *store.Store, p *projector.Projector) *cursor.Runner {
	tb.Helper()
	w, err := p.CursorWorker()
	require.NoError(tb, err)
	r, err := cursor.NewRunner(tb.Context(), st, w)
	require.NoError(tb, err)
	return r
}

// toPark is the verdict that parks an event.
func toPark(reason error, attempts int) supervision.Verdict {
	return supervision.Verdict{Action: supervision.ActionPark, Reason: reason, Attempt: attempts}
}

// stepAll lets a runner handle everything.
func stepAll(tb testing.TB, r *cursor.Runner) {
	tb.Helper()
	for {
		out, err := r.Step(tb.Context(), 0, 0)
		require.NoError(tb, err)
		if out.CaughtUp {
			return
		}
	}
}

// requireExact compares the tables with the log: every event once, less those that are left out.
func requireExact(tb testing.TB, st *store.Store, db *sql.DB, leftOut ...store.Position) {
	tb.Helper()
	handled, sums := []string{}, map[string]int64{}
	for e, err := range st.Read(tb.Context(), store.Region{Category: "order"}, store.Beginning()) {
		require.NoError(tb, err)
		if len(leftOut) > 0 && leftOut[0] == e.Position {
			leftOut = leftOut[1:]
			continue
		}
		var body paid
		require.NoError(tb, e.Decode(&body))
		if e.Kind == "order.refunded" {
			body.Cents = -body.Cents
		}
		handled = append(handled, fmt.Sprint(e.Position))
		sums[e.Coordinate.Entity] += int64(body.Cents)
	}
	require.Equal(tb, strings.Join(handled, " "), column(tb, db, "SELECT position FROM handled ORDER BY position"))
	rows, err := db.QueryContext(tb.Context(), "SELECT entity, cents FROM totals")
	require.NoError(tb, err)
	defer rows.Close()
	got := map[string]int64{}
	for rows.Next() {
		var entity string
		var cents int64
		require.NoError(tb, rows.Scan(&entity, &cents))
		got[entity] = cents
	}
	require.NoError(tb, rows.Err())
	require.Equal(tb, sums, got)
}

func column(tb testing.TB, db *sql.DB, query string) string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), query)
	require.NoError(tb, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var value string
		require.NoError(tb, rows.Scan(&value))
		all = append(all, value)
	}
	require.NoError(tb, rows.Err())
	return strings.Join(all, " ")
}

// resetCold has the worker "totals" begin again, while none runs.
func resetCold(ctx context.Context, st *store.Store) error {
	_, err := checkpoint.Apply(ctx, st, "totals", checkpoint.Reset{}, checkpoint.Request{})
	return err
}
