package index

import (
	"encoding/binary"
	"maps"
	"slices"
)

const (
	sidesMagic  = "pns1"
	sidesHeader = 8 // magic, count
	sideHeader  = 8 // offset, length of the key
)

// Side is the newest record in a segment of one side value.
type Side struct {
	Key    string
	Offset uint32 // of the record in the segment
}

// encodeSides writes the blob that Sides reads.
func encodeSides(sides map[string]uint32) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(sidesMagic), uint32(len(sides)))
	for _, key := range slices.Sorted(maps.Keys(sides)) {
		b = binary.LittleEndian.AppendUint32(b, sides[key])
		b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
		b = append(b, key...)
	}
	return b
}

// Sides returns the side values in a blob that Footer wrote, by ascending keys.
// The keys are copies. It accepts nothing but what Footer writes for some side
// values, and allocates in proportion to the blob, whatever the blob claims.
func Sides(sides []byte) ([]Side, error) {
	if len(sides) < sidesHeader || string(sides[:4]) != sidesMagic {
		return nil, &CorruptError{"sides", 0, "no sides header"}
	}
	rest := sides[sidesHeader:]
	count := int(binary.LittleEndian.Uint32(sides[4:]))
	if count > len(rest)/sideHeader {
		return nil, &CorruptError{"sides", 4, "more side values than bytes"}
	}
	out := make([]Side, 0, count)
	for range count {
		s, size := cutSide(rest)
		at := len(sides) - len(rest)
		if size == 0 {
			return nil, &CorruptError{"sides", at, "side value is cut off"}
		}
		if len(out) > 0 && out[len(out)-1].Key >= s.Key {
			return nil, &CorruptError{"sides", at, "keys do not ascend"}
		}
		out = append(out, s)
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return nil, &CorruptError{"sides", len(sides) - len(rest), "bytes after the last side value"}
	}
	return out, nil
}

// cutSide reads the entry at the start of b; its size is 0 if b is too short.
func cutSide(b []byte) (s Side, size int) {
	if len(b) < sideHeader {
		return Side{}, 0
	}
	size = sideHeader + int(binary.LittleEndian.Uint32(b[4:]))
	if size > len(b) {
		return Side{}, 0
	}
	return Side{Key: string(b[sideHeader:size]), Offset: binary.LittleEndian.Uint32(b)}, size
}
