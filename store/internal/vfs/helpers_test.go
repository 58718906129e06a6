package vfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// holderEnv names the lock file that the re-executed test binary takes.
const holderEnv = "VFS_TEST_LOCK"

func TestMain(m *testing.M) {
	if name := os.Getenv(holderEnv); name != "" {
		holdLock(name)
		return
	}
	os.Exit(m.Run())
}

// holdLock says on stdout how Lock went, and then keeps what it has until stdin ends.
func holdLock(name string) {
	_, err := disk().Lock(name)
	fmt.Println(err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startHolder runs another process that calls Lock, and returns what it got.
func startHolder(t *testing.T, name string) (kill func(), outcome string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"="+name)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // reports the kill
			_ = stdin.Close()
		}
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return kill, line[:len(line)-1]
}

// byPath calls the methods of directories by the paths of files.
type byPath struct{ FS }

func disk() byPath { return byPath{OS()} }

// in opens the directory of a path for one call.
func (p byPath) in(name string, call func(d Dir, base string) error) error {
	d, err := p.OpenDir(filepath.Dir(name), 0o600)
	if err != nil {
		return err
	}
	return errors.Join(call(d, filepath.Base(name)), d.Close())
}

func (p byPath) Create(name string) (f File, err error) {
	failed := p.in(name, func(d Dir, base string) error { f, err = d.Create(base); return err })
	return f, failed
}

func (p byPath) Open(name string, readOnly bool) (f File, err error) {
	failed := p.in(name, func(d Dir, base string) error { f, err = d.Open(base, readOnly); return err })
	return f, failed
}

func (p byPath) Remove(name string) error { return p.in(name, Dir.Remove) }

func (p byPath) Rename(oldName, newBase string) error {
	return p.in(oldName, func(d Dir, base string) error { return d.Rename(base, newBase) })
}

func (p byPath) List(dir string) (names []string, err error) {
	failed := p.in(in(dir, "any"), func(d Dir, _ string) error { names, err = d.List(); return err })
	return names, failed
}

func (p byPath) SyncDir(dir string) error {
	return p.in(in(dir, "any"), func(d Dir, _ string) error { return d.Sync() })
}

func (p byPath) Lock(name string) (l io.Closer, err error) {
	failed := p.in(name, func(d Dir, base string) error { l, err = d.Lock(base); return err })
	return l, failed
}

func (p byPath) Locked(name string) (held bool, err error) {
	failed := p.in(name, func(d Dir, base string) error { held, err = d.Locked(base); return err })
	return held, failed
}

// onEach runs a test against both file systems, in an empty directory.
func onEach(t *testing.T, test func(t *testing.T, fsys byPath, dir string)) {
	t.Run("disk", func(t *testing.T) { test(t, disk(), t.TempDir()) })
	t.Run("memory", func(t *testing.T) {
		m := NewMemory()
		require.NoError(t, m.MkdirAll("data", 0o700))
		test(t, byPath{m}, "data")
	})
}

// paths is a file system whose files are found by their paths: byPath or a Memory.
type paths interface {
	Create(name string) (File, error)
	Open(name string, readOnly bool) (File, error)
}

func mustCreate(t require.TestingT, fsys paths, name string) File {
	f, err := fsys.Create(name)
	require.NoError(t, err)
	return f
}

func mustWrite(t require.TestingT, f File, off int64, data []byte) {
	n, err := f.WriteAt(data, off)
	require.NoError(t, err)
	require.Equal(t, len(data), n)
}

// putFile creates a file with content, durable in bytes but not in name.
func putFile(t require.TestingT, fsys paths, name string, content []byte) {
	f := mustCreate(t, fsys, name)
	mustWrite(t, f, 0, content)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func getFile(t require.TestingT, fsys paths, name string) []byte {
	f, err := fsys.Open(name, true)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	content, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return content
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func in(dir string, names ...string) string {
	return filepath.Join(append([]string{dir}, names...)...)
}
