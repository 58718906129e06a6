package drive

import (
	"time"
)

// Effect is one thing to be done by whatever runs a tree: a Spawn, Begin, Drain, Abort, Kill,
// Decide, Show, Hang, Note, AllStarted, AllStopped or Fail. Those of one input are carried out in
// order.
type Effect interface{ effect() }

// Cause is why an incarnation is started.
type Cause uint8

// The causes. Only a restart must find the checkpoint as the incarnation before left it; the others
// may take it over from another owner.
const (
	FirstStart Cause = iota
	Restart
	Resumed
)

type (
	// Spawn makes an incarnation of a leaf, which acquires its checkpoint, and reports that.
	// There is none of that leaf now.
	Spawn struct {
		Leaf  int
		Gen   uint64 // of the incarnation: its reports carry it
		Cause Cause
		Later bool // an incarnation before it had its checkpoint
		Limit int  // of the first batch; 0: the worker's own
		// Failing are the positions of the events that failed before and are not done.
		Failing []uint64
	}
	// Begin lets an incarnation handle events.
	Begin struct {
		Leaf int
		Gen  uint64
	}
	// Drain lets an incarnation finish what is in flight, write its position and end. Each ending,
	// this or another one, is reported by [Tree.Gone].
	Drain struct {
		Leaf int
		Gen  uint64
	}
	// Abort ends the contexts of the handlers of an incarnation.
	Abort struct {
		Leaf int
		Gen  uint64
	}
	// Kill ends an incarnation as soon as its handlers have returned.
	Kill struct {
		Leaf int
		Gen  uint64
	}
	// Decide is the answer to a failure after which the incarnation continues.
	Decide struct {
		Leaf int
		Gen  uint64
		Decision
	}
	// Show is a state that the worker comes into, unless its present one may not become it.
	Show struct {
		Leaf    int
		State   State
		Reason  error
		Attempt int
		Stack   []byte
	}
	// Hang says that a handler does not return. The worker is halted for that, if it is not yet.
	Hang struct {
		Leaf int
		Gen  uint64
	}
	// Note is for the log.
	Note struct {
		Kind    NoteKind
		Path    string
		Err     error
		Attempt int
		Delay   time.Duration
		Limit   int
		Stack   []byte
	}
	// AllStarted says that all leaves have acquired their checkpoints and wait for [Tree.Begin]; or
	// what kept some from it, and then the tree is to be stopped.
	AllStarted struct{ Problems []Problem }
	// Fail says that the system has to be stopped for a reason that no restart cures.
	Fail struct{ Err error }
	// AllStopped says that no leaf has an incarnation, and none will have.
	AllStopped struct{}
)

func (Spawn) effect()      {}
func (Begin) effect()      {}
func (Drain) effect()      {}
func (Abort) effect()      {}
func (Kill) effect()       {}
func (Decide) effect()     {}
func (Show) effect()       {}
func (Hang) effect()       {}
func (Note) effect()       {}
func (AllStarted) effect() {}
func (Fail) effect()       {}
func (AllStopped) effect() {}

// NoteKind is what a [Note] is about.
type NoteKind uint8

// The kinds of notes. Of the first six the fields Err, Attempt, Delay and Stack are those of a
// verdict.
const (
	NoteRetry NoteKind = iota
	NotePark
	NoteSkip
	NoteRestart
	NoteHalt
	NoteEscalate
	NoteRestarted // the incarnation after a failure has acquired its checkpoint
	NoteEnded     // the handler said so
	NoteHalved    // a batch panicked as a whole; the next one is limited to half of it
	NoteCrashed   // the actor panicked outside of a handler
	NoteBeyondTop // a failure escalated beyond the top group, and all workers halt
)
