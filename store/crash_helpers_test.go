package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

const crashDir = "data"

// soaking reports whether the long form of the crash tests was requested.
func soaking() bool { return os.Getenv("PENSTOCK_SOAK") == "1" }

// submitted is a commit that the store accepted, or may have accepted.
type submitted struct {
	batch   Batch
	acked   bool
	receipt Receipt // of an acknowledged commit
	group   int     // commits with the same number were written as one batch of the log
}

// oracle knows what a log must hold: the commits in order, and how many of them a crash may not
// take.
type crashOracle struct {
	mode    SyncMode
	mixed   bool // every opening has another mode
	commits []submitted
	groups  int
	floor   int    // commits that were promised to survive a power cut
	history Origin // of the last acknowledgement
}

// crashState is what the first commits of an oracle add up to.
type crashState struct {
	events   []expectedEvent
	versions map[string]uint64
	sides    map[string]SideValue
}

type expectedEvent struct {
	proposal *Proposal
	version  uint64
	recorded *Recorded // nil when the commit was not acknowledged
}

func (o *crashOracle) clone() *crashOracle {
	c := *o
	c.commits = slices.Clone(o.commits)
	return &c
}

// acked is the number of commits up to the last acknowledged one.
func (o *crashOracle) acked() int {
	n := len(o.commits)
	for n > 0 && !o.commits[n-1].acked {
		n--
	}
	return n
}

// found records that a log with the first k commits was opened: what is visible then is durable.
func (o *crashOracle) found(k int, h Origin) {
	o.commits, o.floor, o.history = o.commits[:k:k], k, h
}

func (o *crashOracle) replay(k int) crashState {
	s := crashState{versions: make(map[string]uint64), sides: make(map[string]SideValue)}
	for i := range o.commits[:k] {
		c := &o.commits[i]
		for j := range c.batch.Events {
			p := &c.batch.Events[j]
			s.versions[p.At.Entity]++
			e := expectedEvent{proposal: p, version: s.versions[p.At.Entity]}
			if c.acked {
				e.recorded = &c.receipt.Events[j]
			}
			s.events = append(s.events, e)
		}
		for _, w := range c.batch.Sides {
			if w.Delete {
				delete(s.sides, w.Key)
			} else {
				s.sides[w.Key] = SideValue{Key: w.Key, Value: w.Value, Revision: uint64(i + 1)}
			}
		}
	}
	return s
}

// verify compares a store with the oracle and returns the number of commits it holds, which must be
// at least floor, and the first difference.
func (o *crashOracle) verify(st *Store, floor int) (k int, err error) {
	k = int(st.Stats().Sequence)
	switch {
	case k < floor:
		return k, fmt.Errorf("%d commits survived of %d that were promised to", k, floor)
	case k > len(o.commits):
		return k, fmt.Errorf("%d commits, only %d were submitted", k, len(o.commits))
	case k > 0 && k < len(o.commits) && o.commits[k-1].group == o.commits[k].group:
		return k, fmt.Errorf("half a batch: it ends with commit %d", k)
	}
	want := o.replay(k)
	for _, check := range []func(*Store, *crashState) error{o.verifyEvents, o.verifySides, o.verifyEntities} {
		if err := check(st, &want); err != nil {
			return k, err
		}
	}
	return k, o.verifyKeys(st, k)
}

func (o *crashOracle) verifyEvents(st *Store, want *crashState) error {
	if head := int(st.Head()); head != len(want.events) {
		return fmt.Errorf("head is %d, want %d", head, len(want.events))
	}
	n, last, hashes := 0, Event{}, make(map[string][32]byte)
	for e, err := range st.Read(context.Background(), Region{}, Beginning()) {
		if err != nil {
			return fmt.Errorf("read after %d: %w", n, err)
		}
		if n++; n > len(want.events) {
			return fmt.Errorf("event %d was never submitted", n)
		}
		if err := compareEvent(&e, Position(n), &want.events[n-1]); err != nil {
			return err
		}
		if n > 1 && (e.Time <= last.Time || bytes.Compare(e.ID[:], last.ID[:]) <= 0) {
			return fmt.Errorf("event %d: time or id does not grow", n)
		}
		if hash := chained(hashes[e.Coordinate.Entity], &e); hash != e.Hash() {
			return fmt.Errorf("event %d: not the link that continues the chain of %s", n, e.Coordinate.Entity)
		}
		hashes[e.Coordinate.Entity], last = e.Hash(), e
	}
	if n != len(want.events) {
		return fmt.Errorf("%d events, want %d", n, len(want.events))
	}
	return nil
}

