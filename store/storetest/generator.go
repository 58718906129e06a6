package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/penstock-io/penstock/store"
)

// generator draws batches. Its vocabulary is small, so that expectations, regions and keys meet.
type generator struct {
	random *rand.Rand
	sizes  []int // of payloads

	// What the caller knows, or believes: most of what is drawn holds if that is right.
	version  func(entity string) uint64
	revision func(side string) uint64
	head     func() store.Position
	cause    func() store.Causation
}

func entityNames() []string { return []string{"a", "a:1", "a:1:x", "a:2", "ab", "b"} }
func sideNames() []string   { return []string{"p/1", "p/2", "q"} }

func (g *generator) pick(from ...string) string { return from[g.random.IntN(len(from))] }

func (g *generator) oneIn(n int) bool { return g.random.IntN(n) == 0 }

// batch draws one with events, side values or both.
func (g *generator) batch(events, sides bool) (b store.Batch) {
	if events {
		for range 1 + g.random.IntN(3) {
			b.Events = append(b.Events, g.proposal())
		}
		if g.oneIn(4) {
			b.IdempotencyKey = fmt.Sprint("key ", g.random.IntN(4))
		}
	}
	if sides {
		for i, key := range sideNames() {
			if g.oneIn(3) || i == 2 && len(b.Events)+len(b.Sides) == 0 {
				b.Sides = append(b.Sides, g.side(key))
			}
		}
		b.Lazy = g.oneIn(2)
	}
	if g.oneIn(4) {
		b.Conditions = []store.Condition{{Region: g.region(), After: g.position()}}
	}
	return b
}

func (g *generator) proposal() store.Proposal {
	p := store.Proposal{At: store.At(g.pick(entityNames()...), g.pick("s", "t"))}
	p.Expect = g.expect(g.version(p.At.Entity))
	p.Payload = store.Raw{
		Type: g.pick("k.a", "k.b", "k", "l.a"), Codec: g.pick("json", "c"), SchemaVersion: uint16(g.random.IntN(3)),
		Data: bytes.Repeat([]byte{byte(g.random.IntN(256))}, g.sizes[g.random.IntN(len(g.sizes))]),
	}
	if g.oneIn(3) {
		p.Headers = map[string]string{"h": g.pick("", "v")}
	}
	if g.oneIn(4) {
		p.Meta = map[string]string{"m": g.pick("", "v")}
	}
	if g.oneIn(3) {
		p.Causation = g.cause()
	}
	return p
}

func (g *generator) side(key string) store.SideWrite {
	return store.SideWrite{
		Key: key, Value: bytes.Repeat([]byte{byte(g.random.IntN(256))}, []int{0, 5, 64, 65, 600, 3000}[g.random.IntN(6)]),
		Delete: g.oneIn(6), Expect: g.expect(g.revision(key)),
	}
}

// expect draws one that holds, mostly.
func (g *generator) expect(actual uint64) store.Expect {
	switch g.random.IntN(10) {
	case 0:
		return store.Absent
	case 1:
		return store.Exactly(actual + 1)
	case 2, 3, 4:
		return store.Exactly(actual)
	default:
		return store.Any
	}
}

func (g *generator) region() (r store.Region) {
	r.Entity = g.pick(append(entityNames(), "", "", "a:1:", "c")...)
	r.Scope = g.pick("", "", "s", "u")
	switch g.random.IntN(4) {
	case 0:
		r.Kinds = []string{g.pick("k.a", "k", "none"), g.pick("k.b", "l.a")}
	case 1:
		r.Category = g.pick("k", "l", "none")
	}
	if g.oneIn(4) {
		r.MinVersion = g.random.Uint64N(4)
		r.MaxVersion = []uint64{0, r.MinVersion + 2}[g.random.IntN(2)]
	}
	return r
}

// position draws one that lies near the head, mostly.
func (g *generator) position() store.Position {
	head := g.head()
	if g.oneIn(2) {
		return head - min(head, store.Position(g.random.IntN(3)))
	}
	return store.Position(g.random.Uint64N(uint64(head) + 3))
}
