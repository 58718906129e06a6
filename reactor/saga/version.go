package saga

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// With has instances that a former version of the saga has started continue by that: its handlers,
// steps and timers. Settings of the workers are those of s. It returns s.
//
// An instance of a version that is neither there nor has a [Migrate] is unrunnable, and so is one
// whose phase, timer, step or undo the definition does not have any more: see Saga.AllowUnrunnable.
func (s *Saga[S]) With(former ...*Saga[S]) *Saga[S] {
	s.former = append(s.former, former...)
	return s
}

// Place is where an instance is in its saga, for [Migrate].
type Place struct{ Phase string }

// Migrate takes instances of a former version over, whose state was of type Old: before the next
// input of each, and in the commit of that. migrate returns the state in this version, and may move
// the instance to another phase. What is in flight, set and to be undone keeps its names.
//
// An instance whose migration fails, panics, leads to a phase of a list of steps that is not there
// or to a state larger than Saga.MaxState is unrunnable, as one for which there is none: see
// Saga.AllowUnrunnable. Starts and queries call migrate, too, to find that out, so it does nothing
// else.
func Migrate[Old, S any](from uint32, migrate func(old Old, at *Place) (S, error)) Part[S] {
	return part[S](func(d *definition[S]) error {
		what := fmt.Sprintf("migration from version %d", from)
		switch {
		case migrate == nil:
			return invalid(d.name, what, "has a nil function")
		case from == d.version:
			return invalid(d.name, what, "is from the present version")
		case d.migrations[from] != nil:
			return invalid(d.name, what, "is there twice")
		}
		d.migrations[from] = func(rec *record) error {
			var old Old
			if err := decodeState(rec, &old); err != nil {
				return err
			}
			at := Place{Phase: rec.Phase}
			state, err := migrate(old, &at)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			if rec.State, err = d.encodeState(&state); err == nil {
				err = together(rec)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			rec.Phase, rec.Version = at.Phase, d.version
			return nil
		}
		return nil
	})
}

// program is a saga in all its versions.
type program[S any] struct {
	*definition[S] // of new instances

	former map[uint32]*definition[S]
	allow  bool // unrunnable instances do not keep it from starting
}

// program checks the saga and its former versions.
func (s *Saga[S]) program() (*program[S], error) {
	if s.untyped {
		return s.undefined(), nil
	}
	d, err := s.define()
	errs := []error{err}
	p := &program[S]{definition: d, former: make(map[uint32]*definition[S]), allow: s.AllowUnrunnable}
	for _, f := range s.former {
		if f == nil || f.name != s.name {
			errs = append(errs, invalid(s.name, "a former version", "is nil, or of another name"))
			continue
		}
		old, err := f.define()
		old.scope, old.types = d.scope, d.types
		if _, twice := p.former[f.Version]; twice || f.Version == s.Version {
			rule := fmt.Sprintf("has two definitions of version %d: each needs its own Saga.Version", f.Version)
			errs = append(errs, invalid(s.name, "With", rule))
		}
		p.former[f.Version] = old
		errs = append(errs, err)
	}
	return p, errors.Join(errs...)
}

// of returns the definition that an instance continues by, and what that lacks of it; "" for
// nothing.
func (p *program[S]) of(rec *record) (d *definition[S], lacks string) {
	switch {
	case p.untyped:
		return p.definition, rec.Lacks
	case !rec.Life.alive() || rec.Version == p.version || p.migrations[rec.Version] != nil:
		d = p.definition
	case p.former[rec.Version] != nil:
		d = p.former[rec.Version]
	default:
		return p.definition, fmt.Sprintf("version %d", rec.Version)
	}
	return d, d.lacks(rec)
}

// take is of for an instance that is continued: it is migrated where that is to be done. err is why
// the migration has failed, which lacks says, too.
func (p *program[S]) take(rec *record) (d *definition[S], lacks string, err error) {
	d, lacks = p.of(rec)
	migrate := d.migrations[rec.Version]
	if migrate == nil || !rec.Life.alive() || lacks != "" {
		return d, lacks, nil
	}
	now := *rec
	if err := guarded(func() error { return migrate(&now) }); err != nil {
		return d, clip(err.Error()), err
	}
	if lacks = d.lacks(&now); lacks == "" {
		*rec = now
	}
	return d, lacks, nil
}

// lacks returns what the definition does not have any more of what an instance needs next.
func (d *definition[S]) lacks(rec *record) string {
	if !rec.Life.alive() {
		return ""
	}
	if d.list && rec.Why == nil && d.migrations[rec.Version] == nil && d.stageOf(rec.Phase) < 0 {
		return fmt.Sprintf("step %q", rec.Phase)
	}
	for _, name := range rec.inFlight() {
		if s := d.steps[name]; s == nil || s.do == nil {
			return fmt.Sprintf("step %q", name)
		}
	}
	if at := rec.Stuck; at != nil && !at.Undo && at.Step != "" {
		if s := d.steps[at.Step]; s == nil || s.do == nil {
			return fmt.Sprintf("step %q", at.Step)
		}
	}
	for _, u := range rec.Undo {
		if s := d.steps[u.Step]; s == nil || s.undo == nil {
			return fmt.Sprintf("undo of step %q", u.Step)
		}
	}
	if len(rec.Timers) == 0 { // as mostly, and to sort allocates
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Timers)) {
		if d.timers[name] == nil && name != deadlineTimer {
			return fmt.Sprintf("timer %q", name)
		}
	}
	return ""
}

