package vfs

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomSeeds are enough for events of even chance to show.
func randomSeeds() []uint64 {
	var seeds []uint64
	for seed := KeepFirst + 1; seed < 1000; seed++ {
		seeds = append(seeds, seed)
	}
	return seeds
}

// newFile returns a file whose name and content are durable.
func newFile(t require.TestingT, content []byte) (*Memory, File) {
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	mustWrite(t, f, 0, content)
	require.NoError(t, f.Sync())
	require.NoError(t, m.SyncDir("data"))
	return m, f
}

func namesIn(t require.TestingT, m *Memory, dir string) []string {
	names, err := m.List(dir)
	require.NoError(t, err)
	return names
}

func TestThePowerCutStopsItsOperationAndEveryLaterCall(t *testing.T) {
	m, f := newFile(t, []byte("abc"))
	m.CutAt(m.Ops() + 2)
	mustWrite(t, f, 0, []byte("x"))
	_, err := f.ReadAt(make([]byte, 1), 0)
	require.NoError(t, err)
	cut := m.Ops() + 1
	require.ErrorIs(t, f.Sync(), ErrPowerCut)

	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, writeErr := f.WriteAt([]byte("y"), 0)
	_, sizeErr := f.Size()
	_, createErr := m.Create("data/b")
	_, openErr := m.Open("data/a", true)
	_, listErr := m.List("data")
	_, lockErr := m.Lock("data/LOCK")
	_, lockedErr := m.Locked("data/LOCK")
	for what, err := range map[string]error{
		"read": readErr, "write": writeErr, "size": sizeErr, "create": createErr, "open": openErr,
		"list": listErr, "lock": lockErr, "locked": lockedErr, "sync": f.Sync(), "truncate": f.Truncate(0),
		"syncdir": m.SyncDir("data"), "rename": m.Rename("data/a", "data/b"),
		"remove": m.Remove("data/a"), "mkdir": m.MkdirAll("x", 0o700),
	} {
		require.ErrorIs(t, err, ErrPowerCut, what)
	}
	require.Equal(t, cut, m.Ops(), "later calls take no number")
	require.Equal(t, "sync a", m.Trace()[cut-1])
	require.NoError(t, f.Close())
	require.Equal(t, "xbc", string(m.Image(KeepAll).Bytes("data/a")))
}

func TestOnlySyncedBytesAreSafe(t *testing.T) {
	m, f := newFile(t, []byte("abc"))
	mustWrite(t, f, 1, []byte("XYZ"))
	require.Equal(t, "abc", string(m.Image(KeepNothing).Bytes("data/a")))
	require.Equal(t, "aXYZ", string(m.Image(KeepAll).Bytes("data/a")))
	require.NoError(t, f.Sync())
	require.NoError(t, f.Truncate(1))
	require.Equal(t, "aXYZ", string(m.Image(KeepNothing).Bytes("data/a")))
	require.Equal(t, "a", string(m.Image(KeepAll).Bytes("data/a")))
	require.NoError(t, f.Sync())
	require.Equal(t, "a", string(m.Image(KeepNothing).Bytes("data/a")))
}

func TestWhatIsFlushedMayReachTheDiskWithoutWhatIsNot(t *testing.T) {
	m, f := newFile(t, nil)
	for i := range 4 {
		mustWrite(t, f, int64(i)*sectorSize, bytes.Repeat([]byte{byte('1' + i)}, sectorSize))
	}
	f.(Flusher).Flush(sectorSize, 3*sectorSize)
	require.Equal(t, "flush a 512+1024", m.Trace()[m.Ops()-1])
	require.Empty(t, m.Image(KeepNothing).Bytes("data/a"), "nothing is durable by it")
	flushed := append(make([]byte, sectorSize), m.Bytes("data/a")[sectorSize:3*sectorSize]...)
	require.Equal(t, flushed, m.Image(KeepLast).Bytes("data/a"))
	require.Equal(t, m.Bytes("data/a"), m.Image(KeepAll).Bytes("data/a"))

	mustWrite(t, f, sectorSize, []byte("later"))
	require.Equal(t, "later", string(m.Image(KeepAll).Bytes("data/a")[sectorSize:sectorSize+5]), "the write after it is not undone")
	require.NoError(t, f.Sync())
	require.Equal(t, m.Bytes("data/a"), m.Image(KeepNothing).Bytes("data/a"))
	f.(Flusher).Flush(sectorSize, 100*sectorSize)
	require.Len(t, m.Image(KeepLast).Bytes("data/a"), 4*sectorSize, "what was not written is not made")
}