func compareEvent(e *Event, position Position, want *expectedEvent) error {
	p := want.proposal
	switch raw := p.Payload.(Raw); {
	case e.Position != position:
		return fmt.Errorf("event at %d, want %d", e.Position, position)
	case e.Coordinate != p.At || e.Kind != raw.Type || e.Version != want.version:
		return fmt.Errorf("event %d is %s %s version %d, want %s %s version %d",
			position, e.Coordinate, e.Kind, e.Version, p.At, raw.Type, want.version)
	case !bytes.Equal(e.Payload, raw.Data) || !maps.Equal(e.Headers(), p.Headers) || e.Cause != p.Causation.Cause:
		return fmt.Errorf("event %d has another content", position)
	case want.recorded != nil && *want.recorded != (Recorded{ID: e.ID, Position: e.Position, Version: e.Version}):
		return fmt.Errorf("event %d is not what the receipt says: %+v", position, *want.recorded)
	}
	return nil
}

// chained computes the hash of an event from what a reader sees of it.
func chained(previous [32]byte, e *Event) [32]byte {
	d := wal.Draft{
		Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope, Kind: e.Kind, Codec: e.Codec,
		SchemaVersion: e.SchemaVersion, Depth: e.Depth, Cause: e.Cause, Headers: e.headers(), Payload: e.Payload,
	}
	if e.Correlation != e.ID {
		d.Correlation = e.Correlation
	}
	rec := wal.Extend(wal.AppendEvent(nil, &d), 0, extensionsOf(e))
	return wal.Chain(previous, wal.Content(rec), rec,
		&wal.Stamp{Position: uint64(e.Position), Version: e.Version, Time: uint64(e.Time), ID: e.ID})
}

func (o *crashOracle) verifySides(st *Store, want *crashState) error {
	n := 0
	for got := range st.Sides("") {
		n++
		w, ok := want.sides[got.Key]
		if !ok || w.Revision != got.Revision || !bytes.Equal(w.Value, got.Value) {
			return fmt.Errorf("side value %q at revision %d, want revision %d", got.Key, got.Revision, w.Revision)
		}
		var at Position
		if _, err := fmt.Sscanf(string(got.Value), "at %d", &at); err == nil && at > st.Head() {
			return fmt.Errorf("side value %q says position %d, head is %d", got.Key, at, st.Head())
		}
	}
	if n != len(want.sides) {
		return fmt.Errorf("%d side values, want %d", n, len(want.sides))
	}
	return nil
}

// verifyEntities reads through the indexes: every entity has its versions from 1 on.
func (o *crashOracle) verifyEntities(st *Store, want *crashState) error {
	for _, entity := range []string{"order:1", "stock:lamp"} {
		var n uint64
		for e, err := range st.Read(context.Background(), Region{Entity: entity}, Beginning()) {
			if err != nil {
				return fmt.Errorf("read %s: %w", entity, err)
			}
			if n++; e.Version != n {
				return fmt.Errorf("%s: version %d, want %d", entity, e.Version, n)
			}
		}
		if n != want.versions[entity] {
			return fmt.Errorf("%s: %d events, want %d", entity, n, want.versions[entity])
		}
	}
	return nil
}

// verifyKeys repeats the commits that had a key: the stored receipt answers.
func (o *crashOracle) verifyKeys(st *Store, k int) error {
	for i := range o.commits[:k] {
		c := &o.commits[i]
		if c.batch.IdempotencyKey == "" {
			continue
		}
		got, err := st.Commit(context.Background(), c.batch)
		switch {
		case err != nil:
			return fmt.Errorf("repeat of key %s: %w", c.batch.IdempotencyKey, err)
		case !got.Duplicate || got.Sequence != uint64(i+1) || len(got.Events) != len(c.batch.Events):
			return fmt.Errorf("repeat of key %s: %+v", c.batch.IdempotencyKey, got)
		case c.acked && !slices.Equal(got.Events, c.receipt.Events):
			return fmt.Errorf("repeat of key %s has another receipt: %+v, want %+v", c.batch.IdempotencyKey, got, c.receipt)
		}
	}
	return nil
}

// verifyHistory checks the incarnation of a log that was opened with k commits: it is a new one
// when acknowledged events are missing, and the old one when nothing can be.
func (o *crashOracle) verifyHistory(st *Store, k int) error {
	got, acked := st.Origin(), o.acked()
	if acked == 0 {
		return nil
	}
	lost := len(o.replay(acked).events) > len(o.replay(min(k, acked)).events)
	switch {
	case got.Store != o.history.Store:
		return errors.New("another store")
	case lost && got.Incarnation <= o.history.Incarnation:
		return errors.New("acknowledged events were lost, the history says nothing")
	case o.mode == SyncAlways && !o.mixed && !lost && got.Incarnation != o.history.Incarnation:
		return fmt.Errorf("nothing was lost, the history went from %d to %d", o.history.Incarnation, got.Incarnation)
	}
	return nil
}

