package cursor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/penstock-io/penstock/store/storetest"
)

// everyCut plays a story as often as it has operations of the disk: the power fails at one of them,
// and again soon after the start that follows. begin returns the story, which is played again after
// each cut until it ends without an error; lanes are those of its worker.
func everyCut(t *testing.T, begin func(lanes int) func(*storetest.Disk) error) {
	t.Helper()
	for cut, done := 1+rand.IntN(thinned), false; !done; cut += thinned {
		disk, story, cuts := storetest.NewDisk(), begin([]int{1, 3}[cut%2]), 0
		disk.CutAt(cut)
		for story(disk) != nil {
			disk = disk.Rebooted(uint64(cut))
			if cuts++; cuts == 1 {
				disk.CutAt(1 + cut%7)
			}
		}
		done = cuts == 0
	}
}
