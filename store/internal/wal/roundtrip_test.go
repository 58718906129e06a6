package wal_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

func TestAnEventIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, s, last := drawDraft(t), drawStamp(t), rapid.Bool().Draw(t, "last")
		rec := record(&d, &s, last)

		got, n, err := wal.ParseRecord(append(rec, blob(t, "rest")...))
		require.NoError(t, err)
		require.Equal(t, rec, got)
		require.Equal(t, len(rec), n)
		require.EqualValues(t, wal.TypeEvent, wal.Type(got))
		require.Equal(t, last, wal.IsLast(got))

		e := wal.Event{Cause: [16]byte{9}, Extensions: []byte("left over")}
		require.NoError(t, wal.ParseEvent(got, &e))
		require.Equal(t, s, e.Stamp)
		require.Equal(t, d.Entity, string(e.Entity()))
		require.Equal(t, d.Scope, string(e.Scope()))
		require.Equal(t, d.Kind, string(e.Kind()))
		require.Equal(t, d.Codec, string(e.Codec()))
		require.Equal(t, d.SchemaVersion, e.SchemaVersion)
		require.Equal(t, d.Depth, e.Depth)
		require.Equal(t, d.Cause, e.Cause)
		require.Equal(t, string(d.Headers), string(e.Headers))
		require.Equal(t, string(d.Payload), string(e.Payload))
		require.Equal(t, d.Salt, wal.Salt(got))
		require.False(t, e.Erased)
		require.Empty(t, e.Note)
		require.Empty(t, e.Extensions)
		if d.Correlation == ([16]byte{}) {
			require.Equal(t, s.ID, e.Correlation, "an event without a correlation starts one")
		} else {
			require.Equal(t, d.Correlation, e.Correlation)
		}
	})
}

func TestUnknownExtensionsAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, s := drawDraft(t), drawStamp(t)
		extensions := blob(t, "extensions")
		rec := append(wal.AppendEvent(nil, &d), extensions...)
		binary.LittleEndian.PutUint32(rec[0:], uint32(len(rec)))
		binary.LittleEndian.PutUint32(rec[104:], uint32(len(extensions)))
		wal.StampEvent(rec, &s)
		wal.SealRecord(rec, true)

		var e wal.Event
		require.NoError(t, wal.ParseEvent(rec, &e))
		require.Equal(t, string(extensions), string(e.Extensions))
		require.Equal(t, string(d.Payload), string(e.Payload))
		require.Equal(t, d.Cause, e.Cause)
	})
}

func TestTheSlicesOfAnEventHaveNoRoomToGrowIntoEachOther(t *testing.T) {
	rec := record(&wal.Draft{Entity: "e", Headers: wal.AppendPair(nil, "a", "b"), Payload: []byte("p"), Cause: [16]byte{1}},
		&wal.Stamp{}, true)
	before := string(rec)
	var e wal.Event
	require.NoError(t, wal.ParseEvent(rec, &e))
	_ = append(e.Envelope, 'x')
	_ = append(e.Headers, 'x')
	_ = append(e.Payload, 'x')
	require.Equal(t, before, string(rec))
}

func TestASideValueIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, value := rapid.StringN(0, 40, 120).Draw(t, "key"), blob(t, "value")
		deleted, revision := rapid.Bool().Draw(t, "deleted"), number(t, "revision")
		rec := wal.AppendSide(nil, key, value, deleted)
		wal.StampSide(rec, revision)
		wal.SealRecord(rec, true)

		rec, _, err := wal.ParseRecord(rec)
		require.NoError(t, err)
		side, err := wal.ParseSide(rec)
		require.NoError(t, err)
		require.Equal(t, key, string(side.Key))
		require.Equal(t, string(value), string(side.Value))
		require.Equal(t, revision, side.Revision)
		require.Equal(t, deleted, side.Deleted)
	})
}

func TestAnIdempotencyKeyIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(0, 40, 120).Draw(t, "key")
		want := wal.Key{
			Key: []byte(key), Events: rapid.Uint32Max(1<<24-1).Draw(t, "events"), Rule: rapid.ByteMax(63).Draw(t, "rule"), FirstPosition: number(t, "position"),
			Sequence: number(t, "sequence"), Digest: id32(t, "digest"),
		}
		if want.Erased = rapid.Bool().Draw(t, "erased"); rapid.Bool().Draw(t, "salted") {
			want.Salt = id16(t, "salt")
		}
		rec := wal.AppendKey(nil, key, &want)
		wal.SealRecord(rec, true)
		require.LessOrEqual(t, len(rec), wal.KeySize(key))

		rec, _, err := wal.ParseRecord(rec)
		require.NoError(t, err)
		got, err := wal.ParseKey(rec)
		require.NoError(t, err)
		require.Equal(t, string(want.Key), string(got.Key))
		want.Key, got.Key = nil, nil
		require.Equal(t, want, got)
	})
}

