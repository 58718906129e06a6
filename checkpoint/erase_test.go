package checkpoint_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// What cannot be decoded may have the text of an error all the same, and keeps nothing else from
// being erased.
func TestParkedEventsThatMakeNoSenseAreErasedWithTheOthers(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	write := func(p store.Position, change func(value []byte) []byte) {
		w := checkpoint.Parked{Position: p, Key: "k", Error: "no such street", Attempts: 3, Since: time.Now()}.Write("letters")
		w.Value = change(w.Value)
		_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{w}})
		require.NoError(t, err)
	}
	write(1, func(value []byte) []byte { return value })
	write(2, func(value []byte) []byte { return value[1:] })
	write(3, func(value []byte) []byte { // of a newer version
		body := value[:len(value)-4]
		body[4] = 200
		return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	})
	write(4, func([]byte) []byte { return []byte("no such street") })
	write(5, func(value []byte) []byte { return value[1:] }) // is not erased

	var ids []uuid.UUID
	for p := range store.Position(4) {
		e, err := st.GetAt(t.Context(), p+1)
		require.NoError(t, err)
		ids = append(ids, e.ID)
	}
	_, err := store.Erase(t.Context(), st, store.Erasure{
		Events: ids, Reason: "asked to be forgotten", By: "support", Sides: checkpoint.ErasedSides(st),
	})
	require.NoError(t, err)
	var at []store.Position
	for p, err := range checkpoint.ParkedEvents(st, "letters") {
		if at = append(at, p.Position); p.Position == 5 {
			require.ErrorIs(t, err, checkpoint.ErrCorrupt)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, checkpoint.ErasedText, p.Error)
		require.False(t, p.Held)
		require.Equal(t, p.Position == 1, p.Key == "k", "the key of the others is not known")
	}
	require.Equal(t, []store.Position{1, 2, 3, 4, 5}, at)

	again, err := store.Erase(t.Context(), st, store.Erasure{
		Events: ids, Reason: "asked to be forgotten", By: "support", Sides: checkpoint.ErasedSides(st),
	})
	require.NoError(t, err)
	require.Equal(t, uuid.Nil, again.ID, "nothing is left to erase")
}
