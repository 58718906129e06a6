package reactor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

const (
	defaultMaxDepth     = 64
	defaultMaxReactions = 4096
)

// Reactor is a set of typed handlers that consume the log under one name. Its settings may be
// changed until it is started; their zero values are right for most reactors.
//
// It is a [supervision.Child] and a [cursor.Source].
type Reactor struct {
	cursor.Settings
	// Types say how payloads are read: with upcasters from older schema versions. Every kind that has
	// a handler must be among them. nil stands for each kind at the one version of its type.
	Types *Types
	// MaxDepth is the greatest [store.Event.Depth] that a reaction may have, which ends loops; 0
	// means 64.
	MaxDepth int
	// MaxReactions is the greatest number of reactions to one event, which ends storms; 0 means
	// 4096, and [cursor.MaxReactions] is the most, because the reactions to one event are never split.
	MaxReactions int
	// Lanes is how many events of different keys are handled at the same time; 0 and 1 mean one
	// after the other, in the order of the log. The handlers are then called from as many
	// goroutines, but never two at a time for one key. See [cursor.Worker].
	Lanes int
	// Volatile means no checkpoint: each start of the program handles everything again from
	// [Reactor.Start], by default from the beginning of the log, as what is kept in memory needs it.
	// Such a reactor emits nothing: a reaction halts it, with an [ErrVolatile]. What cannot be
	// handled halts it too, as there is nothing beside which it could be parked.
	// System.WaitCaughtUp of package actors tells when it has come to the end of the log.
	Volatile bool
	// SyncCheckpoints forces a sync for checkpoints without reactions, too.
	SyncCheckpoints bool

	name   string
	routes []Route
}

// New builds a reactor. The name is also the name of its worker and of its checkpoint: another name
// starts from [Reactor.Start] again, unless [Reactor.Formerly] has the one before.
//
// The kinds of the routes are bound to the checkpoint. With other routes the reactor does
// not start, with a checkpoint.ErrKindsChanged, because events of a new kind have been passed over,
// unless NewKinds says whether they are handled from now on, or those of the past first.
//
// It never fails: an invalid definition is the error of [Reactor.CursorWorker] and of
// [Reactor.React].
func New(name string, routes ...Route) *Reactor {
	return &Reactor{name: name, routes: slices.Clone(routes)}
}

// Spec describes the reactor to its supervisor.
func (r *Reactor) Spec() supervision.Spec {
	return cursor.Worker{Name: r.name}.With(r.Settings).Spec()
}

// CursorWorker returns the worker that runs the reactor as it is set now; later changes of the
// settings do not reach it. The error joins all that is invalid: an [ErrDefinition] for each route,
// a [supervision.SettingError] for each limit, and a [cursor.ErrWorker] for what the worker would
// refuse, such as the name or a handled kind outside the region.
func (r *Reactor) CursorWorker() (cursor.Worker, error) {
	_, w, err := r.define()
	return w, err
}

// React calls the handlers of events outside any worker, one after the other, and returns what they
// emit and none of them cancels; nothing is written. What it keeps begins empty, and is kept from
// one event to the next. It ends with the first that fails: then it returns what those before
// emitted, and the error, which names the event where there are several. One that was erased, and
// has no handler for that, is passed over. An event that the reactor does not read is an
// [ErrUnseen]. An invalid reactor returns the error of [Reactor.CursorWorker].
func (r *Reactor) React(ctx context.Context, events ...store.Event) ([]Reaction, error) {
	d, _, err := r.define()
	if err != nil {
		return nil, err
	}
	b := cursor.NewBatch(events, cursor.Ownership{})
	var reactions reacted
	for i := range events {
		e := &events[i]
		if err := d.reactAlone(ctx, e, b, i); err != nil {
			if len(events) > 1 {
				err = fmt.Errorf("event %d (%s at %s): %w", e.Position, e.Kind, e.Coordinate, err)
			}
			return reactions.list(), err
		}
		reactions = reactions.after(b, i)
	}
	return reactions.list(), nil
}

