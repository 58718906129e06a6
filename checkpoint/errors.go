package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// States of a checkpoint, for errors.Is. A checkpoint of another history is [store.ErrForeignHistory]; for bytes that
// cannot be read see [ErrCorrupt] and [ErrNewerFormat].
var (
	// ErrNotFound: there is no checkpoint with this id.
	ErrNotFound = errors.New("checkpoint: not found")
	// ErrRegion: the checkpoint was made in another region. See RegionError.
	ErrRegion = errors.New("checkpoint: made in another region")
	// ErrKindsChanged: the reader handles other kinds than the one that made the checkpoint. See KindsError.
	ErrKindsChanged = errors.New("checkpoint: handled kinds changed")
	// ErrAhead: a position that the log has not reached. See AheadError.
	ErrAhead = errors.New("checkpoint: position beyond the head of the log")
	// ErrNotBackwards: a rewind would go forward and skip events. See RewindError.
	ErrNotBackwards = errors.New("checkpoint: rewind goes only backwards")
	// ErrNotForward: a skip would go back. See SkipError.
	ErrNotForward = errors.New("checkpoint: skip goes only forward")
	// ErrRebuild: the new region leaves out what the present one has. See RebuildError.
	ErrRebuild = errors.New("checkpoint: needs a rebuild")
	// ErrKeyVersion: the keys of what is parked or in hand are of another version. See KeyVersionError.
	ErrKeyVersion = errors.New("checkpoint: keys are of another version")
	// ErrFenced: someone else acquired or changed the checkpoint since; this owner may write no more. See FencedError.
	ErrFenced = errors.New("checkpoint: fenced by a newer owner")
)

// RegionError says which two regions do not fit. [Rebind] accepts the new one, and another ID begins anew.
type RegionError struct {
	ID            ID
	Stored, Given string // identities, see [store.Region.Identity]
}

func (e *RegionError) Error() string {
	return fmt.Sprintf("checkpoint %q: made in region (%s), now read in (%s): checkpoint.Widen reads what is new from the beginning, checkpoint.Rebind goes on",
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

// KindsError says how the list of handled kinds changed. Binding.NewKinds says what becomes of that, [Rebind] accepts the new
// list, and another ID begins anew.
type KindsError struct {
	ID             ID
	Added, Removed []string // sorted
	// WasAll says that all kinds of the region were handled before, NowAll that they are now. No list can say what
	// was added or removed then: it is all that the other list does not name.
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
	return fmt.Sprintf("checkpoint %q: %s: say with NewKinds whether the past of new kinds is handled, or accept the change with checkpoint.Rebind", e.ID, change)
}

// Unwrap returns [ErrKindsChanged].
func (e *KindsError) Unwrap() error { return ErrKindsChanged }

// AheadError says how far a position is beyond the log: the log was replaced by a shorter one, or the position is wrong.
type AheadError struct {
	ID             ID // empty for the start of a reader without a checkpoint
	Position, Head store.Position
}

func (e *AheadError) Error() string {
	if e.ID == "" {
		return fmt.Sprintf("checkpoint: start behind %d is beyond the head of the log, %d", e.Position, e.Head)
	}
	return fmt.Sprintf("checkpoint %q: position %d is beyond the head of the log, %d", e.ID, e.Position, e.Head)
}

// Unwrap returns [ErrAhead].
func (e *AheadError) Unwrap() error { return ErrAhead }

// RewindError says that a rewind would have gone forward.
type RewindError struct {
	ID ID
	// Position is how far the log was read, now or before an earlier rewind; To, where it should go, lies after that.
	Position, To store.Position
}

func (e *RewindError) Error() string {
	return fmt.Sprintf("checkpoint %q: has read up to %d, a rewind to %d would skip events", e.ID, e.Position, e.To)
}

// Unwrap returns [ErrNotBackwards].
func (e *RewindError) Unwrap() error { return ErrNotBackwards }

// FencedError says which owner was fenced. What it tried to commit was refused whole, reactions included.
//
// It does not wrap the conflict of the store that gave it away: a lost race is worth another try, this is not.
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

// RebuildError says which part of a region leaves out what the former one has. What was handled cannot be taken back:
// another ID, or [Reset] and [Rebind], begin anew.
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

// KeyVersionError says that events are parked, or in hand of a worker with lanes, under keys of another version: which of
// them must wait for which could not be told any more. Let the former version finish them first.
type KeyVersionError struct {
	ID            ID
	Stored, Given uint32
	Events        int // parked, held and in hand
}

func (e *KeyVersionError) Error() string {
	return fmt.Sprintf("checkpoint %q: %d events are set aside or in hand under keys of version %d, now given is %d",
		e.ID, e.Events, e.Stored, e.Given)
}

// Unwrap returns [ErrKeyVersion].
func (e *KeyVersionError) Unwrap() error { return ErrKeyVersion }
