package index

import (
	"strings"
	"sync"
)

// Active is the index of a segment that is still written: one goroutine at a
// time adds, any number of others query. It lives in memory only; after a crash
// the segment is read again.
type Active struct {
	// mu guards the maps and the headers of the slices. Bytes after a header
	// are only ever appended to, so a header copied under mu stays valid and is
	// read without it.
	mu        sync.RWMutex
	offsets   u32s
	published uint32 // the events before it are visible
	lists     [listFields]map[string]*list
	latest    [listFields]*list // used last: events in a row mostly have the same scope and kind
	deep      map[string]*list  // entities of more than maxLevels, which are no namespace
	keys      map[string]uint32
	states    map[string]uint32 // nil but for a segment whose events were dropped
	sides     map[string]Side
	links     links
	chains    [linkFields]chains // through the links, for those who ask
}

// A list holds the ordinals of one term. An entity is the namespace of its name: a segment of new
// entities has as many lists as events, so there is one object for both. Positions in it are one
// more than ordinals, 0 for none.
type list struct {
	text    string
	ords    u32s
	wider   *list  // of the term that includes this one: order:42 -> order; nil at the top
	last    uint32 // event of exactly this entity
	visible uint32 // last of them that was published when the one at last was added
}

// NewActive returns an index without events.
func NewActive() *Active {
	a := &Active{
		deep:  map[string]*list{},
		keys:  map[string]uint32{},
		sides: map[string]Side{},
	}
	for f := range a.lists {
		a.lists[f] = map[string]*list{}
	}
	return a
}

// Entry is what the index learns of an event.
type Entry struct {
	Offset             uint32 // of its record
	Terms              Terms
	Cause, Correlation [16]byte // what it points at, zero for none
}

// addAtOnce is how many events are added while readers wait: some 20 microseconds.
const addAtOnce = 256

// Add gives events the next ordinals. A segment has less than 2^32 events, its offsets being below
// 4 GiB. The cost for known terms is three map look-ups at most and one append per posting list,
// whatever the number of events. Many at once cost less: an event of an entity that was not used
// for a while is in no cache, and the processor fetches what several need at the same time, unless
// a lock is taken for each.
func (a *Active) Add(entries ...Entry) {
	for len(entries) > 0 {
		n := min(len(entries), addAtOnce)
		a.mu.Lock()
		for i := range n {
			a.add(&entries[i])
		}
		a.mu.Unlock()
		entries = entries[n:]
	}
}

func (a *Active) add(x *Entry) {
	ord := uint32(a.offsets.len())
	a.offsets = a.offsets.append(x.Offset)

	e := a.entity(x.Terms.Entity)
	if e.last <= a.published {
		e.visible = e.last
	}
	e.last = ord + 1
	e.add(ord)
	a.list(fieldScope, x.Terms.Scope).add(ord)
	a.list(fieldKind, x.Terms.Kind).add(ord)
	a.links.add(Cause, &x.Cause, ord)
	a.links.add(Correlation, &x.Correlation, ord)
}

// PublishUpTo says that the first n events are visible, for LastPublished. It is called before
// events are added that are not visible at once; n is the number of all events, or as it was the
// last time.
func (a *Active) PublishUpTo(n uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.published = n
}

// AddKey records where the record of an idempotency key lies. A key occurs once
// per segment; were it to come twice, the later record counts. The string is
// kept.
func (a *Active) AddKey(key string, offset uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys[key] = offset
}

// AddState records where the state of an entity lies whose events were dropped. An entity occurs
// once in a segment. The string is kept.
func (a *Active) AddState(entity string, offset uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.states == nil {
		a.states = make(map[string]uint32)
	}
	a.states[entity] = offset
}

// SetSide records where the newest record of a side value lies. The text is kept.
func (a *Active) SetSide(s Side) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sides[s.Key()] = s
}

// Len implements Index.
func (a *Active) Len() uint32 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return uint32(a.offsets.len())
}

