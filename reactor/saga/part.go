package saga

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// Part is a part of the definition of a saga with a state of type S.
type Part[S any] interface {
	add(d *definition[S]) error
}

// part is a part that is a function.
type part[S any] func(d *definition[S]) error

func (p part[S]) add(d *definition[S]) error { return p(d) }

// Option is an option of an input.
type Option func(*phases)

// phases are those in which an input is expected, and those to which it may lead.
type phases struct{ in, to []string }

// In says in which phases an input is expected. Without it that is any phase.
func In(list ...string) Option { return func(p *phases) { p.in = append(p.in, list...) } }

// To says to which phases an input may lead; another one is an [ErrTransition]. Without it that is
// any phase.
func To(list ...string) Option { return func(p *phases) { p.to = append(p.to, list...) } }

func phasesOf(options []Option) (p phases) {
	for _, o := range options {
		o(&p)
	}
	return p
}

// input is what handles the events of a kind.
type input[S any] struct {
	phases
	call func(ctx context.Context, e *store.Event, tx *Tx[S]) error
	// optional says that it is passed over where it does not fit.
	optional bool
}

// expected reports whether it fits into a phase.
func (p phases) expected(phase string) bool {
	return len(p.in) == 0 || slices.Contains(p.in, phase)
}

// route leads the events of a kind to an instance.
type route[S any] struct {
	kind   string
	newest uint16
	key    func(e *store.Event) (string, error) // or a value of the alias
	alias  string
	start  *input[S] // of a new instance, or nil
	on     *input[S] // of one that is there, or nil
}

// Start begins an instance with an event: key returns its key, 1 to 256 bytes of text. An event
// for a key that has an instance is a duplicate, unless the saga has an [On] for its kind, too, or
// Saga.Restarts allows another run. Where a kind has both, the key of the first one counts.
func Start[S any, T store.Payload](
	key func(body T) string, handle func(ctx context.Context, e reactor.Event[T], tx *Tx[S]) error, options ...Option,
) Part[S] {
	return routeOf("Start", "", key, handle, options, func(r *route[S], in *input[S]) { r.start = in })
}

// On handles the events of a kind that find their instance by its key.
func On[S any, T store.Payload](
	key func(body T) string, handle func(ctx context.Context, e reactor.Event[T], tx *Tx[S]) error, options ...Option,
) Part[S] {
	return routeOf("On", "", key, handle, options, func(r *route[S], in *input[S]) { r.on = in })
}

// Via handles the events of a kind that find their instance by an alias, which [Tx.Alias] has
// registered: value returns that, such as the reference of a payment.
func Via[S any, T store.Payload](
	alias string, value func(body T) string, handle func(ctx context.Context, e reactor.Event[T], tx *Tx[S]) error, options ...Option,
) Part[S] {
	return routeOf("Via", alias, value, handle, options, func(r *route[S], in *input[S]) { r.on = in })
}

// Starts begins an instance of [Steps] with an event: set makes its state.
func Starts[S any, T store.Payload](key func(body T) string, set func(state *S, body T)) Part[S] {
	var handle func(context.Context, reactor.Event[T], *Tx[S]) error
	if set != nil {
		handle = func(_ context.Context, e reactor.Event[T], tx *Tx[S]) error {
			set(&tx.State, e.Body)
			return nil
		}
	}
	return routeOf("Starts", "", key, handle, nil, func(r *route[S], in *input[S]) { r.start = in })
}

// CancelOn has an event end an instance: what was done is undone, with [ErrCancelled]. Behind the
// pivot, and where there is no instance, it is recorded and has no effect.
func CancelOn[S any, T store.Payload](key func(body T) string) Part[S] {
	handle := func(_ context.Context, _ reactor.Event[T], tx *Tx[S]) error {
		tx.cancel()
		return nil
	}
	return routeOf("CancelOn", "", key, handle, nil, func(r *route[S], in *input[S]) {
		in.optional = true
		r.on = in
	})
}

func routeOf[S any, T store.Payload](
	what, alias string, key func(T) string, handle func(context.Context, reactor.Event[T], *Tx[S]) error,
	options []Option, set func(*route[S], *input[S]),
) Part[S] {
	return part[S](func(d *definition[S]) error {
		decoder, err := reactor.NewDecoder[T](d.types)
		if err != nil {
			return err
		}
		if key == nil || handle == nil {
			return invalid(d.name, what+" of "+decoder.Kind, "has a nil function")
		}
		r := route[S]{kind: decoder.Kind, newest: decoder.Newest(), alias: alias, key: keyOf(decoder, key)}
		set(&r, &input[S]{phases: phasesOf(options), call: func(ctx context.Context, e *store.Event, tx *Tx[S]) error {
			typed, err := decoder.Decode(d.name, *e)
			if err != nil {
				return err
			}
			return handle(ctx, typed, tx)
		}})
		d.free = d.free || what != "Starts" && what != "CancelOn"
		return d.route(&r)
	})
}

// keyOf calls the key function of an event. What is wrong there is a fault of the event.
func keyOf[T store.Payload](decoder reactor.Decoder[T], key func(T) string) func(*store.Event) (string, error) {
	return func(e *store.Event) (k string, err error) {
		typed, err := decoder.Decode("", *e)
		if err != nil {
			return "", err
		}
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("%w: its function panicked: %v", ErrKey, v)
			}
		}()
		k = key(typed.Body)
		return k, checkKey(k)
	}
}

func checkKey(key string) error {
	w := store.SideWrite{Key: key}
	if err := w.Validate(); err != nil || len(key) > maxKeyBytes {
		return fmt.Errorf("%w: %.300q", ErrKey, key)
	}
	return nil
}

// timerInput handles a timer.
type timerInput[S any] struct {
	phases
	call func(ctx context.Context, f Fired, tx *Tx[S]) error
}

// OnTimer handles a timer that [Tx.After] or [Tx.At] has set.
func OnTimer[S any](
	name string, handle func(ctx context.Context, f Fired, tx *Tx[S]) error, options ...Option,
) Part[S] {
	return part[S](func(d *definition[S]) error {
		_, twice := d.timers[name]
		switch {
		case handle == nil:
			return invalid(d.name, "timer "+name, "has a nil handler")
		case twice || name == deadlineTimer:
			return invalid(d.name, "timer "+name, "is defined twice")
		}
		d.timers[name] = &timerInput[S]{phases: phasesOf(options), call: handle}
		return checkName(d.name, "timer", name)
	})
}

// checkName requires a name that can be part of keys.
func checkName(saga, what, name string) error {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	ok := name != "" && len(name) <= maxNameBytes
	for _, c := range name {
		ok = ok && plain(c)
	}
	if !ok {
		return invalid(saga, fmt.Sprintf("%s %.80q", what, name), "is not of 1 to 64 letters, digits, '-' and '_'")
	}
	return nil
}
