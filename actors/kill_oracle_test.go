package actors_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// killOracle keeps what children wrote about every append, and so knows what must be in the log,
// may be, or must not.
type killOracle struct {
	fates map[string]*killFate
	names []string // of fates, in the order of their first lines

	acks, duplicates, refused, errors, panics int
}

// killFate is what is known of an append.
type killFate struct {
	op      killOp
	got     []store.Recorded // nil: not acknowledged
	refused bool
}

func newKillOracle() *killOracle { return &killOracle{fates: make(map[string]*killFate)} }

// pending returns the appends that may be tried again.
func (o *killOracle) pending() (ops []killOp) {
	for _, name := range o.names {
		if f := o.fates[name]; f.op.Keyed && f.got == nil && !f.refused {
			ops = append(ops, f.op)
		}
	}
	return ops
}

func (o *killOracle) hear(t *testing.T, round int, s killSaid) {
	t.Helper()
	switch s.Say {
	case killIntent:
		if o.fates[s.Op.Name] == nil {
			o.fates[s.Op.Name] = &killFate{op: *s.Op}
			o.names = append(o.names, s.Op.Name)
		}
	case killAck:
		o.fates[s.Op.Name].got = s.Got
		o.acks++
		if s.Dup {
			o.duplicates++
		}
	case killRefused:
		o.fates[s.Op.Name].refused = true
		o.refused++
	case killError:
		o.errors++
	case killPanic:
		o.panics++
	case killFatal:
		t.Errorf("round %d: %s", round, s.Text)
	case killOpening, killOpened, killUp:
	}
}

