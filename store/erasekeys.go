package store

import "github.com/penstock-io/penstock/store/internal/wal"

// knows reports whether a key has a digest of an event that is erased.
func (e *erasure) knows(k *wal.Key) bool {
	first := Position(k.FirstPosition)
	return !k.Erased && k.Events > 0 && len(e.events.clip(first, first+Position(k.Events)-1)) > 0
}

// forgotten is a key without what it knows of its events.
func forgotten(k *wal.Key) *wal.Key {
	left := *k
	left.Erased, left.Digest, left.Salt = true, [32]byte{}, [wal.SaltSize]byte{}
	return &left
}

// known returns what is known of a key once it has what is erased of its events no more.
func (x erasures) known(k *wal.Key) *wal.Key {
	for _, e := range x {
		if e.knows(k) {
			k = forgotten(k)
		}
	}
	return k
}

// holdsReceipt reports whether a segment without events has the digest of one that is erased: it
// has where the erasure began after what stays of the event was gathered.
func (g *segment) holdsReceipt(e *erasure) (holds bool, err error) {
	h, err := g.header()
	if err != nil {
		return false, err
	}
	end := int64(g.trailer.Load().DataEnd)
	for x, p := newScan(g, &h).next, g.pieces(end); x.Offset < end; {
		h, batch, err := p.Next(&x)
		if err != nil {
			return false, err
		}
		if batch == nil {
			return false, g.corrupt(x.Offset, "batch does not match its checksum or place")
		}
		err = wal.Records(&h, batch, func(rec []byte, _ int) error {
			if wal.Type(rec) != wal.TypeReceipt {
				return nil
			}
			r, err := wal.ParseReceipt(rec)
			holds = holds || err == nil && e.knows(&r.Key)
			return err
		})
		if holds || err != nil {
			return holds, err
		}
		x.Advance(&h)
	}
	return false, nil
}
