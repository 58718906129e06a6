package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

const crashDir = "data"

// soaking reports whether the long form of the crash tests was requested.
func soaking() bool { return os.Getenv("PENSTOCK_SOAK") == "1" }

// crashRun drives one store through a script.
type crashRun struct {
	crashOracle

	disk       *vfs.Memory
	through    vfs.FS // how the store uses the disk, nil for directly
	options    Options
	background bool // work beside the commits is done beside them, in no certain order
	st         *Store
}

func newCrashRun(disk *vfs.Memory, mode SyncMode) *crashRun {
	return &crashRun{disk: disk, crashOracle: crashOracle{mode: mode}, options: Options{Sync: mode, SegmentBytes: minSegmentBytes}}
}

// open opens the store and compares it with what the oracle knows; nothing but a power cut may have
// taken anything.
func (r *crashRun) open() error {
	if r.mixed {
		r.options.Sync = (r.mode + 1) % (SyncNever + 1)
	}
	var fsys vfs.FS = r.disk
	if r.through != nil {
		fsys = r.through
	}
	st, err := open(fsys, crashDir, r.options, !r.background)
	if err != nil {
		return err
	}
	r.st, r.mode = st, r.options.Sync
	got := survivors(st)
	if got < r.acked() || got > len(r.commits) {
		return fmt.Errorf("reopened with %d commits, acknowledged are %d", got, r.acked())
	}
	r.found(got, st)
	return nil
}

// kill ends the store as the death of the process does: nothing is written, files and locks are
// gone.
func (r *crashRun) kill() {
	if r.st != nil {
		killStore(r.st)
		r.st = nil
	}
}

func killStore(st *Store) {
	if st.closed.Load() {
		return
	}
	st.fences.close()
	st.committer.close() // stops the clock of lazy commits
	st.release()
}

// submit commits b, every other time without waiting for it, and records the outcome.
func (r *crashRun) submit(b Batch) error {
	r.groups++
	if r.groups%2 == 0 {
		got := <-submit(r.st, b)
		return r.book(b, got.receipt, got.err)
	}
	receipt, err := r.st.Commit(context.Background(), b)
	return r.book(b, receipt, err)
}

// submitGroup commits batches as callers that wait at the same time do: in one write.
func (r *crashRun) submitGroup(batches ...Batch) error {
	ops := make([]*request, len(batches))
	for i := range batches {
		ops[i] = newRequest()
		if err := ops[i].encode(&batches[i], new(emitterTable)); err != nil {
			return err
		}
	}
	r.groups++
	r.st.committer.writer.commit(ops)
	var failed error
	for i, o := range ops {
		failed = errors.Join(failed, r.book(batches[i], o.receipt, o.err))
	}
	return failed
}

func (r *crashRun) book(b Batch, receipt Receipt, err error) error {
	number := r.leaps + uint64(len(r.commits)) + 1
	c := submitted{batch: b, acked: err == nil, receipt: receipt, group: r.groups, number: number}
	if err == nil || errors.Is(err, ErrOutcomeUnknown) {
		r.commits = append(r.commits, c)
	}
	if err != nil {
		return err
	}
	if receipt.Sequence <= r.highest {
		return fmt.Errorf("sequence %d again, after %d", receipt.Sequence, r.highest)
	}
	r.history, r.highest = receipt.Origin, receipt.Sequence
	if r.mode == SyncAlways && (!b.Lazy || len(b.Events) > 0) {
		r.floor = len(r.commits)
	}
	if receipt.Duplicate || receipt.Sequence != number || len(receipt.Events) != len(b.Events) {
		return fmt.Errorf("unexpected receipt %+v", receipt)
	}
	return nil
}

// refused commits b, which must be answered with target and leave no trace.
func (r *crashRun) refused(b Batch, target error) error {
	_, err := r.st.Commit(context.Background(), b)
	if errors.Is(err, target) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("accepted, although: %w", target)
	}
	return err
}

// rebooted is the disk of a machine that was started again: its status file speaks of an earlier
// boot.
func rebooted(t require.TestingT, disk *vfs.Memory) *vfs.Memory {
	file, err := disk.Open(crashDir+"/"+beaconName, false)
	if err != nil {
		return disk
	}
	defer file.Close()
	var b [beaconSize]byte
	var s beacon
	if n, _ := file.ReadAt(b[:], 0); n < beaconSize || !s.decode(b[:]) {
		return disk
	}
	s.boot = uuid.UUID{1}
	s.encode(&b)
	_, err = file.WriteAt(b[:], 0)
	require.NoError(t, err)
	return disk.Image(vfs.KeepAll)
}

// powerCutImage is a disk as the next boot may find it.
func powerCutImage(t require.TestingT, disk *vfs.Memory, seed uint64) *vfs.Memory {
	return rebooted(t, disk.Image(seed))
}

// payload returns n bytes that are different for each i.
func crashPayload(i, n int) Raw {
	data := bytes.Repeat([]byte{byte('a' + i%26), byte(i >> 8), byte(i)}, n/3+1)
	return Raw{Type: fmt.Sprintf("order.k%d", i%3), Codec: "raw", Data: data[:n]}
}

// proposal is an event with a payload of n bytes.
func crashProposal(entity string, i, n int) Proposal {
	return Proposal{At: At(entity, "shop"), Payload: crashPayload(i, n)}
}

// mustOpen opens a store that must open.
func mustOpen(t *testing.T, disk *vfs.Memory, mode SyncMode) *Store {
	t.Helper()
	st, err := open(disk, crashDir, Options{Sync: mode, SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	return st
}
