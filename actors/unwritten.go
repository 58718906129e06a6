package actors

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/penstock-io/penstock/store"
)

const (
	// lookBudget is how long Start asks the index for what was never written, for all workers
	// together. In a log that is so large nothing is said of those that are left.
	lookBudget = time.Second
	// lookStep is for how many positions the index is asked in one go, between two looks at the clock.
	lookStep = 1 << 16
	// lookSample is how many of the latest events are read to find a name that is meant.
	lookSample = 256
)

// unwritten is what no event of the log has of what a worker reads: a misspelled kind looks like a
// worker with nothing to do. It is looked for once, and then only in what is new. Any goroutine
// uses it. A worker that misses nothing has none, as a system may have very many.
type unwritten struct {
	mu     sync.Mutex
	parts  []part         // that no event up to upTo has; nil until that is looked at
	upTo   store.Position // 0 while the log was empty
	hinted bool
}

// part of a region.
type part struct {
	what selector
	name string
	hint string // a name that events have and that is much like it
}

// selector is what a region selects by.
type selector uint8

const (
	byEntity selector = iota
	byScope
	byCategory
	byKind
	byAll // the whole region
)

func (s selector) String() string {
	return [...]string{"entity", "scope", "category", "kind", "region"}[s]
}

func (p part) String() string {
	text := fmt.Sprintf("%s %q", p.what, p.name)
	if p.hint != "" {
		text += fmt.Sprintf(" (there is %q)", p.hint)
	}
	return text
}

// partsOf returns the parts of a region by which it selects, and last the region itself: its parts
// may occur in different events.
func partsOf(r store.Region) (parts []part) {
	if r.Entity != "" {
		parts = append(parts, part{what: byEntity, name: r.Entity})
	}
	if r.Scope != "" {
		parts = append(parts, part{what: byScope, name: r.Scope})
	}
	if r.Category != "" {
		parts = append(parts, part{what: byCategory, name: r.Category})
	}
	for _, kind := range r.Kinds {
		parts = append(parts, part{what: byKind, name: kind})
	}
	if len(parts) > 1 {
		parts = append(parts, part{what: byAll, name: r.String()})
	}
	return parts
}

// sought is what of the region of a worker is looked for: not the kinds that its own program
// writes, which are not misspelled. some is false where nothing else is left.
func sought(n *node, r store.Region) (rest store.Region, some bool) {
	own := n.baton.Worker.OwnKinds
	if len(own) == 0 || len(r.Kinds) == 0 {
		return r, true
	}
	r.Kinds = slices.DeleteFunc(slices.Clone(r.Kinds), func(kind string) bool { return slices.Contains(own, kind) })
	return r, len(r.Kinds) > 0
}

// within is the region of a part of r alone.
func (p part) within(r store.Region) store.Region {
	switch p.what {
	case byEntity:
		return store.Region{Entity: p.name}
	case byScope:
		return store.Region{Scope: p.name}
	case byCategory:
		return store.Region{Category: p.name}
	case byKind:
		return store.Region{Kinds: []string{p.name}}
	case byAll:
	}
	return r
}

// lookFor looks for the parts of a region in the whole log, but no longer than until a moment, and
// returns what is missing; nil for nothing, or where the log is too large for that.
func lookFor(ctx context.Context, st *store.Store, r store.Region, until time.Time) *unwritten {
	u, head := &unwritten{parts: partsOf(r)}, st.Head()
	if head == 0 && len(u.parts) > 0 {
		return new(unwritten)
	}
	for u.upTo < head && len(u.parts) > 0 {
		if time.Now().After(until) {
			return nil
		}
		u.look(ctx, st, r, min(head, u.upTo+lookStep))
	}
	if len(u.parts) == 0 {
		return nil
	}
	u.parts = slices.Clip(u.parts)
	return u
}

// look asks for what is new up to a position. What cannot be asked is taken for written: nothing is
// said of it.
func (u *unwritten) look(ctx context.Context, st *store.Store, r store.Region, upTo store.Position) {
	u.parts = slices.DeleteFunc(u.parts, func(p part) bool {
		n, err := st.Count(ctx, p.within(r), u.upTo, upTo, 1)
		return n > 0 || err != nil
	})
	u.upTo = upTo
}

