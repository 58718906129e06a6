package cursor

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func openInternal(t *testing.T) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func appendSized(t *testing.T, st *store.Store, entity string, bytes int) {
	t.Helper()
	_, err := st.Append(t.Context(), store.At(entity, "shop"), store.Any, store.Raw{Type: "order.placed", Data: make([]byte, bytes)})
	require.NoError(t, err)
}

// Whatever the sizes of batches and however often it is dropped, a reader ahead returns what one
// without it does.
func TestReadingAheadDeliversWhatReadingPageByPageDoes(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		st := openInternal(t)
		own := &owner{st: st, region: &store.Region{Entity: "order"}, worker: &Worker{}}
		var ahead readAhead
		var at store.Position
		var got, want []store.Position
		for range 300 {
			switch random.IntN(5) {
			case 0, 1:
				entity := "order:1"
				if random.IntN(3) == 0 {
					entity = "noise"
				}
				appendSized(t, st, entity, 1+random.IntN(200))
				if entity == "order:1" {
					want = append(want, st.Head())
				}
				continue
			case 2:
				if random.IntN(4) == 0 {
					ahead.drop()
				}
				continue
			}
			upTo := at + store.Position(random.IntN(int(st.Head()-at)+1))
			n := 1 + random.IntN(3)
			page, err := ahead.next(t.Context(), own, at, upTo, n)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.Events), n)
			if page.Scanned < upTo {
				require.Len(t, page.Events, n, "seed %d: a batch is small though there is more", seed)
			}
			for _, e := range page.Events {
				require.Greater(t, e.Position, at)
				require.LessOrEqual(t, e.Position, max(upTo, 1))
				got, at = append(got, e.Position), e.Position
			}
			if len(page.Events) == 0 {
				require.GreaterOrEqual(t, max(page.Scanned, at), upTo, "seed %d: it stopped before there was nothing left", seed)
			}
			for _, p := range want[len(got):] {
				require.Greater(t, p, page.Scanned, "seed %d: it passed over event %d", seed, p)
			}
			at = max(at, page.Scanned)
		}
		for at < st.Head() {
			page, err := ahead.next(t.Context(), own, at, st.Head(), 2)
			require.NoError(t, err)
			for _, e := range page.Events {
				got = append(got, e.Position)
			}
			at = max(at, page.Scanned)
		}
		require.Equal(t, want, got, "seed %d", seed)
	}
}

func TestReadingAheadIsBoundedInBytesOnceItKnowsHowLargeEventsAre(t *testing.T) {
	for _, bytes := range []int{100, 10 << 10, 1 << 20} {
		st := openInternal(t)
		for i := range 80 {
			appendSized(t, st, fmt.Sprint("order:", i%3), bytes)
		}
		own := &owner{st: st, region: &store.Region{}, worker: &Worker{}}
		var ahead readAhead
		var at store.Position
		for at < st.Head() {
			page, err := ahead.next(t.Context(), own, at, st.Head(), 1)
			require.NoError(t, err)
			require.Len(t, page.Events, 1)
			require.LessOrEqual(t, len(ahead.events), aheadEvents)
			require.LessOrEqual(t, len(ahead.events)*(bytes+eventBytes), aheadBytes, "%d bytes", bytes)
			at = page.Scanned
		}
		if bytes == 100 {
			require.Equal(t, aheadEvents, ahead.size())
		}
	}
}

func TestABatchAsLargeAsAPageIsReadAlone(t *testing.T) {
	st := openInternal(t)
	for range 200 {
		appendSized(t, st, "order:1", 10)
	}
	var ahead readAhead
	page, err := ahead.next(t.Context(), &owner{st: st, region: &store.Region{}, worker: &Worker{}}, 0, st.Head(), aheadEvents)
	require.NoError(t, err)
	require.Len(t, page.Events, aheadEvents)
	require.Empty(t, ahead.events)
}

// A batch is given a part of a page: what a handler appends to it must not run into the next one.
func TestPartsOfAPageDoNotOverlap(t *testing.T) {
	st := openInternal(t)
	for range 10 {
		appendSized(t, st, "order:1", 10)
	}
	var ahead readAhead
	var at store.Position
	for range 10 {
		page, err := ahead.next(t.Context(), &owner{st: st, region: &store.Region{}, worker: &Worker{}}, at, st.Head(), 1)
		require.NoError(t, err)
		require.Equal(t, at+1, page.Events[0].Position)
		_ = append(page.Events, store.Event{Position: 99})
		at = page.Scanned
	}
}

func TestAReaderThatContinuesElsewhereGetsWhatIsThere(t *testing.T) {
	st := openInternal(t)
	for range 20 {
		appendSized(t, st, "order:1", 10)
	}
	var ahead readAhead
	for _, after := range []store.Position{0, 1, 9, 3, 4, 0} {
		page, err := ahead.next(t.Context(), &owner{st: st, region: &store.Region{}, worker: &Worker{}}, after, st.Head(), 1)
		require.NoError(t, err)
		require.Equal(t, after+1, page.Events[0].Position)
	}
}