func TestAFlushDoesNothingWhereTheDiskFailsOrThePowerIsCut(t *testing.T) {
	m, f := newFile(t, []byte("abc"))
	mustWrite(t, f, 0, []byte("x"))
	m.FailAt(m.Ops()+1, ErrNoSpace)
	f.(Flusher).Flush(0, 3)
	m.CutAt(m.Ops() + 1)
	f.(Flusher).Flush(0, 3)
	ops := m.Ops()
	f.(Flusher).Flush(0, 3)
	require.Equal(t, ops, m.Ops())
	require.Equal(t, "abc", string(m.Image(KeepNothing).Bytes("data/a")))
	require.Equal(t, "xbc", string(m.Image(KeepLast).Bytes("data/a")), "the one in flight may have reached the disk")
	require.NoError(t, f.Close())
	f.(Flusher).Flush(0, 3)
}

func TestASyncedFileIsLostWithAnUnsyncedName(t *testing.T) {
	m := newMemory(t)
	putFile(t, m, "data/a", []byte("abc"))
	require.Empty(t, namesIn(t, m.Image(KeepNothing), "data"))
	require.NoError(t, m.SyncDir("data"))
	require.Equal(t, "abc", string(m.Image(KeepNothing).Bytes("data/a")))
	require.NoError(t, m.Remove("data/a"))
	require.Equal(t, []string{"a"}, namesIn(t, m.Image(KeepNothing), "data"))
	require.NoError(t, m.SyncDir("data"))
	require.Empty(t, namesIn(t, m.Image(KeepAll), "data"))
}

func TestSyncDirCoversItsDirectoryOnly(t *testing.T) {
	m := newMemory(t)
	require.NoError(t, m.MkdirAll("other", 0o700))
	putFile(t, m, "data/a", nil)
	putFile(t, m, "other/b", nil)
	require.NoError(t, m.SyncDir("other"))
	img := m.Image(KeepNothing)
	require.Empty(t, namesIn(t, img, "data"))
	require.Equal(t, []string{"b"}, namesIn(t, img, "other"))
}

func TestKeepFirstAndKeepLastKeepOneChangePerFileWhole(t *testing.T) {
	m, f := newFile(t, fill('.', 2000))
	g := mustCreate(t, m, "data/b")
	mustWrite(t, f, 0, fill('1', 600))
	mustWrite(t, f, 600, fill('2', 600))
	mustWrite(t, f, 1200, fill('3', 600))
	mustWrite(t, g, 10, []byte("only"))
	content := func(runs ...any) []byte {
		var out []byte
		for i := 0; i < len(runs); i += 2 {
			out = append(out, fill(byte(runs[i].(rune)), runs[i+1].(int))...)
		}
		return out
	}
	first, last := m.Image(KeepFirst), m.Image(KeepLast)
	require.Equal(t, content('1', 600, '.', 1400), first.Bytes("data/a"))
	require.Equal(t, content('.', 1200, '3', 600, '.', 200), last.Bytes("data/a"))
	for _, img := range []*Memory{first, last} {
		require.Equal(t, append(make([]byte, 10), "only"...), img.Bytes("data/b"))
	}
}

func TestAWriteIsTornAtSectorsOfTheFile(t *testing.T) {
	const off, length = 300, 1800 // sectors 0 (part), 1, 2, 3, 4 (part)
	m, f := newFile(t, fill('o', 4096))
	mustWrite(t, f, off, fill('n', length))
	patterns := map[string]bool{}
	for _, seed := range randomSeeds() {
		got := m.Image(seed).Bytes("data/a")
		require.Len(t, got, 4096)
		pattern := ""
		for lo := 0; lo < 4096; lo += sectorSize {
			from, to := max(lo, off), min(lo+sectorSize, off+length)
			if from >= to {
				require.Equal(t, fill('o', sectorSize), got[lo:lo+sectorSize])
				continue
			}
			require.Equal(t, fill('o', from-lo), got[lo:from])
			require.Equal(t, fill(got[from], to-from), got[from:to], "a sector is whole")
			require.Equal(t, fill('o', lo+sectorSize-to), got[to:lo+sectorSize])
			pattern += string(got[from])
		}
		patterns[pattern] = true
	}
	require.Len(t, patterns, 32, "every combination of the five sectors occurs")
}

