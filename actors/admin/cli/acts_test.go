package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/store"
)

// changed makes a change, and returns what it said.
func changed(t *testing.T, args ...string) (c Change) {
	t.Helper()
	out := run(t, append(args, "--yes", "--reason", "test", "--by", "ann", "--json")...)
	require.Zero(t, out.code, out.err)
	require.NoError(t, json.Unmarshal([]byte(out.out), &c))
	require.False(t, c.DryRun)
	return c
}

// typed are the words of a command that was advised.
func typed(line string) []string { return strings.Fields(strings.TrimPrefix(line, "penstock ")) }

func (s *shop) positionOf(t *testing.T, worker string) store.Position {
	t.Helper()
	var w Worker
	require.NoError(t, json.Unmarshal([]byte(run(t, "worker", "show", s.dir, worker, "--json").out), &w))
	return w.Worker.Position
}

func TestWhatUndoesAChangeUndoesIt(t *testing.T) {
	s := inMode(t, admin.Cold)
	s.end()
	changed(t, "worker", "rebind", s.dir, "bill", "--region-kind", "order.placed", "--scope", "shop", "--kind", "order.placed")
	before := s.positionOf(t, "bill")
	for _, act := range [][]string{
		{"skip-to", s.dir, "bill", "--to", "4"},
		{"rebind", s.dir, "bill", "--entity", "order", "--scope", "shop", "--kind", "order.placed,order.billed"},
		{"rebind", s.dir, "bill", "--category", "order"},
		{"rebind", s.dir, "bill"},
		{"rebind", s.dir, "bill", "--region-kind", "order.placed"},
		{"rename", s.dir, "bill", "invoice"},
	} {
		show := run(t, "worker", "show", s.dir, "bill").out
		undo := changed(t, append([]string{"worker"}, act...)...).Undo
		words := typed(undo)
		out := run(t, append(words, "--yes", "--by", "bob")...)
		require.Zero(t, out.code, "%s: %s", undo, out.err)
		require.Equal(t, rowsOf(show, "region", "kinds"), rowsOf(run(t, "worker", "show", s.dir, "bill").out, "region", "kinds"), undo)
		require.Equal(t, before, s.positionOf(t, "bill"), undo)
	}
	require.Contains(t, run(t, "audit", s.dir, "--worker", "bill").out, "rebound")
	require.Contains(t, run(t, "audit", s.dir).out, "by ann test")
	changed(t, "worker", "reset", s.dir, "bill")
	require.Zero(t, s.positionOf(t, "bill"))
	changed(t, "worker", "delete", s.dir, "bill")
	require.Equal(t, exitNotFound, run(t, "worker", "show", s.dir, "bill").code)
}

// rowsOf are those of a text that begin with a word.
func rowsOf(text string, words ...string) (out []string) {
	for line := range strings.Lines(text) {
		for _, word := range words {
			if strings.HasPrefix(line, word+" ") {
				out = append(out, line)
			}
		}
	}
	return out
}

func TestParkedEventsAreReplayedAndDiscardedBySelection(t *testing.T) {
	s := inMode(t, admin.Live)
	for i := range 4 {
		s.order(t, fmt.Sprint("x", i), fmt.Sprint("jug ", i), "")
	}
	parked := func() (n int) { return s.sys.Status().Workers[0].Parked }
	require.Equal(t, 5, parked())
	require.Contains(t, run(t, "parked", "replay", s.dir, "bill", "--yes", "--reason", "test").err, "which events is missing")
	require.Equal(t, exitUsage, run(t, "parked", "replay", s.dir, "bill", "5", "--all", "--yes", "--reason", "test").code)
	require.Equal(t, exitRefusedOrNotFound(t, s), exitNotFound)
	require.Len(t, changed(t, "parked", "discard", s.dir, "bill", "--error", "jug", "--max", "2").Parked, 2)
	require.Equal(t, 3, parked())
	require.Len(t, changed(t, "parked", "discard", s.dir, "bill", "--key", "order:x2", "--kind", "order.placed").Parked, 1)
	require.Equal(t, 2, parked())
	out := run(t, "parked", "ls", s.dir, "bill", "--limit", "1")
	require.Contains(t, out.out, "and more")
	require.Contains(t, run(t, "parked", "ls", s.dir, "bill", "--older", "1h").out, "nothing is parked")
	require.Len(t, changed(t, "parked", "replay", s.dir, "bill", "--all").Parked, 2)
	require.Eventually(t, func() bool { return strings.Count(run(t, "audit", s.dir, "-n", "0").out, "replay") >= 1 }, 10*time.Second, time.Millisecond)
}

// exitRefusedOrNotFound is the code for an event that is not parked.
func exitRefusedOrNotFound(t *testing.T, s *shop) int {
	t.Helper()
	return run(t, "parked", "discard", s.dir, "bill", "1", "--yes", "--reason", "test").code
}

