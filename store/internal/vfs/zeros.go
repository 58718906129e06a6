package vfs

import "io"

// writePiece is written at a time. A system may give larger writes larger pages, which have to come
// from memory that was never touched, and a virtual machine has to ask its host for that.
const writePiece = 256 << 10

//nolint:gochecknoglobals // never written, so that it takes no memory.
var zeros [writePiece]byte

// WriteZeros writes zeros from one offset up to another: room that later writes fill without
// changing the metadata of the file.
func WriteZeros(f io.WriterAt, from, to int64) error {
	for from < to {
		n := min(to-from, writePiece)
		if _, err := f.WriteAt(zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}
