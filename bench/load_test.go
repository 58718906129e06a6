package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/store"
)

// The events that are written everywhere: 256 bytes that do not compress, of one of 100 entities. Stores that know nothing
// of metadata get 100 bytes of it in front.
const (
	payloadBytes  = 256
	metadataBytes = 100
	recordBytes   = metadataBytes + payloadBytes
	entities      = 100
	eventKind     = "bench.event"
	eventScope    = "bench"
)

var (
	payloads    = makePayloads()
	coordinates = makeCoordinates()
)

func makePayloads() [][]byte {
	random := rand.NewChaCha8([32]byte{1})
	list := make([][]byte, 4096)
	for i := range list {
		list[i] = make([]byte, payloadBytes)
		_, _ = random.Read(list[i])
	}
	return list
}

func makeCoordinates() []store.Coordinate {
	list := make([]store.Coordinate, entities)
	for i := range list {
		list[i] = store.At(fmt.Sprintf("entity:%d", i), eventScope)
	}
	return list
}

func payload(i int) []byte { return payloads[i%len(payloads)] }

func event(i int) store.Raw { return store.Raw{Type: eventKind, Codec: "raw", Data: payload(i)} }

func proposal(i int) store.Proposal {
	return store.Proposal{At: coordinates[i%entities], Payload: event(i)}
}

// encodeRecord fills buf with what a store without metadata gets as its value.
func encodeRecord(buf []byte, i int) {
	binary.LittleEndian.PutUint64(buf, uint64(i))
	binary.LittleEndian.PutUint64(buf[8:], uint64(i%entities))
	copy(buf[16:metadataBytes], payload(i+1)) // stands for id, time, hash, kind, scope and lengths
	copy(buf[metadataBytes:], payload(i))
}

// decodeRecord gives the number and the entity, as a reader of metadata would want them.
func decodeRecord(rec []byte) (i, entity int) {
	return int(binary.LittleEndian.Uint64(rec)), int(binary.LittleEndian.Uint64(rec[8:]))
}

// recordKey is the key of a record in an ordered store.
func recordKey(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// contestant appends events: op writes the i-th in the name of a writer, and returns when it is acknowledged.
type contestant struct {
	op    func(writer, i int) error
	close func() error
}

// opener starts a contestant in an empty directory.
type opener func(b *testing.B, dir string) contestant

// outcome is what the writers of one turn got acknowledged.
type outcome struct {
	perSecond float64
	p50, p99  time.Duration
}

// turn opens a contestant, drives it and removes it. events is how many events an op writes.
func turn(b *testing.B, open opener, writers, events int) outcome {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	c := open(b, dir)
	o := drive(b, writers, c.op)
	must(b, c.close())
	o.perSecond *= float64(events)
	return o
}

// drive lets writers work in closed loops: for half a turn unmeasured, then for a turn.
func drive(b *testing.B, writers int, op func(writer, i int) error) outcome {
	b.Helper()
	var (
		next    atomic.Int64
		waiting sync.WaitGroup
		took    = make([][]time.Duration, writers)
		failed  = make([]error, writers)
		from    = time.Now().Add(*turnTime / 2)
		to      = from.Add(*turnTime)
	)
	for w := range writers {
		waiting.Go(func() {
			for began := time.Now(); began.Before(to); {
				if failed[w] = op(w, int(next.Add(1))); failed[w] != nil {
					return
				}
				now := time.Now()
				if now.After(from) && now.Before(to) {
					took[w] = append(took[w], now.Sub(began))
				}
				began = now
			}
		})
	}
	waiting.Wait()
	var all []time.Duration
	for w := range writers {
		must(b, failed[w])
		all = append(all, took[w]...)
	}
	return outcome{
		perSecond: perSecond(len(all), *turnTime),
		p50:       quantile(all, 0.5),
		p99:       quantile(all, 0.99),
	}
}
