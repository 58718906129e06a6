package index

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// manySealed are as many indexes as are asked at once, and what each of them has is in few others.
// Some are written with a salt.
func manySealed(t *testing.T) (many []*Sealed) {
	t.Helper()
	for n := range AtOnce {
		a := NewActive()
		for i := range 50 + n {
			a.Add(Entry{Offset: uint32(i), Terms: Terms{Entity: fmt.Sprintf("order:%d", n*20+i), Scope: "test", Kind: "a.b"}})
			a.AddKey(fmt.Sprint("key ", n*20+i), uint32(i))
		}
		table, distinct := a.hashed(uint32(n % 3))
		require.True(t, distinct)
		s, err := OpenSealed(table.encode(uint32(n%3), a.offsets))
		require.NoError(t, err)
		many = append(many, s)
	}
	return many
}

func TestIndexesThatAreAskedAtOnceSayWhatEachSays(t *testing.T) {
	many := manySealed(t)
	for _, s := range many {
		require.NoError(t, s.Check())
	}
	wrong, asked := 0, 0
	for i := range 3000 {
		entity, key := fmt.Sprintf("order:%d", i), fmt.Sprint("key ", i)
		askedEntity, askedKey := AskEntity(entity), AskKey(key)
		entities, keys := askedEntity.Perhaps(many), askedKey.Perhaps(many)
		for n, s := range many {
			_, hasEntity := sure{s}.LastOf(entity)
			_, hasKey := sure{s}.FindKey(key)
			require.False(t, hasEntity && entities&(1<<n) == 0, "%s in %d", entity, n)
			require.False(t, hasKey && keys&(1<<n) == 0, "%s in %d", key, n)
			for _, perhaps := range []bool{!hasEntity && entities&(1<<n) != 0, !hasKey && keys&(1<<n) != 0} {
				if asked++; perhaps {
					wrong++
				}
			}
		}
	}
	require.Less(t, wrong, asked/50, "what a filter says wrongly")
}

func TestAnIndexThatCannotBeAskedAtOnceIsAskedItself(t *testing.T) {
	many := manySealed(t)[:5]
	asked := AskKey("none of them has it")
	require.Equal(t, uint64(0b11111), asked.Perhaps(many), "nothing was checked yet")
	for _, s := range many {
		require.NoError(t, s.Check())
	}
	many[1] = nil
	inPieces, err := OpenSealedAt(bytes.NewReader(many[2].memory), many[2].blob.size)
	require.NoError(t, err)
	many[2] = inPieces
	empty, err := OpenSealed(footer(NewActive()))
	require.NoError(t, err)
	many[3] = empty
	require.Equal(t, uint64(0b00110), asked.Perhaps(many))
}

func footer(a *Active) []byte {
	blob, _ := a.Footer()
	return blob
}

// What is asked is in none of the indexes of a log of many segments.
func BenchmarkAskedInVain(b *testing.B) {
	for _, segments := range []int{AtOnce} {
		var many []*Sealed
		for n := range segments {
			a := NewActive()
			for i := range 20_000 {
				a.AddKey(fmt.Sprint("key ", n, i), uint32(i))
			}
			s, err := OpenSealed(footer(a))
			must(err)
			must(s.Check())
			many = append(many, s)
		}
		b.Run(fmt.Sprintf("at-once-%d", segments), func(b *testing.B) {
			for i := range b.N {
				asked := AskKey(fmt.Sprint("new ", i))
				asked.Perhaps(many)
			}
		})
		b.Run(fmt.Sprintf("each-%d", segments), func(b *testing.B) {
			for i := range b.N {
				key := fmt.Sprint("new ", i)
				for _, s := range many {
					_, _, err := s.FindKey(key)
					must(err)
				}
			}
		})
	}
}