func TestASaltedKeyMatchesTheDigestOfItsCommitAndNoOther(t *testing.T) {
	digest, other := [32]byte{1}, [32]byte{2}
	for _, salt := range [][16]byte{{}, {9}} {
		k := wal.Key{Salt: salt}
		k.Digest = k.Salted(digest)
		require.Equal(t, salt == [16]byte{}, k.Digest == digest, "what is stored tells the digest only without a salt")
		require.True(t, k.Matches(digest))
		require.False(t, k.Matches(other))
		k.Erased = true
		require.False(t, k.Matches(digest), "what an erased commit said is not known")
	}
}

func TestAnErasedEventKeepsItsEnvelopeAndItsPlaceInTheChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, s := drawDraft(t), drawStamp(t)
		note := wal.AppendPair(nil, "why", rapid.String().Draw(t, "why"))
		extensions := blob(t, "extensions")
		rec := wal.Extend(wal.AppendEvent(nil, &d), 0, extensions)
		s.Hash = wal.Chain([32]byte{1}, wal.Content(rec), rec, &s)
		wal.StampEvent(rec, &s)
		wal.SealRecord(rec, true)
		erased := wal.AppendErased([]byte("before"), rec, note)[len("before"):]
		wal.SealRecord(erased, true)

		var was, is wal.Event
		require.NoError(t, wal.ParseEvent(rec, &was))
		got, _, err := wal.ParseRecord(erased)
		require.NoError(t, err)
		require.NoError(t, wal.ParseEvent(got, &is))
		require.True(t, wal.IsEvent(got))
		require.Equal(t, s.Hash, wal.Chain([32]byte{1}, wal.Content(got), got, &is.Stamp))
		require.True(t, is.Erased)
		require.Equal(t, note, is.Note)
		require.Empty(t, is.Headers)
		require.Empty(t, wal.Headers(got))
		require.Empty(t, is.Payload)
		require.Zero(t, wal.Salt(got))
		is.Erased, is.Note, was.Headers, was.Payload, is.Headers, is.Payload = false, nil, nil, nil, nil, nil
		require.Equal(t, was, is)

		again := wal.AppendErased(nil, got, note)
		wal.SealRecord(again, true)
		require.Equal(t, got, again, "what is erased twice is erased once")

		made := wal.Extend(wal.AppendErasedDraft(nil, &d, wal.Content(rec), note), 0, extensions)
		wal.StampEvent(made, &s)
		wal.SealRecord(made, true)
		require.Equal(t, erased, made, "and made of what is left of it")
	})
}

func TestOnlyAnOpeningMarkMayLeapOverSequences(t *testing.T) {
	x := wal.Expected{Sequence: 5, Position: 3}
	for flags := range uint16(16) {
		h := wal.BatchHeader{FirstSequence: 5, FirstPosition: 3, Flags: flags}
		require.True(t, x.Follows(&h))
		h.FirstSequence = 4
		require.False(t, x.Follows(&h), "a sequence is not used again")
		h.FirstSequence = 6
		require.Equal(t, flags&wal.FlagOpened != 0, x.Follows(&h))
	}
	x.Advance(&wal.BatchHeader{FirstSequence: 1000, Commits: 2})
	require.EqualValues(t, 1002, x.Sequence)
}

func TestCommitsOfARewrittenBatchMayHaveLostRecordsButNoEvent(t *testing.T) {
	h, b := small()
	recs := records(t, &h, b)
	nothing := func([]byte, int) error { return nil }
	h.Commits = 7
	for _, left := range [][][]byte{recs, recs[:3], recs[:2]} {
		h.Flags = 0
		require.ErrorIs(t, wal.Records(&h, batch(&h, left...), nothing), wal.ErrBad)
		h.Flags = wal.FlagRewritten
		require.NoError(t, wal.Records(&h, batch(&h, left...), nothing))
	}
	require.ErrorIs(t, wal.Records(&h, batch(&h, recs[1:]...), nothing), wal.ErrBad)
	h.Commits = 0
	require.ErrorIs(t, wal.Records(&h, batch(&h, recs...), nothing), wal.ErrBad, "more commits than there were")
	h.Events = 0
	require.NoError(t, wal.Records(&h, batch(&h), nothing))
}

func TestABatchIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := wal.BatchHeader{
			Previous: rapid.Uint32().Draw(t, "previous"), Segment: rapid.Uint32().Draw(t, "segment"),
			WriterEpoch: rapid.Uint32().Draw(t, "writer epoch"), Incarnation: rapid.Uint32().Draw(t, "incarnation"),
			Durable: rapid.Uint32().Draw(t, "durable"), FirstSequence: number(t, "sequence"),
			FirstPosition: number(t, "position"), Flags: rapid.Uint16().Draw(t, "flags") &^ wal.FlagDropped, Offset: rapid.Uint32().Draw(t, "offset"),
		}
		var want [][]byte
		for range rapid.IntRange(0, 5).Draw(t, "commits") {
			h.Commits++
			n := rapid.IntRange(1, 3).Draw(t, "events")
			for i := range n {
				d, s := drawDraft(t), drawStamp(t)
				want = append(want, record(&d, &s, i == n-1))
				h.Events++
			}
		}
		b := batch(&h, want...)
		require.Zero(t, len(b)%8)
		require.Equal(t, len(b), wal.BatchLength(b))

		got, whole, err := wal.ParseBatch(append(b, blob(t, "rest")...), 0, h.Segment, int64(h.Offset))
		require.NoError(t, err)
		require.Equal(t, h, got)
		require.Equal(t, b, whole)
		require.Equal(t, want, records(t, &got, whole))

		_, _, err = wal.ParseBatch(b, 0, h.Segment+1, int64(h.Offset))
		require.ErrorIs(t, err, wal.ErrBad, "a batch of another segment")
		_, _, err = wal.ParseBatch(b, 0, h.Segment, int64(h.Offset)+8)
		require.ErrorIs(t, err, wal.ErrBad, "a batch from another place")
	})
}

func TestRecordsThatDisagreeWithTheirHeaderAreRefused(t *testing.T) {
	h, b := small()
	nothing := func([]byte, int) error { return nil }
	require.NoError(t, wal.Records(&h, b, nothing))

	more := h
	more.Events++
	require.ErrorIs(t, wal.Records(&more, b, nothing), wal.ErrBad)
	more = h
	more.Commits++
	require.ErrorIs(t, wal.Records(&more, b, nothing), wal.ErrBad)

	open := record(&wal.Draft{Entity: "e"}, &wal.Stamp{}, false)
	h.Commits = 0
	require.ErrorIs(t, wal.Records(&h, batch(&h, open), nothing), wal.ErrBad, "a commit that never ends")
	h.Events, h.Commits = 0, 0
	require.ErrorIs(t, wal.Records(&h, batch(&h, make([]byte, 8)), nothing), wal.ErrBad, "padding of a whole word")
}

func TestASegmentHeaderAndATrailerAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := wal.SegmentHeader{
			Store: id16(t, "store"), Segment: rapid.Uint32().Draw(t, "segment"), Incarnation: rapid.Uint32().Draw(t, "incarnation"),
			FirstPosition: number(t, "position"), FirstSequence: number(t, "sequence"), LastTime: number(t, "time"),
			Previous: rapid.Uint32().Draw(t, "previous"), Version: rapid.Uint16Range(1, wal.Version).Draw(t, "version"),
		}
		if h.Last = h.Segment; h.Version > 1 {
			h.Generation, h.Last = rapid.Uint32().Draw(t, "generation"), rapid.Uint32().Draw(t, "last")
			h.LastChecksum = rapid.Uint32().Draw(t, "last checksum")
			h.Reached, h.Rewritings = number(t, "reached"), rapid.Uint32().Draw(t, "rewritings")
		}
		b := wal.AppendSegmentHeader(nil, &h)
		require.Len(t, b, wal.SegmentHeaderSize)
		got, err := wal.ParseSegmentHeader(append(b, 1, 2, 3))
		require.NoError(t, err)
		require.Equal(t, h, got)

		want := wal.Trailer{
			DataEnd:      uint64(wal.SegmentHeaderSize + rapid.IntRange(0, 1<<30).Draw(t, "data")),
			NextPosition: number(t, "position"), NextSequence: number(t, "sequence"), LastTime: number(t, "time"),
			LastChecksum: rapid.Uint32().Draw(t, "checksum"), WriterEpoch: rapid.Uint32().Draw(t, "writer epoch"),
			IndexLen: rapid.Uint32().Draw(t, "index"), IndexSum: rapid.Uint32().Draw(t, "index sum"),
			SidesLen: rapid.Uint32().Draw(t, "sides"), SidesSum: rapid.Uint32().Draw(t, "sides sum"),
			Weak: rapid.Bool().Draw(t, "weak"), Incarnation: rapid.Uint32().Draw(t, "incarnation"),
			Version: h.Version, Generation: h.Generation,
		}
		if want.Version > 1 {
			want.SideBytes = number(t, "side bytes")
		}
		size := int64(want.DataEnd) + int64(want.IndexLen) + int64(want.SidesLen) + wal.TrailerSize
		b = wal.AppendTrailer(nil, &want)
		require.Len(t, b, wal.TrailerSize)
		trailer, err := wal.ParseTrailer(b, size)
		require.NoError(t, err)
		require.Equal(t, want, trailer)
		_, err = wal.ParseTrailer(b, size+1)
		require.ErrorIs(t, err, wal.ErrBad, "the trailer of a file of another size")
	})
}

