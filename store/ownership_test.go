package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Another process is this test binary with a role and a directory in its environment.
const (
	roleEnv = "PENSTOCK_TEST_ROLE"
	dirEnv  = "PENSTOCK_TEST_DIR"
)

// playRole takes commands from stdin, one a line, and answers each with a line; it ends with stdin.
// A frugal one takes none: it says what it found and ends.
func playRole(role string) int {
	if frugally, isFrugal := strings.CutPrefix(role, "frugal "); isFrugal {
		if err := limitFiles(200); err != nil {
			fmt.Println("error", err)
			return 1
		}
		fmt.Println(frugal(os.Getenv(dirEnv), frugally == "reader"))
		return 0
	}
	s, err := Open(os.Getenv(dirEnv), Options{ReadOnly: role == "reader", SegmentBytes: minSegmentBytes})
	switch {
	case errors.Is(err, ErrLocked):
		fmt.Println("locked")
		return 0
	case err != nil:
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("open", s.Head())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(obey(s, lines.Text()))
	}
	return 0
}

// obey carries out "append N", "wait N" (for the head to get there) and "close".
func obey(s *Store, line string) string {
	verb, number, _ := strings.Cut(line, " ")
	n, _ := strconv.Atoi(number)
	switch verb {
	case "append":
		for i := range n {
			p := Proposal{At: At(fmt.Sprint("child:", i%3), "test"), Payload: Raw{Type: "x", Data: make([]byte, 1<<10)}}
			side := SideWrite{Key: "progress", Value: []byte(fmt.Sprint(i))}
			if _, err := s.Commit(context.Background(), Batch{Events: []Proposal{p}, Sides: []SideWrite{side}}); err != nil {
				return err.Error()
			}
		}
	case "wait":
		for s.Head() < Position(n) {
			if _, err := s.Wait(context.Background(), s.Head()); err != nil {
				return err.Error()
			}
		}
		return fmt.Sprint(s.Head(), " ", digest(s))
	case "close":
		if err := s.Close(); err != nil {
			return err.Error()
		}
	}
	return fmt.Sprint(s.Head())
}

// digest covers every event and side value that a reader sees.
func digest(s *Store) string {
	h := sha256.New()
	for e, err := range s.Read(context.Background(), Region{}, Beginning()) {
		if err != nil {
			return err.Error()
		}
		h.Write(fmt.Appendln(nil, e.Position, e.ID, e.Coordinate, e.Version, e.Hash(), len(e.Payload)))
	}
	for v, err := range s.Sides("") {
		if err != nil {
			return err.Error()
		}
		h.Write(fmt.Appendf(nil, "%s=%s@%d\n", v.Key, v.Value, v.Revision))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// child is another process on the same directory.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin *os.File
	lines *bufio.Scanner
}

// start runs a role and returns what it said first.
func start(t *testing.T, role, dir string) (c *child, first string) {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:noctx // it ends with its stdin, or is killed
	cmd.Env = append(os.Environ(), roleEnv+"="+role, dirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	read, stdin, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdin = read
	require.NoError(t, cmd.Start())
	require.NoError(t, read.Close())
	c = &child{t: t, cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	t.Cleanup(c.kill)
	return c, c.line()
}

func (c *child) line() string {
	c.t.Helper()
	require.True(c.t, c.lines.Scan(), "the other process ended")
	return c.lines.Text()
}

// say sends a command without waiting for its answer.
func (c *child) say(command string) {
	c.t.Helper()
	_, err := fmt.Fprintln(c.stdin, command)
	require.NoError(c.t, err)
}

func (c *child) ask(command string) string {
	c.t.Helper()
	c.say(command)
	return c.line()
}

// kill ends the process without giving it a chance.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	_ = c.stdin.Close()
}

// diskLog opens a store in a real directory.
func diskLog(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestASecondWriterIsLockedOutInThisProcessAndInOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "demand")
	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
	_, err := Open(dir, Options{})
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, dir)
	_, first := start(t, "writer", dir)
	require.Equal(t, "locked", first)

	put(t, s, "a") // the refused ones did no harm
	require.NoError(t, s.Close())
	other, first := start(t, "writer", dir)
	require.Equal(t, "open 1", first)
	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, ErrLocked)
	require.Equal(t, "2", other.ask("append 1"))
	other.kill() // and its lock dies with it
	require.Equal(t, Position(2), diskLog(t, dir, Options{SegmentBytes: minSegmentBytes}).Head())
}

