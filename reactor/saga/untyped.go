package saga

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/lineage"
)

// Names returns the names of the sagas that have run on a log, sorted, whether this program has
// them or not. It looks at all checkpoints.
func Names(st *store.Store) (names []string, err error) {
	for info, err := range checkpoint.List(st) {
		if err != nil && info.ID == "" {
			return nil, err
		}
		// It is a saga that reads what operators ask of it.
		if name := string(info.ID); slices.Contains(info.Record.Kinds, whatAsked.kind(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Untyped returns the instances of a saga in a log by its name alone, for programs that look at
// those of others. States are as they are kept. What only a definition says is left out:
//   - whether a program can continue an instance: Unrunnable is what the last one lacked for the
//     last input that came, and no migration is made;
//   - which of the program's events are inputs: a story has those alone that have led to an event
//     of the saga's own, and [Instances.KeyOf] knows no others than these;
//   - steps that an instance has not come to, and phases but the present one: a picture lacks them.
//
// It answers queries. The calls of operators are [ErrUndefined].
func Untyped(st *store.Store, name string) *Instances[json.RawMessage] {
	return (&Saga[json.RawMessage]{name: name, untyped: true}).In(st)
}

// undefined is the program of a saga of which the name alone is known.
func (s *Saga[S]) undefined() *program[S] {
	return &program[S]{definition: &definition[S]{name: s.name, untyped: true}}
}

// drawRecord draws what a record says without a definition: the steps that were requested, in that
// order, and the phase.
func (d *definition[S]) drawRecord(g *drawing, rec *record) {
	last := g.box("/saga", lineage.Box{Title: d.name, Lines: []string{"as far as it has come"}, Style: lineage.Dashed})
	steps := slices.SortedFunc(maps.Keys(rec.Steps), func(a, b string) int { return cmp.Compare(rec.Steps[a].Order, rec.Steps[b].Order) })
	for _, name := range steps {
		at := g.box(name, d.stepBox(name, rec))
		g.arrow(last, at, "")
		last = at
	}
	if rec.Life.Ended() {
		g.arrow(last, g.box("/end", endBox(rec)), "")
	} else if rec.Phase != "" && rec.Steps[rec.Phase] == nil {
		g.arrow(last, g.box("in "+rec.Phase, lineage.Box{Title: rec.Phase, Lines: []string{rec.Life.String()}, Style: lineage.Strong}), "")
	}
}
