package cursor

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// sharing is a reader with pages, of events of 10 bytes.
func sharing(st *store.Store, region store.Region, pages *Pages) *owner {
	worker := Worker{}.WithPages(pages)
	return &owner{st: st, region: &region, worker: &worker}
}

func orders(t *testing.T, st *store.Store, n int) {
	t.Helper()
	for range n {
		appendSized(t, st, "order:1", 10)
	}
}

func TestReadersOfTheSamePlaceAndRegionShareOnePage(t *testing.T) {
	st, pages := openInternal(t), &Pages{}
	orders(t, st, 200)
	first, err := pages.next(t.Context(), sharing(st, store.Region{Entity: "order"}, pages), 10, st.Head(), 1, aheadEvents)
	require.NoError(t, err)
	same := sharing(st, store.Region{Entity: "order"}, pages)
	second, err := pages.next(t.Context(), same, 20, st.Head(), 1, aheadEvents)
	require.NoError(t, err)
	require.Same(t, &first.Events[10], &second.Events[0], "the second one was read again")
	require.Equal(t, first.Scanned, second.Scanned)

	other, err := pages.next(t.Context(), sharing(st, store.Region{Entity: "order:1"}, pages), 10, st.Head(), 1, aheadEvents)
	require.NoError(t, err)
	require.NotSame(t, &first.Events[0], &other.Events[0])
}

func TestTheRestOfAPageIsNoBatchWhereThereIsMore(t *testing.T) {
	st, pages := openInternal(t), &Pages{}
	orders(t, st, 200)
	own := sharing(st, store.Region{}, pages)
	for _, after := range []store.Position{0, 30, 63, 64, 150} {
		page, err := pages.next(t.Context(), own, after, st.Head(), 50, 64)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(page.Events), 50, "after %d", after)
	}
	page, err := pages.next(t.Context(), own, 190, 195, 50, 64)
	require.NoError(t, err)
	require.Len(t, page.Events, 5, "there are no more up to there")
}

// A page that ended at what was the head is not taken for all that there is.
func TestAPageThatEndedAtTheHeadDoesNotHideWhatCameLater(t *testing.T) {
	st, pages := openInternal(t), &Pages{}
	orders(t, st, 3)
	own := sharing(st, store.Region{}, pages)
	_, err := pages.next(t.Context(), own, 0, st.Head(), 10, 64)
	require.NoError(t, err)
	orders(t, st, 20)
	page, err := pages.next(t.Context(), own, 0, st.Head(), 10, 64)
	require.NoError(t, err)
	require.Len(t, page.Events, 23)
}

func TestWhatReadersShareIsBoundedInBytes(t *testing.T) {
	for _, bytes := range []int{10, 5_000, 2_000_000} {
		st, pages := openInternal(t), &Pages{}
		for range 20 {
			appendSized(t, st, "order:1", bytes)
		}
		own := sharing(st, store.Region{}, pages)
		for range 20 {
			for at := store.Position(0); at < st.Head(); at++ {
				page, err := pages.next(t.Context(), own, at, at+1, 1, 1)
				require.NoError(t, err)
				require.Equal(t, at+1, page.Events[0].Position)
			}
		}
		kept := 0
		for _, page := range pages.list {
			kept += memoryOf(page.Events)
		}
		require.Equal(t, kept, pages.bytes)
		require.LessOrEqual(t, kept, pagesBytes)
		require.LessOrEqual(t, len(pages.list), maxPages)
		require.Equal(t, bytes < pagesBytes/4, kept > 0, "what is too large is not kept")
	}
}

// Readers of several regions, with batches of several sizes, that share pages while the log grows:
// each receives what it would alone.
func TestReadersThatSharePagesEachReceiveAllOfTheirRegionOnce(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 2))
		st, pages := openInternal(t), &Pages{}
		readers := make([]*sharedReader, 6)
		for i := range readers {
			region := store.Region{Entity: []string{"", "order", "order:1"}[i%3]}
			readers[i] = &sharedReader{own: sharing(st, region, pages), n: []int{1, 3, 100}[random.IntN(3)]}
		}
		for range 120 {
			for range random.IntN(6) {
				appendSized(t, st, []string{"order:1", "order:2", "noise"}[random.IntN(3)], 1+random.IntN(100))
			}
			if head := int(st.Head()); head > 0 {
				r := readers[random.IntN(len(readers))]
				r.step(t, min(st.Head(), r.at+store.Position(random.IntN(head+1))))
			}
		}
		for _, r := range readers {
			for r.at < st.Head() {
				r.step(t, st.Head())
			}
			page, err := st.ReadPage(t.Context(), *r.own.region, 0, 0, 1<<16)
			require.NoError(t, err)
			want := []store.Position{}
			for _, e := range page.Events {
				want = append(want, e.Position)
			}
			require.Equal(t, want, append([]store.Position{}, r.got...), "seed %d, %v", seed, *r.own.region)
		}
	}
}

type sharedReader struct {
	own   *owner
	ahead readAhead
	n     int
	at    store.Position
	got   []store.Position
}

func (r *sharedReader) step(t *testing.T, upTo store.Position) {
	t.Helper()
	if upTo <= r.at {
		return
	}
	page, err := r.ahead.next(t.Context(), r.own, r.at, upTo, r.n)
	require.NoError(t, err)
	require.LessOrEqual(t, len(page.Events), r.n)
	require.LessOrEqual(t, page.Scanned, upTo)
	require.Greater(t, page.Scanned, r.at)
	if page.Scanned < upTo {
		require.Len(t, page.Events, r.n, "a batch is small though there is more")
	}
	for i := range page.Events {
		require.True(t, r.own.region.Matches(page.Events[i]))
		r.got = append(r.got, page.Events[i].Position)
	}
	r.at = page.Scanned
}

func TestWhatWasReadBeforeAnErasureIsNotShared(t *testing.T) {
	st, pages := openInternal(t), &Pages{}
	orders(t, st, 20)
	own := sharing(st, store.Region{Entity: "order"}, pages)
	before, err := pages.next(t.Context(), own, 0, 20, 1, aheadEvents)
	require.NoError(t, err)
	_, err = store.Erase(t.Context(), st, store.Erasure{Entity: "order:1", Reason: "r", By: "b"})
	require.NoError(t, err)
	for range 2 {
		page, err := pages.next(t.Context(), own, 0, 20, 1, aheadEvents)
		require.NoError(t, err)
		for _, e := range page.Events {
			_, erased := e.Erased()
			require.True(t, erased)
		}
		pages.add(sharedPage{Page: before, region: *own.region}, 0) // a reader that was slower
	}
}
