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
	require.False(t, b.staged.expects())
	require.Equal(t, make([]store.Proposal, 4), s.proposals[:4], "memory that is kept keeps nothing else")
	require.Equal(t, make([]origin, 4), s.of[:4])
}

func TestAReactionThatCameEncodedIsCopiedAndItsMemoryKeptIfThatIsSmall(t *testing.T) {
	for size, kept := range map[int]bool{1 << 10: true, maxStagedData / 2: false} {
		b := NewBatch(make([]store.Event, 3), Ownership{})
		data := make([]byte, size)
		for i := range b.Events {
			data[0] = byte(i)
			b.React(i, store.At("a", "s"), store.Raw{Type: "r", Codec: "bytes", Data: data})
		}
		for i, p := range b.proposals(0, 3) {
			require.Equal(t, byte(i), p.Payload.(store.Raw).Data[0])
		}
		s := b.staged
		b.unstage()
		require.Equal(t, kept, cap(s.data) > 0, size)
		require.Empty(t, s.data)
	}
}
