package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// powerCuts simulates the power cuts of one sync mode.
type powerCuts struct {
	t      *testing.T
	mode   SyncMode
	mixed  bool // every opening has another mode
	script []crashStep
	seeds  int // random images beside the special ones

	rewrites   bool // the script has segments rewritten
	drops      bool // and dropped
	background bool // segments are made and sealed beside the commits
	large      bool // segments are, so that a part is flushed before it is synced
	from       int  // the first operation of interest: of large ones, that flush
	once       bool // the recovery is not cut
	sample     bool // of each operation, the recovery of one image is cut, another one each time

	cuts, recoveryCuts *atomic.Int64
}

func crashRounds() int {
	if soaking() {
		return 9
	}
	return 3
}

func TestAPowerCutAtAnyOperationLeavesThePromisedPrefix(t *testing.T) {
	const shards = 4
	seeds := 3
	if soaking() {
		seeds = 12
	}
	for _, mode := range []string{"always", "interval", "never", "mixed"} {
		var cuts, recoveryCuts atomic.Int64
		t.Run(mode, func(t *testing.T) {
			for shard := range shards {
				t.Run(fmt.Sprint(shard), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						p := powerCuts{
							t: t, mode: modeNamed(mode), script: crashScript(crashRounds()), seeds: seeds,
							mixed: mode == "mixed", once: mode == "mixed" && !soaking(), sample: !soaking(),
							cuts: &cuts, recoveryCuts: &recoveryCuts,
						}
						ops := p.dryRun()
						for n := 1 + shard; n <= ops; n += shards * thinning {
							p.cutAt(n)
						}
					})
				})
			}
		})
		t.Logf("sync %s: %d power cuts, %d of them during a recovery", mode, cuts.Load()+recoveryCuts.Load(), recoveryCuts.Load())
	}
}

// The order of operations, and so their number, is another in each run here: segments are made and
// sealed beside the commits. What a cache may forget is forgotten.
func TestAPowerCutBesideBackgroundWorkLeavesThePromisedPrefix(t *testing.T) {
	cachesOfOne(t)
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		var cuts, recoveryCuts atomic.Int64
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := powerCuts{
					t: t, mode: mode, script: crashScript(crashRounds()), background: true, once: true,
					cuts: &cuts, recoveryCuts: &recoveryCuts,
				}
				p.cutAll()
			})
			t.Logf("sync %s: %d power cuts", mode, cuts.Load()+recoveryCuts.Load())
		})
	}
}

// The segments that the script fills are rewritten beside it.
func TestAPowerCutWhileSegmentsAreRewrittenLeavesThePromisedPrefix(t *testing.T) {
	rounds := 2
	if soaking() {
		rounds = 8
	}
	for _, background := range []bool{false, true} {
		for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
			if background && mode != SyncAlways && !soaking() {
				continue
			}
			var cuts, recoveryCuts atomic.Int64
			t.Run(fmt.Sprintf("%v/%v", mode, background), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := powerCuts{
						t: t, mode: mode, script: rewritingScript(rounds), background: background,
						once: (background || mode != SyncAlways) && !soaking(), sample: true,
						rewrites: true, seeds: 2, cuts: &cuts, recoveryCuts: &recoveryCuts,
					}
					p.cutAll()
				})
				t.Logf("%d power cuts, %d of them during a recovery", cuts.Load()+recoveryCuts.Load(), recoveryCuts.Load())
			})
		}
	}
}

// Segments are dropped, and what stays of them is merged.
func TestAPowerCutWhileSegmentsAreDroppedLeavesEachThereOrGone(t *testing.T) {
	rounds, seeds := 2, 0
	if soaking() {
		rounds, seeds = 8, 4
	}
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		if mode == SyncInterval && !soaking() {
			continue
		}
		var cuts, recoveryCuts atomic.Int64
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := powerCuts{
					t: t, mode: mode, script: droppingScript(rounds), once: mode != SyncAlways && !soaking(), sample: true,
					drops: true, seeds: seeds, cuts: &cuts, recoveryCuts: &recoveryCuts,
				}
				for n, ops := 1, p.dryRun(); n <= ops; n += thinning {
					p.cutAt(n)
				}
			})
			t.Logf("%d power cuts, %d of them during a recovery", cuts.Load()+recoveryCuts.Load(), recoveryCuts.Load())
		})
	}
}

// Of what no sync has asked for, the disk may have parts, and not what was written before them.
func TestAPowerCutWhereTheDiskHasBegunToWriteLeavesThePromisedPrefix(t *testing.T) {
	for _, mode := range []SyncMode{SyncInterval, SyncNever} {
		var cuts, recoveryCuts atomic.Int64
		synctest.Test(t, func(t *testing.T) {
			p := powerCuts{
				t: t, mode: mode, script: largeScript(), large: true, once: true, cuts: &cuts, recoveryCuts: &recoveryCuts,
			}
			p.cutAll()
		})
		t.Logf("sync %s: %d power cuts", mode, cuts.Load())
	}
}

func modeNamed(name string) SyncMode {
	for _, mode := range []SyncMode{SyncInterval, SyncNever} {
		if mode.String() == name {
			return mode
		}
	}
	return SyncAlways
}

