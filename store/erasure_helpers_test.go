package store

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// secret is in all that is to be erased, and in nothing else.
const secret = "S3CRET"

// forgets is an erasure of an entity.
func forgets(entity string) Erasure {
	return Erasure{Entity: entity, Reason: "asked for", By: "an officer"}
}

// personal is an event that says something about a customer in n bytes and a header.
func personal(entity string, n int) Proposal {
	return Proposal{
		At: At(entity, "shop"), Headers: map[string]string{"mail": secret + "@example.org"},
		Payload: Raw{Type: "customer.moved", Codec: "raw", Data: bytes.Repeat([]byte(secret), n/len(secret)+1)},
	}
}

// namedAfter is a side key that names an event.
func namedAfter(p Position) string { return fmt.Sprintf("parked/w/%016x", uint64(p)) }

// personalLog writes a log of some segments that knows much about customer 7: in events small and
// large, in segments that are sealed, rewritten and active, under keys, in a cancelled fence, in
// side values that were superseded and deleted. It returns the positions of events of the customer.
func personalLog(t *testing.T, s *Store) (of []Position) {
	t.Helper()
	add := func(b Batch) Receipt {
		r := write(t, s, b)
		for i := range b.Events {
			if b.Events[i].At.Entity == "customer:7" {
				of = append(of, r.Events[i].Position)
			}
		}
		return r
	}
	for i := range 4 {
		add(Batch{Events: []Proposal{personal("customer:7", 30), crashProposal("order:1", i, 50)}})
		add(Batch{IdempotencyKey: fmt.Sprint("both-", i), Events: []Proposal{
			crashProposal("order:2", i, 20), personal("customer:7", 1), crashProposal("customer:7:cart", i, 30),
		}})
		r := add(Batch{IdempotencyKey: fmt.Sprint("other-", i), Events: []Proposal{crashProposal("customer:70", i, 9)}})
		key := namedAfter(of[len(of)-1])
		write(t, s, Batch{Sides: []SideWrite{
			{Key: key, Value: []byte("failed at " + secret)},
			{Key: "kept", Value: fmt.Append(nil, r.Sequence)},
			{Key: namedAfter(r.Position()), Value: []byte("scheduled: " + secret)},
		}})
		write(t, s, Batch{Sides: []SideWrite{{Key: key, Value: []byte(strings.Repeat(secret, 20))}}})
		checkpoints(t, s, i, 1+i%2*60, 3, 900)
		write(t, s, Batch{Sides: []SideWrite{{Key: key, Delete: i%2 == 0, Value: []byte("clean")}}})
		reminder := personal("customer:7", 10)
		reminder.Causation, reminder.Emitter = Causation{Cause: r.Events[0].ID, Depth: 1}, &Emitter{Worker: "w", Epoch: 1}
		add(Batch{Events: []Proposal{reminder}, Sides: []SideWrite{{Key: namedAfter(r.Position()), Delete: true}}})
		if i%2 == 1 {
			add(Batch{Events: []Proposal{personal("customer:7", 20_000)}})
			add(Batch{Events: eventsOf("filler")})
		}
	}
	f, err := OpenFence(t.Context(), s, FenceOptions{Deadline: MaxFenceDeadline, Reason: "test"})
	require.NoError(t, err)
	r, err := f.Stage(t.Context(), Batch{Events: []Proposal{personal("customer:7", 100)}})
	require.NoError(t, err)
	of = append(of, r.Position())
	require.NoError(t, f.Cancel(t.Context()))
	add(Batch{Events: []Proposal{personal("customer:7", 400), crashProposal("order:1", 9, 10)}})
	return of
}

// filesWithSecrets names the files of a directory that have any.
func filesWithSecrets(t require.TestingT, disk *vfs.Memory, dir string) (names []string) {
	all, err := disk.List(dir)
	require.NoError(t, err)
	for _, name := range all {
		if bytes.Contains(disk.Bytes(dir+"/"+name), []byte(secret)) {
			names = append(names, name)
		}
	}
	return names
}

// requireForgotten requires that readers see customer 7 as erased, and all else as it was before.
func requireForgotten(t require.TestingT, before, now []Event, where string) {
	require.GreaterOrEqual(t, len(now), len(before), where)
	for i := range before {
		was, is := before[i], now[i]
		if was.Coordinate.Entity != "customer:7" {
			require.Equal(t, was.record, is.record, "%s: event %d", where, was.Position)
			continue
		}
		by, erased := is.Erased()
		require.True(t, erased, "%s: event %d", where, was.Position)
		require.Equal(t, "asked for", by.Reason, where)
		require.Equal(t, "an officer", by.By, where)
		require.NotZero(t, by.At, where)
		require.NotEqual(t, uuid.Nil, by.Erasure, where)
		require.Empty(t, is.Payload, where)
		require.Empty(t, is.Headers(), where)
		require.NotContains(t, string(is.record), secret, where)
		is.record, is.Payload, was.record, was.Payload = nil, nil, nil, nil
		require.Equal(t, was, is, where)
	}
}

// visibleEvents returns the events that are there, without those of the reserved scope.
func visibleEvents(t require.TestingT, s *Store) (events []Event) {
	for p := Position(1); p <= s.Head(); p++ {
		if s.cancelled().has(p) {
			continue
		}
		e, err := s.eventAt(p)
		require.NoError(t, err)
		if e.Coordinate.Scope != ReservedScope {
			events = append(events, e)
		}
	}
	return events
}
