package admin

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Status is what all workers do, and what waits for them.
type Status struct {
	View View           `json:"view"`
	Head store.Position `json:"head"`
	// Transition is the number of the latest one: Watch continues after it.
	Transition uint64   `json:"transition,omitempty"`
	Groups     []Group  `json:"groups,omitempty"` // of a system, each before those in it
	Workers    []Worker `json:"workers"`
	// Error is why the system has stopped, or what of it cannot be run; "" in good order.
	Error string `json:"error,omitempty"`
}

// Worker is what is known of one. What only a running system knows is in Running.
type Worker struct {
	Name     string         `json:"name"`
	Position store.Position `json:"position"` // up to which all is handled, or parked
	Lag      Lag            `json:"lag"`
	Parked   int            `json:"parked"`
	Held     int            `json:"held"` // of those that are parked, the ones that wait for another of their key
	Pause    *Pause         `json:"pause,omitempty"`
	// Region that it reads, as text, and the kinds that it handles: none for all kinds of the region.
	Region string   `json:"region"`
	Kinds  []string `json:"kinds,omitempty"`
	Epoch  uint64   `json:"epoch"` // of the owner of its checkpoint
	// Formerly are the names that it had, the oldest first.
	Formerly []string `json:"formerly,omitempty"`
	// Error is why not all of this is known, "" in good order.
	Error   string   `json:"error,omitempty"`
	Running *Running `json:"running,omitempty"`
}

// Group is one of the tree of a system: its children are those in whose Path its own is followed by
// their name.
type Group struct {
	Path     string `json:"path"`
	Strategy string `json:"strategy"`
	Budget   Budget `json:"budget"` // for what its children escalate
}

// Budget is how many restarts are allowed yet, Of how many in a Period.
type Budget struct {
	Left   int      `json:"left"`
	Of     int      `json:"of"`
	Period Duration `json:"period"`
}

// Lag is what waits for a worker.
type Lag struct {
	Events  int  `json:"events"`
	AtLeast bool `json:"atLeast,omitempty"` // there may be more
	// Time is how long the oldest of them has waited, Bytes how much of the log there is from it on.
	Time      Duration       `json:"time"`
	Bytes     int64          `json:"bytes"`
	Oldest    store.Position `json:"oldest,omitempty"`
	OldestKey string         `json:"oldestKey,omitempty"`
}

// Pause is why a worker rests.
type Pause struct {
	Since  time.Time  `json:"since"`
	Until  *time.Time `json:"until,omitempty"` // nil: until it is resumed
	Reason string     `json:"reason,omitempty"`
	By     string     `json:"by,omitempty"`
}

// Running is what only the system knows that runs the worker.
type Running struct {
	Path  string    `json:"path"` // of the groups above it, and its name
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Reason of the state, nil in good order.
	Reason    *actors.Reason `json:"reason,omitempty"`
	Stalled   bool           `json:"stalled,omitempty"`
	Handled   uint64         `json:"handled"` // events since the start
	Restarts  int            `json:"restarts"`
	Budget    Budget         `json:"budget"` // of restarts
	Attempt   int            `json:"attempt,omitempty"`
	Unwritten string         `json:"unwritten,omitempty"` // what no event of the log has of what it reads
	// Failing are the first events that fail, MoreFailing is how many there are beside them.
	Failing     []Failing `json:"failing,omitempty"`
	MoreFailing int       `json:"moreFailing,omitempty"`
	// InFlight are the calls of its handler that have not returned; Stack says where they are.
	InFlight []actors.Handling `json:"inFlight,omitempty"`
	// Definition is that of actors.WorkerStatus, as JSON.
	Definition json.RawMessage `json:"definition"`
}

// Why is the text of the reason, "" in good order.
func (r *Running) Why() string {
	if r.Reason == nil {
		return ""
	}
	return r.Reason.Text
}

// Failing is an event that failed and is tried again.
type Failing struct {
	Event   store.Position `json:"event"`
	Key     string         `json:"key"`
	Attempt int            `json:"attempt"`       // that failed
	Due     *time.Time     `json:"due,omitempty"` // when it is tried again, nil while it is, and in an outage
	Reason  actors.Reason  `json:"reason"`
}

// Healthy reports whether a worker needs no operator: nothing is parked, and if it runs, it is
// neither in trouble nor stalled.
func (w *Worker) Healthy() bool {
	if w.Parked > 0 || w.Error != "" {
		return false
	}
	if w.Running == nil {
		return true
	}
	switch w.Running.State {
	case actors.Starting.String(), actors.Idle.String(), actors.Running.String(), actors.Throttled.String(), actors.Paused.String(),
		actors.Ended.String():
		return !w.Running.Stalled && len(w.Running.Failing) == 0
	}
	return false
}

// maxLag is how far lag is counted where no system runs.
const maxLag = 10_000

// Status returns what all workers do, those of a system in the order of its tree, and otherwise all
// that have a checkpoint, by name.
func (s *Surface) Status(ctx context.Context) (Status, error) { return status().ask(ctx, s, nothing{}) }

func status() question[nothing, Status] {
	return question[nothing, Status]{"status", Read, func(ctx context.Context, h *here, _ nothing) (Status, error) { return h.status(ctx) }}
}