// Offset implements Index.
func (a *Active) Offset(ord uint32) (uint32, error) {
	a.mu.RLock()
	offsets := a.offsets
	a.mu.RUnlock()
	return offsets.get(int(ord)), nil
}

// Extents implements Index.
func (a *Active) Extents(ords []uint32, dst []Extent) ([]Extent, error) {
	a.mu.RLock()
	offsets := a.offsets
	a.mu.RUnlock()
	known := offsets.run()
	return extents(&known, ords, dst), nil
}

// Select implements Index.
func (a *Active) Select(q Query, from, to uint32, limit int, dst []uint32) (ords []uint32, next uint32, err error) {
	c, to := a.plan(q, from, to)
	ords, next = collect(c, from, to, limit, dst)
	return ords, next, nil
}

// Count implements Index.
func (a *Active) Count(q Query, from, to uint32, limit int) (int, error) {
	c, to := a.plan(q, from, to)
	return tally(c, from, to, limit), nil
}

// LastOf implements Index. It is exact.
func (a *Active) LastOf(entity string) (ord uint32, ok bool, err error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if e := a.known(entity); e != nil && e.last > 0 {
		return e.last - 1, true, nil
	}
	return 0, false, nil
}

// LastPublished implements Index. It is exact.
func (a *Active) LastPublished(entity string) (ord uint32, ok bool, err error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	e := a.known(entity)
	if e == nil {
		return 0, false, nil
	}
	at := e.visible
	if e.last <= a.published {
		at = e.last
	}
	return at - 1, at > 0, nil
}

// Published implements Index.
func (a *Active) Published() uint32 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.published
}

// FindKey implements Index. It is exact.
func (a *Active) FindKey(key string) (offset uint32, ok bool, err error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	offset, ok = a.keys[key]
	return offset, ok, nil
}

// FindState implements Index. It is exact.
func (a *Active) FindState(entity string) (offset uint32, ok bool, err error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	offset, ok = a.states[entity]
	return offset, ok, nil
}

// plan copies the headers of the lists that q needs, and bounds to by the number
// of events they hold.
func (a *Active) plan(q Query, from, to uint32) (cursor, uint32) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	to = min(to, uint32(a.offsets.len()))
	return plan(q, a, from, to), to
}

// find implements finder; mu is held.
func (a *Active) find(f field, text string) cursor {
	l, ok := a.lists[f][text]
	if !ok {
		return nil
	}
	return &sparse{ords: l.ords.run()}
}

// known returns what is known of an entity, nil where there is nothing.
func (a *Active) known(entity string) *list {
	if namespace(entity) == entity {
		return a.lists[fieldNamespace][entity]
	}
	return a.deep[entity]
}

// entity returns what is known of an entity, from its first event on.
func (a *Active) entity(name string) *list {
	if e := a.known(name); e != nil {
		return e
	}
	name = strings.Clone(name) // it must not pin the buffer that it was cut from
	if namespace(name) == name {
		return a.newList(fieldNamespace, name)
	}
	e := &list{text: name, wider: a.newList(fieldNamespace, namespace(name))}
	a.deep[name] = e
	return e
}

// list returns the list of a term, from its first event on.
func (a *Active) list(f field, text string) *list {
	if l := a.latest[f]; l != nil && l.text == text {
		return l
	}
	l, ok := a.lists[f][text]
	if !ok {
		l = a.newList(f, strings.Clone(text))
	}
	a.latest[f] = l
	return l
}

// newList returns the list of a term whose text may be kept. An entity's list may
// exist before the entity does: it is a namespace of another one.
func (a *Active) newList(f field, text string) *list {
	if l, ok := a.lists[f][text]; ok {
		return l
	}
	l := &list{text: text}
	if f, text, ok := f.wider(text); ok {
		l.wider = a.newList(f, text)
	}
	a.lists[f][text] = l
	return l
}

// add appends ord to the list and to all that include it.
func (l *list) add(ord uint32) {
	for ; l != nil; l = l.wider {
		l.ords = l.ords.append(ord)
	}
}