// crashRun drives one store through a script.
type crashRun struct {
	crashOracle

	disk       *vfs.Memory
	options    Options
	background bool // work beside the commits is done beside them, in no certain order
	st         *Store
}

func newCrashRun(disk *vfs.Memory, mode SyncMode) *crashRun {
	return &crashRun{disk: disk, crashOracle: crashOracle{mode: mode}, options: Options{Sync: mode, SegmentBytes: minSegmentBytes}}
}

// open opens the store and compares it with what the oracle knows; nothing but a power cut may have
// taken anything.
func (r *crashRun) open() error {
	if r.mixed {
		r.options.Sync = (r.mode + 1) % (SyncNever + 1)
	}
	st, err := open(r.disk, crashDir, r.options, !r.background)
	if err != nil {
		return err
	}
	r.st, r.mode = st, r.options.Sync
	if got := int(st.Stats().Sequence); got < r.acked() || got > len(r.commits) {
		return fmt.Errorf("reopened with %d commits, acknowledged are %d", got, r.acked())
	}
	r.found(int(st.Stats().Sequence), st.Origin())
	return nil
}

// kill ends the store as the death of the process does: nothing is written, files and locks are
// gone.
func (r *crashRun) kill() {
	if r.st != nil {
		killStore(r.st)
		r.st = nil
	}
}

func killStore(st *Store) {
	if st.closed.Load() {
		return
	}
	st.committer.close() // stops the clock of lazy commits
	st.release()
}

// submit commits b and records the outcome.
func (r *crashRun) submit(b Batch) error {
	r.groups++
	receipt, err := r.st.Commit(context.Background(), b)
	return r.book(b, receipt, err)
}

// submitGroup commits batches as callers that wait at the same time do: in one write.
func (r *crashRun) submitGroup(batches ...Batch) error {
	ops := make([]*request, len(batches))
	for i := range batches {
		ops[i] = newRequest()
		if err := ops[i].encode(&batches[i]); err != nil {
			return err
		}
	}
	r.groups++
	r.st.committer.writer.commit(ops)
	var failed error
	for i, o := range ops {
		failed = errors.Join(failed, r.book(batches[i], o.receipt, o.err))
	}
	return failed
}

func (r *crashRun) book(b Batch, receipt Receipt, err error) error {
	c := submitted{batch: b, acked: err == nil, receipt: receipt, group: r.groups}
	if err == nil || errors.Is(err, ErrOutcomeUnknown) {
		r.commits = append(r.commits, c)
	}
	if err != nil {
		return err
	}
	r.history = receipt.Origin
	if r.mode == SyncAlways && (!b.Lazy || len(b.Events) > 0) {
		r.floor = len(r.commits)
	}
	if receipt.Duplicate || receipt.Sequence != uint64(len(r.commits)) || len(receipt.Events) != len(b.Events) {
		return fmt.Errorf("unexpected receipt %+v", receipt)
	}
	return nil
}

// refused commits b, which must be answered with target and leave no trace.
func (r *crashRun) refused(b Batch, target error) error {
	_, err := r.st.Commit(context.Background(), b)
	if errors.Is(err, target) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("accepted, although: %w", target)
	}
	return err
}

// rebooted is the disk of a machine that was started again: its status file speaks of an earlier
// boot.
func rebooted(t require.TestingT, disk *vfs.Memory) *vfs.Memory {
	file, err := disk.Open(crashDir+"/"+beaconName, false)
	if err != nil {
		return disk
	}
	defer file.Close()
	var b [beaconSize]byte
	var s beacon
	if n, _ := file.ReadAt(b[:], 0); n < beaconSize || !s.decode(b[:]) {
		return disk
	}
	s.boot = uuid.UUID{1}
	s.encode(&b)
	_, err = file.WriteAt(b[:], 0)
	require.NoError(t, err)
	return disk.Image(vfs.KeepAll)
}

// powerCutImage is a disk as the next boot may find it.
func powerCutImage(t require.TestingT, disk *vfs.Memory, seed uint64) *vfs.Memory {
	return rebooted(t, disk.Image(seed))
}

// payload returns n bytes that are different for each i.
func crashPayload(i, n int) Raw {
	data := bytes.Repeat([]byte{byte('a' + i%26), byte(i >> 8), byte(i)}, n/3+1)
	return Raw{Type: fmt.Sprintf("order.k%d", i%3), Codec: "raw", Data: data[:n]}
}

// proposal is an event with a payload of n bytes.
func crashProposal(entity string, i, n int) Proposal {
	return Proposal{At: At(entity, "shop"), Payload: crashPayload(i, n)}
}

// mustOpen opens a store that must open.
func mustOpen(t *testing.T, disk *vfs.Memory, mode SyncMode) *Store {
	t.Helper()
	st, err := open(disk, crashDir, Options{Sync: mode, SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	return st
}
