package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func (r *broadRun) step() {
	steps := []struct {
		name string
		do   func() error
	}{
		{"commit", r.commit},
		{"commit", r.commit},
		{"commit", r.commit},
		{"commit", r.commit},
		{"commit", r.commit},
		{"sides", r.putSides},
		{"lazy", r.lazy},
		{"lazy", r.lazy},
		{"stage", r.stage},
		{"publish", r.publish},
		{"cancel", r.cancel},
		{"retain", r.retain},
		{"retain", r.retain},
		{"erase", r.erase},
		{"erase", r.erase},
		{"back up", r.backup},
		{"restore", r.restore},
		{"follow", r.follow},
		{"hold", r.holds},
		{"condition", r.condition},
		{"keys", r.repeat},
		{"look", func() error { return r.look() }},
		{"reopen", func() error { r.reopen("reopen"); return nil }},
		{"power cut", func() error { r.kill(); r.power(); r.open(); return nil }},
	}
	s := steps[r.rng.IntN(len(steps))]
	r.say("%s", s.name)
	if err := s.do(); err != nil {
		r.failed(err)
	} else if !r.inline {
		r.st.tasks.Wait()
	}
}

var broadEntities = []string{"a", "a:1", "b", "c", "d"}

func (r *broadRun) event(entity, key string) *broadEvent {
	r.count++
	e := &broadEvent{entity: entity, key: key, token: fmt.Sprintf("<S3CRET-%07d>", r.count)}
	e.payload = bytes.Repeat([]byte(e.token), 1+r.rng.IntN([]int{3, 300, 2000}[r.rng.IntN(3)]))
	return e
}

func (e *broadEvent) proposal() Proposal {
	return Proposal{At: At(e.entity, "shop"), Headers: map[string]string{"h": e.token}, Payload: Raw{Type: "k.a", Codec: "raw", Data: e.payload}}
}

func (r *broadRun) entity() string {
	if r.rng.IntN(4) == 0 {
		return fmt.Sprint("e:", r.rng.IntN(40))
	}
	return broadEntities[r.rng.IntN(len(broadEntities))]
}

func (r *broadRun) isStaged(entity string) bool {
	return slices.ContainsFunc(r.staged, func(e *broadEvent) bool { return e.entity == entity })
}

func (r *broadRun) version(entity string) (v uint64) {
	for _, e := range r.events {
		if e.entity == entity {
			v = max(v, e.recorded.Version)
		}
	}
	return v
}

func (r *broadRun) batch() (b Batch, events []*broadEvent) {
	key := ""
	if r.rng.IntN(2) == 0 {
		key = fmt.Sprint("key ", r.count)
	}
	for range 1 + r.rng.IntN(4) {
		e := r.event(r.entity(), key)
		p := e.proposal()
		events, b.Events = append(events, e), append(b.Events, p)
	}
	b.IdempotencyKey = key
	return b, events
}

func (r *broadRun) commit() error {
	for range 1 + r.rng.IntN(8) {
		b, events := r.batch()
		reserved := slices.ContainsFunc(events, func(e *broadEvent) bool { return r.isStaged(e.entity) })
		if r.rng.IntN(3) == 0 {
			b.Events[0].Expect = Absent
			if v := r.version(events[0].entity); v > 0 {
				b.Events[0].Expect = Exactly(v)
			}
		}
		receipt, err := r.st.Commit(r.t.Context(), b)
		if reserved && errors.Is(err, ErrReserved) {
			continue
		}
		if err != nil {
			r.require(!errors.Is(err, ErrConflict), "%v", err)
			r.maybe = append(r.maybe, events...)
			return err
		}
		r.require(!reserved || r.fence == nil, "a reserved entity was taken")
		r.add(events, receipt, b)
	}
	return nil
}

func (r *broadRun) add(events []*broadEvent, receipt Receipt, b Batch) {
	r.require(!receipt.Duplicate && len(receipt.Events) == len(events), "%+v", receipt)
	for i, e := range events {
		e.recorded = receipt.Events[i]
		r.require(r.events[e.recorded.Position] == nil, "position twice: %d", e.recorded.Position)
		r.events[e.recorded.Position] = e
	}
	if b.IdempotencyKey != "" {
		r.keys[b.IdempotencyKey] = &broadKey{b, receipt.Events}
	}
}

