package saga

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// record is an instance as it is kept, see [record.fields]. Everything in it goes by name.
type record struct {
	Life    Life
	Run     uint64 // of the key
	Version uint32 // of the definition
	Phase   string

	// From is the position of the first event that the run may be made from. Texts for comparison lack
	// it: after a crash the same events lie elsewhere.
	From store.Position `json:"-"`

	Began   time.Time
	Entered time.Time // the phase
	Ended   time.Time

	Inputs uint64 // how many were handled
	State  json.RawMessage

	Steps   map[string]*stepRecord // that were requested
	Undo    []undoRecord           // ascending by order
	Order   uint64                 // of the last request
	Timers  map[string]*timerRecord
	Setting uint64 // generation of the timer that was set last
	Aliases []alias
	Pivoted bool // there is no way back
	Closing bool // it completes once nothing is in flight

	Held    []held         // inputs for later, by position
	Pages   pages          // further ones
	Passing passing        // which of these are not handled any more
	Again   time.Time      // since when one of them is on its way to be handled
	Retried store.Position // that one

	Before  Life     // it was suspended
	Why     *failure // it does not go forward any more
	Stuck   *stuckRecord
	Skipped []string // steps that were not undone
	Lacks   string   // what it waits for the program to have, as its last event said
	Counted Life     // under which it still is, after an erasure; None for its own
}

// status of a step that was requested.
type status string

const (
	requested status = "requested" // in flight
	done      status = "done"
	refused   status = "refused"   // it did not happen
	unknown   status = "unknown"   // it may have happened
	withdrawn status = "withdrawn" // never attempted
	undone    status = "undone"    // it was done, or may have been
)

// stepRecord is the last request of a step.
type stepRecord struct {
	Status status
	Visit  int // how often it was requested, on which its effect key depends
	Try    int // by an operator, of the same visit
	Order  uint64
	Result json.RawMessage
	Error  string
}

// undoRecord is something that compensation undoes.
type undoRecord struct {
	Step    string
	Visit   int // of the action that it undoes; 0 where it undoes no action
	Order   uint64
	Unknown bool // whether the action happened
	Result  json.RawMessage
	Try     int // of the undo; 0 until it is requested
	Refused int // how many of them were refused, on which its key depends
}

// timerRecord is a timer that is set.
type timerRecord struct {
	Due        time.Time
	Generation uint64
	Ticket     cursor.Ticket
}

// alias is a second name of the instance.
type alias struct {
	Name  string
	Value string
	From  store.Position `json:"-"` // of the first input that it may have led to the instance, as record.From
}

// held is an input that waits.
type held struct {
	At store.Position
	// Tried says that it did not fit into the present phase either.
	Tried bool
}

// failure says why an instance does not go forward.
type failure struct {
	Step  string
	Error string
	Cause string // of causes
	// Fails says that it ends as Failed where there is nothing to undo.
	Fails bool
	Undid bool // something was undone
}

// causes are the errors that a failure may be, by name.
//
//nolint:gochecknoglobals // a table
var causes = map[string]error{
	string(refused): ErrRefused, string(unknown): ErrUnknown, "deadline": ErrDeadline, "cancelled": ErrCancelled,
	"abandoned": ErrAbandoned, causeErased: store.ErrErased,
}

// failed is why an instance compensates one of whose steps has failed.
func (s *stepRecord) failed(name string) failure {
	return failure{Step: name, Error: s.Error, Cause: string(s.Status)}
}

// stuckRecord is what an instance is stuck at.
type stuckRecord struct {
	Step  string    `json:"step"`
	Undo  bool      `json:"undo,omitempty"`
	Error string    `json:"error"`
	Since time.Time `json:"since"`
}

// empty reports whether nothing of it has to be kept.
func (r *record) empty() bool { return r.Life == None && r.Run == 0 && len(r.Held) == 0 }

// inFlight returns the steps that are in flight, sorted.
func (r *record) inFlight() (steps []string) {
	for name, s := range r.Steps {
		if s.Status == requested {
			steps = append(steps, name)
		}
	}
	slices.Sort(steps)
	return steps
}

// undoing is what is undone now, nil for nothing.
func (r *record) undoing() *undoRecord {
	if n := len(r.Undo); n > 0 && r.Undo[n-1].Try > 0 {
		return &r.Undo[n-1]
	}
	return nil
}

// atUndo is the undo that is in flight, or that the instance is stuck at; nil for none.
func (r *record) atUndo() *undoRecord {
	if r.Life == Stuck && r.Stuck.Undo && len(r.Undo) > 0 {
		return &r.Undo[len(r.Undo)-1]
	}
	if r.Life == Compensating {
		return r.undoing()
	}
	return nil
}

// undid takes what was requested last from what is undone, as it is.
func (r *record) undid() {
	u := r.Undo[len(r.Undo)-1]
	if s := r.Steps[u.Step]; s != nil && u.Visit == s.Visit {
		s.Status = undone
	}
	r.Undo, r.Why.Undid = r.Undo[:len(r.Undo)-1], true
}

// addUndo adds something to what compensation undoes.
func (r *record) addUndo(u undoRecord) {
	i, _ := slices.BinarySearchFunc(r.Undo, u.Order, func(u undoRecord, order uint64) int {
		if u.Order < order {
			return -1
		}
		return 1
	})
	r.Undo = slices.Insert(r.Undo, i, u)
}

// hold adds an input to those that wait; tried says that it was.
func (r *record) hold(at store.Position, tried bool) {
	i, found := slices.BinarySearchFunc(r.Held, at, byPosition)
	if !found {
		r.Held = slices.Insert(r.Held, i, held{At: at, Tried: tried})
	}
}

// kept is how many inputs wait that were tried, or were not.
func (r *record) kept(tried bool) (n int) {
	for _, h := range r.Held {
		if h.Tried == tried {
			n++
		}
	}
	return n
}

// rests reports whether inputs wait for an operator, whatever they are.
func (r *record) rests() bool { return r.Life == Suspended || r.Life == Stuck }

// onWayFor is how much later an input is that comes behind the retry of one that is held. Where
// that was not handled by then, it was discarded.
const onWayFor = time.Minute

// release takes an input from those that wait, and reports whether it was there.
func (r *record) release(at store.Position) bool {
	i, found := slices.BinarySearchFunc(r.Held, at, byPosition)
	if found {
		r.Held = slices.Delete(r.Held, i, i+1)
	}
	return found
}

// retry lets all that waits be tried again.
func (r *record) retry() {
	for i := range r.Held {
		r.Held[i].Tried = false
	}
}

// untried is the first of those that wait and were not tried yet; 0 for none.
func (r *record) untried() store.Position {
	for _, h := range r.Held {
		if !h.Tried {
			return h.At
		}
	}
	return 0
}

func byPosition(h held, at store.Position) int {
	switch {
	case h.At < at:
		return -1
	case h.At > at:
		return 1
	}
	return 0
}

// Keys under which the coordinator keeps what it has.
func recordKey(key string) string { return "i/" + key }

func aliasKey(name, value string) string { return "a/" + name + "/" + value }

// strays begins the keys of inputs that wait for an alias.
const strays = "h/"

func strayKey(name, value string) string { return strays + name + "/" + value }

// entity of the events of an instance.
func entity(saga, key string) string { return "saga:" + saga + ":" + key }

// strayEntity is that of events about inputs that wait for an alias.
func strayEntity(saga, at string) string { return "saga-stray:" + saga + ":" + at }

// keyOfEntity returns the key of an instance.
func keyOfEntity(saga, entity string) string { return strings.TrimPrefix(entity, "saga:"+saga+":") }
