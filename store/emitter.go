package store

import (
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// emitterPrefix begins the side keys of the names of emitters. A value there is never changed and
// never deleted: every event that names it needs it, as long as the log is kept.
const emitterPrefix = "emitter/"

// emitterID stands for a worker and a build in each event that the worker emitted. It is derived
// from the two by SHA-256, so that it is the same in every store and process.
type emitterID = [wal.EmitterIDSize]byte

func emitterKey(id emitterID) string { return emitterPrefix + hex.EncodeToString(id[:]) }

// Emitter says who wrote an event as a reaction to another. In the log an event has 12 to 25 bytes
// of it: worker and build are kept once per store, in the commit of the first event that names
// them.
type Emitter struct {
	// Worker is the name that the worker had, 1 to 1,024 bytes.
	Worker string
	// Build names the program that ran it, at most 1,024 bytes: the revision of its sources, "" where
	// it was not known.
	Build string
	// Epoch of the owner of the worker's checkpoint, 0 for a worker without one.
	Epoch uint64
	// Attempt is the number of the run of the handler that made the reaction, from 1: more than 1
	// after runs that failed, or that were lost before they were committed.
	Attempt uint32
}

// checkEmitter refuses an emitter without a name, and one whose names are no names.
func checkEmitter(e *Emitter) error {
	if e == nil {
		return nil
	}
	if e.Worker == "" {
		return &InvalidError{Field: "emitter worker", Rule: "must not be empty"}
	}
	if err := checkMax("emitter worker bytes", len(e.Worker), maxEmitterBytes); err != nil {
		return err
	}
	return checkMax("emitter build bytes", len(e.Build), maxEmitterBytes)
}

// emitterNames are what an id stands for, immutable.
type emitterNames struct{ worker, build string }

// knownEmitter is an emitter of this process. kept is set once the store has the names: they are
// never deleted, so it is a level that any goroutine may raise.
type knownEmitter struct {
	names emitterNames
	id    emitterID
	key   string // of the side value with the names
	kept  atomic.Bool
}

// emitterTable knows the emitters that commit here, so that the digest of their names is computed
// once, and not for each event. mu is held for map operations only.
type emitterTable struct {
	sides *sideTable // of the store; set before the first use

	mu    sync.RWMutex
	known map[emitterNames]*knownEmitter
}

// of returns the emitter with these names. A table that is full is begun again: the programs of a
// store have few workers and builds at a time, and an emitter that was dropped costs a digest.
func (t *emitterTable) of(names emitterNames) *knownEmitter {
	t.mu.RLock()
	e := t.known[names]
	t.mu.RUnlock()
	if e != nil {
		return e
	}
	id := wal.EmitterID(names.worker, names.build)
	e = &knownEmitter{names: names, id: id, key: emitterKey(id)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxNames {
		t.known = make(map[emitterNames]*knownEmitter)
	}
	t.known[names] = e // another goroutine may have been here too: either entry will do
	return e
}

// isKept reports whether the names of an emitter are in the log.
func (t *emitterTable) isKept(e *knownEmitter) bool {
	if !e.kept.Load() {
		if _, ok := t.sides.get(e.key); ok {
			e.kept.Store(true)
		}
	}
	return e.kept.Load()
}

// emitters are those of one commit. Names that the log does not have go into the commit itself: a
// crash keeps a prefix of the log, so every reader of an event finds the names of its emitter. Two
// commits at the same time may both bring them, which does no harm, as they are the same bytes.
type emitters struct {
	table   *emitterTable
	last    *knownEmitter
	missing []*knownEmitter
}

// id returns the id of an emitter. The events of a commit mostly have the same one.
func (c *emitters) id(e *Emitter) emitterID {
	if names := (emitterNames{e.Worker, e.Build}); c.last == nil || c.last.names != names {
		c.last = c.table.of(names)
		if !c.table.isKept(c.last) && !slices.Contains(c.missing, c.last) {
			c.missing = append(c.missing, c.last)
		}
	}
	return c.last.id
}

// introduction is the side value with the names of an emitter.
func (e *knownEmitter) introduction() SideWrite {
	return SideWrite{Key: e.key, Value: wal.AppendEmitterNames(nil, e.names.worker, e.names.build)}
}

// Emitter says who wrote the event as a reaction, and false for an event that no worker emitted or
// that was written before reactions said so. Worker and Build are "" if the store has lost their
// names. It is as trustworthy as the hash of the event, which covers it.
func (e Event) Emitter() (Emitter, bool) {
	if len(e.record) == 0 {
		return Emitter{}, false
	}
	w, ok := wal.ParseEmitter(wal.Extensions(e.record))
	if !ok {
		return Emitter{}, false
	}
	by := Emitter{Epoch: w.Epoch, Attempt: w.Attempt}
	if e.emitter != nil {
		by.Worker, by.Build = e.emitter.worker, e.emitter.build
	}
	return by, true
}

// emitted reports whether a worker has emitted the event as a reaction to another one.
func (e Event) emitted() bool {
	if len(e.record) == 0 || e.Cause == uuid.Nil {
		return false
	}
	_, ok := wal.ParseEmitter(wal.Extensions(e.record))
	return ok
}

// emitterCache finds the names of emitters. It belongs to a decoder. What the log does not have yet
// is looked up again: names are visible before the first event that needs them, so that is rare.
// Names that are damaged are no reason not to read an event, and are read once only: "".
type emitterCache struct {
	sides  *sideTable
	names  map[emitterID]*emitterNames
	last   *emitterNames
	lastID emitterID
}

// find returns the names of the emitter in the extensions of an event, nil if there are none.
func (c *emitterCache) find(extensions []byte) *emitterNames {
	w, ok := wal.ParseEmitter(extensions)
	if !ok {
		return nil
	}
	if c.last != nil && c.lastID == w.ID {
		return c.last
	}
	names := c.names[w.ID]
	if names == nil {
		if names = c.load(w.ID); names == nil {
			return nil
		}
	}
	c.last, c.lastID = names, w.ID
	return names
}

func (c *emitterCache) load(id emitterID) *emitterNames {
	side, ok, err := c.sides.read(emitterKey(id))
	if !ok {
		return nil
	}
	worker, build, ok := wal.ParseEmitterNames(side.Value, id)
	if !ok && !errors.Is(err, ErrCorrupt) {
		return nil
	}
	if c.names == nil {
		c.names = make(map[emitterID]*emitterNames)
	}
	if len(c.names) >= maxNames {
		clear(c.names)
	}
	names := &emitterNames{worker: worker, build: build}
	c.names[id] = names
	return names
}
