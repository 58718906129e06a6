package machine

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Castagnoli is the polynomial of all checksums.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FrameBytes precede a record in a file: its length and its CRC-32C.
const FrameBytes = 8

// AppendFrame appends a record with its frame.
func AppendFrame(dst, rec []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(rec)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(rec, Castagnoli))
	return append(dst, rec...)
}

// ErrFrame means a record that was damaged.
var ErrFrame = errors.New("record does not match its checksum")

// Frame returns the record at the start of buf, if it is there as a whole.
func Frame(buf []byte) (rec []byte, ok bool, err error) {
	if len(buf) < FrameBytes {
		return nil, false, nil
	}
	n := int(binary.LittleEndian.Uint32(buf))
	if len(buf) < FrameBytes+n {
		return nil, false, nil
	}
	rec = buf[FrameBytes:][:n]
	if binary.LittleEndian.Uint32(buf[4:]) != crc32.Checksum(rec, Castagnoli) {
		return nil, false, ErrFrame
	}
	return rec, true, nil
}
