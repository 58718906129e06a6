package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestRandomDamageIsRefusedOrLeavesEveryReadableEventRight(t *testing.T) {
	var disks []*vfs.Memory
	var oracles []*crashOracle
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		disk, o := writtenDisk(t, mode, 2)
		disks, oracles = append(disks, disk), append(oracles, o)
		disk, o = smallDisk(t, mode, mode == SyncAlways)
		disks, oracles = append(disks, disk), append(oracles, o)
	}
	rounds := 10 / thinning
	if soaking() {
		rounds = 1000
	}
	for range rounds {
		rapid.Check(t, func(t *rapid.T) { damageAndOpen(t, disks, oracles) })
	}
}

func damageAndOpen(t *rapid.T, disks []*vfs.Memory, oracles []*crashOracle) {
	which := rapid.IntRange(0, len(disks)-1).Draw(t, "disk")
	disk, o := disks[which].Image(vfs.KeepAll), oracles[which]
	names, err := disk.List(crashDir)
	require.NoError(t, err)
	for range rapid.IntRange(1, 6).Draw(t, "damages") {
		disk = damageAtRandom(t, disk, crashDir+"/"+rapid.SampledFrom(names).Draw(t, "file"))
	}
	st, err := tryOpen(disk, o.mode)
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		return
	}
	requireNothingWrong(t, st, o)
	require.NoError(t, st.Close())
}

// damageAtRandom flips bytes of a file, cuts it, or overwrites a range.
func damageAtRandom(t *rapid.T, disk *vfs.Memory, name string) *vfs.Memory {
	data := disk.Bytes(name)
	if len(data) == 0 {
		return disk
	}
	used := len(data)
	for used > 1 && data[used-1] == 0 {
		used-- // what is filled ahead is less interesting
	}
	at := rapid.IntRange(0, min(len(data), used+64)-1).Draw(t, "at")
	switch rapid.IntRange(0, 4).Draw(t, "damage") {
	case 0:
		data = data[:at]
	case 1:
		end := min(len(data), at+rapid.IntRange(1, 600).Draw(t, "length"))
		clear(data[at:end])
	case 2:
		end := min(len(data), at+rapid.IntRange(1, 600).Draw(t, "length"))
		rng := rand.New(rand.NewPCG(uint64(at), uint64(end)))
		for i := at; i < end; i++ {
			data[i] = byte(rng.Uint32())
		}
	default:
		data[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "xor"))
	}
	return replaced(t, disk, name, data)
}

// requireNothingWrong reads all that can be read: it is what was written, or a typed error.
func requireNothingWrong(t require.TestingT, st *Store, o *crashOracle) {
	if o.history.Store != st.Origin().Store { // nothing was left, a new store was made
		require.Zero(t, st.Head())
		return
	}
	whole := o.replay(len(o.commits))
	require.LessOrEqual(t, int(st.Head()), len(whole.events))
	for p := Position(1); p <= st.Head(); p++ {
		e, err := st.GetAt(context.Background(), p)
		if err == nil {
			err = compareEvent(&e, p, &whole.events[p-1])
			require.NoError(t, err)
		}
		require.True(t, err == nil || errors.Is(err, ErrCorrupt), "position %d: %v", p, err)
	}
	for _, region := range []Region{{}, {Entity: "order"}, {Kinds: []string{"order.k1"}}} {
		for e, err := range st.Read(context.Background(), region, Beginning()) {
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				break
			}
			require.NoError(t, compareEvent(&e, e.Position, &whole.events[e.Position-1]))
		}
	}
	k := survivors(st)
	require.LessOrEqual(t, k, len(o.commits))
	want := o.replay(k)
	if err := o.verifySides(st, &want); err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
	}
}
