package saga

import (
	"cmp"
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// listed reports whether the instances of this life are in a list of their own: those at which a
// person may have to look, among many that wait.
func (l Life) listed() bool { return l == Compensating || l == Stuck || l == Suspended }

// listKey is that of an instance in the list of a life. A value is not needed.
func listKey(l Life, key string) string { return "x/" + l.String() + "/" + key }

// countKey is that of the number of instances of a life.
func countKey(l Life) string { return "n/" + l.String() }

// wronged begins the keys of instances that an erasure has ended: they are counted under the life
// that they had, which is the value, until they are handled again. An erasure does not write the
// numbers, since each commit of the coordinator changes them.
const wronged = "e/"

// index keeps the lists and the numbers of lives in step with a record, in its commit.
func (t *outlet) index(was, counted, now Life) error {
	var errs []error
	if counted != None {
		was, t.rec.Counted = counted, None
		errs = append(errs, t.b.Put(t.i, wronged+t.key, nil))
	} else if was == now {
		return nil
	}
	if was.listed() {
		errs = append(errs, t.b.Put(t.i, listKey(was, t.key), nil))
	}
	if now.listed() {
		errs = append(errs, t.b.Put(t.i, listKey(now, t.key), []byte{}))
	}
	if was != None {
		errs = append(errs, t.b.Count(t.i, countKey(was), -1))
	}
	if now != None {
		errs = append(errs, t.b.Count(t.i, countKey(now), 1))
	}
	return errors.Join(errs...)
}

// Filter says which instances are meant: those that meet all of it. The zero value is all of them.
type Filter struct {
	// Lives are those that they may have; none means any. Where they are among Compensating, Stuck and
	// Suspended, the others are not read, however many there are.
	Lives []Life
	// Phase that they are in; "" means any.
	Phase string
	// Versions of the definition that they may have; none means any.
	Versions []uint32
	// OlderThan is how long they must have been as they are, see Instance.Since; 0 means any time.
	OlderThan time.Duration
	// Unrunnable are only those that the program cannot continue.
	Unrunnable bool
}

func (f *Filter) matches(now, since time.Time, rec *record, lacks string) bool {
	return (len(f.Lives) == 0 || slices.Contains(f.Lives, rec.Life)) &&
		(f.Phase == "" || f.Phase == rec.Phase) &&
		(len(f.Versions) == 0 || slices.Contains(f.Versions, rec.Version)) &&
		(f.OlderThan == 0 || now.Sub(since) >= f.OlderThan) &&
		(!f.Unrunnable || lacks != "")
}

// lists are the lives that are looked for, where they all have lists; nil where all instances are
// to be read.
func lists(filters []Filter) (lives []Life) {
	for i := range filters {
		for _, l := range filters[i].Lives {
			if !l.listed() {
				return nil
			}
		}
		if len(filters[i].Lives) == 0 {
			return nil
		}
		lives = append(lives, filters[i].Lives...)
	}
	slices.Sort(lives)
	return slices.Compact(lives)
}

// since is since when the instance has been as it is.
func (r *record) since() time.Time {
	switch {
	case r.Life.Ended():
		return r.Ended
	case r.Stuck != nil:
		return r.Stuck.Since
	}
	return r.Entered
}

// List iterates over instances: all of them, by key, or those that match one of some filters. One
// that cannot be read comes with its error, whatever the filters, and the others follow; any other
// error is the last thing that it yields. It sees what was committed when it comes to it.
//
// Where filters name lives that have lists of their own, see Filter.Lives, it costs what there is
// of them, and goes by life and key; else all instances are read.
func (h *Instances[S]) List(only ...Filter) iter.Seq2[Instance[S], error] {
	return func(yield func(Instance[S], error) bool) {
		prefix, err := h.prefix()
		if errors.Is(err, ErrNotFound) {
			return
		}
		p, bad := h.saga.program()
		if err := cmp.Or(err, bad); err != nil {
			yield(Instance[S]{}, err)
			return
		}
		l := lister[S]{program: p, h: h, prefix: prefix, only: only, yield: yield, now: h.st.Now()}
		if lives := lists(only); len(lives) > 0 {
			l.listed(lives)
			return
		}
		l.all()
	}
}

// lister yields instances.
type lister[S any] struct {
	*program[S]

	h      *Instances[S]
	prefix string
	only   []Filter
	now    time.Time
	yield  func(Instance[S], error) bool
}

// all reads all instances.
func (l *lister[S]) all() {
	for side, err := range l.under(recordKey("")) {
		if side.Key == "" {
			l.yield(Instance[S]{}, err)
			return
		}
		if !l.one(side, err) {
			return
		}
	}
}

// under iterates over what is kept under keys that begin so.
func (l *lister[S]) under(begin string) iter.Seq2[store.SideValue, error] {
	from := l.prefix + begin
	return l.h.st.SideRange(from, from[:len(from)-1]+"0", 0) // what follows a slash
}

// listed reads those in the lists of some lives.
func (l *lister[S]) listed(lives []Life) {
	for _, life := range lives {
		begin := listKey(life, "")
		for entry, err := range l.under(begin) {
			if entry.Key == "" {
				l.yield(Instance[S]{}, err)
				return
			}
			side, found, err := l.h.st.Side(l.prefix + recordKey(entry.Key[len(l.prefix)+len(begin):]))
			if found && !l.one(side, err) {
				return
			}
		}
	}
}

// one yields an instance, if it matches, and reports whether there is to be another one.
func (l *lister[S]) one(side store.SideValue, err error) bool {
	key := side.Key[len(l.prefix)+len(recordKey("")):]
	var rec *record
	if err == nil {
		rec, err = decodeRecord(side.Value)
	}
	if err != nil {
		return l.yield(Instance[S]{Key: key}, err)
	}
	if rec.Life == None { // there are inputs that wait for it
		return true
	}
	now := *rec
	_, lacks, _ := l.take(&now)
	matches := func(f Filter) bool { return f.matches(l.now, rec.since(), rec, lacks) }
	if len(l.only) > 0 && !slices.ContainsFunc(l.only, matches) {
		return true
	}
	return l.yield(l.h.instance(l.program, key, rec))
}

// Counts returns how many instances there are of each life, without reading them.
func (h *Instances[S]) Counts() (map[Life]int, error) {
	counts := make(map[Life]int)
	prefix, err := h.prefix()
	if errors.Is(err, ErrNotFound) {
		return counts, nil
	}
	if err != nil {
		return nil, err
	}
	for range 100 { // it is changed all the time
		clear(counts)
		id := checkpoint.ID(h.saga.name)
		before, err := checkpoint.Inspect(h.st, id)
		if err == nil {
			err = h.counts(counts, prefix)
		}
		after, bad := checkpoint.Inspect(h.st, id)
		if err := cmp.Or(err, bad); err != nil {
			return nil, err
		}
		if before.Revision == after.Revision { // all of it is of one commit
			break
		}
	}
	return counts, nil
}

// counts adds up the numbers of lives.
func (h *Instances[S]) counts(all map[Life]int, prefix string) error {
	for l := Running; l <= Failed; l++ {
		side, found, err := h.st.Side(prefix + countKey(l))
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		n, err := strconv.Atoi(string(side.Value))
		if err != nil {
			return errors.Join(ErrRecord, err)
		}
		all[l] = n
	}
	for side, err := range h.st.Sides(prefix + wronged) {
		var was Life
		if err := cmp.Or(err, was.UnmarshalText(side.Value)); err != nil {
			return err
		}
		all[Failed]++
		if all[was]--; all[was] == 0 {
			delete(all, was)
		}
	}
	return nil
}
