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
	// ErrAhead: a position that the log has not reached. See AheadError.
	ErrAhead = errors.New("checkpoint: position beyond the head of the log")
	// ErrNotBackwards: a rewind would go forward and skip events. See RewindError.
	ErrNotBackwards = errors.New("checkpoint: rewind goes only backwards")
	// ErrNotForward: a skip would go back. See SkipError.
	ErrNotForward = errors.New("checkpoint: skip goes only forward")
	// ErrRebuild: the new region leaves out what the present one has. See RebuildError.
	ErrRebuild = errors.New("checkpoint: needs a rebuild")
	// ErrKeyVersion: the keys of what is parked or pending are of another version. See
	// KeyVersionError.
	ErrKeyVersion = errors.New("checkpoint: keys are of another version")
	// ErrFenced: another owner acquired or changed the checkpoint since; this one may write no
	// more. See FencedError.
	ErrFenced = errors.New("checkpoint: fenced by a newer owner")
	// ErrExists: the name is taken. See ExistsError.
	ErrExists = errors.New("checkpoint: exists already")
	// ErrRenamed: the checkpoint has another name now. See RenamedError.
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

// ExistsError says that a name cannot be taken.
type ExistsError struct {
	ID ID
	// Now is the name of the checkpoint that has left ID, empty where ID itself exists.
	Now ID
	// Also is the other name of a reader under which a checkpoint exists: an operator knows
	// which of the two it has to resume, and deletes the other.
	Also ID
}

func (e *ExistsError) Error() string {
	switch {
	case e.Now != "":
		return fmt.Sprintf("checkpoint %q: is a former name of %q", e.ID, e.Now)
	case e.Also != "":
		return fmt.Sprintf("checkpoint %q: exists, and its former name %q does too: delete one of them", e.ID, e.Also)
	}
	return fmt.Sprintf("%v: %q", ErrExists, e.ID)
}

// Unwrap returns [ErrExists].
func (e *ExistsError) Unwrap() error { return ErrExists }

// RenamedError says that a reader uses a name that a checkpoint has left. The same reader takes the new
// name, or an operator takes the rename back, as after a deploy that was rolled back; another reader takes
// a name that was never in use.
type RenamedError struct {
	ID  ID
	Now ID // the present name of the checkpoint
}

func (e *RenamedError) Error() string {
	return fmt.Sprintf("checkpoint %q: was renamed to %q, and the former name stays with it", e.ID, e.Now)
}

// Unwrap returns [ErrRenamed].
func (e *RenamedError) Unwrap() error { return ErrRenamed }

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

// RegionError says which two regions do not fit. [Rebind] accepts the new one; another ID starts
// from scratch.
type RegionError struct {
	ID            ID
	Stored, Given string // identities, see [store.Region.Identity]
}

func (e *RegionError) Error() string {
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

// Unwrap returns [ErrRegion].
func (e *RegionError) Unwrap() error { return ErrRegion }

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

// AheadError says how far a position is beyond the log: the log was replaced by a shorter one, or
// the position is wrong.
type AheadError struct {
	ID             ID // empty for the start of a reader without a checkpoint
	Position, Head store.Position
}

func (e *AheadError) Error() string {
	if e.ID == "" {
		return fmt.Sprintf("checkpoint: start after %d is beyond the head of the log, %d", e.Position, e.Head)
	}
	return fmt.Sprintf("checkpoint %q: position %d is beyond the head of the log, %d", e.ID, e.Position, e.Head)
}

// Unwrap returns [ErrAhead].
func (e *AheadError) Unwrap() error { return ErrAhead }

// RewindError says that a rewind would have gone forward.
type RewindError struct {
	ID ID
	// Position is how far the log was read, now or before an earlier rewind; To, where it should
	// go, lies after that.
	Position, To store.Position
}

func (e *RewindError) Error() string {
	return fmt.Sprintf("checkpoint %q: has read up to %d, a rewind to %d would skip events", e.ID, e.Position, e.To)
}

// Unwrap returns [ErrNotBackwards].
func (e *RewindError) Unwrap() error { return ErrNotBackwards }

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

// SkipError says that a skip would have gone back.
type SkipError struct {
	ID ID
	// Position is how far the log was read; To, where it should go, lies before that.
	Position, To store.Position
}

func (e *SkipError) Error() string {
	return fmt.Sprintf("checkpoint %q: has read up to %d, a skip to %d would go back", e.ID, e.Position, e.To)
}

// Unwrap returns [ErrNotForward].
func (e *SkipError) Unwrap() error { return ErrNotForward }

// RebuildError says which part of a region leaves out what the former one has. What was handled
// cannot be taken back: a [Reset] and a [Rebind], or another ID, start from scratch.
type RebuildError struct {
	ID            ID
	Part          string // "entity", "scope", "versions" or "kinds"
	Stored, Given store.Region
}

func (e *RebuildError) Error() string {
	return fmt.Sprintf("checkpoint %q: the %s of the region (%s) leave out something of the former one (%s): it needs a rebuild",
		e.ID, e.Part, e.Given, e.Stored)
}

// Unwrap returns [ErrRebuild].
func (e *RebuildError) Unwrap() error { return ErrRebuild }

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