func TestWaitingForAWorker(t *testing.T) {
	s := inMode(t, admin.Live)
	parked := s.position(t, "$PARKED")
	for args, code := range map[string]int{
		"--caught-up":                   exitFine,
		"--applied 1":                   exitFine,
		"--applied " + parked:           exitRefused,
		"--applied 999":                 exitNotFound,
		"--state idle":                  exitFine,
		"--state paused --timeout 20ms": exitUnreachable,
		"--caught-up --applied 1":       exitUsage,
		"":                              exitUsage,
	} {
		out := run(t, append([]string{"worker", "wait", s.dir, "bill"}, strings.Fields(args)...)...)
		require.Equal(t, code, out.code, "%s: %s", args, out.err)
	}
	require.Equal(t, exitNotFound, run(t, "worker", "wait", s.dir, "tyop", "--caught-up").code)
}

func TestAnEventIsAppendedOnceForAKey(t *testing.T) {
	s := inMode(t, admin.Cold)
	s.end()
	file := filepath.Join(t.TempDir(), "payload.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"item":"cup"}`), 0o600))
	args := []string{"append", s.dir, "order:3", "order.placed", "@" + file, "--scope", "shop", "--key", "once"}
	at := changed(t, args...).Appended.Position
	require.NotZero(t, at)
	require.Equal(t, at, changed(t, args...).Appended.Position)
	out := run(t, "get", s.dir, fmt.Sprint(at))
	require.Contains(t, out.out, "ann")
	require.Contains(t, out.out, `"item": "cup"`)
	args[4] = "{"
	require.Equal(t, exitUsage, run(t, append(args, "--yes", "--reason", "test")...).code)

	require.NotEmpty(t, changed(t, "store", "erase", s.dir, "--event", fmt.Sprint(at)).Erased.Events)
	require.Contains(t, run(t, "tail", s.dir, "-n", "1").out, "(erased)")
	require.Contains(t, changed(t, "store", "retain", s.dir, "--before", "2").Retained.Text, "dropped")
	require.Equal(t, exitUsage, run(t, "store", "retain", s.dir, "--yes", "--reason", "test").code)
	require.Equal(t, exitUsage, run(t, "store", "erase", s.dir, "--yes", "--reason", "test").code)
}

func TestACopyIsTheSameLog(t *testing.T) {
	s := inMode(t, admin.Beside)
	top := t.TempDir()
	in := func(name string) string { return filepath.Join(top, name) }
	for _, args := range [][]string{
		{"backup", s.dir, in("backup")},
		{"backup", s.dir, in("backup")},
		{"restore", in("backup"), in("restored")},
		{"export", in("restored"), "-o", in("export")},
		{"import", in("export"), in("imported")},
		{"verify", in("imported")},
	} {
		out := run(t, append([]string{"store"}, args...)...)
		require.Zero(t, out.code, "%v: %s", args, out.err)
	}
	want := run(t, "tail", s.dir, "-n", "0", "--json=lines").out
	require.NotEmpty(t, want)
	require.Equal(t, want, run(t, "tail", in("imported"), "-n", "0", "--json=lines").out)
	require.Equal(t, exitRefused, run(t, "store", "export", s.dir, "-o", in("export")).code, "it is there already")
	require.Equal(t, exitUsage, run(t, "store", "export", s.dir, "--json").code)
	require.True(t, strings.HasPrefix(run(t, "store", "export", s.dir).out, `{"log":{"version":1,`))
	require.Equal(t, exitUnreachable, run(t, "store", "export", s.dir, "-o", in("late"), "--timeout", "1ns").code)
	require.Equal(t, exitUsage, run(t, "store", "verify", "http://localhost").code)
	require.NotZero(t, run(t, "store", "restore", in("backup"), in("restored")).code)
	require.NotZero(t, run(t, "store", "import", in("export"), in("imported")).code)
	entries, err := os.ReadDir(top)
	require.NoError(t, err)
	require.Len(t, entries, 4, "no part of a file is left")
}

func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	s := inMode(t, admin.Cold)
	s.end()
	segment := filepath.Join(s.dir, "0000000001.seg")
	b, err := os.ReadFile(segment)
	require.NoError(t, err)
	at := bytes.Index(b, []byte(`"lamp"`))
	require.Positive(t, at)
	b[at+1] ^= 1
	require.NoError(t, os.WriteFile(segment, b, 0o600))
	out := run(t, "store", "verify", s.dir, "--json")
	require.Equal(t, exitDamage, out.code, out.err)
	var v Verified
	require.NoError(t, json.Unmarshal([]byte(out.out), &v))
	require.False(t, v.Whole)
	require.Equal(t, uint32(1), v.Damage[0].Segment)
	require.Positive(t, v.Damage[0].Offset)
	require.LessOrEqual(t, v.Damage[0].Offset, int64(at))
	text := run(t, "store", "verify", s.dir)
	require.Equal(t, exitDamage, text.code)
	require.Contains(t, text.out, fmt.Sprint(v.Damage[0].Offset))

	repaired := filepath.Join(t.TempDir(), "repaired")
	line := strings.Replace(v.Repair, "NEW-DIRECTORY", repaired, 1)
	require.Zero(t, run(t, typed(line)...).code, line)
	require.NoDirExists(t, repaired)
	did := changed(t, typed(strings.TrimSuffix(line, " --dry-run"))...)
	require.False(t, did.Repaired.Clean)
	require.Zero(t, run(t, "store", "verify", repaired).code)
}