// routeOf is that of a kind, in whatever version it is.
func (p *program[S]) routeOf(kind string) *route[S] {
	if r := p.routes[kind]; r != nil {
		return r
	}
	for _, v := range slices.Sorted(maps.Keys(p.former)) {
		if r := p.former[v].routes[kind]; r != nil {
			return r
		}
	}
	return nil
}

// kinds are those of all versions, and the saga's own that it reads.
func (p *program[S]) kinds() []string {
	kinds := append(slices.Collect(maps.Keys(p.newest())), ownKinds(p.name)...)
	slices.Sort(kinds)
	return kinds
}

// newest are the newest schema versions that are read, by kind.
func (p *program[S]) newest() map[string]uint16 {
	versions := make(map[string]uint16)
	for _, d := range p.former {
		maps.Copy(versions, d.newest())
	}
	maps.Copy(versions, p.definition.newest())
	return versions
}

// print is what the names of the saga are. Where it has changed since the last start, the instances
// are looked at.
func (p *program[S]) print() ([]byte, error) {
	type names struct {
		Version uint32
		Steps   map[string]bool // whether it is undone
		Timers  []string
		Phases  []string `json:",omitempty"`
		From    []uint32 `json:",omitempty"`
	}
	var list []names
	for _, d := range append([]*definition[S]{p.definition}, slices.Collect(maps.Values(p.former))...) {
		n := names{Version: d.version, Steps: make(map[string]bool), Timers: slices.Sorted(maps.Keys(d.timers))}
		for name, s := range d.steps {
			n.Steps[name] = s.undo != nil
		}
		for _, s := range d.stages {
			n.Phases = append(n.Phases, s.name)
		}
		n.From = slices.Sorted(maps.Keys(d.migrations))
		list = append(list, n)
	}
	slices.SortFunc(list[1:], func(a, b names) int { return int(a.Version) - int(b.Version) })
	return json.Marshal(list)
}

// printKey is where the print of the last start is kept, as long as no instance is known that the
// program cannot continue.
const printKey = "d/names"

// open looks at the instances that are alive, where the names of the saga have changed since the
// last start, or one could not be continued: whether they can now, and whether what was held for
// those that could not is to be handled. The same names may do something else, as a migration that
// is mended.
func (p *program[S]) open(ctx context.Context, o *cursor.Opening) error {
	if err := p.sameName(o); err != nil {
		return err
	}
	now, err := p.print()
	if err != nil {
		return err
	}
	was, found, err := o.Side(printKey)
	if err != nil || found && bytes.Equal(was, now) {
		return err
	}
	lacking := &UnrunnableError{Saga: p.name}
	if err := p.look(ctx, o, lacking); err != nil {
		return err
	}
	switch {
	case lacking.Instances == 0:
		return o.Put(printKey, now)
	case p.allow:
		return o.Put(printKey, nil)
	default:
		return supervision.Halt(lacking)
	}
}

