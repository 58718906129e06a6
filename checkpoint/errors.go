package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// States of a checkpoint, for errors.Is. Each but the first two comes with a typed error that has
// the evidence. A checkpoint of another log is [store.ErrForeignHistory], see OriginError; for
// bytes that cannot be read see [ErrCorrupt] and [ErrNewerFormat].
var (
	// ErrNotFound: there is no checkpoint with this id.
	ErrNotFound = errors.New("checkpoint: not found")
	// ErrRunning: the change needs the worker to be stopped first.
	ErrRunning = errors.New("checkpoint: not while its worker runs")
	// ErrRegion: the checkpoint was made in another region. See RegionError.
	ErrRegion = errors.New("checkpoint: made in another region")
	// ErrKindsChanged: the reader handles other kinds than the one that made the checkpoint. See
	// KindsError.
	ErrKindsChanged = errors.New("checkpoint: handled kinds changed")
	// ErrAhead: a position that the log has not reached. See PositionError.
	ErrAhead = errors.New("checkpoint: position beyond the head of the log")
	// ErrNotBackwards: a rewind would go forward and skip events. See PositionError.
	ErrNotBackwards = errors.New("checkpoint: rewind goes only backwards")
	// ErrNotForward: a skip would go back. See PositionError.
	ErrNotForward = errors.New("checkpoint: skip goes only forward")
	// ErrRebuild: the new region leaves out what the present one has. See RegionError.
	ErrRebuild = errors.New("checkpoint: needs a rebuild")
	// ErrKeyVersion: the keys of what is parked or pending are of another version. See
	// KeyVersionError.
	ErrKeyVersion = errors.New("checkpoint: keys are of another version")
	// ErrFenced: another owner acquired or changed the checkpoint since; this one may write no
	// more. See FencedError.
	ErrFenced = errors.New("checkpoint: fenced by a newer owner")
	// ErrExists: the name is taken. See NameError.
	ErrExists = errors.New("checkpoint: exists already")
	// ErrRenamed: the checkpoint has another name now. See NameError.
	ErrRenamed = errors.New("checkpoint: renamed")
	// ErrStateful: the checkpoint cannot be moved without the state of its reader. See
	// StatefulError.
	ErrStateful = errors.New("checkpoint: its reader keeps state beside it")
)

// OriginError says that a checkpoint was made in another log than the one it is read with, and
// carried here.
type OriginError struct {
	ID              ID
	Stored, Present store.Origin
}

func (e *OriginError) Error() string {
	return fmt.Sprintf("checkpoint %q: made in history %s, this is %s: %v", e.ID, e.Stored, e.Present, store.ErrForeignHistory)
}

// Unwrap returns [store.ErrForeignHistory].
func (e *OriginError) Unwrap() error { return store.ErrForeignHistory }

// NameError says that a name is taken, or was left: of a checkpoint that was renamed. The reader of
// that takes the new name, or an operator takes the rename back, as after a deploy that was rolled
// back; another reader takes a name that was never in use.
type NameError struct {
	Err error // ErrExists or ErrRenamed
	ID  ID
	// Now is the name of the checkpoint that has left ID, empty where ID itself exists.
	Now ID
	// Also is the other name of a reader under which a checkpoint exists: an operator knows
	// which of the two it has to resume, and deletes the other.
	Also ID
}

func (e *NameError) Error() string {
	switch {
	case e.Err == ErrRenamed: //nolint:errorlint // the sentinel itself
		return fmt.Sprintf("checkpoint %q: was renamed to %q, and the former name stays with it", e.ID, e.Now)
	case e.Now != "":
		return fmt.Sprintf("checkpoint %q: is a former name of %q", e.ID, e.Now)
	case e.Also != "":
		return fmt.Sprintf("checkpoint %q: exists, and its former name %q does too: delete one of them", e.ID, e.Also)
	}
	return fmt.Sprintf("%v: %q", e.Err, e.ID)
}

// Unwrap returns [ErrExists] or [ErrRenamed].
func (e *NameError) Unwrap() error { return e.Err }

// StatefulError says that a change would move a checkpoint away from the side values that are the
// state of its reader.
type StatefulError struct {
	ID     ID
	Change Change
}

func (e *StatefulError) Error() string {
	return fmt.Sprintf("checkpoint %q: %s: its reader keeps state beside the checkpoint, which does not move along", e.ID, e.Change)
}

// Unwrap returns [ErrStateful].
func (e *StatefulError) Unwrap() error { return ErrStateful }

// RegionError says which two regions do not fit. After [ErrRegion] a [Rebind] accepts the new one,
// and another ID starts from scratch. After [ErrRebuild] it leaves out something of the stored one,
// and what was handled cannot be taken back: a [Reset] and a [Rebind], or another ID, start from
// scratch.
type RegionError struct {
	Err           error // ErrRegion or ErrRebuild
	ID            ID
	Part          string // of ErrRebuild, what is left out: "entity", "scope", "versions" or "kinds"
	Stored, Given string // identities, see [store.Region.Identity]
}

