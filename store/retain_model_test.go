package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// What stays of dropped events is known for as long as it must be, is right as long as it is known,
// and does not come back once it is not: in any history of drops, repeated keys, reopenings and
// power cuts.
func TestWhatStaysIsKnownForAsLongAsItMustBeInAnyHistory(t *testing.T) {
	cachesOfOne(t)
	first, n := rand.Uint64(), 25
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, err := strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
		first, n = seed, 1
	} else if os.Getenv("PENSTOCK_SOAK") != "" {
		n *= 40
	}
	var forgotten, dropped int
	for seed := first; seed < first+uint64(n); seed++ {
		r := newRestRun(t, seed)
		for range 60 {
			r.step()
		}
		r.reopen()
		r.verify()
		forgotten += r.forgotten
		dropped += int(r.s.first())
		require.NoError(t, r.s.Close())
	}
	if n > 1 {
		require.Positive(t, forgotten)
		require.Positive(t, dropped)
	}
}

// restRun is such a history, with what must be known of it.
type restRun struct {
	t    *testing.T
	rng  *rand.Rand
	seed uint64
	disk *vfs.Memory
	s    *Store
	now  time.Time
	done []string

	entities  map[string]*restOfEntity
	keys      map[string]*restOfKey
	count     int
	forgotten int
}

type restOfEntity struct {
	version uint64
	last    Position
	at      time.Time
	may     bool // be unknown
}

type restOfKey struct {
	batch   Batch
	receipt Receipt
	at      time.Time
	may     bool // be unknown
	gone    bool // is unknown
}

func newRestRun(t *testing.T, seed uint64) *restRun {
	r := &restRun{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), disk: vfs.NewMemory(), now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		entities: make(map[string]*restOfEntity), keys: make(map[string]*restOfKey),
	}
	r.open()
	return r
}

func (r *restRun) open() {
	o := smallSegments(SyncAlways)
	o.Clock = func() time.Time { return r.now }
	s, err := open(r.disk, logDir, o, true)
	r.noError(err)
	r.s = s
}

func (r *restRun) where() string {
	return fmt.Sprintf("PENSTOCK_SEED=%d\n%s", r.seed, strings.Join(r.done, "\n"))
}

func (r *restRun) noError(err error) {
	r.t.Helper()
	require.NoError(r.t, err, r.where())
}

func (r *restRun) step() {
	steps := []struct {
		name string
		do   func()
	}{
		{"commit", r.commit},
		{"commit", r.commit},
		{"commit", r.commit},
		{"repeat", r.repeat},
		{"look", r.look},
		{"retain", r.retain},
		{"retain", r.retain},
		{"later", func() { r.now = r.now.Add(time.Duration(r.rng.IntN(20)) * time.Hour) }},
		{"reopen", r.reopen},
		{"power cut", r.cut},
	}
	s := steps[r.rng.IntN(len(steps))]
	r.done = append(r.done, s.name)
	s.do()
}

func (r *restRun) commit() {
	for range 1 + r.rng.IntN(20) {
		b := Batch{}
		if r.rng.IntN(2) == 0 {
			b.IdempotencyKey = fmt.Sprint("key ", r.count)
		}
		for range 1 + r.rng.IntN(3) {
			entity := fmt.Sprint("e:", r.rng.IntN(12))
			if r.count++; r.rng.IntN(4) == 0 {
				entity = fmt.Sprint("once:", r.count)
			}
			b.Events = append(b.Events, Proposal{At: At(entity, "s"), Payload: Raw{Type: "k", Data: make([]byte, r.rng.IntN(4000))}})
		}
		r.write(b)
	}
}

// write commits a batch that is new to the log.
func (r *restRun) write(b Batch) {
	versions := make(map[string]uint64)
	for i := range b.Events {
		entity := b.Events[i].At.Entity
		if e := r.entities[entity]; e != nil && versions[entity] == 0 {
			versions[entity] = r.known(entity, e)
		}
	}
	receipt, err := r.s.Commit(r.t.Context(), b)
	r.noError(err)
	require.False(r.t, receipt.Duplicate, r.where())
	for i, recorded := range receipt.Events {
		entity := b.Events[i].At.Entity
		versions[entity]++
		require.Equal(r.t, versions[entity], recorded.Version, "%s: %s", entity, r.where())
		r.entities[entity] = &restOfEntity{version: recorded.Version, last: recorded.Position, at: r.now}
	}
	if b.IdempotencyKey != "" {
		r.keys[b.IdempotencyKey] = &restOfKey{batch: b, receipt: receipt, at: r.now}
	}
}

