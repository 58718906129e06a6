package store

import (
	"encoding/hex"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// emitterPrefix begins the side keys of the names of emitters. A value there is written once and
// never deleted: every event that names it needs it, as long as the log is kept.
const emitterPrefix = "emitter/"

// EmitterID stands for a worker and a build in each event that the worker emitted. It is derived
// from the two by SHA-256, so that it is the same in every store and process.
type EmitterID [wal.EmitterIDSize]byte

// String returns the id in hexadecimal.
func (id EmitterID) String() string { return hex.EncodeToString(id[:]) }

func (id EmitterID) key() string { return emitterPrefix + id.String() }

// Emitter says who wrote an event as a reaction to another. In the log an event has the id, the
// epoch and the attempt, 12 to 25 bytes; worker and build are kept once per store.
type Emitter struct {
	ID EmitterID
	// Worker is the name that the worker had.
	Worker string
	// Build names the program that ran it: the revision of its sources, "" where it was not known.
	Build string
	// Epoch of the owner of the worker's checkpoint, 0 for a worker without one.
	Epoch uint64
	// Attempt is the number of the run of the handler that made the reaction, from 1: more than 1
	// after runs that failed, or that were lost before they were committed.
	Attempt uint32
}

// NewEmitter returns the emitter that a build of a worker is, with its id. Epoch and attempt are
// the caller's to set.
func NewEmitter(worker, build string) Emitter {
	return Emitter{ID: wal.EmitterID(worker, build), Worker: worker, Build: build}
}

// Stage adds to a batch what says which worker and build the id of e stands for, unless the store
// has it. The batch must be committed before an event with the emitter, or with it: a crash keeps a
// prefix of the log, so that every reader of the event finds the names.
func (e Emitter) Stage(s *Store, b *Batch) {
	if _, known := s.Side(e.ID.key()); known {
		return
	}
	// The same names always have the same bytes: it does not matter which of two writers is first.
	b.Sides = append(b.Sides, SideWrite{Key: e.ID.key(), Value: wal.AppendEmitterNames(nil, e.Worker, e.Build)})
}

// appendEmitter appends the extension that says who emitted an event. It computes no digest.
func appendEmitter(b []byte, e *Emitter) []byte {
	return wal.AppendEmitter(b, &wal.Emitter{ID: e.ID, Epoch: e.Epoch, Attempt: e.Attempt})
}

// checkEmitter refuses an emitter that no reader could resolve.
func checkEmitter(e *Emitter) error {
	if e != nil && e.ID == (EmitterID{}) {
		return &InvalidError{Field: "emitter", Rule: "must be made by NewEmitter", Value: e.Worker}
	}
	return nil
}

// emitterNames are what an id stands for, immutable.
type emitterNames struct{ worker, build string }

// Emitter says who wrote the event as a reaction, and false for an event that no worker emitted or
// that was written before reactions said so. Worker and Build are "" if the store
// has lost the names of the id. It is as trustworthy as the hash of the event, which covers it.
func (e Event) Emitter() (Emitter, bool) {
	if len(e.record) == 0 {
		return Emitter{}, false
	}
	w, ok := wal.ParseEmitter(wal.Extensions(e.record))
	if !ok {
		return Emitter{}, false
	}
	by := Emitter{ID: w.ID, Epoch: w.Epoch, Attempt: w.Attempt}
	if e.emitter != nil {
		by.Worker, by.Build = e.emitter.worker, e.emitter.build
	}
	return by, true
}

// emitterCache finds the names of emitters. It belongs to a decoder. What the log does not have yet
// is looked up again: names are visible before the first event that needs them, so that is rare.
type emitterCache struct {
	sides  *sideTable
	names  map[EmitterID]*emitterNames
	last   *emitterNames
	lastID EmitterID
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

func (c *emitterCache) load(id EmitterID) *emitterNames {
	side, ok := c.sides.get(id.key())
	if !ok {
		return nil
	}
	worker, build, ok := wal.ParseEmitterNames(side.Value, id)
	if !ok {
		return nil
	}
	if c.names == nil {
		c.names = make(map[EmitterID]*emitterNames)
	}
	if len(c.names) >= maxNames {
		clear(c.names)
	}
	names := &emitterNames{worker: worker, build: build}
	c.names[id] = names
	return names
}
