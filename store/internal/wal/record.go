package wal

import "crypto/sha256"

// SealRecord sets the flags and the checksum of a finished record; last marks the end of a commit.
func SealRecord(rec []byte, last bool) {
	rec[9] = 0
	if last {
		rec[9] = recordLast
	}
	le.PutUint32(rec[4:], Checksum(rec[8:]))
}

// ParseRecord checks the record at the start of b and returns its bytes. b may be longer. [ErrBad]
// says that there is no valid record; n is the length it claims, which is 0 when even that makes no
// sense.
func ParseRecord(b []byte) (rec []byte, n int, err error) {
	if len(b) < recordHeaderSize {
		return nil, 0, ErrBad
	}
	n = int(le.Uint32(b))
	if n < recordHeaderSize {
		return nil, 0, ErrBad
	}
	if n > len(b) {
		return nil, n, ErrBad
	}
	rec = b[:n:n]
	if le.Uint32(rec[4:]) != Checksum(rec[8:]) {
		return nil, n, ErrBad
	}
	return rec, n, nil
}

// Record returns the record at the start of b, which is part of a batch whose checksum is right:
// that of the record is not looked at. nil if there is none.
func Record(b []byte) []byte {
	if len(b) < recordHeaderSize {
		return nil
	}
	n := int(le.Uint32(b))
	if n < recordHeaderSize || n > len(b) {
		return nil
	}
	return b[:n:n]
}

// Type of a checked record.
func Type(rec []byte) byte { return rec[8] }

// IsEvent reports whether a checked record is that of an event, erased or not.
func IsEvent(rec []byte) bool { return rec[8] == TypeEvent || rec[8] == TypeErased }

// IsLast reports whether a checked record ends its commit. In a batch that was rewritten such a
// record may be gone.
func IsLast(rec []byte) bool { return rec[9]&recordLast != 0 }

// Side is a parsed side-value record. Its slices point into the record.
type Side struct {
	Key, Value []byte
	Revision   uint64
	Deleted    bool
}

// AppendSide appends the record of a side value without its revision and checksum.
func AppendSide(dst []byte, key string, value []byte, deleted bool) []byte {
	var fixed [sideFixedSize]byte
	fixed[8] = TypeSide
	if deleted {
		fixed[8] = TypeSideDelete
	}
	le.PutUint32(fixed[0:], uint32(sideFixedSize+len(key)+len(value)))
	le.PutUint16(fixed[10:], uint16(len(key)))
	le.PutUint32(fixed[12:], uint32(len(value)))
	dst = append(dst, fixed[:]...)
	dst = append(dst, key...)
	return append(dst, value...)
}

// SideSize is the length of the record of a side value.
func SideSize(key, value int) int { return sideFixedSize + key + value }

// StampSide sets the revision; call [SealRecord] afterwards.
func StampSide(rec []byte, revision uint64) { le.PutUint64(rec[16:], revision) }

// ParseSide reads a side value from its checked record.
func ParseSide(rec []byte) (Side, error) {
	if len(rec) < sideFixedSize || (rec[8] != TypeSide && rec[8] != TypeSideDelete) {
		return Side{}, ErrBad
	}
	keyLen, valueLen := int(le.Uint16(rec[10:])), int(le.Uint32(rec[12:]))
	if sideFixedSize+keyLen+valueLen != len(rec) {
		return Side{}, ErrBad
	}
	key, rest := cut(rec[sideFixedSize:], keyLen)
	value, _ := cut(rest, valueLen)
	return Side{Key: key, Value: value, Revision: le.Uint64(rec[16:]), Deleted: rec[8] == TypeSideDelete}, nil
}

// Key is a parsed idempotency-key record: which commit used the key, and for what.
type Key struct {
	Key           []byte
	Events        uint32
	FirstPosition uint64
	Sequence      uint64
	Digest        [digestSize]byte // as it is stored, see [Key.Salted]
	Salt          [SaltSize]byte   // zero: none
	Rule          byte             // by which the digest of the commit was made
	Erased        bool             // what the commit said is no longer known
}

// Salted returns what is stored of the digest of a commit: a digest alone would tell a reader who
// guesses what a short payload said that the guess is right, when the payload is gone.
func (k *Key) Salted(digest [digestSize]byte) [digestSize]byte {
	if k.Salt == ([SaltSize]byte{}) {
		return digest
	}
	var b [SaltSize + digestSize]byte
	copy(b[:], k.Salt[:])
	copy(b[SaltSize:], digest[:])
	return sha256.Sum256(b[:])
}

// Matches reports whether digest, made by the rule of k, is that of the commit that used the key.
func (k *Key) Matches(digest [digestSize]byte) bool { return !k.Erased && k.Digest == k.Salted(digest) }

// AppendKey appends a record of an idempotency key without its checksum. Its commit must have less
// than 1<<24 events.
func AppendKey(dst []byte, key string, k *Key) []byte {
	var fixed [keyFixedSize]byte
	fixed[8] = TypeKey
	rule, size := k.Rule, keyFixedSize+len(key)
	if k.Salt != ([SaltSize]byte{}) {
		rule, size = rule|keySalted, size+SaltSize
	}
	if k.Erased {
		rule |= keyErased
	}
	le.PutUint32(fixed[0:], uint32(size))
	le.PutUint16(fixed[10:], uint16(len(key)))
	le.PutUint32(fixed[12:], k.Events|uint32(rule)<<24)
	le.PutUint64(fixed[16:], k.FirstPosition)
	le.PutUint64(fixed[24:], k.Sequence)
	copy(fixed[32:], k.Digest[:])
	dst = append(dst, fixed[:]...)
	dst = append(dst, key...)
	if rule&keySalted != 0 {
		dst = append(dst, k.Salt[:]...)
	}
	return dst
}

// KeySize is the length of the salted record of an idempotency key.
func KeySize(key string) int { return keyFixedSize + len(key) + SaltSize }

// ParseKey reads an idempotency key from its checked record.
func ParseKey(rec []byte) (Key, error) {
	k, rest, err := parseKey(rec, TypeKey)
	if err == nil && len(rest) > 0 {
		err = ErrBad
	}
	return k, err
}

// parseKey reads what begins the record of a key, and returns the rest.
func parseKey(rec []byte, kind byte) (k Key, rest []byte, err error) {
	if len(rec) < keyFixedSize || rec[8] != kind {
		return k, nil, ErrBad
	}
	salt, rule := 0, rec[15]
	if rule&keySalted != 0 {
		salt = SaltSize
	}
	if keyFixedSize+int(le.Uint16(rec[10:]))+salt > len(rec) {
		return k, nil, ErrBad
	}
	k = Key{
		Events:        le.Uint32(rec[12:]) & (1<<24 - 1),
		Rule:          rule & keyRule,
		Erased:        rule&keyErased != 0,
		FirstPosition: le.Uint64(rec[16:]),
		Sequence:      le.Uint64(rec[24:]),
	}
	copy(k.Digest[:], rec[32:])
	k.Key, rest = cut(rec[keyFixedSize:], int(le.Uint16(rec[10:])))
	of, rest := cut(rest, salt)
	copy(k.Salt[:], of)
	return k, rest, nil
}