// peek checks what a kill has left, without recovery.
func (o *killOracle) peek(t *testing.T, dir string) {
	t.Helper()
	st, err := store.Open(dir, store.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	o.check(t, st)
}

// judge checks what the last kill has left, lets the reactors catch up, and checks again, twice:
// before and after one more opening. It returns the number of events, and how many of them are
// reactions.
func (o *killOracle) judge(t *testing.T, dir string) (events, reactions int) {
	t.Helper()
	st, err := store.Open(dir, store.Options{SegmentBytes: killMinSegment})
	require.NoError(t, err)
	o.check(t, st)
	o.catchUp(t, st)
	log := o.check(t, st)
	for worker, at := range killCheckpoints(t, st) {
		require.Empty(t, at.parked, "%s", worker)
		require.Equal(t, st.Head(), at.record.Scanned, "%s has written at its clean stop how far it came", worker)
	}
	require.NoError(t, st.Close())

	again, err := store.Open(dir, store.Options{SegmentBytes: killMinSegment})
	require.NoError(t, err)
	defer func() { require.NoError(t, again.Close()) }()
	require.Equal(t, len(log), len(o.check(t, again)))
	for i, e := range killRead(t, again) {
		require.Equal(t, log[i].ID, e.ID, "position %d", e.Position)
		require.Equal(t, log[i].Hash(), e.Hash(), "position %d", e.Position)
	}
	for _, e := range log {
		if strings.HasPrefix(e.Kind, "out.") {
			reactions++
		}
	}
	return len(log), reactions
}

// catchUp runs the system until every worker has handled everything, reactions to reactions
// included.
func (o *killOracle) catchUp(t *testing.T, st *store.Store) {
	t.Helper()
	sys, err := actors.Start(t.Context(), st, actors.Options{}, killTree(func(killSaid) {}))
	require.NoError(t, err)
	parked := 1
	for head := store.Position(0); head != st.Head() || parked > 0; {
		head, parked = st.Head(), 0
		upToHead := receiptOf(t, st, head)
		for worker := range killReads() {
			n, idle := killParked(t, sys, worker)
			if parked += n; n > 0 && idle {
				killReplay(t.Context(), sys, worker)
			}
			if err := sys.WaitApplied(t.Context(), worker, upToHead); !errors.Is(err, actors.ErrParked) {
				require.NoError(t, err)
			}
		}
		for _, w := range sys.Status().Workers { // with lanes, the head may be done before what precedes it
			parked += w.Lag
		}
	}
	for _, w := range sys.Status().Workers {
		require.NoError(t, w.Reason, "%s", w.Path)
		require.Zero(t, w.Lag, "%s", w.Path)
		require.NotEqual(t, actors.Halted, w.State, "%s", w.Path)
	}
	require.NoError(t, sys.Stop(t.Context()))
}

// killParked counts what a worker has parked, and reports whether none of it is being replayed.
func killParked(t *testing.T, sys *actors.System, worker string) (n int, idle bool) {
	t.Helper()
	idle = true
	for p, err := range sys.Parked(worker) {
		require.NoError(t, err)
		n++
		idle = idle && !p.Replaying
	}
	return n, idle
}

// check holds at any moment: also for what a kill has left, before any worker has caught up.
func (o *killOracle) check(t *testing.T, st *store.Store) []store.Event {
	t.Helper()
	log := killRead(t, st)
	requireKillEnvelopes(t, st, log)
	o.requireInputs(t, log)
	outputs := 0
	checkpoints := killCheckpoints(t, st)
	for worker, region := range killReads() {
		outputs += requireKillReactions(t, log, worker, region, checkpoints[worker])
	}
	inputs := 0
	for _, e := range log {
		if strings.HasPrefix(e.Kind, "in.") || e.Coordinate.Scope == store.ReservedScope {
			inputs++
		}
	}
	require.Equal(t, len(log), inputs+outputs, "the log holds inputs, reactions and audit events, and nothing else")
	return log
}

func killRead(t *testing.T, st *store.Store) (log []store.Event) {
	t.Helper()
	for p := store.Position(1); p <= st.Head(); p++ {
		e, err := st.GetAt(t.Context(), p)
		require.NoError(t, err)
		log = append(log, e)
	}
	return log
}

// killDone returns how far a worker has come.
type killDone struct {
	record checkpoint.Record
	pass   checkpoint.Pass
	parked map[store.Position]checkpoint.Parked
}

// emitted reports whether the reactions to an event must be in the log.
func (d killDone) emitted(e store.Event) bool {
	if p, parked := d.parked[e.Position]; parked {
		return p.Replay
	}
	return d.record.Done(e.Position) || d.pass.Replayed(e) || !d.pass.Delivers(e)
}

// killCheckpoints returns every checkpoint, and requires that none lies beyond the head.
func killCheckpoints(t *testing.T, st *store.Store) map[string]killDone {
	t.Helper()
	at := make(map[string]killDone)
	for info, err := range checkpoint.List(st) {
		require.NoError(t, err)
		require.LessOrEqual(t, info.Record.Scanned, st.Head(), "checkpoint %s", info.ID)
		require.LessOrEqual(t, info.Record.Delivered, info.Record.Scanned, "checkpoint %s", info.ID)
		require.Contains(t, killReads(), string(info.ID))
		done := killDone{record: info.Record, pass: info.Pass, parked: make(map[store.Position]checkpoint.Parked)}
		for p, err := range checkpoint.ParkedEvents(st, info.ID) {
			require.NoError(t, err)
			done.parked[p.Position] = p
		}
		at[string(info.ID)] = done
	}
	return at
}

// requireKillEnvelopes: positions 1 to n, the same event by position and by reading, ids and times
// that grow, versions of each entity from 1.
func requireKillEnvelopes(t *testing.T, st *store.Store, log []store.Event) {
	t.Helper()
	require.Equal(t, st.Head(), store.Position(len(log)))
	versions := make(map[string]uint64)
	var id uuid.UUID
	var last store.Timestamp
	for i, e := range log {
		require.Equal(t, store.Position(i+1), e.Position)
		same, err := st.GetAt(t.Context(), e.Position)
		require.NoError(t, err)
		require.True(t, same.ID == e.ID && same.Hash() == e.Hash(), "two readings of position %d", e.Position)
		require.Positive(t, slices.Compare(e.ID[:], id[:]), "id at position %d", e.Position)
		require.Greater(t, e.Time, last, "time at position %d", e.Position)
		id, last = e.ID, e.Time
		versions[e.Coordinate.Entity]++
		require.Equal(t, versions[e.Coordinate.Entity], e.Version, "%s at position %d", e.Coordinate, e.Position)
	}
}

// requireInputs: what was acknowledged is there once, exactly as acknowledged; what was not, whole
// and once or not at all; what was refused is not there.
func (o *killOracle) requireInputs(t *testing.T, log []store.Event) {
	t.Helper()
	found := make(map[string][]store.Event)
	for _, e := range log {
		if strings.HasPrefix(e.Kind, "in.") {
			var in killInput
			require.NoError(t, json.Unmarshal(e.Payload, &in))
			found[in.Op] = append(found[in.Op], e)
		}
	}
	for name := range found {
		require.NotNil(t, o.fates[name], "no child announced %s", name)
	}
	for name, f := range o.fates {
		events := found[name]
		switch {
		case f.refused:
			require.Zero(t, len(events), "number of events of append %s, which was refused", name)
		case f.got != nil:
			require.Equal(t, len(f.got), len(events), "number of events of append %s, which was acknowledged", name)
			for i, e := range events {
				require.Equal(t, f.got[i], store.Recorded{ID: e.ID, Position: e.Position, Version: e.Version}, "append %s", name)
			}
		}
		if len(events) > 0 {
			requireKillInput(t, &f.op, events)
		}
	}
}

// requireKillInput: the events are those of the append, side by side, and began a chain of causes.
func requireKillInput(t *testing.T, op *killOp, events []store.Event) {
	t.Helper()
	require.Equal(t, len(op.Entities), len(events), "number of events of append %s", op.Name)
	for i, e := range events {
		require.Equal(t, store.At(op.Entities[i], killScope), e.Coordinate, "append %s", op.Name)
		require.Equal(t, op.Kind, e.Kind, "append %s", op.Name)
		require.Equal(t, string(op.payload(i).Data), string(e.Payload), "append %s", op.Name)
		require.Equal(t, events[0].Position+store.Position(i), e.Position, "append %s", op.Name)
		require.Equal(t, uuid.Nil, e.Cause, "append %s", op.Name)
		require.Equal(t, e.ID, e.Correlation, "append %s", op.Name)
		require.Zero(t, e.Depth, "append %s", op.Name)
	}
	if op.Expect {
		require.Equal(t, op.Version+1, events[0].Version, "append %s", op.Name)
	}
}

// requireKillReactions: the reactions of a worker are exactly those to the events of its region
// that it is done with, each once, linked to them, and for each key in the order of their causes.
// It returns their number.
func requireKillReactions(t *testing.T, log []store.Event, worker string, region store.Region, done killDone) (found int) {
	t.Helper()
	want := make(map[string][]store.Proposal) // by key
	keys := make(map[uuid.UUID]string)        // of the causes
	for _, e := range log {
		if region.Matches(e) && done.emitted(e) {
			key := e.Coordinate.Entity
			keys[e.ID] = key
			want[key] = append(want[key], killReactions(worker, e)...)
		}
	}
	for _, e := range log {
		if e.Kind != "out."+worker {
			continue
		}
		key, known := keys[e.Cause]
		require.True(t, known, "position %d: a reaction of %s to what it is not done with: %s", e.Position, worker, e.Payload)
		require.NotEmpty(t, want[key], "position %d: a reaction of %s too many: %s", e.Position, worker, e.Payload)
		p := want[key][0]
		want[key] = want[key][1:]
		require.Equal(t, string(p.Payload.(store.Raw).Data), string(e.Payload), "%s, position %d", worker, e.Position)
		require.Equal(t, p.At, e.Coordinate, "%s, position %d", worker, e.Position)
		require.Equal(t, p.Causation, store.Causation{Cause: e.Cause, Correlation: e.Correlation, Depth: e.Depth},
			"%s, position %d", worker, e.Position)
		found++
	}
	for key, missing := range want {
		require.Empty(t, missing, "reactions of %s to events of %s", worker, key)
	}
	return found
}
