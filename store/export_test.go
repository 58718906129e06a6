package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// exportOf is the export of a store.
func exportOf(t require.TestingT, st *Store) string {
	var b bytes.Buffer
	require.NoError(t, Export(context.Background(), st, &b))
	return b.String()
}

// imported is a disk into which a text was imported, opened for reading.
func imported(t *testing.T, text string) *Store {
	t.Helper()
	disk := vfs.NewMemory()
	require.NoError(t, importInto(t.Context(), disk, logDir, strings.NewReader(text), Options{SegmentBytes: minSegmentBytes}))
	return openLog(t, disk, Options{ReadOnly: true})
}

func TestAnImportedExportIsTheSameLogToTheByte(t *testing.T) {
	random, _ := writtenDisk(t, SyncAlways, 4)
	script := mustOpen(t, random, SyncAlways)
	v1, v2 := diskLog(t, goldenDir(t), Options{ReadOnly: true}), diskLog(t, goldenCopy(t), Options{ReadOnly: true})
	for name, s := range map[string]*Store{
		"several segments": openLog(t, verifiedLog(t, 3), Options{ReadOnly: true}),
		"an erased event":  openLog(t, forged(t, erase(4)), Options{ReadOnly: true}),
		"script":           script, "version 1": v1, "version 2": v2,
		"empty": memoryLog(t),
	} {
		text := exportOf(t, s)
		again := imported(t, text)
		require.Equal(t, text, exportOf(t, again), name)
		require.True(t, name != "several segments" || again.Stats().Segments > 1)
		require.Equal(t, requireWhole(t, s).Erased, requireWhole(t, again).Erased, name)
		require.Equal(t, s.Origin(), again.Origin(), name)
		want, got := all(t, s, Region{}), all(t, again, Region{})
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i].record[10:], got[i].record[10:], "%s: event %d", name, i+1)
		}
		for v, err := range s.Sides("") {
			require.NoError(t, err)
			have, _, err := again.Side(v.Key)
			require.NoError(t, err)
			require.Equal(t, v, have, name)
		}
	}
	require.NoError(t, script.Close())
}

func TestAStoreThatWasImportedIsWrittenLikeAnyOther(t *testing.T) {
	s := imported(t, exportOf(t, openLog(t, verifiedLog(t, 2), Options{ReadOnly: true})))
	disk := s.fs.(*vfs.Memory)
	head := s.Head()
	want, err := s.GetAt(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s, err = open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	first := Batch{IdempotencyKey: "key 0", Events: []Proposal{
		{At: At("order:0", "shop"), Payload: note{Text: "<lamp> & co"}, Headers: map[string]string{"n": "0"}},
		{At: At("binary", "shop"), Payload: Raw{Type: "blob", Codec: "raw", Data: make([]byte, 900)}},
		{At: At("stock", "shop"), Payload: Raw{Type: "counted", Data: []byte(`{ "spaces" : [1, 2.50] }`)}},
	}}
	again := write(t, s, first)
	require.True(t, again.Duplicate)
	require.Equal(t, want.ID, again.Events[0].ID)
	version, err := s.Version(t.Context(), "order:1")
	require.NoError(t, err)
	_, err = s.Append(t.Context(), At("order:1", "shop"), Exactly(version), note{Text: "more"})
	require.NoError(t, err)
	require.Equal(t, head+1, s.Head())
	side, _, err := s.Side("short")
	require.NoError(t, err)
	write(t, s, Batch{Sides: []SideWrite{{Key: "short", Value: []byte("x"), Expect: Exactly(side.Revision)}}})
	checkpoints(t, s, 0, 200, 2, 900) // and rewritten
	requireWhole(t, s)
	require.NoError(t, s.Close())
	requireWhole(t, openLog(t, disk, Options{ReadOnly: true}))
}

func TestAnExportReadsLikeWhatItSays(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), Options{})
	write(t, s, Batch{
		IdempotencyKey: "place-1",
		Events: []Proposal{
			{At: At("order:1", "shop"), Payload: note{Text: "<b>"}, Headers: map[string]string{"tenant": "é"}},
			{At: At("blob", "shop"), Payload: Raw{Type: "blob", Codec: "raw", Data: []byte{0xff}}},
		},
		Sides: []SideWrite{{Key: "checkpoint", Value: []byte(`{"at":2}`)}, {Key: "raw", Value: []byte{0xff}}},
	})
	lines := strings.Split(exportOf(t, s), "\n")
	require.Len(t, lines, 7)
	require.Contains(t, lines[0], `{"log":{"version":1,"store":"`+s.Origin().Store.String())
	require.Equal(t, `{"side":{"key":"checkpoint","revision":1,"text":"{\"at\":2}"}}`, lines[1])
	require.Equal(t, `{"side":{"key":"raw","revision":1,"data":"/w=="}}`, lines[2])
	require.Contains(t, lines[3], `"entity":"order:1","scope":"shop","kind":"note.taken","version":1,"key":{"key":"place-1","events":2,"sequence":1,`)
	require.True(t, strings.HasSuffix(lines[3], `"codec":"json","payload":{"Text":"\u003cb\u003e"}}}`), lines[3])
	require.True(t, strings.HasSuffix(lines[4], `"codec":"raw","data":"/w=="}}`), lines[4])
	require.Equal(t, `{"end":{"events":2,"sides":2}}`, lines[5])
}