func TestAReaderInAnotherProcessFollowsTheWriterOverSegments(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
	grow(t, s, 2)
	reader, first := start(t, "reader", dir)
	require.Equal(t, fmt.Sprint("open ", s.Head()), first)
	for segments := 4; segments <= 8; segments += 2 {
		target := s.Head() + 20
		reader.say(fmt.Sprint("wait ", target)) // it waits while the log grows
		grow(t, s, segments)
		for s.Head() < target {
			put(t, s, "more")
		}
		reader.line() // it saw the target; how much more depends on when it looked
		write(t, s, sideOf(SideWrite{Key: "k", Value: []byte(fmt.Sprint(segments))}))
		require.Equal(t, fmt.Sprint(s.Head(), " ", digest(s)), reader.ask(fmt.Sprint("wait ", s.Head())))
	}
}

func TestAReaderHereFollowsAWriterInAnotherProcessAndOutlivesIt(t *testing.T) {
	dir := t.TempDir()
	writer, first := start(t, "writer", dir)
	require.Equal(t, "open 0", first)
	require.Equal(t, "1", writer.ask("append 1"))
	r := diskLog(t, dir, Options{ReadOnly: true})
	require.Equal(t, Position(1), r.Head())
	for total := 201; total <= 801; total += 200 {
		writer.say("append 200")
		for head := r.Head(); head < Position(total); {
			var err error
			head, err = r.Wait(t.Context(), head)
			require.NoError(t, err)
		}
		require.Equal(t, fmt.Sprint(total), writer.line())
		require.Equal(t, Position(total), r.Head())
		require.Equal(t, "199", sideText(r, "progress"))
	}
	events := all(t, r, Region{})
	require.Len(t, events, 801)
	requireChains(t, events)
	require.Greater(t, r.Stats().Segments, 10)

	writer.kill()
	require.Equal(t, Position(801), r.Head())
	before := digest(r)
	require.Equal(t, before, digest(diskLog(t, dir, Options{ReadOnly: true})), "opened after the end of the writer")
	writer, first = start(t, "writer", dir)
	require.Equal(t, "open 801", first)
	require.Equal(t, "1001", writer.ask("append 200"))
	require.Equal(t, Position(1001), r.Head(), "the next writer is followed as well")
	require.Equal(t, "1001", writer.ask("close"))
	require.Equal(t, Position(1001), r.Head())
}

// contents hashes all files of a directory that only a change of the log changes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		files[entry.Name()] = fmt.Sprintf("%x %s", sha256.Sum256(b), info.ModTime())
	}
	return files
}

func TestAReaderChangesNothing(t *testing.T) {
	for _, end := range []string{"clean", "killed"} {
		t.Run(end, func(t *testing.T) {
			dir := t.TempDir()
			writer, _ := start(t, "writer", dir)
			writer.ask("append 300")
			if end == "clean" {
				writer.ask("close")
			}
			writer.kill()

			before := contents(t, dir)
			r := diskLog(t, dir, Options{ReadOnly: true})
			require.Len(t, all(t, r, Region{}), 300)
			require.Equal(t, "299", sideText(r, "progress"))
			n, err := r.Count(t.Context(), Region{Entity: "child:1"}, 0, 0, 1000)
			require.NoError(t, err)
			require.Equal(t, 100, n)
			_, err = r.Append(t.Context(), At("a", "test"), Any, note{})
			require.ErrorIs(t, err, ErrReadOnly)
			_, err = r.Commit(t.Context(), sideOf(SideWrite{Key: "k"}))
			require.ErrorIs(t, err, ErrReadOnly)
			require.NoError(t, r.Close())
			require.Equal(t, before, contents(t, dir))
		})
	}
}

