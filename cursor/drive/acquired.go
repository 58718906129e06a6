package drive

import (
	"errors"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// tookOver handles that an incarnation has acquired its checkpoint, or could not. With the first
// start a mistake of the program ends the whole tree, and anything else is judged as with every
// later start, once all others are ready: nothing restarts a sibling before.
func (l *leaf) tookOver(u *Update) {
	if l.phase != leafStarting {
		return // it was told to end meanwhile
	}
	switch starts := inFirst(l) && l.round.stage == roundAcquiring; {
	case u.Err == nil:
		l.acquiredWell()
	case starts && l.tree.refuses(u.Err):
		l.tree.problems = append(l.tree.problems, problem(l.node.Path, u.Err))
		l.fate = halted
		l.leave()
		l.round.proceed()
	case l.adding && l.tree.refuses(u.Err) && !storeFailed(u.Err):
		l.problem = problem(l.node.Path, u.Err)
		remove(l)
	case storeFailed(u.Err):
		l.tree.emit(Effect{Kind: Fail, Err: u.Err})
	case starts:
		l.refusal = u
		l.excuse()
	case !l.fresh:
		l.said = true
		refused(l, u)
	}
}

// inFirst reports whether a leaf is part of the first round.
func inFirst(l *leaf) bool { return l.round != nil && l.round.kind == first }

// refuses reports whether nothing runs where a leaf could not acquire its checkpoint for a reason.
func (t *Tree) refuses(err error) bool {
	return t.options.AllOrNothing || mistaken(err) || storeFailed(err)
}

// refused judges that a leaf could not acquire its checkpoint.
func refused(l *leaf, u *Update) {
	l.failed(&Update{Serial: u.Serial, Failure: notAcquired(u.Err), Limit: l.limit})
}

// judgeRefusals judges what kept leaves from the first start. Where nothing runs it is reported
// with the other problems.
func (r *round) judgeRefusals() {
	for _, l := range r.leaves() {
		u := l.refusal
		l.refusal = nil
		switch {
		case u == nil:
		case len(r.tree.problems) > 0:
			r.tree.problems = append(r.tree.problems, problem(l.node.Path, u.Err))
		case l.fate == live && l.phase == leafStarting: // else the failure of another one has ended it
			refused(l, u)
		}
	}
}

// notAcquired is the failure of a leaf that could not acquire its checkpoint. What another try
// cannot change halts it.
func notAcquired(err error) supervision.Failure {
	switch {
	case ofUser(err):
		return supervision.Failure{Err: err}
	case mistaken(err), unfit(err):
		err = supervision.Halt(err)
	}
	return supervision.Failure{Err: err, NoAttempt: scarce(err)}
}

// mistaken reports whether what the program says of a worker does not fit the checkpoint of that
// name, or the log where it has none: only another program, or a change by an operator, mends it.
func mistaken(err error) bool {
	var start *checkpoint.PositionError
	if !ofUser(err) && errors.As(err, &start) && start.ID == "" || unopened(err) {
		return true
	}
	return isOneOf(err, checkpoint.ErrRegion, checkpoint.ErrKindsChanged, checkpoint.ErrKeyVersion,
		checkpoint.ErrRenamed, checkpoint.ErrExists, checkpoint.ErrStateful)
}

// unopened reports whether the worker says itself, as it opens, that it cannot run.
func unopened(err error) bool {
	source, ok := origin(err).(*cursor.RunnerError) //nolint:errorlint // origin has unwrapped what may be
	if !ok || !errors.Is(source.Err, cursor.ErrOpen) {
		return false
	}
	d, directed := supervision.DirectiveOf(source.Reason)
	return directed && d.Action == supervision.ActionHalt
}

// unfit reports whether the checkpoint is not one of this log and owner, or cannot be read.
func unfit(err error) bool {
	return isOneOf(err, checkpoint.ErrFenced, checkpoint.ErrAhead, checkpoint.ErrCorrupt, checkpoint.ErrNewerFormat,
		store.ErrForeignHistory, store.ErrDropped)
}

// isOneOf is errors.Is for any of several targets. What a function of the user said is none.
func isOneOf(err error, targets ...error) bool {
	if ofUser(err) {
		return false
	}
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func (l *leaf) acquiredWell() {
	l.succeeded()
	if l.ran {
		l.tree.emit(Effect{Kind: Note, Note: NoteRestarted, Path: l.node.Path})
	}
	l.ran = true
	l.move(leafAcquired)
	if l.round == nil {
		l.begin()
		return
	}
	l.round.proceed()
}
