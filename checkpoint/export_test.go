package checkpoint

import "github.com/penstock-io/penstock/store"

// End shows how far a pass reaches.
func (p Pass) End() store.Position { return p.end() }

// Encode returns the bytes that are kept of a record, and Decode reads them.
func (r Record) Encode() []byte { return r.bytes() }

// Decode is the reverse of Encode.
func Decode(b []byte) (Record, error) { return decode(b) }