func TestThereMustBeAStoreToReadOne(t *testing.T) {
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "missing")} {
		_, err := Open(dir, Options{ReadOnly: true})
		require.ErrorIs(t, err, ErrNotStore)
	}
	_, err := os.Stat(filepath.Join(empty, "missing"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	entries, err := os.ReadDir(empty)
	require.NoError(t, err)
	require.Empty(t, entries)
	_, err = Open(logDir, Options{ReadOnly: true, Device: &vfs.Device{FS: vfs.NewMemory()}})
	require.ErrorIs(t, err, ErrNotStore)
}

func TestAReaderSeesWhatIsAcknowledgedAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, smallSegments(SyncAlways))
		gate.shut.Store(false)
		put(t, s, "a")
		r := openLog(t, gate.disk(), Options{ReadOnly: true})
		require.Equal(t, s.Origin(), r.Origin())
		gate.shut.Store(true)
		unsynced := async(t.Context(), s, Batch{Events: eventsOf("b"), Sides: []SideWrite{{Key: "k"}}})
		synctest.Wait()
		for _, reader := range []*Store{r, openLog(t, gate.disk(), Options{ReadOnly: true})} {
			require.Equal(t, Position(1), reader.Head(), "written, and not synced")
			require.Equal(t, []string{"a"}, entities(all(t, reader, Region{})))
			require.Equal(t, "-", sideText(reader, "k"))
		}
		got := waitFor(t.Context(), r, 1)
		time.Sleep(time.Second)
		require.Empty(t, got)
		gate.step()
		require.NoError(t, (<-unsynced).err)
		released := time.Now()
		require.Equal(t, waited{head: 2}, <-got)
		require.LessOrEqual(t, time.Since(released), followInterval)
		require.Empty(t, sideText(r, "k"))
	})
}

func TestReadersOpenedAtAnyMomentSeeAPrefixAndCatchUp(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncNever))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 400 {
			b := raw(Raw{Type: "filler", Data: make([]byte, 5<<10)})
			b.Sides = []SideWrite{{Key: "head", Value: []byte(fmt.Sprint(i + 1))}, {Key: fmt.Sprint("side:", i%50)}}
			if _, err := s.Commit(t.Context(), b); err != nil {
				t.Error(err)
			}
		}
	}()
	opened := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		before := s.Head()
		r, err := open(disk, logDir, Options{ReadOnly: true}, false)
		if errors.Is(err, ErrNotStore) {
			continue
		}
		require.NoError(t, err)
		require.GreaterOrEqual(t, r.Head(), before)
		events := all(t, r, Region{})
		requireChains(t, events)
		side, _ := strconv.Atoi(sideText(r, "head"))
		require.GreaterOrEqual(t, side, len(events), "the side value of a commit comes with its events")
		require.NoError(t, r.Close())
		opened++
	}
	require.Positive(t, opened)
	r := openLog(t, disk, Options{ReadOnly: true})
	require.Equal(t, digest(s), digest(r))
}

func TestAReaderSeesTheSideValuesOfASegmentThatWasNeverSealed(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	write(t, s, sideOf(SideWrite{Key: "early", Value: []byte("v")}, SideWrite{Key: "late", Value: []byte("old")}))
	grow(t, s, 3)
	write(t, s, sideOf(SideWrite{Key: "late", Value: []byte("new")}))
	require.NoError(t, s.Close())
	want := digest(openLog(t, disk.Image(vfs.KeepAll), s.options))

	first := (*s.segments.Load())[0]
	file, err := disk.Open(segmentPath(logDir, 1), false)
	require.NoError(t, err)
	require.NoError(t, file.Truncate(int64(first.trailer.Load().DataEnd)))
	r := openLog(t, disk, Options{ReadOnly: true})
	require.Equal(t, "v", sideText(r, "early"))
	require.Equal(t, "new", sideText(r, "late"))
	require.Equal(t, want, digest(r))
	require.Equal(t, want, digest(openLog(t, disk, s.options)), "and a writer seals it")
}
