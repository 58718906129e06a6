package store

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// hybridClock returns events their times and their ids. It belongs to the holder of the committer's
// role, like the writer that it is a part of.
type hybridClock struct {
	last   uint64 // the time that was given last: milliseconds since 1970 above 16 bits of counter
	random *rand.ChaCha8
}

// next returns the time of the next event: now, or one more than the last time where that has not
// moved since. More than 65,536 events in a millisecond run ahead of it.
func (c *hybridClock) next(now time.Time) uint64 {
	c.last = max(c.last+1, uint64(now.UnixMilli())<<16)
	return c.last
}

// mint makes a UUIDv7 from hybrid time: 48 bits of milliseconds, the 16 bits of the counter around
// the version and variant marks, 58 random bits. As the time grows strictly, so do the ids, which
// is why an event is found by its id with a binary search and no table.
func (c *hybridClock) mint(t uint64) uuid.UUID { return idAt(t, c.random.Uint64()) }

func idAt(t, random uint64) (id uuid.UUID) {
	ms, counter := t>>16, t&0xffff
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 0x70 | byte(counter>>12)
	id[7] = byte(counter >> 4)
	id[8] = 0x80 | byte(counter&0xf)<<2 | byte(random>>62)
	for i := range 7 {
		id[9+i] = byte(random >> (8 * i))
	}
	return id
}
