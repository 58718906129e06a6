package drive

// Effect is one thing to be done by whatever runs a tree. Those of one input are carried out in
// order. Each field says for which kinds it is; for all others it is zero.
type Effect struct {
	Kind EffectKind
	// Leaf is the worker that it is about, and Gen the incarnation, whose reports carry it. [Note],
	// [AllStarted], [AllStopped] and [Fail] have neither, [Show] has no Gen.
	Leaf int
	Gen  uint64

	Cause Cause // of Spawn
	Later bool  // of Spawn: an incarnation before it had its checkpoint
	Limit int   // of Spawn: of the first batch, 0 for the worker's own; of NoteHalved: of the next one
	// Failing are, of Spawn, the events that failed before and are not done.
	Failing []Failing

	Decision Decision // of Decide, and of NoteVerdict

	State   State // of Show
	Attempt int   // of Show

	Note NoteKind // of Note
	Path string   // of Note: of the worker or group that it is about

	Err   error  // of Show, Note and Fail: the reason; of AllStarted and Added: what went wrong
	Stack []byte // of Show and Note, where there is one
}

// EffectKind says what an [Effect] orders.
type EffectKind uint8

// What a tree orders.
const (
	// Spawn makes an incarnation of a leaf, which acquires its checkpoint, and reports that. There
	// is none of that leaf now.
	Spawn EffectKind = iota
	// Begin lets an incarnation handle events.
	Begin
	// Drain lets an incarnation finish what is in flight, write its position and end. Each ending,
	// this or another one, is reported by [Tree.Gone].
	Drain
	// Abort ends the contexts of the handlers of an incarnation.
	Abort
	// Decide is the answer to a failure after which the incarnation continues.
	Decide
	// Show is a state that the worker comes into, unless its present one may not become it.
	Show
	// Hang says that a handler does not return. The worker is halted for that, if it is not yet.
	Hang
	// Note is for the log.
	Note
	// AllStarted says that all leaves have acquired their checkpoints, or were shown to be halted or
	// retrying, and wait for [Tree.Begin]; or what problems there are, and then the tree is to be
	// stopped.
	AllStarted
	// Fail says that the system has to be stopped for a reason that no restart cures.
	Fail
	// Added says that a leaf that was added has acquired its checkpoint, or was shown to be halted or
	// retrying; or why not, and then it is removed again.
	Added
	// Removed says that a leaf is no part of the tree any more. It has no incarnation.
	Removed
	// AllStopped says that no leaf has an incarnation, and none will have.
	AllStopped
)

// Cause is why an incarnation is started.
type Cause uint8

// The causes. Only a restart must find the checkpoint as the incarnation before left it; the others
// may take it over from another owner.
const (
	FirstStart Cause = iota
	Restart
	Resumed
)

// NoteKind is what a [Note] is about.
type NoteKind uint8

// The kinds of notes.
const (
	NoteVerdict   NoteKind = iota // Effect.Decision is what was decided about a failure
	NoteGivesUp                   // likewise, of an event that is given up in place of that
	NoteRestarted                 // the incarnation after a failure has acquired its checkpoint
	NoteEnded                     // the handler said so
	NoteHalved                    // a batch panicked as a whole; the next one is limited to half of it
	NoteCrashed                   // the actor panicked outside of a handler
	NoteBeyondTop                 // a failure escalated beyond the top group, and all workers halt
	NoteFull                      // there is no room to park: nothing new is read
	NoteOutage                    // it begins, and Effect.Err says of what
	NoteOutageOver
)