func TestALaterWriteMaySurviveAnEarlierOne(t *testing.T) {
	m, f := newFile(t, fill('.', 1024))
	mustWrite(t, f, 0, fill('1', 512))
	mustWrite(t, f, 512, fill('2', 512))
	seen := map[string]bool{}
	for _, seed := range randomSeeds() {
		got := m.Image(seed).Bytes("data/a")
		seen[string([]byte{got[0], got[512]})] = true
	}
	require.Equal(t, map[string]bool{"..": true, "1.": true, ".2": true, "12": true}, seen)
}

func TestALengthMaySurviveWithoutItsBytesWhichReadAsZeros(t *testing.T) {
	m, f := newFile(t, []byte("abc"))
	mustWrite(t, f, 3, fill('n', 600))
	seen := map[string]bool{}
	for _, seed := range randomSeeds() {
		got := m.Image(seed).Bytes("data/a")
		require.Equal(t, "abc", string(got[:3]))
		require.Empty(t, bytes.Trim(got[3:], "n\x00"))
		switch {
		case len(got) == 3:
			seen["neither"] = true
		case len(got) == 603 && !bytes.Contains(got, []byte("n")):
			seen["length only"] = true
		case len(got) == 603 && !bytes.Contains(got, []byte{0}):
			seen["both"] = true
		}
	}
	require.Equal(t, map[string]bool{"neither": true, "length only": true, "both": true}, seen)
}

func TestATruncateSurvivesOrNot(t *testing.T) {
	m, f := newFile(t, []byte("abcdef"))
	require.NoError(t, f.Truncate(3))
	seen := map[string]bool{}
	for _, seed := range randomSeeds() {
		seen[string(m.Image(seed).Bytes("data/a"))] = true
	}
	require.Equal(t, map[string]bool{"abc": true, "abcdef": true}, seen)
}

func TestASurvivingCreationMayHaveAnyPartOfItsContent(t *testing.T) {
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	mustWrite(t, f, 0, []byte("abc"))
	seen := map[string]bool{}
	for _, seed := range randomSeeds() {
		img := m.Image(seed)
		if len(namesIn(t, img, "data")) == 0 {
			seen["missing"] = true
			continue
		}
		seen[string(img.Bytes("data/a"))] = true
	}
	require.Equal(t, map[string]bool{"missing": true, "": true, "abc": true, "\x00\x00\x00": true}, seen)
}

func TestEveryOperationInFlightMayHaveHappenedOrNot(t *testing.T) {
	ops := map[string]func(m *Memory, f File) error{
		"create":   func(m *Memory, _ File) error { _, err := m.Create("data/b"); return err },
		"write":    func(_ *Memory, f File) error { _, err := f.WriteAt([]byte("x"), 0); return err },
		"truncate": func(_ *Memory, f File) error { return f.Truncate(1) },
		"rename":   func(m *Memory, _ File) error { return m.Rename("data/a", "data/c") },
		"remove":   func(m *Memory, _ File) error { return m.Remove("data/a") },
		"mkdir":    func(m *Memory, _ File) error { return m.MkdirAll("data/d", 0o700) },
	}
	look := func(m *Memory) string {
		state := string(m.Bytes("data/a")) + string(bytes.Join([][]byte{m.Bytes("data/c")}, nil))
		for _, name := range namesIn(t, m, "data") {
			state += " " + name
		}
		if _, err := m.List("data/d"); err == nil {
			state += " d/"
		}
		return state
	}
	for what, op := range ops {
		t.Run(what, func(t *testing.T) {
			m, f := newFile(t, []byte("abc"))
			before := look(m)
			m.CutAt(m.Ops() + 1)
			require.ErrorIs(t, op(m, f), ErrPowerCut)
			whole, wholeFile := newFile(t, []byte("abc"))
			require.NoError(t, op(whole, wholeFile))
			after := look(whole)

			require.Equal(t, before, look(m.Image(KeepNothing)))
			require.Equal(t, after, look(m.Image(KeepAll)))
			seen := map[string]bool{}
			for _, seed := range randomSeeds() {
				seen[look(m.Image(seed))] = true
			}
			require.Equal(t, map[string]bool{before: true, after: true}, seen)
		})
	}
}

func TestASyncInFlightPromisesNothing(t *testing.T) {
	m, f := newFile(t, []byte("abc"))
	mustWrite(t, f, 0, []byte("x"))
	m.CutAt(m.Ops() + 1)
	require.ErrorIs(t, f.Sync(), ErrPowerCut)
	require.Equal(t, "abc", string(m.Image(KeepNothing).Bytes("data/a")))
	require.Equal(t, "xbc", string(m.Image(KeepAll).Bytes("data/a")))

	m = newMemory(t)
	putFile(t, m, "data/a", nil)
	m.CutAt(m.Ops() + 1)
	require.ErrorIs(t, m.SyncDir("data"), ErrPowerCut)
	require.Empty(t, namesIn(t, m.Image(KeepNothing), "data"))
	require.Equal(t, []string{"a"}, namesIn(t, m.Image(KeepAll), "data"))
}

