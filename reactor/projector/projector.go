package projector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// ErrNoDatabase is the error of a projector without a database.
var ErrNoDatabase = errors.New("projector: no database")

// Projector is a set of typed handlers that write events into a database. Its settings may be
// changed until it is started; their zero values are right for most.
//
// It is a [supervision.Child] and a [cursor.Source]. A worker of it keeps its position itself, so
// it can be paused, and its parked events replayed, but rewinding, resetting and widening it is
// refused with cursor.ErrExternalPosition: see [Projector.Forget]. To have the past of a new kind,
// build the tables again: checkpoint.NewKindsBackfill is refused.
//
// BatchSize is the largest number of events of a transaction. Timeout bounds a transaction: then
// the context of its handlers ends and it is rolled back. Start is where a projector begins for
// which the database has no row yet. A database that cannot be reached is waited for, and is no
// attempt at an event. A commit that it refuses is one, as for a deferred constraint.
//
// An event that was skipped or discarded is tried again after a restart if no event after it has
// been committed, and so is one after the position of a database that was restored from an older
// copy.
type Projector struct {
	cursor.Settings
	// Types say how payloads are read, as for a [reactor.Reactor].
	Types *reactor.Types

	name   string
	db     *sql.DB
	routes []Route
}

// New builds a projector. The name is that of its worker, of its checkpoint, and of its row in the
// database. All three are renamed where they still have one of the names in Formerly.
//
// It never fails: an invalid definition is the error of [Projector.CursorWorker], and so of
// actors.Start.
func New(name string, db *sql.DB, routes ...Route) *Projector {
	return &Projector{name: name, db: db, routes: slices.Clone(routes)}
}

// Route leads the events of one kind to their handler. It is made by [On] or [OnErased].
type Route struct {
	// bind finds out how the payloads are read, when the projector is defined.
	bind func(*reactor.Types) (bound, error)
}

// bound is a route with what its payloads are read with. One of the handlers is nil, until those of
// a kind are put together: only erased may stay so.
type bound struct {
	kind   string
	newest uint16 // schema version that is read
	apply  handler
	erased handler // of events whose content was erased
}

// handler is a handler whose payload type is forgotten.
type handler func(context.Context, *sql.Tx, call) error

// call is one event for a handler.
type call struct {
	worker string
	event  store.Event
}

// On routes events whose kind is that of T's zero value to handle, which writes through tx and
// nothing else: what it writes is committed together with the position, or not at all. It must not
// commit or roll back tx, nor use it after it has returned. The handler may be called again for the
// same event, but never after its writes were committed.
//
// T is as for [reactor.On].
func On[T store.Payload](handle func(ctx context.Context, tx *sql.Tx, e reactor.Event[T]) error) Route {
	return Route{bind: func(types *reactor.Types) (bound, error) {
		d, err := reactor.NewDecoder[T](types)
		if err == nil && handle == nil {
			err = invalidRoute(d.Kind, "has a nil handler")
		}
		return bound{kind: d.Kind, newest: d.Newest(), apply: func(ctx context.Context, tx *sql.Tx, c call) error {
			e, err := d.Decode(c.worker, c.event)
			if err != nil {
				return err
			}
			return handle(ctx, tx, e)
		}}, err
	}}
}

// OnErased routes events of T's kind whose content was erased to handle, which writes through tx as
// that of [On]; all else is as for [reactor.OnErased]. Without it they are passed over.
//
// It is for events that are erased before the tables have them. Rows of events that were handled
// before are for a projector of erasures to delete: see [store.ErasureAudit].
func OnErased[T store.Payload](handle func(ctx context.Context, tx *sql.Tx, e reactor.Event[T]) error) Route {
	return Route{bind: func(types *reactor.Types) (bound, error) {
		d, err := reactor.NewDecoder[T](types)
		if err == nil && handle == nil {
			err = invalidRoute(d.Kind, "has a nil handler of erased events")
		}
		return bound{kind: d.Kind, newest: d.Newest(), erased: func(ctx context.Context, tx *sql.Tx, c call) error {
			return handle(ctx, tx, d.Erased(c.worker, c.event))
		}}, err
	}}
}

func invalidRoute(route, rule string) error {
	return fmt.Errorf("%w: %q %s", reactor.ErrDefinition, route, rule)
}

// Spec describes the projector to its supervisor.
func (p *Projector) Spec() supervision.Spec {
	return cursor.Worker{Name: p.name}.With(p.Settings).Spec()
}

// CursorWorker returns the worker that runs the projector as it is set now. The error joins all
// that is invalid: [ErrNoDatabase], errors of the routes as for a reactor, and [cursor.ErrWorker]
// for what the worker would refuse.
func (p *Projector) CursorWorker() (cursor.Worker, error) {
	routes, err := p.bind()
	errs := []error{p.Types.Err(), err}
	if p.db == nil {
		errs = append(errs, ErrNoDatabase)
	}
	l, newest := &ledger{db: p.db, table: table{worker: p.name}, routes: routes}, make(map[string]uint16, len(routes))
	for kind, b := range routes {
		newest[kind] = b.newest
	}
	w, err := cursor.Worker{
		Name: p.name, Kinds: slices.Sorted(maps.Keys(routes)), SchemaVersions: newest,
		Handle: l.handle, ExternalPosition: l.locate,
		Erased: true, // the rows have to say that a parked one is done
	}.With(p.Settings).CursorWorker()
	if err := errors.Join(append(errs, err)...); err != nil {
		return cursor.Worker{}, fmt.Errorf("projector %q: %w", p.name, err)
	}
	return w, nil
}

// bind returns the routes by kind, and all that is wrong with them.
func (p *Projector) bind() (map[string]bound, error) {
	routes, errs := make(map[string]bound, len(p.routes)), []error(nil)
	if len(p.routes) == 0 {
		errs = append(errs, fmt.Errorf("%w: no routes", reactor.ErrDefinition))
	}
	for _, r := range p.routes {
		if r.bind == nil {
			errs = append(errs, fmt.Errorf("%w: a route that was not made by On", reactor.ErrDefinition))
			continue
		}
		b, err := r.bind(p.Types)
		known := routes[b.kind]
		switch {
		case err != nil:
			errs = append(errs, err)
		case known.apply != nil && b.apply != nil, known.erased != nil && b.erased != nil:
			errs = append(errs, invalidRoute(b.kind, "has more than one route"))
		}
		if b.apply == nil {
			b.apply = known.apply
		}
		if b.erased == nil {
			b.erased = known.erased
		}
		routes[b.kind] = b
	}
	for _, kind := range slices.Sorted(maps.Keys(routes)) {
		if b := routes[kind]; b.apply == nil && b.erased != nil {
			errs = append(errs, invalidRoute(kind, "has a route for erased events alone"))
		}
	}
	return routes, errors.Join(errs...)
}

// Forget removes what the database knows of the projector, in a transaction of the caller's:
// together with what the handlers have written, that is how to build it again. The next projector
// begins at Start; what is parked stays parked until it is replayed. One that runs meanwhile halts
// with [ErrForgotten] at its next batch, and begins at Start when it is resumed.
func (p *Projector) Forget(ctx context.Context, tx *sql.Tx) error {
	for _, name := range append([]string{p.name}, p.Formerly...) {
		for _, table := range []string{"penstock_position", "penstock_exception"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE worker = $1", name); err != nil {
				return fmt.Errorf("projector %q: forget: %w", p.name, err)
			}
		}
	}
	return nil
}
