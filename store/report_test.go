package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAReportIsALine(t *testing.T) {
	for _, is := range []struct {
		report fmt.Stringer
		text   string
	}{
		{
			CopyReport{Segments: 12, Bytes: 1 << 20, Copied: 2, CopiedBytes: 9, Anchor: Anchor{Position: 4711}},
			"12 segments with 1048576 bytes, of which 2 with 9 bytes were copied, up to event 4711",
		},
		{
			CopyReport{Segments: 1, Bytes: 7, Copied: 1, CopiedBytes: 7, Fenced: 3, Anchor: Anchor{Position: 5}},
			"1 segment with 7 bytes, of which 1 with 7 bytes were copied, up to event 5; fences that were open from event 3 on are cancelled",
		},
		{RetainReport{First: 1}, "0 segments with 0 events and 0 bytes dropped, the log begins at event 1"},
		{
			RetainReport{Segments: 3, Events: 4000, Bytes: 99, First: 4001, Holds: []Hold{{Who: "sql/orders", From: 4001}, {Who: "b", From: 5000}}, Doubted: time.Hour},
			"3 segments with 4000 events and 99 bytes dropped, the log begins at event 4001, " +
				"kept for sql/orders from event 4001 on, and for 1 more; the clock is doubted by 1h0m0s",
		},
		{ErasureReport{Events: make([]Recorded, 1), Segments: 2}, "1 event erased, 2 segments rewritten"},
		{
			ErasureReport{Effects: make([]Recorded, 3), Dropped: 1},
			"0 events erased, 0 segments rewritten, 3 effects may have a copy, 1 event had been dropped",
		},
		{&VerifyReport{Events: 4711, Segments: 12, Bytes: 7}, "4711 events in 12 segments with 7 bytes, nothing is wrong"},
		{
			&VerifyReport{Segments: 1, More: 2, Damage: []Damage{{Kind: DamagedFooter, Segment: 3, Offset: 9, Reason: "gone"}, {}}},
			"0 events in 1 segment with 0 bytes, segment 3, offset 9: footer: gone, and 3 more",
		},
	} {
		require.Equal(t, is.text, is.report.String())
	}
}
