package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// exportVersion is that of the lines of an export.
const exportVersion = 1

// exportedLine is one line: one of them is set.
type exportedLine struct {
	Log     *exportedLog     `json:"log,omitempty"`
	Dropped *exportedDropped `json:"dropped,omitempty"`
	State   *exportedState   `json:"state,omitempty"`
	Receipt *exportedReceipt `json:"receipt,omitempty"`
	Side    *exportedSide    `json:"side,omitempty"`
	Event   *exportedEvent   `json:"event,omitempty"`
	End     *exportedEnd     `json:"end,omitempty"`
}

// exportedLog is the first line.
type exportedLog struct {
	Version     int       `json:"version"`
	Store       uuid.UUID `json:"store"`
	Incarnation uint32    `json:"incarnation"`
	Sequence    uint64    `json:"sequence"` // of the next commit
	First       uint64    `json:"first"`    // position that the first event has
}

// exportedEnd is the last line: without it the export is cut off.
type exportedEnd struct {
	Events   uint64 `json:"events"`
	Sides    uint64 `json:"sides"`
	States   uint64 `json:"states,omitempty"`
	Receipts uint64 `json:"receipts,omitempty"`
}

// exportedSide is a side value: text, where it is UTF-8.
type exportedSide struct {
	Key      string `json:"key"`
	Revision uint64 `json:"revision"`
	Text     string `json:"text,omitempty"`
	Data     []byte `json:"data,omitempty"`
}

// exportedEvent is an event. What is derived from the rest is left out, and what cannot be said in
// words without a loss is there as the bytes that it is in the log: in the fields whose names begin
// with raw, and in data.
type exportedEvent struct {
	Position    uint64            `json:"position"`
	ID          uuid.UUID         `json:"id"`
	Time        string            `json:"time"`
	Entity      string            `json:"entity"`
	Scope       string            `json:"scope"`
	Kind        string            `json:"kind"`
	Version     uint64            `json:"version"`
	Schema      uint16            `json:"schema,omitempty"`
	Cause       *uuid.UUID        `json:"cause,omitempty"`
	Correlation *uuid.UUID        `json:"correlation,omitempty"` // else its own id
	Depth       uint32            `json:"depth,omitempty"`
	Key         *exportedKey      `json:"key,omitempty"` // of the commit that begins with it
	Emitter     *exportedEmitter  `json:"emitter,omitempty"`
	Meta        map[string]string `json:"meta,omitempty"`
	RawExtra    []byte            `json:"rawExtensions,omitempty"` // in the place of emitter and meta
	Headers     map[string]string `json:"headers,omitempty"`
	RawHeaders  []byte            `json:"rawHeaders,omitempty"`
	Hash        []byte            `json:"hash"`
	Salt        []byte            `json:"salt,omitempty"`
	Erased      *exportedErasure  `json:"erased,omitempty"`
	Codec       string            `json:"codec"`
	Data        []byte            `json:"data,omitempty"`
	Payload     json.RawMessage   `json:"payload,omitempty"` // the last field, see appendTo
}

