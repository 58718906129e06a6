package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func newMemory(t require.TestingT) *Memory {
	m := NewMemory()
	require.NoError(t, m.MkdirAll("data", 0o700))
	return m
}

func TestEveryMutatingCallTakesANumberAndNoOtherDoes(t *testing.T) {
	m := NewMemory()
	require.NoError(t, m.MkdirAll("data", 0o700))
	f := mustCreate(t, m, "data/1.tmp")
	mustWrite(t, f, 128, fill(1, 512))
	require.NoError(t, f.Truncate(4096))
	require.NoError(t, f.Sync())
	require.NoError(t, m.Rename("data/1.tmp", "data/1.seg"))
	require.NoError(t, m.SyncDir("data"))
	require.NoError(t, m.Remove("data/1.seg"))
	require.Error(t, m.Remove("data/1.seg"))

	_, err := m.List("data")
	require.NoError(t, err)
	_, err = f.Size()
	require.NoError(t, err)
	_, err = m.Lock("data/LOCK")
	require.NoError(t, err)
	_, err = m.Locked("data/LOCK")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Error(t, f.Sync())

	want := []string{
		"mkdir data", "create 1.tmp", "write 1.tmp 128+512", "truncate 1.tmp 4096", "sync 1.tmp",
		"rename 1.tmp 1.seg", "syncdir data", "remove 1.seg", "remove 1.seg",
	}
	require.Equal(t, want, m.Trace())
	require.Equal(t, len(want), m.Ops())
}

func TestAnInjectedFailureHitsItsOperationOnceAndLeavesNoEffect(t *testing.T) {
	broken := errors.New("broken")
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	m.FailAt(m.Ops()+1, broken)
	m.FailAt(m.Ops()+3, broken)
	_, err := f.WriteAt([]byte("lost"), 0)
	require.ErrorIs(t, err, broken)
	require.Empty(t, m.Bytes("data/a"))
	mustWrite(t, f, 0, []byte("kept"))
	require.ErrorIs(t, f.Sync(), broken)
	require.NoError(t, m.SyncDir("data"))
	require.Empty(t, m.Image(KeepNothing).Bytes("data/a"), "the failed sync made nothing durable")
	require.NoError(t, f.Sync())
	require.Equal(t, "kept", string(m.Image(KeepNothing).Bytes("data/a")))
}

func TestAFailedSyncMayLoseWhatItShouldHaveMadeDurableForGood(t *testing.T) {
	broken := errors.New("broken")
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	mustWrite(t, f, 0, []byte("good"))
	require.NoError(t, f.Sync())
	require.NoError(t, m.SyncDir("data"))
	mustWrite(t, f, 0, []byte("lost, too long"))
	m.FailAt(m.Ops()+1, Partly(broken))
	require.ErrorIs(t, f.Sync(), broken)
	require.Equal(t, "lost, too long", string(m.Bytes("data/a")), "it is still in memory")
	require.NoError(t, f.Sync())
	require.Equal(t, "good", string(m.Image(KeepAll).Bytes("data/a")), "and no later sync covers it")

	mustWrite(t, f, 5, []byte("new"))
	require.Equal(t, "lost,newo long", string(m.Bytes("data/a")))
	Evict(m)
	require.Equal(t, "good\x00new", string(m.Bytes("data/a")))
	require.Equal(t, "good", string(m.Image(KeepNothing).Bytes("data/a")))
	require.NoError(t, f.Sync())
	require.Equal(t, "good\x00new", string(m.Image(KeepNothing).Bytes("data/a")))
}

func TestAFailedWriteMayHaveWrittenItsFirstHalf(t *testing.T) {
	broken := errors.New("broken")
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	m.FailAt(m.Ops()+1, Partly(broken))
	n, err := f.WriteAt([]byte("abcdef"), 0)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 3, n)
	require.Equal(t, "abc", string(m.Bytes("data/a")))

	m.FailAt(m.Ops()+1, Partly(broken))
	require.ErrorIs(t, m.Rename("data/a", "data/b"), broken)
	require.Equal(t, "abc", string(m.Bytes("data/a")), "what has no half has no effect")
}

