package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// frame is what the files of a directory hold at one moment, by name. Frames share what did not
// change from one to the next.
type frame map[string][]byte

// camera is a disk that keeps a frame after each operation that changes it.
type camera struct {
	*vfs.Memory
	frames []frame
}

func (c *camera) shoot(changed string) {
	next := frame{}
	names, _ := c.List(crashDir)
	for _, name := range names {
		if content, known := c.last()[name]; known && name != changed {
			next[name] = content
		} else {
			next[name] = c.Bytes(filepath.Join(crashDir, name))
		}
	}
	c.frames = append(c.frames, next)
}

func (c *camera) last() frame {
	if len(c.frames) == 0 {
		return nil
	}
	return c.frames[len(c.frames)-1]
}

func (c *camera) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	d, err := c.Memory.OpenDir(dir, perm)
	return cameraDir{d, c}, err
}

type cameraDir struct {
	vfs.Dir
	camera *camera
}

func (d cameraDir) Create(name string) (vfs.File, error) {
	f, err := d.Dir.Create(name)
	d.camera.shoot(name)
	return cameraFile{f, d.camera, name}, err
}

func (d cameraDir) Open(name string, readOnly bool) (vfs.File, error) {
	f, err := d.Dir.Open(name, readOnly)
	return cameraFile{f, d.camera, name}, err
}

func (d cameraDir) Rename(from, to string) error {
	err := d.Dir.Rename(from, to)
	d.camera.shoot(from)
	d.camera.shoot(to)
	return err
}

func (d cameraDir) Remove(name string) error {
	err := d.Dir.Remove(name)
	d.camera.shoot(name)
	return err
}

type cameraFile struct {
	vfs.File
	camera *camera
	name   string
}

func (f cameraFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	f.camera.shoot(f.name)
	return n, err
}

func (f cameraFile) Truncate(size int64) error {
	err := f.File.Truncate(size)
	f.camera.shoot(f.name)
	return err
}

func (f cameraFile) Reserve(from, to int64) error {
	err := f.File.Reserve(from, to)
	f.camera.shoot(f.name)
	return err
}

// copying is a program that copies the files of a directory beside its writer.
type copying struct {
	*rand.Rand
	frames []frame
	pieces int // of which each file is read, at different moments
}

// later draws a moment not before another: mostly soon after it, now and then much later.
func (c *copying) later(at int) int {
	step := 1 + c.IntN(12)
	if c.IntN(8) == 0 {
		step = 1 + c.IntN(len(c.frames))
	}
	return min(len(c.frames)-1, at+c.IntN(step))
}

// over copies what is there at a moment over other files, one file after the other in some order,
// and may be cut off after any of them.
func (c *copying) over(files frame, at int) frame {
	files = maps.Clone(files)
	names := slices.Sorted(maps.Keys(c.frames[at]))
	switch c.IntN(3) {
	case 0:
		slices.Reverse(names)
	case 1:
		c.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	for _, name := range names[:len(names)-max(0, c.IntN(2*len(names))-len(names))] {
		if _, there := c.frames[at][name]; !there {
			continue // it was removed since the directory was listed
		}
		files[name], at = c.read(name, at)
		at = c.later(at)
	}
	return files
}

// read reads a file from its beginning to its end, which is where it ends by then. A file that was
// removed or replaced stays open.
func (c *copying) read(name string, at int) (content []byte, end int) {
	now := c.frames[at][name]
	step := len(now)/c.pieces + 1
	for len(content) < len(now) {
		content = append(content, now[len(content):min(len(now), len(content)+step)]...)
		if c.pieces == 1 {
			break
		}
		at = c.later(at)
		if later, there := c.frames[at][name]; there && sameFile(now, later) {
			now = later
		}
	}
	return content, at
}

// sameFile reports whether a file became another by writing, and was not replaced by a segment that
// was rewritten: then the generation in the header differs.
func sameFile(now, later []byte) bool {
	a, errA := wal.ParseSegmentHeader(now)
	b, errB := wal.ParseSegmentHeader(later)
	return errA != nil || errB != nil || a.Generation == b.Generation
}

// diskOf is a disk with the files, as if they had always been there.
func diskOf(t *testing.T, files frame) *vfs.Memory {
	t.Helper()
	disk := vfs.NewMemory()
	require.NoError(t, disk.MkdirAll(crashDir, ownerOnly))
	for name, content := range files {
		file, err := disk.Create(filepath.Join(crashDir, name))
		require.NoError(t, err)
		_, err = file.WriteAt(content, 0)
		require.NoError(t, err)
	}
	return disk.Image(vfs.KeepAll)
}

// copies draws a copy of the directory: made from one end to the other, newer files over an older
// copy, or older ones over a newer copy.
func (c *copying) copies() (files frame, how string) {
	from := c.IntN(len(c.frames))
	switch to := from + c.IntN(len(c.frames)-from); c.IntN(3) {
	case 0:
		return c.over(frame{}, from), fmt.Sprintf("copied from %d on", from)
	case 1:
		return c.over(c.frames[from], to), fmt.Sprintf("copied from %d on over %d", to, from)
	default:
		return c.over(c.frames[to], from), fmt.Sprintf("copied from %d on over %d", from, to)
	}
}

func TestACopyOfALiveStoreIsAPrefixOfItOrIsRefused(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	rounds := 300 / min(thinning, 3)
	if soaking() {
		rounds = 20000
	}
	for name, live := range map[string]struct {
		mode   SyncMode
		script []crashStep
	}{
		"SyncAlways": {SyncAlways, crashScript(3)}, "SyncNever": {SyncNever, crashScript(3)},
		"rewritten": {SyncAlways, rewritingScript(4)}, "rewritten, SyncNever": {SyncNever, rewritingScript(4)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Logf("PENSTOCK_SEED=%d", seed)
			synctest.Test(t, func(t *testing.T) {
				o, frames := liveStore(t, live.mode, live.script)
				prefixes, whole, refused := map[int]bool{}, 0, 0
				for round := range rounds {
					c := &copying{Rand: rand.New(rand.NewPCG(seed, uint64(round))), frames: frames, pieces: 1}
					if round%3 == 0 {
						c.pieces = 1 + c.IntN(20)
					}
					files, how := c.copies()
					k, ok := requirePrefixOrRefusal(t, o, files, fmt.Sprintf("round %d, %s in %d pieces", round, how, c.pieces))
					if !ok {
						refused++
						continue
					}
					prefixes[k] = true
					whole++
				}
				require.Greater(t, len(prefixes), 10/min(thinning, 3), "of different lengths")
				require.Positive(t, refused)
				t.Logf("%d copies opened with %d different numbers of commits, %d were refused", whole, len(prefixes), refused)
			})
		})
	}
}