func TestAnInterruptedMkdirAllLeavesAChainThatMayEndEarly(t *testing.T) {
	m := NewMemory()
	m.CutAt(1)
	require.ErrorIs(t, m.MkdirAll("x/y/z", 0o700), ErrPowerCut)
	depths := map[int]bool{}
	for _, seed := range randomSeeds() {
		img, depth := m.Image(seed), 0
		for i, dir := range []string{"x", "x/y", "x/y/z"} {
			if _, err := img.List(dir); err == nil {
				require.Equal(t, i, depth, "no directory without its parent")
				depth++
			}
		}
		depths[depth] = true
	}
	require.Len(t, depths, 4)
}

func TestARenameIsOldOrNewAndNothingBetween(t *testing.T) {
	m := newMemory(t)
	putFile(t, m, "data/a", []byte("old"))
	require.NoError(t, m.SyncDir("data"))
	putFile(t, m, "data/a.tmp", []byte("new"))
	require.NoError(t, m.Rename("data/a.tmp", "data/a"))
	seen := map[string]bool{}
	for _, seed := range randomSeeds() {
		img := m.Image(seed)
		state := string(img.Bytes("data/a"))
		if slices.Contains(namesIn(t, img, "data"), "a.tmp") {
			state += "+" + string(img.Bytes("data/a.tmp"))
		}
		seen[state] = true
	}
	require.Equal(t, map[string]bool{"old": true, "old+new": true, "new": true}, seen)
}

func TestALostNameChangeTakesThoseThatBuiltOnItWithIt(t *testing.T) {
	states := func(change func(m *Memory)) map[string]bool {
		m := newMemory(t)
		putFile(t, m, "data/a", []byte("old"))
		putFile(t, m, "data/b", []byte("new"))
		require.NoError(t, m.SyncDir("data"))
		change(m)
		seen := map[string]bool{}
		for _, seed := range randomSeeds() {
			img, state := m.Image(seed), ""
			for _, name := range namesIn(t, img, "data") {
				state += name + "=" + string(img.Bytes("data/"+name)) + " "
			}
			seen[state] = true
		}
		return seen
	}
	require.Equal(t, map[string]bool{"a=old b=new ": true, "b=new c=old ": true, "b=new d=old ": true},
		states(func(m *Memory) {
			require.NoError(t, m.Rename("data/a", "data/c"))
			require.NoError(t, m.Rename("data/c", "data/d"))
		}), "one file has one name")
	require.Equal(t, map[string]bool{"a=old b=new ": true, "a=new ": true, "": true},
		states(func(m *Memory) {
			require.NoError(t, m.Rename("data/b", "data/a"))
			require.NoError(t, m.Remove("data/a"))
		}), "what was removed is the new file")
	require.Equal(t, map[string]bool{"a=old b=new ": true, "b=new c=old ": true, "a=new c=old ": true},
		states(func(m *Memory) {
			require.NoError(t, m.Rename("data/a", "data/c"))
			require.NoError(t, m.Rename("data/b", "data/a"))
		}), "the old file is moved away before it is replaced")
}

func TestAnImageIsAFreshDiskThatDependsOnTheSeedOnly(t *testing.T) {
	m, f := newFile(t, fill('.', 8192))
	_, err := m.Lock("data/LOCK")
	require.NoError(t, err)
	mustWrite(t, f, 0, fill('n', 8192))
	m.SetCapacity(1)
	m.SetReadOnly(true)
	for _, seed := range []uint64{KeepAll, 1000, 1 << 60} {
		img := m.Image(seed)
		got := img.Bytes("data/a")
		require.Equal(t, got, m.Image(seed).Bytes("data/a"))
		require.Zero(t, img.Ops())
		require.Equal(t, got, img.Image(KeepNothing).Bytes("data/a"), "all that it holds is durable")
		l, err := img.Lock("data/LOCK")
		require.NoError(t, err, "its locks are free")
		require.NoError(t, l.Close())

		g, err := img.Open("data/a", false)
		require.NoError(t, err)
		mustWrite(t, g, 0, fill('z', 8192))
		require.Equal(t, got, m.Image(seed).Bytes("data/a"), "writing to it changes nothing here")
		require.Equal(t, got, img.Image(KeepNothing).Bytes("data/a"))
	}
}