func (h *here) status(ctx context.Context) (Status, error) {
	at := Status{View: h.view(), Workers: []Worker{}}
	at.Head = at.View.AsOf
	var running map[string]*actors.WorkerStatus
	if h.sys != nil {
		said := h.sys.Status()
		at.Head, at.View.AsOf, at.Error, at.Transition = said.Head, said.Head, text(said.Err), said.Transition
		for _, g := range said.Groups {
			at.Groups = append(at.Groups, Group{Path: g.Path, Strategy: g.Strategy.String(), Budget: budget(g.Budget)})
		}
		running = make(map[string]*actors.WorkerStatus, len(said.Workers))
		for i := range said.Workers {
			w := &said.Workers[i]
			running[w.Name] = w
			at.Workers = append(at.Workers, worker(h.st, w))
		}
	}
	for info, err := range checkpoint.List(h.st) {
		if info.ID == "" && err != nil {
			return at, err
		}
		if running[string(info.ID)] == nil {
			at.Workers = append(at.Workers, h.kept(ctx, info, err, at.Head))
		}
		if err := ctx.Err(); err != nil {
			return at, err
		}
	}
	return at, nil
}

// worker is one that runs.
func worker(st *store.Store, w *actors.WorkerStatus) Worker {
	out := Worker{
		Name: w.Name, Position: w.Position, Parked: w.Parked, Held: w.Held, Error: text(w.LagErr),
		Lag: Lag{
			Events: w.Lag, AtLeast: w.LagAtLeast, Time: Duration(w.LagTime), Bytes: w.LagBytes, Oldest: w.OldestPending, OldestKey: w.OldestPendingKey,
		},
		Running: &Running{
			Path: w.Path, State: w.State.String(), Since: w.Since, Stalled: w.Stalled, Handled: w.Handled, Restarts: w.Restarts,
			Budget: budget(w.Budget), Attempt: w.Attempt, Unwritten: w.Unwritten, MoreFailing: w.MoreFailing, InFlight: w.InFlight,
		},
	}
	if w.Reason != nil {
		reason := actors.ReasonOf(w.Reason)
		out.Running.Reason = &reason
	}
	for _, f := range w.Failing {
		out.Running.Failing = append(out.Running.Failing, failing(f))
	}
	out.Running.Definition, _ = json.Marshal(w.Definition) // it has nothing that cannot be written
	info, err := checkpoint.Inspect(st, checkpoint.ID(w.Name))
	if err == nil {
		out.define(info)
	} else if !errors.Is(err, checkpoint.ErrNotFound) { // a volatile worker has none
		out.Error = text(err)
	}
	return out
}

func failing(f actors.FailingEvent) Failing {
	out := Failing{Event: f.Event, Key: f.Key, Attempt: f.Attempt, Reason: actors.ReasonOf(f.Reason)}
	if !f.Due.IsZero() {
		out.Due = &f.Due
	}
	return out
}

func budget(b actors.Budget) Budget {
	return Budget{Left: b.Left, Of: b.Of, Period: Duration(b.Period)}
}

// define takes in what the checkpoint says of the worker itself.
func (w *Worker) define(info checkpoint.Info) {
	w.Region, w.Kinds, w.Epoch = info.Record.Region, info.Record.Kinds, info.Record.Epoch
	if region, ok := store.RegionOf(info.Record.Region); ok {
		w.Region = region.String()
	}
	for _, name := range info.Record.Formerly {
		w.Formerly = append(w.Formerly, string(name))
	}
	if p := info.Pause; p != nil {
		w.Pause = &Pause{Since: p.Since, Reason: p.Reason, By: p.By}
		if !p.Until.IsZero() {
			w.Pause.Until = &p.Until
		}
	}
}

// kept is a worker as its checkpoint says, which may be damaged.
func (h *here) kept(ctx context.Context, info checkpoint.Info, damage error, head store.Position) Worker {
	w := Worker{Name: string(info.ID), Position: info.Record.Floor(), Error: text(damage)}
	w.define(info)
	for entry, err := range checkpoint.ParkedEvents(h.st, info.ID) {
		if err != nil && w.Error == "" {
			w.Error = text(err)
		}
		w.Parked++
		if entry.Held {
			w.Held++
		}
	}
	if damage != nil {
		return w
	}
	if err := h.lag(ctx, &w, info, head); err != nil && w.Error == "" {
		w.Error = text(err)
	}
	return w
}

// lag fills in what waits for a worker that does not run here.
func (h *here) lag(ctx context.Context, w *Worker, info checkpoint.Info, head store.Position) error {
	region, ok := store.RegionOf(info.Record.Region)
	if !ok {
		return checkpoint.ErrCorrupt
	}
	if len(info.Record.Kinds) > 0 {
		region.Kinds, region.Category = info.Record.Kinds, ""
	}
	at := cursor.Progress{
		Region: &region, Position: info.Record.Floor(), Scanned: info.Record.Scanned, Pending: info.Record.Pending, Pass: info.Pass,
	}
	b, err := at.Backlog(ctx, h.st, head, maxLag)
	w.Lag.Events, w.Lag.AtLeast, w.Lag.Oldest = b.Events, b.AtLeast, b.Oldest.Position
	if err != nil || b.Oldest.Position == 0 {
		return err
	}
	w.Lag.Time = Duration(max(0, h.st.Now().Sub(b.Oldest.Time.Time())))
	w.Lag.Bytes, err = h.st.Bytes(ctx, b.Oldest.Position-1, head)
	return err
}

// text is that of an error, "" for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
