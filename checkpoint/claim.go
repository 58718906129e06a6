package checkpoint

import "github.com/penstock-io/penstock/store"

// Claim returns a lease whose first commit takes the checkpoint over, with an epoch of its own: it
// writes nothing before, and fences no owner. It is for a single commit, which changes something
// beside the checkpoint of a reader that this program does not run, whatever that reads and
// handles. Where the checkpoint was changed in between, that commit is refused with [ErrFenced],
// and the caller claims it and looks at everything once more.
//
// Errors: [ErrNotFound], [ErrCorrupt], [ErrNewerFormat], and a [MismatchError] with
// [store.ErrForeignHistory] for a checkpoint of another log.
func Claim(st *store.Store, id ID) (*Lease, error) {
	info, err := look(st, id)
	if err == nil {
		info.Pass, err = passOf(st, id)
	}
	if err == nil {
		err = checkHistory(id, info.Record, st.Origin())
	}
	if err != nil {
		return nil, err
	}
	info.Record.Epoch++
	return &Lease{id: id, record: info.Record, revision: info.Revision, pass: special(info.Pass), unclean: !info.Record.Clean}, nil
}
