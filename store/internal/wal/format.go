package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Sizes and limits, in bytes.
const (
	SegmentHeaderSize = 128
	BatchHeaderSize   = 64
	RecordHeaderSize  = recordHeaderSize
	TrailerSize       = 128
	SaltSize          = 16
	Version           = 2 // of the segments that are written; those of every version before are read
	VersionDropped    = 3 // of those of which retention has dropped the events

	recordHeaderSize = 10
	eventFixedSize   = 112
	sideFixedSize    = 24
	keyFixedSize     = 64
	stateFixedSize   = 72
	digestSize       = 32
)

// Types of a record.
const (
	TypeEvent      = 1
	TypeSide       = 2
	TypeSideDelete = 3
	TypeKey        = 4
	TypeErased     = 5 // an event without its headers and payload
	TypeState      = 6 // of an entity, as of its last event that was dropped
	TypeReceipt    = 7 // an idempotency key of a commit whose events were dropped, and its receipt
)

// Rules of the digest that a stored key keeps of its commit.
const (
	RuleContent = iota // of the plain digests of the events, see [Plain]
	RuleRetry          // of their retry digests, see [Retry]
	Rules              // their number
)

// Flags of a batch.
const (
	FlagWeak      = 1  // acknowledged before the sync
	FlagOpened    = 2  // first batch of a writer
	FlagClosed    = 4  // last batch of a writer that ended cleanly
	FlagRewritten = 8  // without the side values that were superseded later
	FlagDropped   = 16 // without its events
)

const (
	recordLast = 1 // flag of a record: the last of its commit

	segmentDropped = 1 // flag of a segment: its events were dropped

	eventHasCause       = 1
	eventHasCorrelation = 2

	eventSalted = 1 // flag of the sealed part of an event

	keyRule   = 0x3f // of the rule byte of a key: the rule
	keyErased = 0x40
	keySalted = 0x80
)

// Errors of bytes.
var (
	// ErrBad: the bytes are not what was written there: torn, damaged, or never written.
	ErrBad = errors.New("wal: bad bytes")
	// ErrNewer: a newer version of the format.
	ErrNewer = errors.New("wal: newer format version")
)

//nolint:gochecknoglobals // a table that the standard library computes once; it is never written.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C used everywhere in the format.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ChecksumOn is the [Checksum] of bytes whose checksum is sum, and then b.
func ChecksumOn(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// checksumAround is the checksum, begun with a seed, of b with the four bytes at off taken as
// absent.
func checksumAround(b []byte, off int, seed uint32) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, b[:off]), castagnoli, b[off+4:])
}

// Seed is what the checksums of the batches of a store begin with. A payload may hold any bytes,
// the copy of a batch among them; as its author does not know the store's id, recovery does not
// take it for a batch of the log.
func Seed(store [16]byte) uint32 { return Checksum(store[:]) }

//nolint:gochecknoglobals // an immutable byte order, shortened.
var le = binary.LittleEndian

// Align rounds n up to the multiple of 8 at which batches start.
func Align(n int) int { return (n + 7) &^ 7 }
