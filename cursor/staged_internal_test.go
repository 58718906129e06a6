package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestReactionsAreKeptByTheirEventsAndForgottenWithAllTheyPointTo(t *testing.T) {
	b := NewBatch(make([]store.Event, 3), Ownership{})
	propose := func(i int, data string) {
		b.Propose(i, store.Proposal{At: store.At("a", "s"), Payload: store.Raw{Type: "r", Data: []byte(`"` + data + `"`)}})
	}
	said := func(from, to int) (said []string) {
		for _, p := range b.proposals(from, to) {
			said = append(said, string(p.Payload.(store.Raw).Data))
		}
		return said
	}
	propose(2, "c")
	propose(0, "a")
	propose(2, "d")
	propose(0, "b")
	require.Equal(t, []string{`"a"`, `"b"`}, said(0, 2))
	require.Equal(t, []string{`"c"`, `"d"`}, said(1, 3))
	require.Nil(t, said(1, 2))
	require.Len(t, b.Staged(), 4)

	part := append(b.proposals(0, 1), store.Proposal{}) // as an audit event is added to a commit
	require.Len(t, part, 3)
	require.Equal(t, []string{`"c"`, `"d"`}, said(2, 3), "what is added to a part is no part of the rest")

	s := b.staged
	b.unstage()
	b.unstage()
	require.Empty(t, b.Staged())
	require.False(t, b.expects())
	require.Equal(t, make([]store.Proposal, 4), s.proposals[:4], "memory that is kept keeps nothing else")
	require.Equal(t, make([]origin, 4), s.of[:4])
}
