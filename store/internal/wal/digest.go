package wal

import "crypto/sha256"

// Content is the digest of what an event says: coordinate, kind, codec, schema version, headers,
// payload and salt of a record made by [AppendEvent]. Extensions are left out, their length too. An
// erased event has kept it.
func Content(rec []byte) [32]byte {
	switch {
	case rec[8] == TypeErased:
		return [32]byte(rec[namesEnd(rec):])
	case le.Uint32(rec[104:]) == 0:
		return sha256.Sum256(rec[88:contentEnd(rec)])
	}
	return digest(rec, rec[88:90], rec[98:100], contentEnd(rec))
}

// Plain is the content digest without the salt: two events that say the same have the same. It is
// never stored as it is, see [Key.Salted].
func Plain(rec []byte) [32]byte {
	if rec[98]&eventSalted == 0 {
		return Content(rec)
	}
	return digest(rec, rec[88:90], none[:2], payloadEnd(rec))
}

// Retry is the digest of what a repeated commit must agree in: what [Plain] covers, but for the
// schema version. Between two tries a deploy may have raised it, and if that means anything for the
// event its payload differs, too. Nor do extensions count: a retry may be another attempt, of
// another build, and part of another trace. Without a schema version it is the plain digest.
func Retry(rec []byte) [32]byte { return digest(rec, none[:2], none[:2], payloadEnd(rec)) }

//nolint:gochecknoglobals // zeros that are never written.
var none [4]byte

// digest covers the sealed part of a record up to end, with another schema version and other flags.
func digest(rec, schemaVersion, flags []byte, end int) [32]byte {
	h := sha256.New()
	h.Write(schemaVersion)
	h.Write(rec[90:98])
	h.Write(flags)
	h.Write(rec[100:104])
	h.Write(none[:])
	h.Write(rec[108:end])
	return [32]byte(h.Sum(nil))
}

// Continues reports whether the hash in the record of an event is that of its content, after the
// previous hash of its entity: zero before the first event.
func Continues(previous [32]byte, rec []byte) bool {
	s := Stamp{Position: Position(rec), Version: EntityVersion(rec), Time: Time(rec), ID: ID(rec)}
	return Chain(previous, Content(rec), rec, &s) == Hash(rec)
}

// Chain computes the hash of an event: it covers the entity's previous hash, the content digest,
// the stamp, and the causal links and extensions of the record.
func Chain(previous, content [32]byte, rec []byte, s *Stamp) [32]byte {
	var small [192]byte
	b := append(small[:0], previous[:]...)
	b = append(b, content[:]...)
	b = le.AppendUint64(b, s.Position)
	b = le.AppendUint64(b, s.Version)
	b = le.AppendUint64(b, s.Time)
	b = append(b, s.ID[:]...)
	b = append(b, rec[10:16]...) // flags and depth
	b = append(b, rec[contentEnd(rec):]...)
	return sha256.Sum256(b)
}