func (r *broadRun) put(writes ...SideWrite) error {
	b := Batch{Sides: writes, Lazy: r.rng.IntN(2) == 0}
	_, err := r.st.Commit(r.t.Context(), b)
	for _, w := range writes {
		value := string(w.Value)
		if w.Delete {
			value = ""
		}
		if len(r.sides[w.Key]) == 0 {
			r.sides[w.Key] = []string{""}
		}
		r.sides[w.Key] = append(r.sides[w.Key], value)
		if err == nil {
			r.now[w.Key] = value
		}
	}
	if err == nil && !b.Lazy {
		r.settled()
	}
	return err
}

// settled takes in that what is visible is durable.
func (r *broadRun) settled() {
	for key := range r.sides {
		r.sides[key] = []string{r.now[key]}
	}
}

func (r *broadRun) lazy() error {
	for range r.rng.IntN(12) {
		w := SideWrite{Key: fmt.Sprint("lazy/", r.rng.IntN(3)), Value: bytes.Repeat([]byte{byte(r.count)}, 1+r.rng.IntN(6000)), Delete: r.rng.IntN(9) == 0}
		r.count++
		if err := r.put(w); err != nil {
			return err
		}
	}
	return nil
}

// putSides writes what some events say as those of parked ones.
func (r *broadRun) putSides() error {
	for p, e := range r.events {
		if e.erased || e.mayErase || p < r.first {
			continue
		}
		return r.put(SideWrite{Key: namedAfter(p), Value: []byte("failed at " + e.token)})
	}
	return nil
}

func (r *broadRun) stage() error {
	if r.fence != nil && !r.fence.isOpen() {
		r.hidden, r.staged, r.fence = append(r.hidden, r.staged...), nil, nil
	}
	if r.fence == nil {
		f, err := OpenFence(r.t.Context(), r.st, FenceOptions{Deadline: MaxFenceDeadline, Reason: "test"})
		if err != nil {
			return err
		}
		r.fence = f
	}
	b, events := r.batch()
	receipt, err := r.fence.Stage(r.t.Context(), b)
	if err != nil {
		r.hidden = append(r.hidden, events...)
		return err
	}
	for i, e := range events {
		e.recorded = receipt.Events[i]
	}
	r.staged = append(r.staged, events...)
	if b.IdempotencyKey != "" {
		for _, e := range events {
			e.key = b.IdempotencyKey
		}
	}
	return nil
}

func (r *broadRun) publish() error {
	if r.fence == nil {
		return nil
	}
	err := r.fence.Publish(r.t.Context())
	if errors.Is(err, ErrDiskFull) && r.fence.isOpen() { // nothing was written
		return err
	}
	staged := r.staged
	r.fence, r.staged = nil, nil
	if err != nil {
		r.maybe = append(r.maybe, staged...)
		return err
	}
	for _, e := range staged {
		r.events[e.recorded.Position] = e
		if e.key != "" {
			r.keys[e.key] = nil // see known
		}
	}
	r.known()
	return nil
}

// known finds the commits of keys that were learned by their events.
func (r *broadRun) known() {
	for key, k := range r.keys {
		if k != nil {
			continue
		}
		k = &broadKey{batch: Batch{IdempotencyKey: key}}
		for _, p := range slices.Sorted(maps.Keys(r.events)) {
			if e := r.events[p]; e.key == key {
				k.batch.Events = append(k.batch.Events, e.proposal())
				k.receipt = append(k.receipt, e.recorded)
			}
		}
		r.keys[key] = k
	}
}

func (r *broadRun) cancel() error {
	if r.fence == nil {
		return nil
	}
	err := r.fence.Cancel(r.t.Context())
	r.hidden, r.staged, r.fence = append(r.hidden, r.staged...), nil, nil
	if err != nil && !errors.Is(err, vfs.ErrPowerCut) { // until its deadline
		r.reopenAfter(err)
		return nil
	}
	return err
}

func (r *broadRun) holds() error {
	if r.hold > 0 {
		r.hold = 0
		return ReleaseHold(r.t.Context(), r.st, "reader")
	}
	from := r.first + Position(r.rng.IntN(int(r.st.Head()-r.first)+2))
	if err := SetHold(r.t.Context(), r.st, Hold{Who: "reader", From: from}); err != nil {
		_ = ReleaseHold(r.t.Context(), r.st, "reader")
		return err
	}
	r.hold = from
	return nil
}