// Each of these is refused with the number of the line, and leaves nothing.
func TestAnImportRefusesALineThatIsWrongAndLeavesNoStore(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), Options{})
	write(t, s, Batch{IdempotencyKey: "k", Events: eventsOf("a", "b", "a"), Sides: []SideWrite{{Key: "s", Value: []byte("v")}}})
	text := exportOf(t, s)
	lines := strings.SplitAfter(text, "\n")
	swap := func(from, to string) string { return strings.Replace(text, from, to, 1) }
	for _, c := range []struct {
		name, text string
		line       int
	}{
		{"nothing", "", 1},
		{"no JSON", "x\n", 1},
		{"cut off", strings.Join(lines[:4], ""), 5},
		{"cut off in a line", text[:len(text)-10], 6},
		{"an event is missing", lines[0] + lines[1] + lines[3] + lines[4] + lines[5], 3},
		{"another payload", swap(`"about b"`, `"about c"`), 4},
		{"another payload, of the same meaning", swap(`{"Text":"about b"}`, `{"Text": "about b"}`), 4},
		{"another entity", swap(`"entity":"b"`, `"entity":"c"`), 4},
		{"another version", swap(`"version":2,`, `"version":3,`), 5},
		{"another time", swap(`"time":"2`, `"time":"3`), 3},
		{"a field that is not known", swap(`"entity":"b"`, `"entity":"b","more":1`), 4},
		{"two values", swap(`{"end"`, `{} {"end"`), 6},
		{"a line after the end", text + lines[1], 7},
		{"a newer version", swap(`"version":1`, `"version":2`), 1},
		{"a revision that is to come", swap(`"revision":1`, `"revision":9`), 2},
		{"a side value after the events", lines[0] + lines[2] + lines[1], 3},
		{"a key of more events", swap(`"events":3`, `"events":4`), 6},
		{"a key of fewer events", swap(`"events":3`, `"events":2`), 4},
		{"other counts", swap(`"end":{"events":3`, `"end":{"events":4`), 6},
		{"a hash that is none", swap(`"hash":"`, `"hash":"AA`), 3},
	} {
		disk := vfs.NewMemory()
		err := importInto(t.Context(), disk, logDir, strings.NewReader(c.text), Options{})
		var refused *ImportError
		require.ErrorAs(t, err, &refused, c.name)
		require.Equal(t, c.line, refused.Line, "%s: %v", c.name, err)
		_, err = open(disk, logDir, Options{ReadOnly: true}, false)
		require.ErrorIs(t, err, ErrNotStore, c.name)
		require.NoError(t, importInto(t.Context(), disk, logDir, strings.NewReader(text), Options{}), c.name)
	}
}

func TestAnImportIsIntoADirectoryThatHoldsNoStoreAndThatNoOtherHas(t *testing.T) {
	fsys := vfs.NewMemory()
	s := openLog(t, fsys, Options{})
	put(t, s, "a")
	text := exportOf(t, s)
	require.ErrorIs(t, importInto(t.Context(), fsys, logDir, strings.NewReader(text), Options{}), ErrLocked)
	require.NoError(t, s.Close())
	require.ErrorIs(t, importInto(t.Context(), fsys, logDir, strings.NewReader(text), Options{}), ErrNotEmpty)
}

// After any cut there is the whole store, or none, or a directory that says so.
func TestAnImportThatIsCutOffAtAnyWriteLeavesNoHalfOfAStore(t *testing.T) {
	cutImport(t, exportOf(t, openLog(t, verifiedLog(t, 3), Options{ReadOnly: true})), 1)
	dropped, _ := droppedTwice(t)
	cutImport(t, exportOf(t, dropped), 5)
}

