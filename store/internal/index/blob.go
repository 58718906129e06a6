package index

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// ErrCorrupt is wrapped by every error about a blob that is not what Footer
// writes.
var ErrCorrupt = errors.New("index: corrupt footer")

// CorruptError says where a blob is not what Footer writes. It wraps ErrCorrupt.
type CorruptError struct {
	Blob   string // "index" or "sides"
	Offset int    // byte of the blob
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("index: corrupt footer: %s blob, byte %d: %s", e.Blob, e.Offset, e.Reason)
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// blob is the bytes of an index, in blocks that are checked before they are used: in memory, which
// may be a mapped file, each at its first use; in a file, each time that it is read.
//
// What fails does so by a panic with failure, from however deep in a search, which rescue turns
// into the error of the method that was called. A fault of mapped memory, as of a file that was
// cut, is turned into one in the same way.
type blob struct {
	memory  []byte      // all of it; nil where it is read from file
	file    io.ReaderAt // the blob from 0 on
	size    int
	start   int             // of the body
	sums    u32s            // of the blocks of the body
	checked []atomic.Uint64 // a bit for each block that was found good
}

// failure is what a search panics with.
type failure struct{ err error }

func (b *blob) fail(offset int, reason string) {
	panic(failure{&CorruptError{"index", offset, reason}})
}

// guard lets a fault of memory be a panic on this goroutine, until rescue.
func guard() (before bool) { return debug.SetPanicOnFault(true) }

// rescue is deferred by every method that looks at bytes. It keeps b, whose cleanup may unmap the
// memory, from being collected before the method has returned.
func (b *blob) rescue(before bool, err *error) {
	cause := recover()
	debug.SetPanicOnFault(before)
	runtime.KeepAlive(b)
	if cause == nil {
		return
	}
	var fault interface{ Addr() uintptr }
	switch cause := cause.(type) {
	case failure:
		*err = cause.err
	case runtime.Error:
		if !errors.As(cause, &fault) || !b.owns(fault.Addr()) {
			panic(cause)
		}
		*err = &CorruptError{"index", int(fault.Addr() - b.address()), "the file ends before it, or cannot be read"}
	default:
		panic(cause)
	}
}

func (b *blob) address() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b.memory))) }

func (b *blob) owns(address uintptr) bool {
	return len(b.memory) > 0 && address-b.address() < uintptr(len(b.memory))
}

// raw returns bytes that nothing has checked yet. They are valid for the call that asks.
func (b *blob) raw(at, n int) []byte {
	if b.memory != nil {
		return b.memory[at : at+n : at+n]
	}
	bytes := make([]byte, n)
	if got, err := b.file.ReadAt(bytes, int64(at)); got < n {
		panic(failure{fmt.Errorf("index: read %d bytes at %d: %w", n, at, err)})
	}
	return bytes
}

// openHead reads and checks the head.
func (b *blob) openHead() head {
	if b.size < headOfTwo {
		b.fail(0, "no index head")
	}
	first := append(make([]byte, 0, headSize), b.raw(0, min(b.size, headSize))...)[:headSize]
	if magic := string(first[:4]); magic != indexMagic && magic != magicOfTwo {
		b.fail(0, "no index head")
	}
	h := parseHead(first)
	sections := h.layout()
	b.start = int(u32s(first).get(2))
	if b.start != h.len(sections.size) || b.start+sections.size != b.size {
		b.fail(8, "sizes do not add up")
	}
	whole := b.raw(0, b.start)
	if checksum(whole[8:]) != u32s(whole).get(1) || !bytes.HasPrefix(whole, first[:h.size()]) {
		b.fail(4, "head does not match its checksum")
	}
	b.sums = append(u32s(nil), whole[h.size():]...)
	b.checked = make([]atomic.Uint64, (b.sums.len()+63)/64)
	return h
}

// body returns bytes of the body whose blocks were found good. They are valid for the call that
// asks. The caller has made sure that they lie inside.
func (b *blob) body(at, n int) []byte {
	if n == 0 {
		return nil
	}
	first, last := at/blockSize, (at+n-1)/blockSize
	if b.memory == nil {
		start := first * blockSize
		end := min((last+1)*blockSize, b.size-b.start)
		bytes := b.raw(b.start+start, end-start)
		for i := first; i <= last; i++ {
			b.check(i, bytes[(i-first)*blockSize:min((i-first+1)*blockSize, len(bytes))])
		}
		return bytes[at-start : at-start+n]
	}
	for i := first; i <= last; i++ {
		if bit := uint64(1) << (i % 64); b.checked[i/64].Load()&bit == 0 {
			b.check(i, b.block(i))
			b.checked[i/64].Or(bit)
		}
	}
	return b.memory[b.start+at:][:n:n]
}

// block returns the bytes of a block in memory.
func (b *blob) block(i int) []byte {
	return b.memory[b.start+i*blockSize : min(b.start+(i+1)*blockSize, b.size)]
}

func (b *blob) check(i int, block []byte) {
	if checksum(block) != b.sums.get(i) {
		b.fail(b.start+i*blockSize, "block does not match its checksum")
	}
}