func (r *broadRun) retain() error {
	o := RetainOptions{Before: r.st.Head() + 1}
	switch r.rng.IntN(4) {
	case 0:
		o = RetainOptions{MaxBytes: int64(1 + r.rng.IntN(4*minSegmentBytes))}
	case 1:
		o = RetainOptions{MaxAge: time.Minute}
	case 2:
		o.Before = Position(r.rng.IntN(int(o.Before) + 1))
	}
	if r.rng.IntN(2) == 0 { // a century ahead or not: none of it is as old
		o.KeyRetention, o.EntityRetention = 3*time.Hour, 3*time.Hour
	}
	report, err := Retain(r.t.Context(), r.st, nil, o)
	if err != nil {
		r.upTo = r.st.Head() + 1
		return err
	}
	r.require(report.First >= r.first, "first %d after %d", report.First, r.first)
	r.require(r.hold < r.first || report.First <= r.hold || report.First == r.first, "%d was held, dropped before %d", r.hold, report.First)
	r.require(len(r.staged) == 0 || report.First <= r.staged[0].recorded.Position, "%d was staged, dropped before %d", r.hold, report.First)
	r.say("  first %d of %d", report.First, r.st.Head())
	r.first = report.First
	return nil
}

func (r *broadRun) erase() error {
	e := Erasure{Reason: "asked for", By: "an officer", Sides: func(_ context.Context, erased func(Position) bool) (writes []SideWrite, err error) {
		for key, values := range r.sides {
			var p Position
			if n, _ := fmt.Sscanf(key, "parked/w/%x", &p); n == 1 && erased(p) && len(values) > 0 {
				writes = append(writes, SideWrite{Key: key, Value: []byte("clean"), Delete: len(writes)%2 == 0})
			}
		}
		return writes, nil
	}}
	var targets []*broadEvent
	if r.rng.IntN(2) == 0 {
		e.Entity = r.entity()
		for p, event := range r.events {
			if event.entity == e.Entity && p >= r.first {
				targets = append(targets, event)
			}
		}
		for _, event := range r.hidden {
			if event.entity == e.Entity {
				targets = append(targets, event)
			}
		}
	} else {
		for p, event := range r.events {
			if p >= r.first && p <= r.st.Head() && len(targets) < 3 {
				targets, e.Events = append(targets, event), append(e.Events, event.recorded.ID)
			}
		}
	}
	if e.Entity == "" && len(e.Events) == 0 {
		return nil
	}
	report, err := Erase(r.t.Context(), r.st, e)
	r.say("  erase %s %d: %d events, %v", e.Entity, len(targets), len(report.Events), err)
	switch {
	case errors.Is(err, ErrNotFound):
		for _, event := range targets {
			r.require(!slices.Contains(slices.Collect(maps.Values(r.events)), event), "an event was not found to be erased")
		}
		return nil
	case errors.Is(err, ErrReserved):
		r.require(len(r.staged) > 0, "%v", err)
		return nil
	}
	for _, event := range targets {
		event.mayErase = event.mayErase || err != nil && !event.erased
		event.erased = event.erased || err == nil
	}
	for key, values := range r.sides {
		var p Position
		if n, _ := fmt.Sscanf(key, "parked/w/%x", &p); n == 1 && len(values) > 0 && slices.ContainsFunc(targets, func(e *broadEvent) bool { return e.recorded.Position == p }) {
			r.sides[key] = append(values, "clean", "")
		}
	}
	if err != nil {
		return err
	}
	return r.look()
}

func (r *broadRun) condition() error {
	entity := r.entity()
	after := Position(r.rng.IntN(int(r.st.Head()) + 1))
	e := r.event("conditional", "")
	b := Batch{Events: []Proposal{e.proposal()}, Conditions: []Condition{{Region: Region{Entity: entity}, After: after}}}
	receipt, err := r.st.Commit(r.t.Context(), b)
	met := false
	for p, e := range r.events {
		met = met || p > after && (e.entity == entity || strings.HasPrefix(e.entity, entity+":"))
	}
	switch {
	case errors.Is(err, ErrReserved):
		r.require(len(r.staged) > 0, "%v", err)
	case errors.Is(err, ErrDropped):
		r.require(after+1 < r.first, "condition after %d, first %d: %v", after, r.first, err)
	case errors.Is(err, ErrConflict):
		r.require(met, "condition after %d: %v", after, err)
	case err != nil:
		r.maybe = append(r.maybe, e)
		return err
	default:
		r.require(!met || after+1 < r.first, "condition after %d was not met", after)
		r.require(after+1 >= r.first, "condition after %d, first %d", after, r.first)
		r.add([]*broadEvent{e}, receipt, Batch{})
	}
	return nil
}

