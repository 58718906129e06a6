package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// groupedBatches draws batches that meet each other: versions, conditions, revisions, keys.
func groupedBatches(random *rand.Rand, n int) (batches []Batch) {
	entity := func() string { return fmt.Sprint("e:", random.IntN(3)) }
	for range n {
		b := Batch{}
		for range random.IntN(3) {
			p := Proposal{At: At(entity(), "test"), Payload: note{}}
			if random.IntN(2) == 0 {
				p.Expect = Exactly(uint64(random.IntN(6)))
			}
			b.Events = append(b.Events, p)
		}
		if len(b.Events) > 0 && random.IntN(3) == 0 {
			b.IdempotencyKey = fmt.Sprint("key ", random.IntN(3))
		}
		if random.IntN(3) == 0 {
			b.Conditions = []Condition{{Region: Region{Entity: entity()}, After: Position(random.IntN(8))}}
		}
		if len(b.Events) == 0 || random.IntN(3) == 0 {
			w := SideWrite{Key: fmt.Sprint("side", random.IntN(2)), Value: []byte{byte(random.IntN(256))}}
			if random.IntN(2) == 0 {
				w.Expect = Exactly(uint64(random.IntN(12)))
			}
			b.Sides = []SideWrite{w}
		}
		batches = append(batches, b)
	}
	return batches
}

// said is what an answer says, but for ids and times.
func said(a answer) string {
	text := fmt.Sprint(a.err, a.receipt.Sequence, a.receipt.Duplicate)
	for _, e := range a.receipt.Events {
		text += fmt.Sprint(" ", e.Position, e.Version)
	}
	return text
}

// The same commits, each in a group of its own and in groups of any size behind one that is synced.
func TestWhatIsWrittenDoesNotDependOnWhereTheQueueIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused, duplicates := 0, 0
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 15))
			alone := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
			together, gate := gatedLog(t, smallSegments(SyncAlways))
			for range 6 {
				first := Batch{Sides: []SideWrite{{Key: "leader"}}}
				batches := groupedBatches(random, 1+random.IntN(7))
				gate.shut.Store(true)
				leader := async(t.Context(), together, first)
				synctest.Wait()
				var answers []<-chan answer
				for _, b := range batches {
					answers = append(answers, submit(together, b))
				}
				synctest.Wait()
				pending(t, answers...)
				gate.shut.Store(false)
				gate.step()
				require.NoError(t, (<-leader).err)
				write(t, alone, first)
				for i, b := range batches {
					r, err := alone.Commit(t.Context(), b)
					got := <-answers[i]
					require.Equal(t, said(answer{r, err}), said(got), "seed %d: %+v", seed, b)
					if err != nil {
						refused++
					} else if r.Duplicate {
						duplicates++
					}
				}
			}
			require.Greater(t, together.Stats().Commits, together.Stats().Groups, "some shared one")
			require.Equal(t, visible(t, alone), visible(t, together))
			require.Equal(t, sidesOf(alone), sidesOf(together))
			requireChains(t, all(t, together, Region{}))
		}
		require.Positive(t, refused)
		require.Positive(t, duplicates)
	})
}
