package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/lineage"
)

// Saga is one that the program has. [SagaOf] makes it.
type Saga struct {
	name    string
	untyped bool // its definition is not here
	of      func(*store.Store) instances
}

// SagaOf lets a surface know the definition of a saga: what can be done to its instances needs
// that, and some of what can be seen.
func SagaOf[S any](s *saga.Saga[S]) Saga {
	return Saga{name: s.Name(), of: func(st *store.Store) instances { return typed[S]{s.In(st), s.Picture} }}
}

// sagaNamed is one of which the log alone is known.
func sagaNamed(name string) Saga {
	return Saga{name: name, untyped: true, of: func(st *store.Store) instances {
		return typed[json.RawMessage]{saga.Untyped(st, name), func() (lineage.Picture, error) { return lineage.Picture{}, undefined(name) }}
	}}
}

// undefined refuses what needs the definition of a saga.
func undefined(name string) error {
	hint := "ask the surface of its program, or a command of that: admin.Options.Sagas"
	return &Error{Code: Refused, Text: fmt.Sprintf("the definition of saga %q is not here", name), Hint: hint, err: saga.ErrUndefined}
}

// instances are those of a saga in a log, whatever their states are.
type instances interface {
	Counts() (map[saga.Life]int, error)
	Explain(key string) (string, error)
	Picture(key string) (lineage.Picture, error)
	Inputs(ctx context.Context, key string) ([]saga.Input, error)
	KeyOf(e store.Event) (string, error)

	// whole is the picture of the saga itself.
	whole() (lineage.Picture, error)
	one(key string) (Instance, error)
	// list yields those that match; the damage of one comes with its key.
	list(f saga.Filter) iter.Seq2[Instance, error]
	call(ctx context.Context, q SagaRequest, r checkpoint.Request) (store.Receipt, error)
}

// typed are those with a state of type S.
type typed[S any] struct {
	*saga.Instances[S]

	picture func() (lineage.Picture, error)
}

func (t typed[S]) whole() (lineage.Picture, error) { return t.picture() }

func (t typed[S]) one(key string) (Instance, error) {
	o, err := t.Get(key)
	if err != nil {
		return Instance{}, err
	}
	return plain(o)
}

func (t typed[S]) list(f saga.Filter) iter.Seq2[Instance, error] {
	return func(yield func(Instance, error) bool) {
		for o, err := range t.List(f) {
			out := Instance{Key: o.Key}
			if err == nil {
				out, err = plain(o)
			}
			if !yield(out, err) {
				return
			}
		}
	}
}

// SagaStatus is how many instances a saga has.
type SagaStatus struct {
	Name string `json:"name"`
	// Untyped says that its definition is not here: see [saga.Untyped] for what cannot be seen then.
	// Nothing can be done to its instances.
	Untyped bool `json:"untyped,omitempty"`
	// Instances by their life, without those of which there are none.
	Instances map[saga.Life]int `json:"instances"`
	// Error is why they cannot be counted, "" in good order.
	Error string `json:"error,omitempty"`
}

// Sagas returns the sagas of the program, and those that the log has besides, by name.
func (s *Surface) Sagas(ctx context.Context) ([]SagaStatus, error) {
	return sagas().ask(ctx, s, nothing{})
}

func sagas() question[nothing, []SagaStatus] {
	return question[nothing, []SagaStatus]{"sagas", Read, func(_ context.Context, h *here, _ nothing) ([]SagaStatus, error) {
		return h.sagas()
	}}
}

func (h *here) sagas() ([]SagaStatus, error) {
	all, err := h.allSagas()
	out := make([]SagaStatus, 0, len(all))
	for _, s := range all {
		counts, err := s.of(h.st).Counts()
		out = append(out, SagaStatus{Name: s.name, Untyped: s.untyped, Instances: counts, Error: text(err)})
	}
	return out, err
}

// allSagas are those of the program, and of the log, by name.
func (h *here) allSagas() ([]Saga, error) {
	all := slices.Clone(h.options.Sagas)
	names, err := saga.Names(h.st)
	for _, name := range names {
		if !slices.ContainsFunc(all, func(s Saga) bool { return s.name == name }) {
			all = append(all, sagaNamed(name))
		}
	}
	slices.SortFunc(all, func(a, b Saga) int { return strings.Compare(a.name, b.name) })
	return all, err
}

// shelf is where the instances of a saga are.
type shelf struct {
	Saga

	h  *here
	in instances // as they were committed
}

// shelf finds a saga by its name.
func (h *here) shelf(name string) (shelf, error) {
	if name == "" {
		return shelf{}, fail(Usage, "", "the name of a saga is missing")
	}
	all, err := h.allSagas()
	names := make([]string, 0, len(all))
	for _, s := range all {
		if s.name == name {
			return shelf{Saga: s, h: h, in: s.of(h.st)}, nil
		}
		names = append(names, s.name)
	}
	if err != nil {
		return shelf{}, err
	}
	return shelf{}, fail(NotFound, "there are: "+strings.Join(names, ", "), "no saga is called %q", name)
}

