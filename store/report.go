package store

import (
	"fmt"
	"strings"
	"time"
)

// The reports of what is done to a whole log are a line each as texts, for a log of a program:
// that of a repair, which says what is lost, is one for people.

// String is as in "12 segments with 1048576 bytes, of which 2 with 131072 bytes were copied, up to
// event 4711".
func (r CopyReport) String() string {
	text := fmt.Sprintf("%s with %d bytes, of which %d with %d bytes were copied, up to event %d",
		plural(r.Segments, "segment"), r.Bytes, r.Copied, r.CopiedBytes, r.Anchor.Position)
	if r.Fenced > 0 {
		text += fmt.Sprintf("; fences that were open from event %d on are cancelled", r.Fenced)
	}
	return text
}

// String is as in "3 segments with 4000 events and 196608 bytes dropped, the log begins at event
// 4001, kept for sql/orders from event 4001 on". Of the holds it names the first.
func (r RetainReport) String() string {
	text := fmt.Sprintf("%s with %d events and %d bytes dropped, the log begins at event %d",
		plural(r.Segments, "segment"), r.Events, r.Bytes, r.First)
	if len(r.Holds) > 0 {
		text += fmt.Sprintf(", kept for %s from event %d on", r.Holds[0].Who, r.Holds[0].From)
	}
	if n := len(r.Holds) - 1; n > 0 {
		text += fmt.Sprintf(", and for %d more", n)
	}
	if r.Doubted > 0 {
		text += fmt.Sprintf("; the clock is doubted by %s", r.Doubted.Round(time.Second))
	}
	return text
}

// String is as in "7 events erased, 2 segments rewritten, 3 effects may have a copy".
func (r ErasureReport) String() string {
	parts := []string{plural(len(r.Events), "event") + " erased", plural(r.Segments, "segment") + " rewritten"}
	if n := len(r.Effects); n > 0 {
		parts = append(parts, plural(n, "effect")+" may have a copy")
	}
	if r.Dropped > 0 {
		parts = append(parts, plural(r.Dropped, "event")+" had been dropped")
	}
	return strings.Join(parts, ", ")
}

// String is as in "4711 events in 12 segments with 1048576 bytes, nothing is wrong", or has what
// was listed first of what is.
func (r *VerifyReport) String() string {
	text := fmt.Sprintf("%d events in %s with %d bytes, ", r.Events, plural(r.Segments, "segment"), r.Bytes)
	if r.Whole() {
		return text + "nothing is wrong"
	}
	text += r.Damage[0].String()
	if n := uint64(len(r.Damage)-1) + r.More; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	return text
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