type exportedEmitter struct {
	Worker  string `json:"worker"`
	Build   string `json:"build,omitempty"`
	Epoch   uint64 `json:"epoch,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
}

// exportedErasure is what is left of the content of an erased event.
type exportedErasure struct {
	Digest  []byte            `json:"digest"`
	Note    map[string]string `json:"note,omitempty"` // when, by whom and why
	RawNote []byte            `json:"rawNote,omitempty"`
}

// exportedKey is an idempotency key and what is known of its commit.
type exportedKey struct {
	Key      string `json:"key"`
	Events   uint32 `json:"events"`
	Sequence uint64 `json:"sequence"`
	Rule     byte   `json:"rule,omitempty"`
	Digest   []byte `json:"digest"`
	Salt     []byte `json:"salt,omitempty"`
	Erased   bool   `json:"erased,omitempty"`
}

// exportEvent says in words what is in the record of an event. key is that of the commit which
// begins with it, nil for none. The error is that no words are the same bytes.
func exportEvent(e *Event, key *wal.Key) (*exportedEvent, error) {
	rec := e.record
	hash := wal.Hash(rec)
	x := &exportedEvent{
		Position: uint64(e.Position), ID: e.ID, Time: timeText(e.Time), Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope,
		Kind: e.Kind, Version: e.Version, Schema: e.SchemaVersion, Depth: e.Depth, Hash: hash[:], Codec: e.Codec,
	}
	if e.Cause != uuid.Nil {
		x.Cause = &e.Cause
	}
	if e.Correlation != e.ID {
		x.Correlation = &e.Correlation
	}
	x.takeContent(rec, e)
	x.takeExtensions(rec, e)
	if key != nil {
		x.Key = exportKey(key)
	}
	made, err := x.appendRecord(nil)
	if err == nil && (!bytes.Equal(made[10:], rec[10:]) || made[8] != rec[8] || !utf8.Valid(wal.Names(rec))) {
		err = errors.New("its record is not one that is written")
	}
	if err != nil {
		return nil, fmt.Errorf("store: export event %d: %w", e.Position, err)
	}
	return x, nil
}

// takeContent takes over headers, payload and salt, or what is left of them.
func (x *exportedEvent) takeContent(rec []byte, e *Event) {
	if wal.Type(rec) == wal.TypeErased {
		var parsed wal.Event
		if wal.ParseEvent(rec, &parsed) == nil {
			digest := wal.Content(rec)
			x.Erased = &exportedErasure{Digest: digest[:]}
			x.Erased.Note, x.Erased.RawNote = words(parsed.Note)
		}
		return
	}
	if salt := wal.Salt(rec); salt != ([wal.SaltSize]byte{}) {
		x.Salt = salt[:]
	}
	x.Headers, x.RawHeaders = words(wal.Headers(rec))
	if isLine(e) {
		x.Payload = e.Payload
	} else {
		x.Data = e.Payload
	}
}

// isLine reports whether a payload is JSON that can be a part of a line as it is.
func isLine(e *Event) bool {
	b := e.Payload
	return e.Codec == CodecJSON && !bytes.ContainsAny(b, "\r\n") && utf8.Valid(b) &&
		len(bytes.TrimSpace(b)) == len(b) && json.Valid(b)
}

// words returns encoded pairs as a map, or as they are where a map in JSON is not the same.
func words(encoded []byte) (pairs map[string]string, raw []byte) {
	pairs = pairsOf(encoded)
	if bytes.Equal(encoded, pairsIn(pairs)) && areText(pairs) {
		return pairs, nil
	}
	return nil, encoded
}

func areText(pairs map[string]string) bool {
	for name, value := range pairs {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return false
		}
	}
	return true
}

// pairsIn encodes pairs in the order of their names.
func pairsIn(pairs map[string]string) (encoded []byte) {
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		encoded = wal.AppendPair(encoded, name, pairs[name])
	}
	return encoded
}

// takeExtensions takes over emitter and meta, where these are all extensions.
func (x *exportedEvent) takeExtensions(rec []byte, e *Event) {
	extensions := wal.Extensions(rec)
	if by, ok := e.Emitter(); ok && by.Worker != "" && utf8.ValidString(by.Worker) && utf8.ValidString(by.Build) {
		x.Emitter = &exportedEmitter{by.Worker, by.Build, by.Epoch, by.Attempt}
	}
	x.Meta, _ = words(wal.Meta(extensions))
	if !bytes.Equal(x.extensions(), extensions) {
		x.Emitter, x.Meta, x.RawExtra = nil, nil, extensions
	}
}

// extensions are the extensions of the record.
func (x *exportedEvent) extensions() (b []byte) {
	if x.RawExtra != nil {
		return x.RawExtra
	}
	if by := x.Emitter; by != nil {
		b = wal.AppendEmitter(b, &wal.Emitter{ID: wal.EmitterID(by.Worker, by.Build), Epoch: by.Epoch, Attempt: by.Attempt})
	}
	if len(x.Meta) > 0 {
		b = wal.AppendMeta(b, pairsIn(x.Meta))
	}
	return b
}

// appendRecord appends the record, sealed. The error names the field that is wrong.
func (x *exportedEvent) appendRecord(dst []byte) ([]byte, error) {
	d := wal.Draft{
		Entity: x.Entity, Scope: x.Scope, Kind: x.Kind, Codec: x.Codec, SchemaVersion: x.Schema, Depth: x.Depth,
		Headers: x.RawHeaders, Payload: x.Data,
	}
	if x.Cause != nil {
		d.Cause = *x.Cause
	}
	if x.Correlation != nil {
		d.Correlation = *x.Correlation
	}
	if len(x.Headers) > 0 {
		d.Headers = pairsIn(x.Headers)
	}
	if x.Payload != nil {
		d.Payload = x.Payload
	}
	stamp := wal.Stamp{Position: x.Position, Version: x.Version, ID: x.ID}
	var err error
	if stamp.Time, err = parseTime(x.Time); err != nil {
		return nil, err
	}
	if err := errors.Join(fill("hash", stamp.Hash[:], x.Hash), fillAny("salt", d.Salt[:], x.Salt)); err != nil {
		return nil, err
	}
	start := len(dst)
	if x.Erased != nil {
		var content [32]byte
		if err := fill("digest", content[:], x.Erased.Digest); err != nil {
			return nil, err
		}
		note := x.Erased.RawNote
		if len(x.Erased.Note) > 0 {
			note = pairsIn(x.Erased.Note)
		}
		dst = wal.AppendErasedDraft(dst, &d, content, note)
	} else {
		dst = wal.AppendEvent(dst, &d)
	}
	dst = wal.Extend(dst, start, x.extensions())
	wal.StampEvent(dst[start:], &stamp)
	wal.SealRecord(dst[start:], false)
	return dst, nil
}

// fillAny is fill for what may be left out, and is zeros then.
func fillAny(field string, dst, from []byte) error {
	if len(from) == 0 {
		return nil
	}
	return fill(field, dst, from)
}

// fill copies bytes of a fixed length.
func fill(field string, dst, from []byte) error {
	if len(from) != len(dst) {
		return &InvalidError{Field: field, Rule: fmt.Sprintf("must be %d bytes", len(dst)), Value: len(from)}
	}
	copy(dst, from)
	return nil
}

func exportKey(k *wal.Key) *exportedKey {
	x := &exportedKey{
		Key: string(k.Key), Events: k.Events, Sequence: k.Sequence, Rule: k.Rule, Digest: k.Digest[:], Erased: k.Erased,
	}
	if k.Salt != ([wal.SaltSize]byte{}) {
		x.Salt = k.Salt[:]
	}
	return x
}

// key returns what is stored of the key of a commit that begins at a position.
func (x *exportedKey) key(first uint64) (k wal.Key, err error) {
	k = wal.Key{Events: x.Events, FirstPosition: first, Sequence: x.Sequence, Rule: x.Rule, Erased: x.Erased}
	return k, errors.Join(fill("digest", k.Digest[:], x.Digest), fillAny("salt", k.Salt[:], x.Salt))
}

// appendTo appends the line. A payload is there byte for byte, which an encoder would not leave it.
func (x *exportedEvent) appendTo(dst []byte) ([]byte, error) {
	payload := x.Payload
	x.Payload = nil
	b, err := encodeLine(&exportedLine{Event: x})
	x.Payload = payload
	if err != nil || payload == nil {
		return append(dst, b...), err
	}
	dst = append(dst, b[:len(b)-len("}}\n")]...)
	dst = append(dst, `,"payload":`...)
	dst = append(dst, payload...)
	return append(dst, "}}\n"...), nil
}

// encodeLine encodes a line, with its end.
func encodeLine(l *exportedLine) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(l)
	return b.Bytes(), err
}

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// timeText is a time in RFC 3339, and the counter after a plus sign where it is not 0. Years after
// 9999, which RFC 3339 does not have, are a number.
func timeText(t Timestamp) string {
	if t.Time().Year() > 9999 {
		return strconv.FormatUint(uint64(t), 10)
	}
	text := t.Time().Format(timeLayout)
	if n := uint16(t); n > 0 {
		text += "+" + strconv.Itoa(int(n))
	}
	return text
}

// parseTime is the reverse of timeText.
func parseTime(text string) (uint64, error) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	wall, counter, counted := strings.Cut(text, "+")
	t, err := time.Parse(timeLayout, wall)
	n := uint64(0)
	if err == nil && counted {
		n, err = strconv.ParseUint(counter, 10, 16)
	}
	if err != nil || t.UnixMilli() < 0 {
		return 0, &InvalidError{Field: "time", Rule: "must be as in 2006-01-02T15:04:05.000Z+1", Value: text}
	}
	return uint64(t.UnixMilli())<<16 | n, nil
}