func TestProgressIsALineEachFiveSecondsWithoutATerminal(t *testing.T) {
	now := time.Unix(0, 0)
	for _, quiet := range []bool{false, true} {
		var out bytes.Buffer
		p := &progress{what: "verify", to: &out, now: func() time.Time { return now }, began: now, told: now, quiet: quiet}
		for i := range int64(12) {
			now = now.Add(time.Second)
			p.bytes(i<<20, 24<<20)
		}
		p.end()
		if quiet {
			require.Empty(t, out.String())
			continue
		}
		require.Equal(t, "verify: 4.0 MiB of 24.0 MiB, 819.2 KiB/s, 25s left\nverify: 9.0 MiB of 24.0 MiB, 921.6 KiB/s, 16s left\n", out.String())
	}
}

// A handler that does not return is named with its event, key, attempt and stack, and what is
// advised ends it.
func TestAHandlerThatHangsIsFoundAndEnded(t *testing.T) {
	s := openedWith(t, filepath.Join(t.TempDir(), "shop"), actors.Options{StallAfter: 20 * time.Millisecond, WatchdogInterval: 5 * time.Millisecond})
	listening(t, s)
	_, err := s.st.Append(t.Context(), store.At("order:1", "shop"), store.Any, ordered{hanging, "1"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(s.sys.Status().Workers[0].InFlight) > 0 }, 10*time.Second, time.Millisecond)
	later := newApp(Options{}).at(time.Now().Add(time.Minute)).runs(t, "stuck", s.dir)
	require.Regexp(t, "bill (slow|stalled)", later.out)
	require.Eventually(t, func() bool { return s.sys.Status().Workers[0].Stalled }, 10*time.Second, time.Millisecond)
	out := run(t, "status", s.dir)
	require.Equal(t, exitFinding, out.code)
	require.Contains(t, out.out, "stalled")
	out = run(t, "stuck", s.dir)
	require.Equal(t, exitFinding, out.code)
	require.Contains(t, out.out, "event 1 of key order:1, attempt 1")
	require.Contains(t, out.out, "shop_test.go:", "where the handler is")
	require.Contains(t, run(t, "worker", "stack", s.dir, "bill").out, "shop_test.go:")
	require.Contains(t, run(t, "worker", "show", s.dir, "bill").out, "IN FLIGHT")
	line := strings.TrimSpace(rowsOf(out.out, "  try: penstock worker interrupt")[0])
	words := typed(strings.TrimPrefix(line, "try: "))
	require.Equal(t, exitUsage, run(t, append(words, "2", "3", "--yes")...).code)
	require.Equal(t, exitNotFound, run(t, append(words, "99", "--yes")...).code)
	require.Contains(t, run(t, append(words, "--dry-run")...).out, "events 1 to 1, attempt 1, key order:1")
	require.Zero(t, run(t, append(words, "1", "--yes")...).code)
	require.Eventually(t, func() bool {
		w := s.sys.Status().Workers[0]
		return len(w.Failing) > 0 && strings.Contains(w.Failing[0].Reason.Error(), "interrupted")
	}, 10*time.Second, time.Millisecond)
	out = run(t, "stuck", s.dir)
	require.Contains(t, out.out, "bill failing interrupted")
	require.Contains(t, out.out, "tried again in")
	require.Contains(t, run(t, "audit", s.dir).out, "interrupted")
}

// What is decided over a cold log is there at the next start.
func TestAColdWorkerIsOperated(t *testing.T) {
	s := inMode(t, admin.Cold)
	s.end()
	changed(t, "worker", "pause", s.dir, "bill")
	require.Contains(t, run(t, "status", s.dir).out, "paused")
	require.Len(t, changed(t, "parked", "replay", s.dir, "bill", "--all").Parked, 1)
	changed(t, "worker", "resume", s.dir, "bill")
	again := opened(t, s.dir)
	again.order(t, "3", "cup", "4711")
	require.Eventually(t, func() bool {
		out := run(t, "audit", s.dir, "-n", "0").out
		return strings.Count(out, "worker:bill parked") == 2 && again.sys.Status().Workers[0].Parked == 1
	}, 10*time.Second, 10*time.Millisecond, "it was handled again")
}
