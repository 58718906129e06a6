package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// droppedTwice is a log that has what stays of events in more than one file.
func droppedTwice(t *testing.T) (s *Store, receipts []Receipt) {
	t.Helper()
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	stage(t, fenceOf(t, s), "hidden")
	s = reopen(t, s) // which cancels it
	receipts = keyedLog(t, s, 300)
	dropBefore(t, s, s.Head())
	keyedLogFrom(t, s, 1000, 50)
	dropBefore(t, s, s.Head())
	put(t, s, "all")
	segments := *s.segments.Load()
	require.Greater(t, droppedOf(segments), 1)
	require.Greater(t, len(segments), droppedOf(segments))
	return s, receipts
}

func TestAnExportHasWhatStaysOfEventsThatWereDroppedAndAnImportMakesIt(t *testing.T) {
	s, receipts := droppedTwice(t)
	text := exportOf(t, s)
	again := imported(t, text)
	require.Equal(t, text, exportOf(t, again))
	require.Equal(t, First(s), First(again))
	require.Zero(t, requireIntact(t, again).Unlinked)
	last, err := s.AnchorAt(t.Context(), First(s)-1)
	require.NoError(t, err)
	require.NoError(t, again.CheckAnchor(t.Context(), last))
	require.ErrorIs(t, again.CheckAnchor(t.Context(), receipts[0].Anchor()), ErrDropped)
	require.Equal(t, sidesOf(s), sidesOf(again))
	require.NoError(t, again.Close())

	w := mustOpenAt(t, again.fs.(*vfs.Memory), logDir)
	for i, r := range receipts {
		entity := fmt.Sprint("order:", i)
		_, err := w.Append(t.Context(), At(entity, "shop"), Absent, Raw{Type: "k"})
		require.ErrorIs(t, err, ErrConflict)
		require.Equal(t, uint64(1), version(t, w, entity))
		got, found, err := w.findKey(fmt.Sprint("key ", i))
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, r.Sequence, got.Sequence)
	}
	require.Equal(t, version(t, s, "all"), version(t, w, "all"))
	r := put(t, w, "order:3")
	require.Equal(t, uint64(2), r.Events[0].Version)
	requireIntact(t, w)

	keyedLogFrom(t, w, 2000, 100) // and what stays is merged
	dropBefore(t, w, w.Head())
	w = reopen(t, w)
	requireIntact(t, w)
	require.Equal(t, uint64(2), version(t, w, "order:3"))
	require.Equal(t, uint64(1), version(t, w, "order:5"))
	require.NoError(t, w.Close())
}

// All events are gone, and an erasure has reached what stays.
func TestAnExportOfALogWithoutAnEventIsTheSameLogAgain(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	keyedLog(t, s, 100)
	_, err = Erase(t.Context(), s, Erasure{Entity: "order:7", Reason: "asked for", By: "ann"})
	require.NoError(t, err)
	checkpoints(t, s, 0, 100, 2, 900)
	dropBefore(t, s, s.Head()+1)
	text := exportOf(t, s)
	require.Contains(t, text, `"erased":true`)
	require.NotContains(t, text, `{"event"`)
	again := imported(t, text)
	require.Equal(t, text, exportOf(t, again))
	require.Equal(t, s.Head(), again.Head())
	requireIntact(t, again)
	disk := again.fs.(*vfs.Memory)
	require.NoError(t, again.Close())
	w := mustOpenAt(t, disk, logDir)
	require.Equal(t, s.Head()+1, put(t, w, "order:1").Position())
	requireIntact(t, w)
	require.NoError(t, w.Close())
}

func TestAnImportRefusesWhatCannotBeWhatStaysOfEvents(t *testing.T) {
	s, _ := droppedTwice(t)
	text := exportOf(t, s)
	lines := strings.SplitAfter(text, "\n")
	swap := func(from, to string) string { return strings.Replace(text, from, to, 1) }
	without := func(part string) string {
		i := strings.Index(text, part)
		from := strings.LastIndex(text[:i], "\n") + 1
		return text[:from] + text[i+strings.Index(text[i:], "\n")+1:]
	}
	for name, wrong := range map[string]string{
		"an end that is not the first event": swap(fmt.Sprintf(`"first":%d}}`, First(s)), fmt.Sprintf(`"first":%d}}`, First(s)+1)),
		"a file is missing":                  without(fmt.Sprintf(`{"dropped":{"next":%d`, First(s))),
		"no file":                            without(`{"dropped"`),
		"a state is missing":                 without(`{"state"`),
		"a receipt is missing":               without(`{"receipt"`),
		"a state twice":                      lines[0] + lines[1] + lines[2] + strings.Join(lines[2:], ""),
		"a state of an event that is there":  swap(`{"state":{"entity":"all","position":`, `{"state":{"entity":"all","position":9`),
		"no version":                         swap(`"version":1,"time"`, `"version":0,"time"`),
		"another number of events":           swap(`"recorded":[`, `"recorded":[{"id":"00000000-0000-0000-0000-000000000000","version":1},`),
		"a sequence that is to come":         swap(`"events":2,"sequence":`, `"events":2,"sequence":9999`),
		"an event that is there":             swap(`"first":2,`, `"first":9000,`),
		"a time that goes back": regexp.MustCompile(
			fmt.Sprintf(`("dropped":{"next":%d,"last":"[^"]*","time":")....`, First(s))).ReplaceAllString(text, "${1}1971"),
		"what the next event does not continue": regexp.MustCompile(
			`("state":{"entity":"all","position":[0-9]+,"version":[0-9]+,"time":"[^"]*","hash":")..`).ReplaceAllString(text, "${1}AA"),
	} {
		require.True(t, text != wrong, name)
		disk := vfs.NewMemory()
		err := importInto(t.Context(), disk, logDir, strings.NewReader(wrong), Options{})
		var refused *ImportError
		require.ErrorAs(t, err, &refused, name)
		_, err = open(disk, logDir, Options{ReadOnly: true}, false)
		require.ErrorIs(t, err, ErrNotStore, name)
	}
}

// The beginning of the log is dropped, or what stays of it merged, while it is exported.
func TestAnExportBesideADropIsWholeOrBusy(t *testing.T) {
	for _, after := range []string{`{"log"`, `{"state"`, `{"side"`, `{"event"`} {
		s, _ := droppedTwice(t)
		var out meddledWriter
		out.meddle = func(line string) {
			if strings.HasPrefix(line, after) {
				out.meddle = func(string) {}
				keyedLogFrom(t, s, 5000, 100)
				dropBefore(t, s, s.Head())
			}
		}
		err := exportLines(t, s, &out)
		if err != nil {
			require.ErrorIs(t, err, ErrBusy, after)
			require.NotContains(t, out.String(), `{"end"`)
			continue
		}
		requireIntact(t, imported(t, out.String()))
	}
}

// meddledWriter calls a function before each line.
type meddledWriter struct {
	strings.Builder
	meddle func(line string)
}

func (w *meddledWriter) Write(b []byte) (int, error) {
	w.meddle(string(b))
	return w.Builder.Write(b)
}

// exportLines exports line by line, so that w sees each before the next one is read.
func exportLines(t *testing.T, s *Store, w io.Writer) error {
	t.Helper()
	x := exporting{store: s, out: bufio.NewWriterSize(w, 16), decoder: s.decoders.get()}
	defer s.decoders.put(x.decoder)
	err := x.all(t.Context())
	return errors.Join(err, x.out.Flush())
}