func TestAFullDiskRefusesGrowthAndNothingElse(t *testing.T) {
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	m.SetCapacity(10)
	mustWrite(t, f, 0, fill(1, 8))
	before := m.Bytes("data/a")

	_, err := f.WriteAt(fill(2, 5), 6)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, f.Truncate(11), ErrNoSpace)
	require.Equal(t, before, m.Bytes("data/a"), "no partial effect")

	require.NoError(t, f.Truncate(10))
	_, err = m.Create("data/b")
	require.ErrorIs(t, err, ErrNoSpace)
	names, err := m.List("data")
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, names)

	mustWrite(t, f, 0, fill(3, 10)) // in place
	require.NoError(t, f.Sync())
	require.NoError(t, m.Rename("data/a", "data/c"))
	require.NoError(t, f.Truncate(9))
	putFile(t, m, "data/b", []byte("b"))
	require.NoError(t, m.Remove("data/c"))
	g, err := m.Open("data/b", false)
	require.NoError(t, err)
	mustWrite(t, g, 0, fill(4, 10))
	m.SetCapacity(math.MaxInt64)
	mustWrite(t, g, 0, fill(5, 1000))
}

func TestAReadOnlyMemoryRefusesEveryChangeAndAnswersReads(t *testing.T) {
	m := newMemory(t)
	putFile(t, m, "data/a", []byte("abc"))
	f, err := m.Open("data/a", false)
	require.NoError(t, err)
	m.SetReadOnly(true)

	_, createErr := m.Create("data/b")
	_, writeErr := f.WriteAt([]byte("x"), 0)
	_, lockErr := m.Lock("data/LOCK")
	for what, err := range map[string]error{
		"create": createErr, "write": writeErr, "lock": lockErr,
		"truncate": f.Truncate(0), "sync": f.Sync(), "syncdir": m.SyncDir("data"),
		"rename": m.Rename("data/a", "data/b"), "remove": m.Remove("data/a"), "mkdir": m.MkdirAll("data/x", 0o700),
	} {
		require.ErrorIs(t, err, fs.ErrPermission, what)
	}
	require.Equal(t, "abc", string(getFile(t, m, "data/a")))
	m.SetReadOnly(false)
	mustWrite(t, f, 0, []byte("x"))
}

func TestCorruptFlipsBitsVisiblyAndForGood(t *testing.T) {
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	require.NoError(t, m.SyncDir("data"))
	mustWrite(t, f, 0, []byte("abc")) // not synced
	ops := m.Ops()
	require.NoError(t, m.Corrupt("data/a", 1, 0x21))
	require.Equal(t, ops, m.Ops())
	require.Equal(t, "aCc", string(getFile(t, m, "data/a")))
	require.NoError(t, f.Sync())
	require.Equal(t, "aCc", string(m.Image(KeepNothing).Bytes("data/a")))

	require.Error(t, m.Corrupt("data/a", 3, 1))
	require.Error(t, m.Corrupt("data/a", -1, 1))
	require.ErrorIs(t, m.Corrupt("data/none", 0, 1), fs.ErrNotExist)
}

func TestBytesIsACopyAndNilWithoutAFile(t *testing.T) {
	m := newMemory(t)
	require.Nil(t, m.Bytes("data/a"))
	require.Nil(t, m.Bytes("none/a"))
	putFile(t, m, "data/a", nil)
	require.NotNil(t, m.Bytes("data/a"))
	putFile(t, m, "data/b", []byte("b"))
	m.Bytes("data/b")[0] = 'x'
	require.Equal(t, "b", string(m.Bytes("data/b")))
}