// sameName requires that the checkpoint has always had the name of the saga: what is in flight, set
// and asked of instances comes by events with that name, and would be waited for without an end
// under another one.
func (p *program[S]) sameName(o *cursor.Opening) error {
	if first := string(o.FirstName); first != p.name {
		return supervision.Halt(invalid(p.name, "its name", fmt.Sprintf("was %q: a saga keeps it, as its events have it", first)))
	}
	return nil
}

func (p *program[S]) look(ctx context.Context, o *cursor.Opening, lacking *UnrunnableError) error {
	for side, err := range o.Range(recordKey(""), "i0") {
		if err := errors.Join(ctx.Err(), err); err != nil {
			return err
		}
		rec, err := decodeRecord(side.Value)
		if err != nil || !rec.Life.alive() {
			continue // one that cannot be read stops itself alone
		}
		key := strings.TrimPrefix(side.Key, recordKey(""))
		now := *rec
		if _, lacks, err := p.take(&now); lacks != "" {
			lacking.add(key, rec.Version, lacks, err)
			continue
		}
		if err := p.revive(o, key, rec); err != nil {
			return err
		}
	}
	return nil
}

// revive has what is held for an instance handled again.
func (p *program[S]) revive(o *cursor.Opening, key string, rec *record) error {
	at := rec.untried()
	if at == 0 || !rec.Again.IsZero() || rec.rests() {
		return nil
	}
	rec.Again, rec.Retried = o.Store().Now(), at
	raw, err := encode(p.name, whatAgain, pointer{Run: rec.Run, Input: at})
	if err != nil {
		return err
	}
	if err := o.Put(recordKey(key), rec.encode()); err != nil {
		return err
	}
	return o.Propose(store.Proposal{At: store.At(entity(p.name, key), p.scope), Payload: raw})
}

// UnrunnableError says that there are instances which the program cannot continue.
type UnrunnableError struct {
	Saga      string
	Instances int
	// Missing says what is missing for how many of them, as `version 1: step "charge"`, or
	// "version 1: a migration that works".
	Missing map[string]int
	// Key of one of them.
	Key string
	// Migration is why the first migration failed of those that did; nil where none did.
	Migration error
}

// add counts an instance; migration is why its migration failed.
func (e *UnrunnableError) add(key string, version uint32, lacks string, migration error) {
	if e.Missing == nil {
		e.Missing = make(map[string]int)
	}
	what := fmt.Sprintf("version %d: %s", version, lacks)
	switch {
	case migration != nil: // each may say something else
		what = fmt.Sprintf("version %d: a migration that works", version)
		if e.Migration == nil {
			e.Migration = fmt.Errorf("key %q: %w", key, migration)
		}
	case strings.HasPrefix(lacks, "version "):
		what = lacks
	}
	e.Missing[what]++
	if e.Instances++; e.Key == "" {
		e.Key = key
	}
}

func (e *UnrunnableError) Error() string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(e.Missing)) {
		list = append(list, fmt.Sprintf("%s, for %s", what, instances(e.Missing[what])))
	}
	text := fmt.Sprintf("saga %s: this program cannot continue %s, such as %q: it lacks %s; ",
		e.Saga, instances(e.Instances), e.Key, strings.Join(list, "; "))
	if e.lacksVersion() {
		text += "where this definition only has more than theirs, such as one more step, keep Saga.Version as it was, and they take it; "
	}
	text += "to have them end as they began, give this definition another Version and the former one by With; " +
		"to have them take this one, Migrate; AllowUnrunnable starts without them"
	if e.Migration != nil {
		text += fmt.Sprintf("; %v", e.Migration)
	}
	return text
}

// lacksVersion reports whether there are instances of a version that the program does not have.
func (e *UnrunnableError) lacksVersion() bool {
	for what := range e.Missing {
		if !strings.Contains(what, ": ") {
			return true
		}
	}
	return false
}

func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// Unwrap returns ErrUnrunnable, and Migration where that is set.
func (e *UnrunnableError) Unwrap() []error {
	if e.Migration == nil {
		return []error{ErrUnrunnable}
	}
	return []error{ErrUnrunnable, e.Migration}
}