// InstanceQuery selects instances of a saga: those that meet all of it.
type InstanceQuery struct {
	Saga string `json:"saga"`
	// Life is any of those, as "stuck"; none means any. See [saga.Filter] for what it costs.
	Life  []string `json:"life,omitempty"`
	Phase string   `json:"phase,omitempty"`
	// OlderThan is how long they have been as they are.
	OlderThan Duration `json:"olderThan,omitempty"`
	// Unrunnable are only those that their program cannot continue.
	Unrunnable bool `json:"unrunnable,omitempty"`
	Limit      int  `json:"limit,omitempty"` // 0 for any number
}

func (q InstanceQuery) filter() (f saga.Filter, err error) {
	f = saga.Filter{Phase: q.Phase, OlderThan: time.Duration(q.OlderThan), Unrunnable: q.Unrunnable, Lives: make([]saga.Life, len(q.Life))}
	for i, name := range q.Life {
		if err := f.Lives[i].UnmarshalText([]byte(name)); err != nil {
			return f, fail(Usage, "", "no such life: %q", name)
		}
	}
	return f, nil
}

// Instances yields instances of a saga, by key, or by life and key where that costs less. An error
// is the last thing that it yields; one instance that cannot be read is none, see Instance.Damage.
func (s *Surface) Instances(ctx context.Context, q InstanceQuery) iter.Seq2[Instance, error] {
	return listInstances().ask(ctx, s, q)
}

func listInstances() listing[InstanceQuery, Instance] {
	return listing[InstanceQuery, Instance]{"instances", Read, func(ctx context.Context, h *here, q InstanceQuery) iter.Seq2[Instance, error] {
		return func(yield func(Instance, error) bool) {
			s, err := h.shelf(q.Saga)
			if err == nil {
				err = s.list(ctx, q, yield)
			}
			if err != nil {
				yield(Instance{}, err)
			}
		}
	}}
}

// list yields instances. An error is for the caller to yield: it has yielded none.
func (s *shelf) list(ctx context.Context, q InstanceQuery, yield func(Instance, error) bool) error {
	f, err := q.filter()
	if err != nil {
		return err
	}
	left := q.Limit
	for o, err := range s.in.list(f) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if o.Key == "" {
			return err
		}
		o.Damage = text(err)
		s.show(ctx, &o)
		left--
		if !yield(o, nil) || left == 0 {
			return nil
		}
	}
	return nil
}

// instanceRef names one instance.
type instanceRef struct {
	Saga string `json:"saga"`
	Key  string `json:"key,omitempty"`
}

// Instance returns one instance of a saga, with all that is known of it. NotFound: there is none.
func (s *Surface) Instance(ctx context.Context, name, key string) (Instance, error) {
	return oneInstance().ask(ctx, s, instanceRef{name, key})
}

func oneInstance() question[instanceRef, Instance] {
	return question[instanceRef, Instance]{"instance", Read, func(ctx context.Context, h *here, q instanceRef) (Instance, error) {
		s, err := h.shelf(q.Saga)
		if err != nil {
			return Instance{}, err
		}
		return s.one(ctx, q.Key)
	}}
}

func (s *shelf) one(ctx context.Context, key string) (Instance, error) {
	o, err := s.in.one(key)
	if err != nil {
		return o, err
	}
	s.show(ctx, &o)
	o.Failing = s.failing(ctx, key)
	o.Explain, err = s.in.Explain(key)
	return o, err
}

// failing are the inputs and requests of an instance that failed and are tried again.
func (s *shelf) failing(ctx context.Context, key string) (list []Failing) {
	if s.h.sys == nil {
		return nil
	}
	workers := s.h.sys.Status().Workers
	for i := range workers {
		w := &workers[i]
		if strings.TrimSuffix(w.Name, ".do") != s.name {
			continue
		}
		for _, f := range w.Failing {
			e, err := s.h.st.GetAt(ctx, f.Event)
			if err != nil {
				continue
			}
			if of, err := s.in.KeyOf(e); err == nil && of == key {
				list = append(list, failing(f))
			}
		}
	}
	return list
}

// SagaPicture returns an instance as boxes and arrows, to be drawn; with the key "" the saga
// itself, which needs its definition.
func (s *Surface) SagaPicture(ctx context.Context, name, key string) (lineage.Picture, error) {
	return sagaPicture().ask(ctx, s, instanceRef{name, key})
}

func sagaPicture() question[instanceRef, lineage.Picture] {
	return question[instanceRef, lineage.Picture]{"saga-picture", Read, func(_ context.Context, h *here, q instanceRef) (lineage.Picture, error) {
		s, err := h.shelf(q.Saga)
		switch {
		case err != nil:
			return lineage.Picture{}, err
		case q.Key == "":
			return s.in.whole()
		}
		return s.in.Picture(q.Key)
	}}
}
