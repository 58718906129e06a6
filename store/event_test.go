package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// requireOrder requires that positions have no hole, and that ids and times grow strictly with
// them.
func requireOrder(t *testing.T, events []Event) {
	t.Helper()
	for i, e := range events {
		sec, nsec := e.ID.Time().UnixTime()
		switch {
		case e.Position != Position(i+1):
			t.Fatalf("event %d has position %d", i+1, e.Position)
		case e.ID.Version() != 7 || e.ID.Variant() != uuid.RFC4122:
			t.Fatalf("id of event %d: %s is no UUIDv7", i+1, e.ID)
		case !e.Time.Time().Equal(time.Unix(sec, nsec)):
			t.Fatalf("id of event %d has another time than %s", i+1, e.Time)
		case i > 0 && bytes.Compare(e.ID[:], events[i-1].ID[:]) <= 0:
			t.Fatalf("id of event %d does not grow", i+1)
		case i > 0 && e.Time <= events[i-1].Time:
			t.Fatalf("time of event %d does not grow", i+1)
		}
	}
}

func TestIdsAndTimesGrowStrictlyWithThePosition(t *testing.T) {
	s := memoryLog(t)
	before := time.Now().Truncate(time.Millisecond)
	race(8, func(i int) error {
		for range 50 {
			put(t, s, fmt.Sprint("e:", i))
			write(t, s, Batch{Events: eventsOf("x", "y", "z")})
		}
		return nil
	})
	events := all(t, s, Region{})
	require.Len(t, events, 8*50*4)
	requireOrder(t, events)
	requireChains(t, events)
	require.False(t, events[0].Time.Time().Before(before))
	require.WithinDuration(t, time.Now(), events[len(events)-1].Time.Time(), time.Minute)
}

func TestMoreEventsThanAMillisecondHasCountsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still here
		s := openLog(t, vfs.NewMemory(), Options{Sync: SyncNever})
		b := Batch{Events: make([]Proposal, 1<<15)}
		for i := range b.Events {
			b.Events[i] = Proposal{At: At("a", "test"), Payload: Raw{Type: "tick"}}
		}
		for range 3 {
			write(t, s, b)
		}
		events := all(t, s, Region{})
		require.Len(t, events, 3<<15)
		requireOrder(t, events)
		require.Equal(t, time.Now().Add(time.Millisecond).UTC(), events[len(events)-1].Time.Time(), "the counter ran over once")
		require.Equal(t, events[len(events)-1].Time.Time(), s.Now())
	})
}

func TestTimeNeverGoesBackWhenTheClockDoes(t *testing.T) {
	disk := vfs.NewMemory()
	for _, sealed := range []bool{false, true} {
		s, err := open(disk, logDir, smallSegments(SyncAlways), false)
		require.NoError(t, err)
		put(t, s, "now")
		if sealed {
			grow(t, s, 3)
		}
		require.NoError(t, s.Close())
		synctest.Test(t, func(t *testing.T) { // it is the year 2000 here
			s := openLog(t, disk, smallSegments(SyncAlways))
			put(t, s, "long ago")
			put(t, s, "long ago")
			requireOrder(t, all(t, s, Region{}))
		})
	}
}

func TestCausesLeadBackToTheFirstEventOfTheirChain(t *testing.T) {
	s := memoryLog(t)
	follow := func(c Causation) Event {
		r := write(t, s, proposing(func(p *Proposal) { p.Causation = c }))
		e, err := s.GetAt(t.Context(), r.Position())
		require.NoError(t, err)
		return e
	}
	first := follow(Causation{})
	require.Equal(t, uuid.Nil, first.Cause)
	require.Equal(t, first.ID, first.Correlation, "an event without a cause starts a chain")
	require.Zero(t, first.Depth)

	second := follow(first.Causation())
	third := follow(second.Causation())
	require.Equal(t, first.ID, second.Cause)
	require.Equal(t, second.ID, third.Cause)
	require.Equal(t, first.ID, third.Correlation)
	require.EqualValues(t, 2, third.Depth)

	outside := uuid.New()
	joined := follow(Causation{Correlation: outside})
	require.Equal(t, uuid.Nil, joined.Cause)
	require.Equal(t, outside, joined.Correlation)
	caused := follow(Causation{Cause: outside, Depth: 5})
	require.Equal(t, outside, caused.Correlation, "without a correlation the cause is taken for the first of the chain")
	require.EqualValues(t, 5, caused.Depth)
	requireChains(t, all(t, s, Region{}))
}

