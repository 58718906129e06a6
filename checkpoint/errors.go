package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// States of a checkpoint, for errors.Is. Where a caller may act on evidence, a typed error has it:
// [MismatchError] or [PositionError]. A checkpoint of another log is [store.ErrForeignHistory]; for
// bytes that cannot be read see [ErrCorrupt] and [ErrNewerFormat], and for an id or another field
// that breaks a rule [store.InvalidError].
var (
	// ErrNotFound: there is no checkpoint with this id.
	ErrNotFound = errors.New("checkpoint: not found")
	// ErrRunning: the change needs the worker to be stopped first.
	ErrRunning = errors.New("checkpoint: not while its worker runs")
	// ErrRegion: the checkpoint was made in another region. See MismatchError.
	ErrRegion = errors.New("checkpoint: made in another region")
	// ErrKindsChanged: the reader handles other kinds than the one that made the checkpoint. See
	// MismatchError.
	ErrKindsChanged = errors.New("checkpoint: handled kinds changed")
	// ErrKeyVersion: the keys of what is parked or pending are of another version. See
	// MismatchError.
	ErrKeyVersion = errors.New("checkpoint: keys are of another version")
	// ErrRebuild: the new region leaves out what the present one has. See MismatchError.
	ErrRebuild = errors.New("checkpoint: needs a rebuild")
	// ErrAhead: a position that the log has not reached. See PositionError.
	ErrAhead = errors.New("checkpoint: position beyond the head of the log")
	// ErrNotBackwards: a rewind would go forward and skip events. See PositionError.
	ErrNotBackwards = errors.New("checkpoint: rewind goes only backwards")
	// ErrNotForward: a skip would go back. See PositionError.
	ErrNotForward = errors.New("checkpoint: skip goes only forward")
	// ErrFenced: another owner acquired or changed the checkpoint since; this one may write no more.
	// What it tried to commit was refused whole, reactions included.
	//
	// It does not wrap the conflict of the store that showed it: a lost race is worth another try,
	// this is not.
	ErrFenced = errors.New("checkpoint: fenced by a newer owner")
	// ErrExists: the name is taken, or more than one of the names of a reader is: an operator knows
	// which of them it has to resume, and deletes the others.
	ErrExists = errors.New("checkpoint: exists already")
	// ErrRenamed: the checkpoint has another name now, which the text of the error says. Its reader
	// takes that name, or an operator takes the rename back, as after a deploy that was rolled back;
	// another reader takes a name that was never in use.
	ErrRenamed = errors.New("checkpoint: renamed")
	// ErrExternal: the reader keeps its position elsewhere, and would take no notice of a change of
	// the copy here.
	ErrExternal = errors.New("checkpoint: its reader keeps its position elsewhere: move it there")
	// ErrStateful: the change would move the checkpoint away from the side values that are the state
	// of its reader.
	ErrStateful = errors.New("checkpoint: its reader keeps state beside it")
)

// stateError is a state in the words of one case: those of people. A caller acts on the state
// alone.
type stateError struct {
	state error
	text  string
}

func (e *stateError) Error() string { return e.text }
func (e *stateError) Unwrap() error { return e.state }

// refuse makes the error of a state that one checkpoint is in.
func refuse(id ID, state error, format string, args ...any) error {
	return &stateError{state: state, text: fmt.Sprintf("checkpoint %q: ", id) + fmt.Sprintf(format, args...)}
}

// MismatchError says what of a checkpoint does not fit its reader, the change that is asked for, or
// the log. It is never moved, and never restarted, for that: the text of the error says what a
// caller can do.
type MismatchError struct {
	// Err says what does not fit:
	//
	//   - [ErrRegion]: the region. A [Rebind] accepts the new one.
	//   - [ErrKindsChanged]: the list of handled kinds. Binding.NewKinds says how that is treated; a
	//     [Rebind] accepts the new list.
	//   - [ErrKeyVersion]: the version of the keys. Events are parked, or pending in a worker with
	//     lanes, under keys of another version: which of them must wait for which would not be
	//     known. Let the former version finish them first.
	//   - [ErrRebuild]: the region of a [Widen] leaves something out, and what was handled cannot be
	//     taken back. A [Reset] and a [Rebind] start from scratch.
	//   - [store.ErrForeignHistory]: the log. The checkpoint was made in another one, and carried
	//     here.
	//
	// Another ID starts from scratch in each case.
	Err error
	ID  ID
	// Stored is what the checkpoint was made with, and Given what it meets now, as people read it: a
	// region, a list of kinds ("" for all of the region), a version, the origin of a log.
	Stored, Given string
	// Added and Removed are of ErrKindsChanged, each sorted. From or to all kinds no list can say
	// what was added or removed: then it has those that the other list names.
	Added, Removed []string
	// Part is of ErrRebuild, what leaves something out: "entity", "scope", "versions" or "kinds".
	Part string
	// Events is of ErrKeyVersion: how many are parked and pending.
	Events int
}

func (e *MismatchError) Error() string { return fmt.Sprintf("checkpoint %q: %s", e.ID, e.what()) }

func (e *MismatchError) what() string {
	switch {
	case errors.Is(e.Err, ErrRegion):
		return fmt.Sprintf("made in region (%s), now read in (%s): "+
			"checkpoint.Widen reads what is new from the beginning, checkpoint.Rebind continues at the present position",
			e.Stored, e.Given)
	case errors.Is(e.Err, ErrKindsChanged):
		return e.kinds() + ": set NewKinds to choose whether events of added kinds that were passed are handled, " +
			"or accept the change with checkpoint.Rebind"
	case errors.Is(e.Err, ErrKeyVersion):
		return fmt.Sprintf("%d events are parked or pending under keys of version %s, the reader has version %s",
			e.Events, e.Stored, e.Given)
	case errors.Is(e.Err, ErrRebuild):
		return fmt.Sprintf("the %s of the region (%s) leave out something of the former one (%s): it needs a rebuild",
			e.Part, e.Given, e.Stored)
	}
	return fmt.Sprintf("made in history %s, this is %s: %v", e.Stored, e.Given, e.Err)
}

func (e *MismatchError) kinds() string {
	added, removed := strings.Join(e.Added, ", "), strings.Join(e.Removed, ", ")
	switch {
	case e.Stored == "":
		return "handled all kinds, now only " + added
	case e.Given == "":
		return "handled only " + removed + ", now all kinds"
	}
	return fmt.Sprintf("handled kinds changed, added [%s], removed [%s]", added, removed)
}

// Unwrap returns e.Err.
func (e *MismatchError) Unwrap() error { return e.Err }

// describe makes the identity of a region readable.
func describe(identity string) string {
	if r, ok := store.RegionOf(identity); ok {
		return r.String()
	}
	return strconv.Quote(identity)
}

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
