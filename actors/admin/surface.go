package admin

import (
	"context"
	"errors"
	"iter"
	"os"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/store"
)

// Mode is how a surface knows what it says.
type Mode string

// The modes; the package comment tells them apart.
const (
	Live   Mode = "live"
	Beside Mode = "beside"
	Cold   Mode = "cold"
)

// View says how an answer was found.
type View struct {
	Mode Mode `json:"mode"`
	// AsOf is the position up to which the log was seen.
	AsOf store.Position `json:"asOf"`
	// Directory of the store, where it is known.
	Directory string `json:"directory,omitempty"`
	// Owner is the process that has the store open for writing, nil where none has.
	Owner *store.Owner `json:"owner,omitempty"`
	// Note is why it is not seen live, "" where it is, or no process has it open.
	Note string `json:"note,omitempty"`
}

// Options of a surface in the process of the system.
type Options struct {
	// Redact returns the payload of an event as operators may see it; nil shows it as it is. It is
	// called by many goroutines. States of sagas, and results of their steps, come as events of the
	// instance with the kinds "saga.NAME.state" and "saga.NAME.result".
	Redact func(store.Event) []byte
	// Sagas are those of the program. Of others that the log has less is seen, and nothing can be
	// done: see SagaStatus.Untyped.
	Sagas []Saga
	// ErasedSides says what of an erasure the program keeps elsewhere: reactor.ErasedSides of its
	// reactors and sagas. nil is checkpoint.ErasedSides, which reaches what is parked.
	ErasedSides func(context.Context, func(store.Position) bool) ([]store.SideWrite, error)
}

// Surface is what can be seen and done. It is safe for concurrent use.
//
// Each error of its methods is an [*Error], whose [Code] says of what kind it is: of each method
// Usage for what breaks a rule, NotFound for a worker, an event or an entity that there is not,
// Damage, and Unreachable where another process is asked and does not answer, or ctx ends. Of a
// change also Refused beside a writer, Forbidden for a caller without [Control], and Unknown where
// the answer of another process was lost: it may be done. Within an [*Error] of this process stands
// what the packages below have returned. In a list an error is the last thing that is yielded.
type Surface struct {
	here   *here   // nil where another process is asked
	remote *remote // nil where this one answers
	close  func() error
}

// here answers in this process.
type here struct {
	st      *store.Store   // in the modes Beside and Cold it only reads
	sys     *actors.System // nil unless Live
	mode    Mode
	dir     string // "" where it is not known
	owner   *store.Owner
	note    string
	options Options
}

// New returns the surface of a store that this process has open for writing, and of the system that
// runs on it; nil for no system. They stay the caller's: Close of the surface closes neither.
func New(st *store.Store, sys *actors.System, o Options) *Surface {
	owner := &store.Owner{PID: os.Getpid()}
	owner.Program, _ = os.Executable() // "" is allowed
	return &Surface{here: &here{st: st, sys: sys, mode: Live, owner: owner, options: o}, close: func() error { return nil }}
}

// Close ends what [Open] has opened.
func (s *Surface) Close() error { return s.close() }

// View says how the surface knows what it says, as of now.
func (s *Surface) View(ctx context.Context) (View, error) { return view().ask(ctx, s, nothing{}) }

func view() question[nothing, View] {
	return question[nothing, View]{"view", Read, func(_ context.Context, h *here, _ nothing) (View, error) { return h.view(), nil }}
}

func (h *here) view() View {
	v := View{Mode: h.mode, AsOf: h.st.Head(), Directory: h.dir, Owner: h.owner, Note: h.note}
	if h.mode == Live {
		return v
	}
	// Since it was opened a process may have opened the store, or have ended.
	if owner, err := store.OwnerOf(h.dir); err == nil && owner == nil {
		v.Mode, v.Owner, v.Note = Cold, nil, ""
	} else if err == nil {
		v.Mode, v.Owner = Beside, owner
	}
	return v
}

// change runs a change on a store that is open for writing: the one of this process, or where
// no process has it open, one that is opened for it. It takes in what was changed.
func (h *here) change(ctx context.Context, do func(context.Context, *store.Store) error) (err error) {
	switch v := h.view(); v.Mode {
	case Live:
		return do(ctx, h.st)
	case Beside:
		return fail(Refused, "stop it, or have it serve a surface: admin.Listen", "%s has the store open, and nothing is changed beside it", owned(v.Owner))
	case Cold:
	}
	st, err := store.Open(h.dir, store.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return do(ctx, st)
}

// nothing is what a question without parameters has, and the answer of a change without result.
type nothing struct{}

// question is one operation of the surface with one answer, here or elsewhere. It is where the
// methods of Surface, the paths of [Handler] and what the client sends meet.
type question[Q, A any] struct {
	name   string // its path below v1/
	access Access // what the caller needs; Control says that it changes something
	answer func(ctx context.Context, h *here, q Q) (A, error)
}

func (o question[Q, A]) ask(ctx context.Context, s *Surface, q Q) (a A, err error) {
	if s.remote != nil {
		err = s.remote.ask(ctx, o.name, o.access, q, &a)
	} else {
		a, err = o.answer(ctx, s.here, q)
	}
	return a, said(err)
}

// listing is one operation with any number of answers.
type listing[Q, A any] struct {
	name   string
	access Access
	answer func(ctx context.Context, h *here, q Q) iter.Seq2[A, error]
}

func (o listing[Q, A]) ask(ctx context.Context, s *Surface, q Q) iter.Seq2[A, error] {
	return func(yield func(A, error) bool) {
		answers := func() iter.Seq2[A, error] {
			if s.remote != nil {
				return listen[A](ctx, s.remote, o.name, q)
			}
			return o.answer(ctx, s.here, q)
		}
		for a, err := range answers() {
			if !yield(a, said(err)) {
				return
			}
		}
	}
}