func TestARemovedFileStaysReadableThroughItsHandles(t *testing.T) {
	m := newMemory(t)
	putFile(t, m, "data/a", []byte("old"))
	f, err := m.Open("data/a", false)
	require.NoError(t, err)
	require.NoError(t, m.Remove("data/a"))
	putFile(t, m, "data/a", []byte("new"))
	mustWrite(t, f, 0, []byte("x"))
	require.NoError(t, f.Sync())
	got := make([]byte, 3)
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, "xld", string(got))
	require.Equal(t, "new", string(m.Bytes("data/a")))
}

func TestMissingDirectoriesCannotBeSynced(t *testing.T) {
	require.ErrorIs(t, NewMemory().SyncDir("data"), fs.ErrNotExist)
	require.NoError(t, NewMemory().SyncDir("."))
	require.NoError(t, NewMemory().SyncDir("/"))
}

func TestTheWriterMayReuseItsBuffer(t *testing.T) {
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	require.NoError(t, m.SyncDir("data"))
	p := []byte("abc")
	mustWrite(t, f, 0, p)
	copy(p, "xyz")
	require.NoError(t, f.Sync())
	require.Equal(t, "abc", string(m.Image(KeepNothing).Bytes("data/a")))
}

func TestAWriteAndItsSyncCostTheWriteNotTheFile(t *testing.T) {
	const size, writes, length = 16 << 20, 1000, 500
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	mustWrite(t, f, 0, make([]byte, size))
	require.NoError(t, f.Sync())
	p := fill(1, length)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range writes {
		mustWrite(t, f, int64(i*length), p)
		require.NoError(t, f.Sync())
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size), "a copy of the file per write would be 1000 times this")
}

func TestMemoryMayBeUsedConcurrently(t *testing.T) {
	const writers, rounds = 8, 50
	m := newMemory(t)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			name := fmt.Sprintf("data/%d", w)
			f, err := m.Create(name)
			if err != nil {
				return // counted below
			}
			for i := range rounds {
				_, _ = f.WriteAt(fill(byte(w), 100), int64(i*100))
				_ = f.Sync()
				_, _ = m.List("data")
				m.Image(uint64(i))
			}
			_ = m.SyncDir("data")
		})
	}
	wg.Wait()
	require.Equal(t, 1+writers*(2+2*rounds), m.Ops())
	for w := range writers {
		require.Equal(t, fill(byte(w), 100*rounds), m.Image(KeepNothing).Bytes(fmt.Sprintf("data/%d", w)))
	}
}

func BenchmarkWriteAt500BytesInto1MiB(b *testing.B) {
	m := newMemory(b)
	f := mustCreate(b, m, "data/a")
	mustWrite(b, f, 0, make([]byte, 1<<20))
	p := fill(1, 500)
	for i := 0; b.Loop(); i++ {
		if _, err := f.WriteAt(p, int64(i%2000)*500); err != nil {
			b.Fatal(err)
		}
		if i%16 == 0 {
			_ = f.Sync()
		}
	}
}

func TestAHoleNeedsRoomWhenItIsWrittenOrReserved(t *testing.T) {
	m := newMemory(t)
	f := mustCreate(t, m, "data/a")
	mustWrite(t, f, 0, fill(1, 100))
	require.NoError(t, m.Sparsen("data/a", 40))
	require.Equal(t, append(fill(1, 40), make([]byte, 60)...), m.Bytes("data/a"))
	m.SetCapacity(60)

	mustWrite(t, f, 10, fill(2, 30))
	mustWrite(t, f, 40, fill(2, 20))
	_, err := f.WriteAt(fill(2, 30), 50)
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorIs(t, f.Reserve(60, 100), ErrNoSpace)
	ops := m.Ops()
	require.NoError(t, f.Reserve(0, 60))
	require.Equal(t, ops, m.Ops(), "there is room already")

	m.SetCapacity(100)
	require.NoError(t, f.Reserve(60, 100))
	_, err = m.Create("data/b")
	require.ErrorIs(t, err, ErrNoSpace)
	mustWrite(t, f, 60, fill(3, 40))
	require.Equal(t, "reserve a 60+40", m.Trace()[ops])
}