func (r *broadRun) repeat() error {
	for key, k := range r.keys {
		if slices.ContainsFunc(k.batch.Events, func(p Proposal) bool { return r.isStaged(p.At.Entity) }) {
			continue
		}
		got, err := r.st.Commit(r.t.Context(), k.batch)
		var reused *IdempotencyKeyReusedError
		erased, may := false, false
		for _, at := range k.receipt {
			e := r.events[at.Position]
			erased, may = erased || e.erased, may || e.mayErase
		}
		switch {
		case errors.As(err, &reused):
			r.require(reused.Erased && (erased || may), "%v", err)
		case err != nil:
			return err
		default:
			r.require(got.Duplicate && slices.Equal(got.Events, k.receipt), "key %s: %+v, want %+v", key, got, k.receipt)
			r.require(!erased || len(r.st.erasing.pending()) > 0, "key %s is known whole, its events were erased", key)
		}
	}
	return nil
}

func (r *broadRun) backup() error {
	report, err := Backup(r.t.Context(), r.st, r.copy, BackupOptions{})
	if errors.Is(err, ErrDropped) {
		r.count++
		r.copy = fmt.Sprint("copy", r.count)
		return nil
	}
	if err != nil {
		return err
	}
	r.say("  backup %+v", report)
	r.compare(r.copy)
	if len(r.st.erasing.pending()) == 0 && r.st.Stats().Erasing == nil {
		r.noSecrets(r.copy)
	}
	return nil
}

func (r *broadRun) compare(dir string) {
	c, err := open(r.disk, dir, Options{ReadOnly: true}, true)
	r.noError(err)
	if len(r.staged) == 0 {
		r.require(digest(r.st) == digest(c), "the copy %s is another", dir)
	}
	r.require(r.st.first() == c.first(), "the copy begins at %d", c.first())
	report, err := Verify(r.t.Context(), c, VerifyOptions{})
	r.noError(err)
	r.noError(report.Err())
	r.noError(c.Close())
}

func (r *broadRun) restore() error {
	if err := r.backup(); err != nil {
		return err
	}
	o := onDisk(r.disk)
	o.Store.Clock = r.options().Clock
	r.count++
	dir := fmt.Sprint("back", r.count)
	if _, err := Restore(r.t.Context(), r.copy, dir, o); err != nil {
		if errors.Is(err, ErrNotBackup) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	c, err := open(r.disk, dir, r.options(), true)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for p, e := range r.events {
		if p >= c.first() && p <= c.Head() {
			got, err := c.eventAt(p)
			r.noError(err)
			r.require(got.ID == e.recorded.ID, "event %d of what was restored", p)
		}
	}
	report, err := Verify(r.t.Context(), c, VerifyOptions{})
	r.noError(err)
	r.noError(report.Err())
	if _, err := Erase(r.t.Context(), c, forgets("a")); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	_, err = Retain(r.t.Context(), c, nil, RetainOptions{Before: c.Head() + 1})
	return err
}

// follow compares a reader beside the writer.
func (r *broadRun) follow() error {
	if _, err := r.disk.List(crashDir); err != nil {
		return err
	}
	if r.reader == nil {
		o := r.options()
		o.ReadOnly = true
		var err error
		if r.reader, err = open(r.disk, crashDir, o, true); err != nil {
			r.reader = nil
			return err
		}
	}
	r.reader.catchUp()
	if r.reader.first() != r.st.first() {
		r.reader.files.closeIdle() // else it may go on with what it has open
	}
	r.noError(r.reader.readable(r.t.Context()))
	if r.reader.sequence.Load() != r.st.sequence.Load() { // the writer could not tell
		return nil
	}
	r.require(digest(r.st) == digest(r.reader), "a reader beside it finds another log, which begins at %d, not %d, head %d, not %d: %v",
		First(r.reader), r.st.first(), r.reader.Head(), r.st.Head(), r.reader.follower.obstacle())
	for p := r.st.first(); p <= r.st.Head(); p++ {
		a, err1 := r.st.eventAt(p)
		b, err2 := r.reader.eventAt(p)
		r.noError(errors.Join(err1, err2))
		_, one := a.Erased()
		_, other := b.Erased()
		r.require(one == other, "event %d: erased %v in a reader", p, other)
	}
	return nil
}