func (p *powerCuts) newRun() *crashRun {
	r := newCrashRun(vfs.NewMemory(), p.mode)
	r.background, r.mixed = p.background, p.mixed
	if p.large {
		r.options.SegmentBytes = 2 * fillPiece
	}
	return r
}

// resumed is a run that continues with another disk, in the mode in which the first one was.
func resumed(o *crashOracle, disk *vfs.Memory) *crashRun {
	return &crashRun{crashOracle: *o, disk: disk, options: Options{Sync: o.mode, SegmentBytes: minSegmentBytes}}
}

// dryRun counts the operations of the script.
func (p *powerCuts) dryRun() int {
	r := p.newRun()
	for i, step := range p.script {
		require.NoError(p.t, step(r), "step %d", i)
	}
	if p.large {
		p.from = 1 + slices.IndexFunc(r.disk.Trace(), func(op string) bool { return strings.HasPrefix(op, "flush ") })
		require.Positive(p.t, p.from)
	} else {
		require.Greater(p.t, len(r.commits), 30)
	}
	if p.rewrites && !p.background { // there Close may come first
		require.Positive(p.t, slices.Max(generations(r.st)), "no segment was rewritten")
	}
	if p.drops {
		require.Greater(p.t, r.dropped, r.st.Head()/2)
		require.Positive(p.t, droppedOf(*r.st.segments.Load()))
	}
	return r.disk.Ops()
}

// cutAll cuts the power at every operation of the script, see thinning.
func (p *powerCuts) cutAll() {
	for n, ops := 1, p.dryRun(); n <= ops; n += thinning {
		if n >= p.from {
			p.cutAt(n)
		}
	}
}

// cutAt runs the script up to operation n and looks at the disks that the next boot may find.
func (p *powerCuts) cutAt(n int) {
	r := p.newRun()
	r.disk.CutAt(n)
	for _, step := range p.script {
		if err := step(r); err != nil {
			require.True(p.t, errors.Is(err, vfs.ErrPowerCut) || errors.Is(err, ErrPoisoned), "operation %d: %v", n, err)
			break
		}
	}
	r.kill()
	if p.background && r.disk.Ops() < n { // this run had fewer
		return
	}
	require.Equal(p.t, n, r.disk.Ops())
	at := fmt.Sprintf("sync %s, cut at operation %d (%s)", r.mode, n, lastOf(r.disk.Trace()))
	for seed := range 4 + uint64(p.seeds) {
		if seed > vfs.KeepFirst {
			seed += uint64(n * p.seeds)
		}
		where := fmt.Sprintf("%s, image %d", at, seed)
		img := powerCutImage(p.t, r.disk, seed)
		again := []uint64{vfs.KeepAll, vfs.KeepLast, uint64(n*p.seeds) + vfs.KeepFirst + 1}
		if p.sample {
			again = again[n%3 : n%3+1]
		}
		if !p.once && slices.Contains(again, seed) {
			p.cutRecovery(&r.crashOracle, img, where)
		}
		p.recover(r.crashOracle.clone(), img, where)
	}
}

func lastOf(trace []string) string { return trace[len(trace)-1] }

// recover opens the disk, compares, continues writing and opens it once more.
func (p *powerCuts) recover(o *crashOracle, disk *vfs.Memory, where string) {
	p.cuts.Add(1)
	r := resumed(o, disk)
	p.check(r, where)
	for i, step := range []crashStep{
		commitOne(crashProposal("order:1", 1, 300)), commitSeveral(7000, 10, 4000, 800), commitWithKey(9000, 100), commitGroup(7001, 40), commitSides(7002),
	} {
		require.NoError(p.t, step(r), "%s: step %d after recovery", where, i)
	}
	if r.mode == SyncAlways {
		r.kill()
		r.disk = powerCutImage(p.t, r.disk, vfs.KeepNothing)
	} else {
		require.NoError(p.t, r.end(), where)
	}
	p.check(r, where+", second opening")
	require.NoError(p.t, r.end(), where)
}

// check opens the disk of r and compares it with the oracle.
func (p *powerCuts) check(r *crashRun, where string) {
	var err error
	r.st, err = open(r.disk, crashDir, r.options, true)
	require.NoError(p.t, err, where)
	k, err := r.verify(r.st, r.floor)
	require.NoError(p.t, err, where)
	require.NoError(p.t, r.verifyHistory(r.st, k), where)
	r.found(k, r.st)
}

// cutRecovery cuts the power a second time, at every operation of the recovery from the first cut.
func (p *powerCuts) cutRecovery(o *crashOracle, disk *vfs.Memory, where string) {
	for m := 1; ; m++ {
		img := disk.Image(vfs.KeepAll)
		img.CutAt(m)
		r := resumed(o, img)
		st, err := open(img, crashDir, r.options, true)
		if err == nil {
			killStore(st)
		}
		if img.Ops() < m {
			require.NoError(p.t, err, where)
			return
		}
		p.recoveryCuts.Add(1)
		seed := uint64(m+len(o.commits)) % 8
		at := fmt.Sprintf("%s, recovery cut at operation %d (%s), image %d", where, m, lastOf(img.Trace()), seed)
		r.disk = powerCutImage(p.t, img, seed)
		p.check(r, at)
		r.kill()
	}
}