// reacted is what events have emitted, and not taken back.
type reacted []cursor.Scheduled

// after takes in what an event of a batch emits and takes back.
func (r reacted) after(b *cursor.Batch, i int) reacted {
	for _, t := range b.Unscheduled(i) {
		r = slices.DeleteFunc(r, func(s cursor.Scheduled) bool { return s.Ticket == t })
	}
	return append(r, b.StagedFor(i)...)
}

func (r reacted) list() (reactions []Reaction) {
	for _, s := range r {
		p := s.Proposal
		reactions = append(reactions, Reaction{
			At: p.At, Payload: p.Payload, Expect: p.Expect, Headers: p.Headers, Meta: p.Meta, Bypass: p.Bypass, Due: s.Due,
		})
	}
	return reactions
}

// reactAlone is react outside any worker, which has sorted out what is not read.
func (d *definition) reactAlone(ctx context.Context, e *store.Event, b *cursor.Batch, i int) error {
	if !d.reads.Matches(*e) {
		return d.unseen(e)
	}
	return d.react(ctx, call{reactor: d.name, event: e}, b, i)
}

// definition is a valid reactor, out of reach of later changes of its settings.
type definition struct {
	name   string
	reads  store.Region // the region narrowed to the kinds that have routes
	types  *Types
	routes map[string]bound
	limits limits

	mute     bool // it must not emit
	stateful bool // a route keeps states
	erased   bool // there is a handler of erased events
	givesUp  bool // and one of what is given up
}

// define checks the reactor and reports all that is invalid at once.
func (r *Reactor) define() (*definition, cursor.Worker, error) {
	d := &definition{name: r.name, reads: r.Region, types: r.Types, mute: r.Volatile, routes: make(map[string]bound, len(r.routes))}
	d.limits = limits{depth: r.MaxDepth, perEvent: r.MaxReactions}
	errs := []error{d.limits.complete(), d.types.Err()}
	if len(r.routes) == 0 {
		errs = append(errs, fmt.Errorf("%w: no routes", ErrDefinition))
	}
	for _, route := range r.routes {
		errs = append(errs, d.add(route))
	}
	errs = append(errs, d.complete())
	d.reads.Kinds, d.reads.Category = slices.Sorted(maps.Keys(d.routes)), ""
	if d.stateful && r.Key != nil {
		errs = append(errs, fmt.Errorf("%w: Key has no place beside the keys of states", ErrDefinition))
	}
	w, err := r.worker(d).CursorWorker()
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, cursor.Worker{}, fmt.Errorf("reactor %q: %w", r.name, err)
	}
	return d, w, nil
}

func (r *Reactor) worker(d *definition) cursor.Worker {
	w := cursor.Worker{
		Name: r.name, Kinds: d.reads.Kinds, SchemaVersions: d.newest(), Handle: d.handle,
		Lanes: r.Lanes, Volatile: r.Volatile, SyncCheckpoints: r.SyncCheckpoints, Stateful: d.stateful,
		Erased: d.erased,
	}.With(r.Settings)
	if d.stateful {
		w.Key = d.key
	}
	if d.givesUp {
		w.GiveUp = d.giveUp
	}
	return w
}

// key of an event is that of its state. One that cannot be read will fail, and waits for no other
// state then.
func (d *definition) key(e store.Event) string {
	if route := d.routes[e.Kind]; route.key != nil {
		if key, err := route.key(&e); err == nil {
			return key
		}
	}
	return e.Coordinate.Entity
}

// newest are the newest schema versions that are read, by kind.
func (d *definition) newest() map[string]uint16 {
	versions := make(map[string]uint16, len(d.routes))
	for kind, route := range d.routes {
		versions[kind] = route.newest
	}
	return versions
}

