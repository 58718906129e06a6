package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/penstock-io/penstock/store"
)

// printStory prints what the log says, at most o.top rows of each table.
func printStory(ctx context.Context, out io.Writer, st *store.Store, o options) error {
	s, err := readStory(ctx, st, o.hotspot)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d commits by %d authors\n", s.commits, len(s.authors))
	return errors.Join(
		table(out, "commits\tadded\tdeleted\t  author", s.authors, o.top, func(a authorRow) string {
			return fmt.Sprintf("%d\t%d\t%d\t  %s", a.commits, a.added, a.deleted, a.name)
		}),
		table(out, "changes\thotspot since\t  file", s.files, o.top, func(f fileRow) string {
			return fmt.Sprintf("%d\t%.10s\t  %s", f.changes, f.since, f.path)
		}),
		table(out, "together\t  files", s.pairs, o.top, func(p pairRow) string {
			return fmt.Sprintf("%d\t  %s, %s", p.times, p.a, p.b)
		}))
}

// table prints rows whose cells are separated by tabs: numbers at the right of their columns, and a
// name at the end.
func table[R any](out io.Writer, head string, rows []R, top int, line func(R) string) error {
	if len(rows) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\n%s\n", head)
	for _, r := range rows[:min(top, len(rows))] {
		fmt.Fprintln(w, line(r))
	}
	return w.Flush()
}

// story is what the log says of a repository, each table with the largest number first, then by
// name.
type story struct {
	commits int
	authors []authorRow
	files   []fileRow
	pairs   []pairRow
}

type authorRow struct {
	name           string
	commits        uint64
	added, deleted int
}

type fileRow struct {
	path    string
	changes uint64
	since   string // the commit that made it a hotspot, "" when it is none
}

type pairRow struct {
	a, b  string
	times uint64
}

// readStory counts nothing but lines: how often something happened is the version of its last
// event.
func readStory(ctx context.Context, st *store.Store, threshold uint64) (story, error) {
	var s story
	var err error
	if s.commits, err = st.Count(ctx, store.Region{Kinds: []string{Recorded{}.Kind()}}, 0, 0, math.MaxInt); err != nil {
		return s, err
	}
	if s.authors, err = readAuthors(ctx, st); err != nil {
		return s, err
	}
	if s.files, err = readFiles(ctx, st, threshold); err != nil {
		return s, err
	}
	s.pairs, err = readPairs(ctx, st)
	return s, err
}

func readAuthors(ctx context.Context, st *store.Store) ([]authorRow, error) {
	sums := make(map[string]*authorRow)
	err := each(ctx, st, func(e store.Event, c Credited) {
		a := sums[c.Author]
		if a == nil {
			a = &authorRow{name: c.Author}
			sums[c.Author] = a
		}
		a.commits = e.Version
		a.added += c.Added
		a.deleted += c.Deleted
	})
	rows := make([]authorRow, 0, len(sums))
	for _, a := range sums {
		rows = append(rows, *a)
	}
	slices.SortFunc(rows, func(x, y authorRow) int {
		return cmp.Or(cmp.Compare(y.commits, x.commits), cmp.Compare(x.name, y.name))
	})
	return rows, err
}

func readFiles(ctx context.Context, st *store.Store, threshold uint64) ([]fileRow, error) {
	since := make(map[string]string)
	err := each(ctx, st, func(_ store.Event, h Hotspot) {
		if h.Changes == threshold {
			since[h.Path] = h.Commit
		}
	})
	if err != nil {
		return nil, err
	}
	changes := make(map[string]uint64)
	err = each(ctx, st, func(e store.Event, c Changed) { changes[c.Path] = e.Version })
	rows := make([]fileRow, 0, len(changes))
	for path, n := range changes {
		rows = append(rows, fileRow{path: path, changes: n, since: since[path]})
	}
	slices.SortFunc(rows, func(x, y fileRow) int {
		return cmp.Or(cmp.Compare(y.changes, x.changes), cmp.Compare(x.path, y.path))
	})
	return rows, err
}

func readPairs(ctx context.Context, st *store.Store) ([]pairRow, error) {
	times := make(map[[2]string]uint64)
	err := each(ctx, st, func(e store.Event, t Together) { times[[2]string{t.A, t.B}] = e.Version })
	rows := make([]pairRow, 0, len(times))
	for p, n := range times {
		rows = append(rows, pairRow{a: p[0], b: p[1], times: n})
	}
	slices.SortFunc(rows, func(x, y pairRow) int {
		return cmp.Or(cmp.Compare(y.times, x.times), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	})
	return rows, err
}

// each decodes all events of one kind, in order.
func each[T store.Payload](ctx context.Context, st *store.Store, visit func(store.Event, T)) error {
	var zero T
	for e, err := range st.Read(ctx, store.Region{Kinds: []string{zero.Kind()}}, store.Beginning()) {
		if err != nil {
			return err
		}
		var body T
		if err := e.Decode(&body); err != nil {
			return err
		}
		visit(e, body)
	}
	return nil
}
