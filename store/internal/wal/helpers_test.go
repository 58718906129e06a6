package wal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// record makes a finished record of an event.
func record(d *wal.Draft, s *wal.Stamp, last bool) []byte {
	rec := wal.AppendEvent(nil, d)
	wal.StampEvent(rec, s)
	wal.SealRecord(rec, last)
	return rec
}

// batch makes a finished batch of finished records.
func batch(h *wal.BatchHeader, records ...[]byte) []byte {
	room := make([]byte, wal.BatchHeaderSize)
	return wal.FinishBatch(slices.Concat(append([][]byte{room}, records...)...), h, 0)
}

// small is a batch of everything that a batch may hold.
func small() (wal.BatchHeader, []byte) {
	event := record(&wal.Draft{
		Entity: "order:1", Scope: "shop", Kind: "order.placed", Codec: "json", Cause: [16]byte{1}, Correlation: [16]byte{2},
		Headers: wal.AppendPair(nil, "a", "b"), Payload: []byte(`{"n":1}`), Salt: [16]byte{7},
	}, &wal.Stamp{Position: 5, Version: 1, Time: 9, ID: [16]byte{3}}, false)
	key := wal.AppendKey(nil, "key", &wal.Key{Events: 1, FirstPosition: 5, Sequence: 4, Digest: [32]byte{6}, Salt: [16]byte{8}})
	wal.SealRecord(key, false)
	erased := wal.AppendErased(nil, event, wal.AppendPair(nil, "by", "a"))
	wal.SealRecord(erased, false)
	side := wal.AppendSide(nil, "side", []byte("value"), false)
	wal.StampSide(side, 4)
	wal.SealRecord(side, true)
	h := wal.BatchHeader{
		Previous: 7, Segment: 2, WriterEpoch: 3, Incarnation: 1, Durable: 128, FirstSequence: 4, FirstPosition: 5,
		Events: 2, Commits: 1, Offset: 128,
	}
	return h, batch(&h, event, erased, key, side)
}

func id16(t *rapid.T, name string) (id [16]byte) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
	return id
}

func id32(t *rapid.T, name string) (id [32]byte) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name))
	return id
}

func blob(t *rapid.T, name string) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, name) }

// number draws from the whole range, the ends of which matter most.
func number(t *rapid.T, name string) uint64 { return rapid.Uint64().Draw(t, name) }

func drawDraft(t *rapid.T) wal.Draft {
	text := rapid.StringN(0, 40, 120)
	d := wal.Draft{
		Entity: text.Draw(t, "entity"), Scope: text.Draw(t, "scope"), Kind: text.Draw(t, "kind"), Codec: text.Draw(t, "codec"),
		SchemaVersion: rapid.Uint16().Draw(t, "schema"), Depth: rapid.Uint32().Draw(t, "depth"), Payload: blob(t, "payload"),
	}
	if rapid.Bool().Draw(t, "has cause") {
		d.Cause = id16(t, "cause")
	}
	if rapid.Bool().Draw(t, "has correlation") {
		d.Correlation = id16(t, "correlation")
	}
	if rapid.Bool().Draw(t, "salted") {
		d.Salt = id16(t, "salt")
	}
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		d.Headers = wal.AppendPair(d.Headers, text.Draw(t, "name"), text.Draw(t, "value"))
	}
	return d
}

func drawStamp(t *rapid.T) wal.Stamp {
	return wal.Stamp{
		Position: number(t, "position"), Version: number(t, "version"), Time: number(t, "time"),
		ID: id16(t, "id"), Hash: id32(t, "hash"),
	}
}

// records collects what a walk over a batch meets.
func records(t require.TestingT, h *wal.BatchHeader, b []byte) (all [][]byte) {
	require.NoError(t, wal.Records(h, b, func(rec []byte, offset int) error {
		require.Equal(t, rec, b[offset:offset+len(rec)])
		all = append(all, rec)
		return nil
	}))
	return all
}

// use reads everything that a record may claim to be, within its bounds.
func use(rec []byte) {
	var read bytes.Buffer
	var e wal.Event
	if wal.ParseEvent(rec, &e) == nil {
		for _, part := range [][]byte{e.Entity(), e.Scope(), e.Kind(), e.Codec(), e.Payload, e.Note, e.Extensions} {
			read.Write(part)
		}
		for name, value := range wal.Pairs(e.Headers) {
			read.Write(name)
			read.Write(value)
		}
		wal.Content(rec)
		wal.Plain(rec)
		wal.Salt(rec)
	}
	if side, err := wal.ParseSide(rec); err == nil {
		read.Write(side.Key)
		read.Write(side.Value)
	}
	if key, err := wal.ParseKey(rec); err == nil {
		read.Write(key.Key)
	}
}

// reseal makes the checksum of arbitrary bytes right, so that a parser looks past it.
func reseal(b []byte) []byte {
	rec := append([]byte(nil), b...)
	if len(rec) >= 10 {
		binary.LittleEndian.PutUint32(rec, uint32(len(rec)))
		binary.LittleEndian.PutUint32(rec[4:], wal.Checksum(rec[8:]))
	}
	return rec
}

// sealTrailer makes the checksum of arbitrary bytes right.
func sealTrailer(b []byte) []byte {
	b = append([]byte(nil), b...)
	if len(b) == wal.TrailerSize {
		copy(b, "PENDSEAL")
		binary.LittleEndian.PutUint32(b[8:], wal.Checksum(b[12:]))
	}
	return b
}

func sha(b []byte) [32]byte { return sha256.Sum256(b) }

// whole shows a segment that is in memory.
func whole(data []byte) *wal.Pieces { return wal.NewPieces(bytes.NewReader(data), int64(len(data))) }

// next returns the batch that continues the log in a segment that is in memory.
func next(data []byte, x *wal.Expected) (h wal.BatchHeader, batch []byte, ok bool) {
	h, batch, err := whole(data).Next(x)
	return h, batch, err == nil && batch != nil
}

// durableAfter returns the highest mark of a batch of segment 1 at or after an offset.
func durableAfter(data []byte, from int64) int64 {
	rest, err := whole(data).Rest(0, 1, from)
	if err != nil {
		return -1
	}
	return rest.Durable
}