// withVersion sets the version of a segment header and makes its checksum right again.
func withVersion(header []byte, version uint16) []byte {
	b := slices.Clone(header)
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], wal.Checksum(slices.Concat(b[:12], b[16:])))
	return b
}

func TestASegmentHeaderOfANewerVersionIsDistinguishedFromADamagedOne(t *testing.T) {
	good := wal.AppendSegmentHeader(nil, &wal.SegmentHeader{Version: wal.Version, Segment: 1})
	require.Equal(t, good, withVersion(good, wal.Version))
	for bit := range 16 {
		version := uint16(wal.Version) ^ 1<<bit
		damaged := slices.Clone(good)
		binary.LittleEndian.PutUint16(damaged[8:], version)
		_, err := wal.ParseSegmentHeader(damaged)
		require.Equal(t, wal.ErrBad, err, "flipped bit %d of the version", bit)

		_, err = wal.ParseSegmentHeader(withVersion(good, version))
		if version > wal.Version {
			require.Equal(t, wal.ErrNewer, err, "version %d", version)
		} else {
			require.Equal(t, wal.ErrBad, err, "version %d was never written", version)
		}
	}
	_, err := wal.ParseSegmentHeader(withVersion(good, 1))
	require.NoError(t, err)
}

func TestTheDigestsCoverWhatAnEventSaysAndTheOneForRetriesNoSchemaVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDraft(t)
		rec := wal.AppendEvent(nil, &d)
		content, retry := wal.Content(rec), wal.Retry(rec)
		unversioned, unsalted := d, d
		unversioned.SchemaVersion = 0
		require.Equal(t, retry, wal.Plain(wal.AppendEvent(nil, &unversioned)))
		unsalted.Salt = [16]byte{}
		require.Equal(t, wal.Plain(rec), wal.Content(wal.AppendEvent(nil, &unsalted)))
		require.Equal(t, d.Salt == unsalted.Salt, wal.Plain(rec) == content)

		links := d
		links.Depth++
		links.Cause[0] ^= 1
		links.Cause[15] |= 1
		linked := wal.AppendEvent(nil, &links)
		require.Equal(t, content, wal.Content(linked))
		require.Equal(t, retry, wal.Retry(linked))
		var none [32]byte
		require.NotEqual(t, wal.Chain(none, content, rec, &wal.Stamp{}), wal.Chain(none, content, linked, &wal.Stamp{}))

		other := d
		field := rapid.IntRange(0, 6).Draw(t, "field")
		switch field {
		case 0:
			other.Entity, other.Scope = d.Entity+"x", d.Scope
		case 1:
			other.Scope += "x"
		case 2:
			other.Kind += "x"
		case 3:
			other.Codec += "x"
		case 4:
			other.SchemaVersion++
		case 5:
			other.Headers = wal.AppendPair(append([]byte(nil), d.Headers...), "x", "")
		case 6:
			other.Payload = append(append([]byte(nil), d.Payload...), 'x')
		}
		changed := wal.AppendEvent(nil, &other)
		require.NotEqual(t, content, wal.Content(changed))
		require.Equal(t, field == 4, retry == wal.Retry(changed), "a deploy may raise the schema version between two tries")
	})
	moved := wal.Content(wal.AppendEvent(nil, &wal.Draft{Entity: "ab", Scope: "c"}))
	content := wal.Content(wal.AppendEvent(nil, &wal.Draft{Entity: "a", Scope: "bc"}))
	require.NotEqual(t, content, moved, "the same bytes, divided in another way")
}

func TestTheChainCoversThePreviousHashAndTheWholeStamp(t *testing.T) {
	stamp := wal.Stamp{Position: 1, Version: 2, Time: 3, ID: [16]byte{4}}
	rec := wal.AppendEvent(nil, &wal.Draft{Entity: "a"})
	link := wal.Chain([32]byte{5}, [32]byte{6}, rec, &stamp)
	seen := map[[32]byte]bool{link: true}
	for _, change := range []func(*wal.Stamp){
		func(s *wal.Stamp) { s.Position++ }, func(s *wal.Stamp) { s.Version++ },
		func(s *wal.Stamp) { s.Time++ }, func(s *wal.Stamp) { s.ID[15]++ },
	} {
		other := stamp
		change(&other)
		seen[wal.Chain([32]byte{5}, [32]byte{6}, rec, &other)] = true
	}
	seen[wal.Chain([32]byte{1}, [32]byte{6}, rec, &stamp)] = true
	seen[wal.Chain([32]byte{5}, [32]byte{1}, rec, &stamp)] = true
	require.Len(t, seen, 7)
}
