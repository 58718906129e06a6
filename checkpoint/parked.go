package checkpoint

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/penstock-io/penstock/store"
)

// maxErrorBytes is how much of the text of an error is kept with a parked event.
const maxErrorBytes = 4096

const (
	parkedPrefix  = "parked/"
	parkedMagic   = "PSPK"
	parkedVersion = 1
	// doubtVersion is parkedVersion of an event whose Doubt is set.
	doubtVersion = 2
	// newerVersion is parkedVersion of an event whose Newer is set: with Doubt, and Newer after that.
	newerVersion = 3
)

// Parked is an event that a worker keeps apart: it failed for good, or it is held because an
// earlier event of its key did.
type Parked struct {
	Position  store.Position
	Key       string
	Held      bool // it did not fail, but waits for a parked event of its key
	Replaying bool // it is about to be handled again, from the list
	// Replay says that it had been handled once, with its reactions, before a rewind; it was parked
	// when it was handled again.
	Replay bool
	// EmitAgain says of a Replay that its reactions are written once more: the rewind said so.
	EmitAgain bool
	// Doubt says that nothing like it was handled since it failed, so that something else may be to
	// blame: the next owner handles it again by itself.
	Doubt bool
	// Newer is the schema of an event that was parked because the program read only older versions of
	// its kind: an owner that reads this one handles it again by itself. The zero value is for others.
	Newer    Schema
	Error    string    // of the last attempt; what is written of it is at most 4 KiB, see Clip
	Attempts int       // made when it was parked
	Since    time.Time // when it was parked; to the millisecond
}

// Schema is a version of the payloads of a kind.
type Schema struct {
	Kind    string
	Version uint16
}

func (id ID) parkedPrefix() string { return parkedPrefix + string(id) + "/" }

func (id ID) parkedKey(p store.Position) string {
	return fmt.Sprintf("%s%016x", id.parkedPrefix(), uint64(p))
}

// Write returns the side write that keeps p for a worker.
func (p Parked) Write(id ID) store.SideWrite {
	version := byte(parkedVersion)
	if p.Newer != (Schema{}) {
		version = newerVersion
	} else if p.Doubt {
		version = doubtVersion
	}
	b := append([]byte(parkedMagic), version)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Position))
	b = appendText(b, p.Key)
	for _, flag := range []bool{p.Held, p.Replaying, p.Replay, p.EmitAgain} {
		b = appendFlag(b, flag)
	}
	b = appendText(b, Clip(p.Error))
	b = binary.LittleEndian.AppendUint32(b, uint32(p.Attempts))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Since.UnixMilli()))
	if version == newerVersion {
		b = appendText(appendFlag(b, p.Doubt), p.Newer.Kind)
		b = binary.LittleEndian.AppendUint16(b, p.Newer.Version)
	}
	return store.SideWrite{Key: id.parkedKey(p.Position), Value: seal(b)}
}

// Clip cuts a text to 4 KiB, between characters: so long are those that a [Parked] and an [Audit]
// are written with.
func Clip(s string) string {
	if len(s) <= maxErrorBytes {
		return s
	}
	s = s[:maxErrorBytes]
	for !utf8.ValidString(s) && len(s) > maxErrorBytes-utf8.UTFMax {
		s = s[:len(s)-1]
	}
	return s
}

// Unpark returns the side write that takes an event off the list.
func Unpark(id ID, p store.Position) store.SideWrite {
	return store.SideWrite{Key: id.parkedKey(p), Delete: true}
}

// ParkedEvents yields the parked events of a worker, by position, as they are when the loop begins:
// those of some positions, or all. One that cannot be read comes with its error and its position;
// any other error of the store is the last thing that the loop yields.
//
// With positions it costs one look-up for each.
func ParkedEvents(st *store.Store, id ID, at ...store.Position) iter.Seq2[Parked, error] {
	return func(yield func(Parked, error) bool) {
		for side, err := range parkedSides(st, id, at) {
			if !yield(id.parkedOf(side, unread(err))) {
				return
			}
		}
	}
}

// parkedSides yields the side values of parked events, by position.
func parkedSides(st *store.Store, id ID, at []store.Position) iter.Seq2[store.SideValue, error] {
	if len(at) == 0 {
		return st.Sides(id.parkedPrefix())
	}
	return func(yield func(store.SideValue, error) bool) {
		for _, p := range slices.Sorted(slices.Values(at)) {
			if side, ok, err := st.Side(id.parkedKey(p)); (ok || err != nil) && !yield(side, err) {
				return
			}
		}
	}
}

// parkedOf decodes a side value, or says what is left of one that could not be read.
func (id ID) parkedOf(side store.SideValue, bad error) (p Parked, err error) {
	if err = bad; err == nil {
		p, err = decodeParked(side.Value)
	}
	if err == nil {
		return p, nil
	}
	position, _ := strconv.ParseUint(strings.TrimPrefix(side.Key, id.parkedPrefix()), 16, 64)
	return Parked{Position: store.Position(position)}, fmt.Errorf("checkpoint %q: parked event %d: %w", id, position, err)
}

func decodeParked(b []byte) (Parked, error) {
	version, body, err := open(b, parkedMagic, newerVersion)
	if err != nil {
		return Parked{}, err
	}
	in := reader{rest: body}
	p := Parked{Position: store.Position(in.u64()), Key: in.text(), Doubt: version == doubtVersion}
	p.Held, p.Replaying, p.Replay, p.EmitAgain = in.flag(), in.flag(), in.flag(), in.flag()
	p.Error, p.Attempts, p.Since = in.text(), int(in.u32()), time.UnixMilli(int64(in.u64())).UTC()
	if version == newerVersion {
		p.Doubt, p.Newer = in.flag(), Schema{Kind: in.text(), Version: in.u16()}
		in.bad = in.bad || p.Newer == Schema{}
	}
	if err := in.end(); err != nil {
		return Parked{}, err
	}
	return p, nil
}
