package admin

import (
	"context"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// NameField is what names are of.
type NameField string

// The fields.
const (
	Entities   NameField = "entity"
	Scopes     NameField = "scope"
	Kinds      NameField = "kind"
	Categories NameField = "category"
	Workers    NameField = "worker" // that have a checkpoint
)

// NameQuery asks for names, for completion.
type NameQuery struct {
	Field  NameField `json:"field"`
	Prefix string    `json:"prefix,omitempty"`
	Limit  int       `json:"limit,omitempty"` // 0 for 100
}

// Names are some of what begins with a prefix.
type Names struct {
	Names []Name `json:"names"`
	More  bool   `json:"more,omitempty"` // there are others
}

// Name is one, and how many events have it: of an entity those of its namespace, too; 0 of a
// worker.
type Name struct {
	Text   string `json:"text"`
	Events int    `json:"events,omitempty"`
}

// Names lists names that begin with a prefix: entities a level at a time, see [store.Names].
func (s *Surface) Names(ctx context.Context, q NameQuery) (Names, error) {
	return names().ask(ctx, s, q)
}

func names() question[NameQuery, Names] {
	return question[NameQuery, Names]{"names", Read, func(ctx context.Context, h *here, q NameQuery) (Names, error) {
		return h.names(ctx, q)
	}}
}

// fewNames is how many are listed unless the caller says another number.
const fewNames = 100

func (h *here) names(ctx context.Context, q NameQuery) (out Names, err error) {
	limit := q.Limit
	if limit == 0 {
		limit = fewNames
	}
	if q.Field == Workers {
		return h.workerNames(q.Prefix, limit)
	}
	fields := map[NameField]store.Field{
		Entities: store.EntityNames, Scopes: store.ScopeNames, Kinds: store.KindNames, Categories: store.CategoryNames,
	}
	field, ok := fields[q.Field]
	if !ok {
		return out, fail(Usage, "", "no such field: %q", q.Field)
	}
	found, more, err := store.Names(ctx, h.st, field, q.Prefix, limit)
	for _, n := range found {
		out.Names = append(out.Names, Name(n))
	}
	out.More = more
	return out, err
}

func (h *here) workerNames(prefix string, limit int) (out Names, err error) {
	for info, err := range checkpoint.List(h.st) {
		switch name := string(info.ID); {
		case err != nil && name == "":
			return out, err
		case len(name) < len(prefix) || name[:len(prefix)] != prefix:
		case len(out.Names) == limit:
			out.More = true
			return out, nil
		default:
			out.Names = append(out.Names, Name{Text: name})
		}
	}
	return out, nil
}