func cutImport(t *testing.T, text string, step int) {
	t.Helper()
	for at := 1; ; at += step * thinning {
		disk := vfs.NewMemory()
		disk.CutAt(at)
		err := importInto(t.Context(), disk, logDir, strings.NewReader(text), Options{SegmentBytes: minSegmentBytes})
		for seed := range uint64(4) {
			image := disk.Image(seed)
			st, opened := open(image, logDir, Options{MustExist: true}, true)
			switch {
			case opened == nil:
				requireIntact(t, st)
				require.Equal(t, text, exportOf(t, openLog(t, disk.Image(seed), Options{ReadOnly: true})))
				require.NoError(t, st.Close())
			case errors.Is(opened, ErrCorrupt):
				require.ErrorContains(t, opened, "segment file is missing")
			default:
				require.ErrorIs(t, opened, ErrNotStore)
			}
			require.True(t, err != nil || opened == nil, "cut %d: %v", at, opened)
		}
		if err == nil {
			require.Greater(t, at, 10)
			return
		}
	}
}

func TestAnExportEndsBeforeWhatCannotBeRead(t *testing.T) {
	disk := verifiedLog(t, 2)
	s := openLog(t, damaged(t, disk, segmentPath(logDir, 1), 5000, 1), Options{ReadOnly: true})
	var b bytes.Buffer
	require.ErrorIs(t, Export(t.Context(), s, &b), ErrCorrupt)
	require.NotContains(t, b.String(), `{"end"`)
}

func FuzzImport(f *testing.F) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(f, err)
	_, err = s.Commit(context.Background(), Batch{
		IdempotencyKey: "k", Events: eventsOf("a", "b"), Sides: []SideWrite{{Key: "s", Value: []byte("v")}},
	})
	require.NoError(f, err)
	text := exportOf(f, s)
	f.Add([]byte(text))
	for len(*s.segments.Load()) < 3 {
		_, err = s.Commit(context.Background(), Batch{Events: []Proposal{crashProposal("c", 1, 40_000)}})
		require.NoError(f, err)
		s.tasks.Wait()
	}
	_, err = Retain(context.Background(), s, nil, RetainOptions{Before: s.Head() + 1})
	require.NoError(f, err)
	require.Contains(f, exportOf(f, s), `{"receipt"`)
	f.Add([]byte(exportOf(f, s)))
	require.NoError(f, s.Close())
	f.Add([]byte(strings.Replace(text, `"payload":{`, fmt.Sprintf(`"data":%q,"x":{`, base64.StdEncoding.EncodeToString([]byte("x"))), 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		disk := vfs.NewMemory()
		err := importInto(t.Context(), disk, logDir, bytes.NewReader(data), Options{})
		if err != nil {
			var refused *ImportError
			require.ErrorAs(t, err, &refused)
			return
		}
		st, err := open(disk, logDir, Options{ReadOnly: true}, false)
		require.NoError(t, err)
		defer st.Close()
		r := verified(t, st, VerifyOptions{})
		require.NoError(t, r.Err())
		again := exportOf(t, st)
		require.Equal(t, again, exportOf(t, imported(t, again)))
	})
}

func TestWhatACancelledFenceHidesIsVerifiedExportedAndImportedAsHidden(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{SegmentBytes: minSegmentBytes}, true) // which is killed
	require.NoError(t, err)
	put(t, s, "a")
	for _, end := range []func(*Fence) error{
		func(f *Fence) error { return f.Cancel(t.Context()) },
		func(f *Fence) error { return f.Publish(t.Context()) },
		func(*Fence) error { killStore(s); return nil },
	} {
		f, err := OpenFence(t.Context(), s, FenceOptions{Deadline: MaxFenceDeadline})
		require.NoError(t, err)
		_, err = f.Stage(t.Context(), Batch{Events: eventsOf("a", "fenced", "a")})
		require.NoError(t, err)
		put(t, s, "b")
		require.NoError(t, verifiedErr(s))
		require.ErrorIs(t, Export(t.Context(), s, io.Discard), ErrBusy)
		require.NoError(t, end(f))
	}
	s = openLog(t, disk.Image(vfs.KeepAll), Options{SegmentBytes: minSegmentBytes})
	put(t, s, "a")
	r := requireWhole(t, s)
	require.EqualValues(t, 6, r.Hidden)
	text := exportOf(t, s)
	again := imported(t, text)
	require.Equal(t, text, exportOf(t, again))
	require.EqualValues(t, 6, requireWhole(t, again).Hidden)
	require.Equal(t, entities(all(t, s, Region{})), entities(all(t, again, Region{})))
}

func verifiedErr(s *Store) error {
	r, err := Verify(context.Background(), s, VerifyOptions{})
	return errors.Join(err, r.Err())
}
