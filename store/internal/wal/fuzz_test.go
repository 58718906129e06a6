package wal_test

import (
	"testing"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// The formats hold lengths of up to 4 GiB. Slices that point into the input cannot allocate by
// them, so a parser that panics nowhere and stays within its input allocates nothing that a claim
// could enlarge; allocation tests pin that down.

func seeds(f *testing.F) {
	f.Helper()
	h, b := small()
	f.Add(b)
	_ = wal.Records(&h, b, func(rec []byte, _ int) error { f.Add(rec); return nil })
	f.Add(wal.AppendPair(nil, "name", "value"))
	f.Add(wal.AppendSegmentHeader(nil, &wal.SegmentHeader{Version: wal.Version, Segment: 1}))
	s, r := aState(), aReceipt()
	f.Add(wal.AppendState(nil, &s))
	f.Add(wal.AppendReceipt(nil, &r))
	f.Add(wal.AppendTrailer(nil, &wal.Trailer{Version: wal.Version, DataEnd: 128}))
	data, _ := log(3)
	f.Add(data)
	f.Add([]byte("PBATPBATPBATPBATPBATPBATPBATPBATPBATPBATPBATPBATPBATPBATPBATPBATPBAT"))
}

func FuzzRecordsAreReadWithinTheirBounds(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if rec, n, err := wal.ParseRecord(b); err == nil {
			if n != len(rec) || n > len(b) {
				t.Fatalf("claims %d, has %d of %d bytes", n, len(rec), len(b))
			}
			use(rec)
		}
		if rec, _, err := wal.ParseRecord(reseal(b)); err == nil {
			use(rec)
		}
	})
}

func FuzzParsersOfRecordsTakeAnyBytes(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var e wal.Event
		if wal.ParseEvent(b, &e) == nil {
			content := wal.Content(b)
			if wal.Chain(content, content, b, &e.Stamp) == content {
				t.Fatal("two digests are one")
			}
		}
		_, _ = wal.ParseSide(b)
		_, _ = wal.ParseKey(b)
		if s, err := wal.ParseState(b); err == nil && len(s.Entity) > len(b) {
			t.Fatal("an entity is larger than its record")
		}
		if r, err := wal.ParseReceipt(b); err == nil && len(r.Events)*24 > len(b) {
			t.Fatal("a receipt is larger than its record")
		}
		for name, value := range wal.Pairs(b) {
			if len(name)+len(value) > len(b) {
				t.Fatal("a header is larger than all headers")
			}
		}
	})
}

func FuzzBatchesAreWholeOrRefused(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, whole, err := wal.ParseBatch(b, 0, 2, 128)
		if err == nil {
			if int(h.Length) != len(whole) || len(whole) > len(b) {
				t.Fatalf("claims %d, has %d of %d bytes", h.Length, len(whole), len(b))
			}
			_ = wal.Records(&h, whole, func(rec []byte, _ int) error { use(rec); return nil })
		}
		if len(b) >= wal.BatchHeaderSize { // a batch of any records, with a good checksum
			h := wal.BatchHeader{Segment: 2, Offset: 128, Events: uint32(b[0]), Commits: uint32(b[1])}
			own := wal.FinishBatch(append([]byte(nil), b...), &h, 0)
			got, whole, err := wal.ParseBatch(own, 0, 2, 128)
			if err != nil || got != h {
				t.Fatalf("a finished batch is refused: %v", err)
			}
			_ = wal.Records(&got, whole, func(rec []byte, _ int) error { use(rec); return nil })
		}
	})
}

func FuzzSegmentsAreWalkedToAnEnd(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = wal.ParseSegmentHeader(b)
		x := wal.Expected{Segment: 1, Sequence: 1, Position: 1}
		for {
			h, _, ok := next(b, &x)
			if !ok {
				break
			}
			x.Advance(&h)
		}
		mark := durableAfter(b, 0)
		if mark < 0 || x.Offset > int64(len(b)) {
			t.Fatalf("mark %d, end %d of %d", mark, x.Offset, len(b))
		}
	})
}

func FuzzTrailersAgreeWithTheSizeOfTheirFile(f *testing.F) {
	f.Add(wal.AppendTrailer(nil, &wal.Trailer{Version: wal.Version, DataEnd: 128, IndexLen: 24, SidesLen: 8}), int64(128+24+8+wal.TrailerSize))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		for range 2 {
			trailer, err := wal.ParseTrailer(b, size)
			if err == nil && int64(trailer.DataEnd)+int64(trailer.IndexLen)+int64(trailer.SidesLen)+wal.TrailerSize != size {
				t.Fatalf("%+v in a file of %d bytes", trailer, size)
			}
			b = sealTrailer(b)
		}
	})
}

func TestParsingAllocatesNothingWhateverIsClaimed(t *testing.T) {
	h, b := small()
	var claims [][]byte
	_ = wal.Records(&h, b, func(rec []byte, _ int) error {
		for at := 10; at+4 <= min(len(rec), 112); at += 2 {
			claim := append([]byte(nil), rec...)
			copy(claim[at:], []byte{0xff, 0xff, 0xff, 0xff})
			claims = append(claims, reseal(claim))
		}
		return nil
	})
	allocated := testing.AllocsPerRun(10, func() {
		for _, claim := range claims {
			var e wal.Event
			_ = wal.ParseEvent(claim, &e)
			_, _ = wal.ParseSide(claim)
			_, _ = wal.ParseKey(claim)
			_, _, _ = wal.ParseBatch(claim, 0, 1, 0)
		}
	})
	if allocated != 0 {
		t.Fatalf("%v allocations", allocated)
	}
}