// liveStore is all that the directory of a store ever held, over several segments, ends and
// reopenings.
func liveStore(t *testing.T, mode SyncMode, script []crashStep) (*crashOracle, []frame) {
	t.Helper()
	r := newCrashRun(vfs.NewMemory(), mode)
	c := &camera{Memory: r.disk}
	r.through = c
	for i, step := range script {
		require.NoError(t, step(r), "step %d", i)
	}
	require.Greater(t, len(c.frames), 100)
	require.True(t, slices.ContainsFunc(c.frames, func(f frame) bool { return f[filepath.Base(segmentFile(3))] != nil }))
	return &r.crashOracle, c.frames
}

// requirePrefixOrRefusal opens a copy and returns how many commits it has, false if it is refused.
// What a copy in pieces has of a sealed segment may be refused by the read that meets the gap.
func requirePrefixOrRefusal(t *testing.T, o *crashOracle, files frame, how string) (commits int, ok bool) {
	t.Helper()
	disk := diskOf(t, files)
	r, readErr := open(disk, crashDir, Options{ReadOnly: true}, true)
	st, err := tryOpen(disk, o.mode)
	if err != nil {
		requireRefusal(t, err, how)
		requireRefusal(t, readErr, how)
		return 0, false
	}
	defer func() { require.NoError(t, st.Close(), how) }()
	if errors.Is(readErr, ErrNotStore) { // nothing of a segment was copied: this is another, new store
		require.Zero(t, st.Head(), how)
		return 0, true
	}
	require.NoError(t, readErr, how)
	defer func() { require.NoError(t, r.Close(), how) }()
	require.Equal(t, st.Head(), r.Head(), how)
	k, err := o.verify(st, 0)
	if err != nil {
		requireRefusal(t, err, how)
		return k, false
	}
	requireAnchors(t, o, st, how)
	_, err = st.Append(t.Context(), At("order:1", "shop"), Any, crashPayload(0, 10))
	require.NoError(t, err, how)
	return k, true
}

func requireRefusal(t *testing.T, err error, how string) {
	t.Helper()
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt, how)
	require.Positive(t, corrupt.Segment, how)
}

// requireAnchors checks which receipts a store accepts: those of what it has.
func requireAnchors(t *testing.T, o *crashOracle, st *Store, how string) {
	t.Helper()
	for i := range o.commits {
		a := o.commits[i].receipt.Anchor()
		if err := st.CheckAnchor(t.Context(), a); a.Position <= st.Head() {
			require.NoError(t, err, "%s: receipt of %d", how, a.Position)
		} else {
			require.ErrorIs(t, err, ErrForeignHistory, "%s: receipt of %d", how, a.Position)
		}
	}
}
