package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// look compares the log with what is known, and takes in what was without an answer.
func (r *broadRun) look() error {
	s, ctx := r.st, context.Background()
	first := s.first()
	r.require(first == r.first || first > r.first && first <= r.upTo, "it begins at %d, not %d, at most %d", first, r.first, r.upTo)
	r.first, r.upTo = first, 0
	for p := first; p <= s.Head(); p++ {
		known := r.events[p]
		if s.cancelled().has(p) {
			r.require(known == nil, "event %d is hidden", p)
			continue
		}
		e, err := s.eventAt(p)
		if err != nil {
			return err
		}
		if e.Coordinate.Scope == ReservedScope {
			r.require(known == nil, "event %d is an audit event", p)
			continue
		}
		if known == nil {
			known = r.adopt(&e)
		}
		r.compareEvent(known, &e)
	}
	for p := range r.events {
		r.require(p <= s.Head() || len(r.staged) > 0, "event %d is not there", p)
	}
	r.known()
	if len(r.staged) == 0 {
		r.hidden, r.maybe = append(r.hidden, r.maybe...), nil
	}
	for _, entity := range r.entities() {
		v, err := s.Version(ctx, entity)
		if err != nil {
			return err
		}
		r.require(len(r.staged) > 0 || v == r.version(entity), "%s: version %d, want %d", entity, v, r.version(entity))
	}
	if err := r.lookAtSides(); err != nil {
		return err
	}
	report, err := Verify(ctx, s, VerifyOptions{})
	if err != nil {
		return err
	}
	if _, err := r.disk.List(crashDir); err != nil {
		return err
	}
	r.noError(report.Err())
	r.require(report.Unlinked == 0, "%d events are not linked", report.Unlinked)
	if len(s.erasing.pending()) == 0 {
		r.noSecrets(crashDir)
	}
	return nil
}

func (r *broadRun) entities() (names []string) {
	for _, e := range r.events {
		if !slices.Contains(names, e.entity) {
			names = append(names, e.entity)
		}
	}
	return names
}

func (r *broadRun) adopt(e *Event) *broadEvent {
	i := slices.IndexFunc(r.maybe, func(m *broadEvent) bool {
		return m.entity == e.Coordinate.Entity && (m.recorded.ID == e.ID || m.recorded.ID == uuid.Nil && bytes.Equal(m.payload, e.Payload))
	})
	r.require(i >= 0, "event %d was never submitted", e.Position)
	m := r.maybe[i]
	r.maybe = slices.Delete(r.maybe, i, i+1)
	m.recorded = recorded(e)
	r.events[e.Position] = m
	if m.key != "" {
		if _, known := r.keys[m.key]; !known {
			r.keys[m.key] = nil
		}
	}
	return m
}

func (r *broadRun) compareEvent(known *broadEvent, e *Event) {
	_, erased := e.Erased()
	r.require(known.recorded == recorded(e) && known.entity == e.Coordinate.Entity, "event %d is %+v, want %+v", e.Position, recorded(e), known.recorded)
	r.require(!known.erased || erased, "event %d was erased", e.Position)
	r.require(!erased || known.erased || known.mayErase, "event %d is erased", e.Position)
	known.erased, known.mayErase = erased, false
	if !erased {
		r.require(bytes.Equal(known.payload, e.Payload), "payload of event %d", e.Position)
	}
}

func (r *broadRun) lookAtSides() error {
	found := make(map[string]string)
	for v, err := range r.st.Sides("") {
		if err != nil {
			return err
		}
		if strings.HasPrefix(v.Key, "lazy/") || strings.HasPrefix(v.Key, "parked/") {
			found[v.Key] = string(v.Value)
		}
	}
	for key, values := range r.sides {
		r.require(slices.Contains(values, found[key]), "side value %s is %.40q, of %d", key, found[key], len(values))
		r.now[key] = found[key]
	}
	for key := range found {
		_, known := r.sides[key]
		r.require(known, "side value %s", key)
	}
	return nil
}

// noSecrets requires that what was erased is in no file.
func (r *broadRun) noSecrets(dir string) {
	names, err := r.disk.List(dir)
	r.noError(err)
	for _, name := range names {
		b := r.disk.Bytes(dir + "/" + name)
		for _, e := range slices.Concat(slices.Collect(maps.Values(r.events)), r.hidden) {
			if e.erased && bytes.Contains(b, []byte(e.token)) {
				r.require(false, "%s/%s has what was erased of event %+v", dir, name, e.recorded)
			}
		}
	}
}

func TestWhatIsDroppedErasedStagedAndCopiedOverAnyFaultsIsAsItWasSaid(t *testing.T) {
	const shards = 4
	histories := uint64(60 / thinning)
	if soaking() {
		histories = 20_000
	}
	first := rand.Uint64N(1 << 40)
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		var err error
		first, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for i := shard; i < histories; i += shards {
					newBroadRun(t, first+i).run()
				}
			})
		})
	}
}