// add takes a route in, or says why not.
func (d *definition) add(route Route) error {
	if route.bind == nil {
		return fmt.Errorf("%w: a route that was not made by On or OnState", ErrDefinition)
	}
	b, err := route.bind(d.types)
	if err != nil {
		return err
	}
	for _, other := range d.routes {
		if b.typ != nil && other.state == b.state && other.typ != nil && other.typ != b.typ {
			return invalid(b.state, fmt.Sprintf("is the kind of two types of state, %v and %v", other.typ, b.typ))
		}
	}
	b, ok := join(d.routes[b.kind], b)
	if !ok {
		return invalid(b.kind, "has more than one route")
	}
	d.routes[b.kind] = b
	d.stateful = d.stateful || b.key != nil
	return nil
}

// complete looks for kinds of which only events that are erased or given up have a handler.
func (d *definition) complete() error {
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(d.routes)) {
		b := d.routes[kind]
		d.erased, d.givesUp = d.erased || b.erased != nil, d.givesUp || b.givenUp != nil
		switch {
		case b.handle != nil:
		case b.erased == nil:
			errs = append(errs, invalid(kind, "has a route for what is given up alone"))
		default:
			errs = append(errs, invalid(kind, "has a route for erased events alone"))
		}
	}
	return errors.Join(errs...)
}

// complete puts the defaults in and checks the rest.
func (l *limits) complete() error {
	if l.depth == 0 {
		l.depth = defaultMaxDepth
	}
	if l.perEvent == 0 {
		l.perEvent = defaultMaxReactions
	}
	return errors.Join(
		checkSetting("MaxDepth", l.depth, 1, math.MaxInt32),
		checkSetting("MaxReactions", l.perEvent, 1, cursor.MaxReactions))
}

func checkSetting(field string, value, least, most int) error {
	if value < least || value > most {
		return &supervision.SettingError{Field: field, Rule: fmt.Sprintf("must be %d to %d", least, most), Value: value}
	}
	return nil
}

// handle is what the worker calls with each batch. Reactions to an event that fails are staged like
// others: the batch drops them.
func (d *definition) handle(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
	name := d.effectName(b)
	for i := range b.Events {
		if err := ctx.Err(); err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
		within := b.Enter(ctx, i)
		c := call{reactor: name, event: &b.Events[i], replayed: b.Replayed(i)}
		if err := d.react(within, c, b, i); err != nil {
			return cursor.Continue, cursor.FailedAt(i, traced(ctx, b, i, err))
		}
	}
	return cursor.Continue, nil
}

// effectName is the name that effect keys begin with: of a reactor with a checkpoint, the first
// that this had.
func (d *definition) effectName(b *cursor.Batch) string {
	if owner, _ := b.AtLeastOnce(); owner.FirstName != "" {
		return string(owner.FirstName)
	}
	return d.name
}

// react handles one event, the i-th of a batch, and stages the reactions to it. The handler's own
// error comes before that of what it staged: it may be a directive.
func (d *definition) react(ctx context.Context, c call, b *cursor.Batch, i int) error {
	route, ok := d.routes[c.event.Kind]
	if !ok {
		return d.unseen(c.event)
	}
	handle := route.handle
	if _, erased := c.event.Erased(); erased {
		handle = route.erased
	}
	if handle == nil {
		return nil // passed over
	}
	out := &Reactions{batch: b, index: i, of: d}
	defer out.close()
	if err := handle(ctx, c, out); err != nil {
		return err
	}
	return out.invalid
}

// traced adds the chain of causes to the errors that are about it.
func traced(ctx context.Context, b *cursor.Batch, i int, err error) error {
	var loop *LoopError
	if errors.As(err, &loop) {
		loop.Chain = append([]store.Event{b.Events[i]}, b.Trace(ctx, i)...)
	}
	return err
}

func (d *definition) unseen(e *store.Event) error {
	return fmt.Errorf("%w: %d (%s at %s) is not among (%s)", ErrUnseen, e.Position, e.Kind, e.Coordinate, d.reads)
}