// known returns the version that an entity has: what it must be, or none where it may be forgotten,
// and then for good.
func (r *restRun) known(entity string, e *restOfEntity) uint64 {
	v, err := r.s.Version(r.t.Context(), entity)
	r.noError(err)
	if v == 0 && (e.may || e.version == 0) {
		if e.version > 0 {
			r.forgotten++
		}
		e.version = 0
	}
	require.Equal(r.t, e.version, v, "%s, last at %d of %d: %s", entity, e.last, r.s.first(), r.where())
	return v
}

func (r *restRun) repeat() {
	for key, k := range r.keys {
		if r.rng.IntN(3) > 0 {
			continue
		}
		if _, found, err := r.s.findKey(key); !found && k.may {
			r.noError(err)
			k.gone = true
			r.forgotten++
			r.write(k.batch)
			continue
		}
		require.False(r.t, k.gone, "%s has come back: %s", key, r.where())
		again, err := r.s.Commit(r.t.Context(), k.batch)
		r.noError(err)
		require.True(r.t, again.Duplicate, "%s: %s", key, r.where())
		require.Equal(r.t, k.receipt.Events, again.Events, r.where())
		require.Equal(r.t, k.receipt.Sequence, again.Sequence, r.where())
	}
}

func (r *restRun) look() {
	for entity, e := range r.entities {
		if r.known(entity, e) > 0 && r.rng.IntN(4) == 0 {
			_, err := r.s.Append(r.t.Context(), At(entity, "s"), Absent, Raw{Type: "k"})
			require.ErrorIs(r.t, err, ErrConflict, r.where())
		}
	}
	for key, k := range r.keys {
		got, found, err := r.s.findKey(key)
		r.noError(err)
		require.True(r.t, found || k.may, "%s: %s", key, r.where())
		require.False(r.t, found && k.gone, "%s has come back: %s", key, r.where())
		if k.gone = !found; found {
			receipt, err := r.s.storedReceipt(key, got)
			r.noError(err)
			require.Equal(r.t, k.receipt.Events, receipt.Events, r.where())
		}
	}
}

func (r *restRun) retain() {
	retention := []time.Duration{0, 5 * time.Hour, 50 * time.Hour}
	o := RetainOptions{
		Before:       Position(r.rng.IntN(int(r.s.Head()) + 2)),
		KeyRetention: retention[r.rng.IntN(3)], EntityRetention: retention[r.rng.IntN(3)],
	}
	report, err := Retain(r.t.Context(), r.s, nil, o)
	r.noError(err)
	r.done = append(r.done, fmt.Sprintf("  keys for %s, entities for %s: %d segments, first %d", o.KeyRetention, o.EntityRetention, report.Segments, report.First))
	for _, e := range r.entities {
		e.may = e.may || o.EntityRetention > 0 && e.last < report.First && r.now.Sub(e.at) > o.EntityRetention
	}
	for _, k := range r.keys {
		last := k.receipt.Events[len(k.receipt.Events)-1].Position
		k.may = k.may || o.KeyRetention > 0 && last < report.First && r.now.Sub(k.at) > o.KeyRetention
	}
}

func (r *restRun) reopen() {
	r.noError(r.s.Close())
	r.open()
}

func (r *restRun) cut() {
	if r.rng.IntN(2) == 0 { // in the midst of a drop
		r.disk.CutAt(r.disk.Ops() + 1 + r.rng.IntN(12))
		first := r.s.first()
		_, err := Retain(r.t.Context(), r.s, nil, RetainOptions{Before: r.s.Head() + 1})
		r.done = append(r.done, fmt.Sprintf("  in a drop, from %d: %v", first, err))
	}
	killStore(r.s)
	r.disk = powerCutImage(r.t, r.disk, r.rng.Uint64N(8))
	r.open()
}

func (r *restRun) verify() {
	r.look()
	report, err := Verify(r.t.Context(), r.s, VerifyOptions{})
	r.noError(err)
	r.noError(report.Err())
	for _, entity := range slices.Sorted(maps.Keys(r.entities)) {
		for _, err := range History(r.t.Context(), r.s, entity) {
			if !isDropped(err) {
				r.noError(err)
			}
		}
	}
}
