package projector_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
)

type paid struct{ Cents int }

func (paid) Kind() string { return "order.paid" }

// unconnected is the connector of a database that is never reached: no driver is a requirement of
// this module. What needs one is tested in drivertest.
type unconnected struct{}

func (unconnected) Connect(context.Context) (driver.Conn, error) { return nil, errors.ErrUnsupported }
func (unconnected) Driver() driver.Driver                        { return nil }

func TestAnInvalidProjectorIsRefusedWithTheReason(t *testing.T) {
	db := sql.OpenDB(unconnected{})
	defer db.Close()
	ok := projector.On(func(context.Context, *sql.Tx, reactor.Event[paid]) error { return nil })
	gone := projector.OnErased(func(context.Context, *sql.Tx, reactor.Event[paid]) error { return nil })
	for want, p := range map[string]*projector.Projector{
		"for erased events alone": projector.New("p", db, gone),
		"more than one":           projector.New("p", db, ok, gone, gone),
		"nil handler of erased":   projector.New("p", db, ok, projector.OnErased[paid](nil)),
		"no database":             projector.New("p", nil, ok),
		"no routes":               projector.New("p", db),
		"more than one route":     projector.New("p", db, ok, ok),
		"has a nil handler":       projector.New("p", db, projector.On[paid](nil)),
		"must be a value type":    projector.New("p", db, projector.On[*paid](nil)),
		"is empty":                projector.New("", db, ok),
		"lies outside the region": with(projector.New("p", db, ok), func(p *projector.Projector) { p.Region.Category = "x" }),
		"must not be negative":    with(projector.New("p", db, ok), func(p *projector.Projector) { p.BatchSize = -1 }),
	} {
		_, err := p.CursorWorker()
		require.ErrorContains(t, err, want)
	}
}

func with(p *projector.Projector, change func(*projector.Projector)) *projector.Projector {
	change(p)
	return p
}
