package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
)

// faults numbers a Memory's operations and decides which of them go wrong.
type faults struct {
	ops      int
	untraced bool
	trace    []operation
	cutAt    int
	failures map[int]error
	capacity int64
	readOnly bool

	cut        bool
	readable   bool     // files in open directories are read after the cut too
	inFlight   bool     // the operation that the cut interrupts is having its effect
	failing    bool     // the operation that has its effect will fail, see Partly
	unfinished []string // directories of an interrupted MkdirAll, parents first
}

func newFaults() faults {
	return faults{failures: map[int]error{}, capacity: math.MaxInt64}
}

// operation is one numbered call, kept as values: formatting each would cost more
// than the write itself.
type operation struct {
	verb, path, to string
	off, size      int64
}

func (o operation) String() string {
	s := o.verb + " " + filepath.Base(o.path)
	switch o.verb {
	case "rename":
		return s + " " + filepath.Base(o.to)
	case "write", "reserve", "flush":
		return fmt.Sprintf("%s %d+%d", s, o.off, o.size)
	case "truncate":
		return fmt.Sprintf("%s %d", s, o.size)
	}
	return s
}

// Ops returns how many operations took a number. Every Create, WriteAt, Truncate, Flush,
// Sync, Rename, Remove and MkdirAll takes one, and a Reserve that changes anything, those that
// fail too, except a call that cannot reach the disk (closed or read-only file, negative offset,
// a path for a name) and those after the power cut.
func (m *Memory) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// Untraced ends the record of operations, which grows without limit.
func (m *Memory) Untraced() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.untraced, m.trace = true, nil
	return m
}

// Trace reports what the operations were, by base names, the one that the power cut
// interrupted included: "create 1.seg", "write 1.seg 128+512" (offset + length),
// "truncate 1.seg 4096", "reserve 1.seg 0+4096", "flush 1.seg 0+4096", "sync 1.seg",
// "rename 1.tmp 1.seg", "remove 1.seg", "syncdir data", "mkdir data". Element i is operation i+1.
func (m *Memory) Trace() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	trace := make([]string, len(m.trace))
	for i, op := range m.trace {
		trace[i] = op.String()
	}
	return trace
}

// Readable lets files be opened for reading, and read, after a power cut, in directories that are
// open: for a program that looks at what it had written until it notices.
func (m *Memory) Readable() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readable = true
	return m
}

// CutAt lets the power fail when operation n is about to be executed. That
// operation and every later call, reads included unless Readable, fails with ErrPowerCut; only
// closing files and locks still succeeds. An n not above Ops never comes.
func (m *Memory) CutAt(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cutAt = n
}

// FailAt makes operation n fail with err and have no effect. Several n may be set.
// After a failed Sync a later one succeeds and covers the same bytes, which is
// kinder than a real disk.
func (m *Memory) FailAt(n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures[n] = err
}

// Partly makes an error of FailAt that of a disk which fails for good: a write writes its first
// half, and a sync loses all that it should have made durable. That is still read, until Evict, and
// no later Sync covers it. Other operations have no effect.
func Partly(err error) error { return partly{err} }

type partly struct{ error }

func (p partly) Unwrap() error { return p.error }

// Evict drops what the system of a disk keeps in memory of files: what a failed sync has lost is
// read as it is on the disk. It takes no number.
func Evict(m *Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dirs {
		for _, n := range d.names {
			n.evict()
		}
	}
}

// SetCapacity limits the sum of the sizes of all files, in bytes, as they are
// visible. A write or truncate that would grow them beyond it, and a create while
// not a byte is free, fails with ErrNoSpace and has no effect. Unlimited is
// math.MaxInt64.
func (m *Memory) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// SetReadOnly makes every operation, and Lock, fail with fs.ErrPermission.
func (m *Memory) SetReadOnly(readOnly bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readOnly = readOnly
}

// Sparsen makes the end of a file, from an offset on, a hole: it reads as zeros, and has no room on
// the disk until it is written or reserved. So it is with the copy of a file by a program that
// leaves out zeros. It takes no number.
func (m *Memory) Sparsen(name string, from int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.dirs.file(name)
	if err != nil {
		return &fs.PathError{Op: "sparsen", Path: name, Err: err}
	}
	n.sync()
	clear(n.visible[from:])
	clear(n.durable[from:])
	n.hole = int64(len(n.visible)) - from
	return nil
}

// Corrupt flips the bits of xor in the byte of a file at off, visibly and durably.
// Damage that lasts needs content that lasts, so it syncs the file first. It takes
// no number.
func (m *Memory) Corrupt(name string, off int64, xor byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.dirs.file(name)
	if err == nil && (off < 0 || off >= int64(len(n.visible))) {
		err = fs.ErrInvalid
	}
	if err != nil {
		return &fs.PathError{Op: "corrupt", Path: name, Err: err}
	}
	n.sync()
	n.visible[off] ^= xor
	n.durable[off] ^= xor
	return nil
}

// Bytes returns a copy of a file's visible content, nil if there is no such file.
// It works on a cut Memory too, where it shows what the program had written, the
// operation in flight included; what the disk holds is a matter of Image.
func (m *Memory) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.dirs.file(name)
	if err != nil {
		return nil
	}
	return append([]byte{}, n.visible...)
}

// do numbers an operation and lets it have its effect, unless a fault forbids it.
func (m *Memory) do(op operation, effect func() error) error {
	if err := m.attempt(op, effect); err != nil {
		return &fs.PathError{Op: op.verb, Path: op.path, Err: err}
	}
	return nil
}

// attempt runs the effect of the interrupted operation too: all effects but those
// of syncs and MkdirAll, which look at cut themselves, are unsynced changes, and of
// those Image keeps what it likes.
func (m *Memory) attempt(op operation, effect func() error) error {
	if m.cut {
		return ErrPowerCut
	}
	m.ops++
	n := m.ops
	if !m.untraced {
		m.trace = append(m.trace, op)
	}
	m.cut = n == m.cutAt
	if injected, ok := m.failures[n]; ok && !m.cut {
		var half partly
		if errors.As(injected, &half) && (op.verb == "write" || op.verb == "sync") {
			m.failing = true
			_ = effect()
			m.failing = false
		}
		return injected
	}
	err := fs.ErrPermission
	if !m.readOnly {
		m.inFlight = m.cut
		err = effect()
		m.inFlight = false
	}
	if m.cut {
		return ErrPowerCut
	}
	return err
}

// room reports whether the files may grow by so many bytes.
func (m *Memory) room(grow int64) error {
	if grow > 0 && grow > m.dirs.free(m.capacity) {
		return ErrNoSpace
	}
	return nil
}

// free is the part of a capacity that no file has. It adds them up each time: a running total would
// have to follow every rename and removal, and only a Memory with a limit pays for this.
func (all directories) free(capacity int64) int64 {
	if capacity == math.MaxInt64 {
		return capacity
	}
	for _, d := range all {
		for _, n := range d.names {
			capacity -= n.allocated()
		}
	}
	return capacity
}