func TestHeadersComeBackByNameAndInAMap(t *testing.T) {
	s := memoryLog(t)
	headers := map[string]string{"b": "2", "a": "1", "empty": "", "ä\"": "any \x00\xff bytes"}
	write(t, s, proposing(func(p *Proposal) { p.Headers = headers }))
	put(t, s, "none")
	events := all(t, s, Region{})
	require.Equal(t, headers, events[0].Headers())
	for name, want := range headers {
		got, ok := events[0].Header(name)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok := events[0].Header("c")
	require.False(t, ok)
	require.Nil(t, events[1].Headers())
	events[0].Headers()["a"] = "changed"
	require.Equal(t, headers, events[0].Headers(), "each call gives a map of its own")
}

type versioned struct {
	N int `json:"n"`
}

func (versioned) Kind() string          { return "versioned.thing.done" }
func (versioned) SchemaVersion() uint16 { return 9 }

func TestAPayloadKeepsItsKindCodecAndSchemaVersion(t *testing.T) {
	s := memoryLog(t)
	write(t, s, proposing(func(p *Proposal) { p.Payload = versioned{N: 3} }))
	write(t, s, raw(Raw{Type: "raw", SchemaVersion: 4, Data: []byte(`{"n":5}`)}))
	write(t, s, raw(Raw{Type: "bytes", Codec: "own", Data: []byte{0xff}}))
	events := all(t, s, Region{})

	require.Equal(t, "versioned.thing.done", events[0].Kind)
	require.Equal(t, "versioned", categoryOf(events[0].Kind))
	require.Equal(t, CodecJSON, events[0].Codec)
	require.EqualValues(t, 9, events[0].SchemaVersion)
	var v versioned
	require.NoError(t, events[0].Decode(&v))
	require.Equal(t, versioned{N: 3}, v)

	require.Equal(t, "raw", categoryOf(events[1].Kind))
	require.EqualValues(t, 4, events[1].SchemaVersion)
	require.NoError(t, events[1].Decode(&v))
	require.Equal(t, versioned{N: 5}, v)
	var wrong []int
	var mismatch *json.UnmarshalTypeError
	require.ErrorAs(t, events[1].Decode(&wrong), &mismatch)

	require.Equal(t, "own", events[2].Codec)
	require.Equal(t, []byte{0xff}, events[2].Payload)
	require.ErrorIs(t, events[2].Decode(&v), ErrUnknownCodec)
}

func TestPayloadsStayAsTheyAreWhateverHappensLater(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	const n = 200
	for i := range n {
		write(t, s, proposing(func(p *Proposal) {
			p.Payload = Raw{Type: "number", Data: bytes.Repeat([]byte{byte(i)}, 300)}
			p.Headers = map[string]string{"n": fmt.Sprint(i)}
		}))
	}
	kept := all(t, s, Region{})
	page, err := s.ReadPage(t.Context(), Region{}, 0, 0, n)
	require.NoError(t, err)
	kept = append(kept, page.Events...)
	for p := range Position(n) {
		e, err := s.GetAt(t.Context(), p+1)
		require.NoError(t, err)
		kept = append(kept, e)
	}
	_ = append(kept[0].Payload, "must not reach the next event"...)

	for range 3 {
		grow(t, s, s.Stats().Segments+1)
		all(t, s, Region{})
	}
	require.NoError(t, s.Close())
	for i, e := range kept {
		require.Equal(t, bytes.Repeat([]byte{byte(i % n)}, 300), e.Payload)
		require.Equal(t, map[string]string{"n": fmt.Sprint(i % n)}, e.Headers())
	}
}

func TestTextForms(t *testing.T) {
	require.Equal(t, "order:1@shop", At("order:1", "shop").String())
	require.Equal(t, "2024-07-03T09:46:40.001Z+7", (Timestamp(1_720_000_000_001)<<16 + 7).String())
	require.Equal(t, "00000000-0000-0000-0000-000000000000/3", Origin{Incarnation: 3}.String())
	require.Equal(t, "everything", Region{}.String())
	require.Equal(t, "entity=a scope=b category=c", Region{Entity: "a", Scope: "b", Category: "c"}.String())
	for mode, want := range map[SyncMode]string{SyncAlways: "always", SyncInterval: "interval", SyncNever: "never"} {
		require.Equal(t, want, mode.String())
	}
}