// say returns what of a region was never written, for people; "" where there is nothing to say:
// everything was, the log is empty, or the worker reads something else by now. likely says that it
// is a mistake rather than something that did not happen yet.
func (u *unwritten) say(ctx context.Context, st *store.Store, r store.Region, head store.Position) (text string, likely bool) {
	if u == nil || head == 0 {
		return "", false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.upTo == 0 {
		u.parts = partsOf(r)
	}
	if !u.of(r) {
		return "", false
	}
	if head > u.upTo {
		u.look(ctx, st, r, head)
	}
	u.hint(ctx, st, head)
	parts := u.parts
	if len(parts) > 1 { // where a part is missing the region says no more
		parts = slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return p.what == byAll })
	}
	if len(parts) == 0 {
		return "", false
	}
	var texts []string
	kinds := 0
	for _, p := range parts {
		texts = append(texts, p.String())
		if p.what == byKind {
			kinds++
		}
		likely = likely || p.what != byKind || p.hint != ""
	}
	return "no event has " + strings.Join(texts, ", "), likely || kinds == len(r.Kinds)
}

// of reports whether all that is missing is part of a region: else the worker was bound to another.
func (u *unwritten) of(r store.Region) bool {
	parts := partsOf(r)
	for _, p := range u.parts {
		if !slices.ContainsFunc(parts, func(of part) bool { return of.what == p.what && of.name == p.name }) {
			return false
		}
	}
	return true
}

// hint looks among the latest events for names that are much like those which are missing, once.
func (u *unwritten) hint(ctx context.Context, st *store.Store, head store.Position) {
	if u.hinted {
		return
	}
	u.hinted = true
	page, err := st.ReadPage(ctx, store.Region{}, head-min(head, lookSample), head, lookSample)
	if err != nil {
		return
	}
	for i := range u.parts {
		u.parts[i].hint = u.parts[i].likest(page.Events)
	}
}

// likest returns the name that is most like that of a part, among those that are like it.
func (p part) likest(events []store.Event) (likest string) {
	least := 1 + len(p.name)/5 // as many letters, and one more, may be other ones, missing or too many
	for _, e := range events {
		for _, name := range namesIn(e, p.what) {
			if d := distance(p.name, name); d > 0 && d <= least {
				likest, least = name, d-1
			}
		}
	}
	return likest
}

// namesIn returns what an event has that such a part of a region could name.
func namesIn(e store.Event, what selector) (names []string) {
	switch what {
	case byEntity:
		for i, c := range e.Coordinate.Entity {
			if c == ':' {
				names = append(names, e.Coordinate.Entity[:i])
			}
		}
		return append(names, e.Coordinate.Entity)
	case byScope:
		return []string{e.Coordinate.Scope}
	case byKind:
		return []string{e.Kind}
	case byCategory:
		category, _, _ := strings.Cut(e.Kind, ".")
		return []string{category}
	case byAll:
	}
	return nil
}

// distance is how many bytes have to be replaced, left out or put in to make one text of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// warnOfUnwritten logs what workers read of which there is no event: it may be misspelled.
func warnOfUnwritten(s *System, workers []*node) {
	ctx, until, head := context.Background(), time.Now().Add(lookBudget), s.store.Head()
	for _, n := range workers {
		v := n.published.view()
		if !v.acquired {
			continue
		}
		region, some := sought(n, *v.region)
		if !some {
			continue
		}
		missing := lookFor(ctx, s.store, region, until)
		n.unwritten.Store(missing)
		text, likely := missing.say(ctx, s.store, region, head)
		switch {
		case text == "":
		case likely:
			s.log.Warn("worker reads what was never written", workerField(n), zap.String("unwritten", text))
		default:
			s.log.Info("worker reads what was never written yet", workerField(n), zap.String("unwritten", text))
		}
	}
}
