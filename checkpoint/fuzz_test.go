package checkpoint

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// fuzzSealed passes what is fuzzed to a decoder, as it is and with a checksum that fits. What is
// accepted must be encoded to the same bytes.
func fuzzSealed(f *testing.F, seeds [][]byte, again func(b []byte) ([]byte, error)) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		inputs := [][]byte{b}
		if len(b) >= crcBytes {
			inputs = append(inputs, seal(append([]byte(nil), b[:len(b)-crcBytes]...)))
		}
		for _, in := range inputs {
			if out, err := again(in); err == nil {
				require.Equal(t, in, out)
			}
		}
	})
}

func FuzzOnlyAFileAsItIsWrittenIsAccepted(f *testing.F) {
	r := Record{Region: "r", Kinds: []string{"k"}, Scanned: 300, Pending: []store.Position{7}}
	end := store.Anchor{Event: uuid.UUID{1}, Hidden: "0"}
	seeds := [][]byte{encodeFile(Record{}, store.Anchor{}), encodeFile(r, end)}
	fuzzSealed(f, seeds, func(b []byte) ([]byte, error) {
		r, anchor, err := decodeFile(b)
		if err == nil && (bytes.HasPrefix(b, []byte(magic)) || b[magicBytes] == fileEvent) {
			return b, nil // of an older version
		}
		return encodeFile(r, anchor), err
	})
}

func FuzzOnlyAParkedEventAsItIsWrittenIsAccepted(f *testing.F) {
	seeds := [][]byte{
		Parked{}.Write("w").Value,
		Parked{Position: 7, Key: "k", Held: true, Replaying: true, Replay: true, Since: time.UnixMilli(1)}.Write("w").Value,
		Parked{Position: 1 << 40, Key: "order:1", Error: "broken", Attempts: 3, Since: time.UnixMilli(1 << 40)}.Write("w").Value,
		Parked{Position: 9, Key: "order:1", Doubt: true, Newer: Schema{Kind: "k", Version: 2}, Since: time.UnixMilli(1)}.Write("w").Value,
	}
	fuzzSealed(f, seeds, func(b []byte) ([]byte, error) {
		p, err := decodeParked(b)
		return p.Write("w").Value, err
	})
}

func FuzzOnlyAPauseAsItIsWrittenIsAccepted(f *testing.F) {
	seeds := [][]byte{
		Pause{}.Write("w").Value, Pause{Since: time.UnixMilli(1), Until: time.UnixMilli(2), Reason: "lunch"}.Write("w").Value,
		Pause{Reason: "lunch", By: "ann"}.Write("w").Value,
	}
	fuzzSealed(f, seeds, func(b []byte) ([]byte, error) {
		p, err := decodePause(b)
		return p.Write("w").Value, err
	})
}

func FuzzOnlyAPassAsItIsWrittenIsAccepted(f *testing.F) {
	long := layer{from: 3, upTo: 900, region: store.Region{Entity: "a", Kinds: []string{"k.x", "k.y"}}, except: []store.Position{4, 300, 900}}
	short := layer{upTo: 1, region: store.Region{Category: "k"}}
	seeds := [][]byte{
		Pass{skip: []layer{long}}.encode(),
		Pass{skip: []layer{{upTo: 2}}, handled: []layer{long, short}, emit: []span{{upTo: 1}, {from: 3, upTo: 1 << 40}}}.encode(),
	}
	fuzzSealed(f, seeds, func(b []byte) ([]byte, error) {
		p, err := decodePass(b)
		return p.encode(), err
	})
}

func FuzzOnlyANewNameAsItIsWrittenIsAccepted(f *testing.F) {
	fuzzSealed(f, [][]byte{forward("a", "b").Value, forward("a", "").Value}, func(b []byte) ([]byte, error) {
		now, err := decodeRenamed(b)
		return forward("a", now).Value, err
	})
}