func (e *RegionError) Error() string {
	if e.Part != "" {
		return fmt.Sprintf("checkpoint %q: the %s of the region (%s) leave out something of the former one (%s): it needs a rebuild",
			e.ID, e.Part, describe(e.Given), describe(e.Stored))
	}
	return fmt.Sprintf("checkpoint %q: made in region (%s), now read in (%s): "+
		"checkpoint.Widen reads what is new from the beginning, checkpoint.Rebind continues at the present position",
		e.ID, describe(e.Stored), describe(e.Given))
}

// describe makes the identity of a region readable.
func describe(identity string) string {
	if r, ok := store.RegionOf(identity); ok {
		return r.String()
	}
	return strconv.Quote(identity)
}

// Unwrap returns [ErrRegion] or [ErrRebuild].
func (e *RegionError) Unwrap() error { return e.Err }

// KindsError says how the list of handled kinds changed. Binding.NewKinds says how that is treated,
// [Rebind] accepts the new list, and another ID starts from scratch.
type KindsError struct {
	ID             ID
	Added, Removed []string // sorted
	// WasAll says that all kinds of the region were handled before, NowAll that they are now. No
	// list can say what was added or removed then: it is all that the other list does not name.
	WasAll, NowAll bool
}

func (e *KindsError) Error() string {
	added, removed := strings.Join(e.Added, ", "), strings.Join(e.Removed, ", ")
	change := fmt.Sprintf("handled kinds changed, added [%s], removed [%s]", added, removed)
	switch {
	case e.WasAll:
		change = "handled all kinds, now only " + added
	case e.NowAll:
		change = "handled only " + removed + ", now all kinds"
	}
	return fmt.Sprintf("checkpoint %q: %s: say with NewKinds whether the past of new kinds is handled, "+
		"or accept the change with checkpoint.Rebind", e.ID, change)
}

// Unwrap returns [ErrKindsChanged].
func (e *KindsError) Unwrap() error { return ErrKindsChanged }

// PositionError says that a reader cannot go where it should: beyond the log, which was replaced by
// a shorter one unless the position is wrong, or in the wrong direction.
type PositionError struct {
	Err      error          // ErrAhead, ErrNotBackwards or ErrNotForward
	ID       ID             // empty for the start of a reader without a checkpoint
	Position store.Position // that is refused
	// Bound is the head of the log with ErrAhead; else how far the log was read, for a rewind also
	// before an earlier one.
	Bound store.Position
}

func (e *PositionError) Error() string {
	switch {
	case e.Err == ErrNotBackwards: //nolint:errorlint // the sentinel itself, as below
		return fmt.Sprintf("checkpoint %q: has read up to %d, a rewind to %d would skip events", e.ID, e.Bound, e.Position)
	case e.Err == ErrNotForward: //nolint:errorlint // see above
		return fmt.Sprintf("checkpoint %q: has read up to %d, a skip to %d would go back", e.ID, e.Bound, e.Position)
	case e.ID == "":
		return fmt.Sprintf("checkpoint: start after %d is beyond the head of the log, %d", e.Position, e.Bound)
	}
	return fmt.Sprintf("checkpoint %q: position %d is beyond the head of the log, %d", e.ID, e.Position, e.Bound)
}

// Unwrap returns [ErrAhead], [ErrNotBackwards] or [ErrNotForward].
func (e *PositionError) Unwrap() error { return e.Err }

// FencedError says which owner was fenced. What it tried to commit was refused whole, reactions
// included.
//
// It does not wrap the conflict of the store that showed it: a lost race is worth another try, this
// is not.
type FencedError struct {
	ID    ID
	Epoch uint64 // of the owner that was refused
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("checkpoint %q: owner of epoch %d is fenced by a newer one", e.ID, e.Epoch)
}

// Unwrap returns [ErrFenced].
func (e *FencedError) Unwrap() error { return ErrFenced }

// KeyVersionError says that events are parked, or pending in a worker with lanes, under keys of
// another version: which of them must wait for which would not be known. Let the former version
// finish them first.
type KeyVersionError struct {
	ID            ID
	Stored, Given uint32
	Events        int // parked and pending
}

func (e *KeyVersionError) Error() string {
	return fmt.Sprintf("checkpoint %q: %d events are parked or pending under keys of version %d, the reader has version %d",
		e.ID, e.Events, e.Stored, e.Given)
}

// Unwrap returns [ErrKeyVersion].
func (e *KeyVersionError) Unwrap() error { return ErrKeyVersion }
