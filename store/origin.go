package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Origin names a store, and its incarnation: how often acknowledged events were lost, or may have
// been, in a power cut in a weak sync mode or because a copy was put in the place of the log, and
// how often it was restored ([Restore]). The incarnation is for people. Nothing decides by it: a
// copy that is a prefix of the log may count one more, and one that has lost its end as many. What
// decides is an [Anchor].
type Origin struct {
	Store       uuid.UUID
	Incarnation uint32
}

// String returns "store/incarnation".
func (o Origin) String() string { return fmt.Sprintf("%s/%d", o.Store, o.Incarnation) }

// Origin returns the name of the store, and its incarnation as it was when the store was opened.
func (s *Store) Origin() Origin { return s.origin }

// Anchor ties what is kept outside of a store (a row of a database, a file, a token, a receipt) to
// the log that it speaks of: it names the highest position that the thing says anything about, and
// the event there. No id is minted twice, so a log that has this event there has the same past up
// to it, whatever was copied, moved or restored in between. One that has another event there, or
// none, has another past, and its positions mean nothing to the thing that carries the anchor.
//
// Two logs with the same events may still show others of them: a copy that was made while a [Fence]
// was open hides what the log has published since. So an anchor names what is hidden, too.
//
// Keep all four fields beside what they are about, written together with it, and pass them to
// [Store.CheckAnchor] before the first use in each life of the process.
type Anchor struct {
	Store    uuid.UUID
	Position Position
	Event    uuid.UUID // uuid.Nil at position 0, which every log of the store has

	// Hidden stands for the positions up to this one that cancelled fences hide: "0" for none, else
	// their number and a digest of them, in at most [MaxHiddenBytes] printable ASCII characters. ""
	// where that is not known, and not compared: at position 0, in what was kept by an older version,
	// and in the anchor of a receipt, which is made while fences may still be open.
	Hidden string
}

// MaxHiddenBytes is the most that Anchor.Hidden has.
const MaxHiddenBytes = 40

// AnchorAt returns the anchor of a position up to the head: [ErrNotFound] for one after it. What a
// cancelled fence hides has an anchor like all else, and so has the last event that retention has
// dropped; those before it are [ErrDropped]. It reads one event, none for 0.
func (s *Store) AnchorAt(ctx context.Context, p Position) (Anchor, error) {
	a := Anchor{Store: s.origin.Store, Position: p}
	if p == 0 {
		return a, nil
	}
	if err := s.readable(ctx); err != nil {
		return Anchor{}, err
	}
	if p > s.Head() {
		return Anchor{}, fmt.Errorf("position %d: %w", p, ErrNotFound)
	}
	id, err := s.idAt(p)
	if err != nil {
		return Anchor{}, s.readError(err)
	}
	a.Event, a.Hidden = id, s.hiddenUpTo(p)
	return a, nil
}

// CheckAnchor returns nil if the log has the event of the anchor at its position and hides the same
// events up to there, and [ErrForeignHistory], with the reason, if the store is another, or the
// event there, or what is hidden, or if there is no event: the position lies after the last one
// that was assigned. It reads one event. Other errors say nothing of the anchor: damage,
// [ErrClosed], the end of ctx; and [ErrDropped] for a position before the last one that retention
// has dropped, as there is no event there any more: a reader that stopped there misses events that
// are gone.
//
// An event that is not visible counts like any other: it waits for a fence, or was cancelled. That
// the past up to it is common is all that an anchor says; for the event itself there is
// [Store.WaitVisible]. Only where the anchor says what is hidden, and here a fence is open before
// its position, CheckAnchor waits until that has ended: 30 s at most.
//
// A store that follows a writer may lie behind what that has written. So it waits, looking every 20
// ms, until it gets to the position, the writer has closed the store, or ctx ends. So does one that
// may not show all that a dead writer left, see [Options].ReadOnly.
func (s *Store) CheckAnchor(ctx context.Context, a Anchor) error {
	if a.Store != s.origin.Store {
		return fmt.Errorf("%w: it is of store %s, this is %s", ErrForeignHistory, a.Store, s.origin.Store)
	}
	if a.Position == 0 {
		return nil
	}
	if a.Event == uuid.Nil {
		return fmt.Errorf("%w: it does not name the event at its position %d", ErrForeignHistory, a.Position)
	}
	if err := s.reach(ctx, a.Position); err != nil {
		return err
	}
	here, err := s.idAt(a.Position)
	if err == nil && here != a.Event && s.losses().has(a.Position) {
		err = fmt.Errorf("%w: its event at position %d is unknown: %w", ErrForeignHistory, a.Position, ErrLost)
	} else if err == nil && here != a.Event {
		err = fmt.Errorf("%w: its event at position %d is %s, here it is %s",
			ErrForeignHistory, a.Position, a.Event, here)
	}
	if err == nil && a.Hidden != "" {
		err = s.checkHidden(ctx, &a)
	}
	return s.readError(err)
}

// checkHidden compares what is hidden up to a position that was assigned, once that is known.
func (s *Store) checkHidden(ctx context.Context, a *Anchor) error {
	if _, err := s.Wait(ctx, a.Position-1); err != nil {
		return err
	}
	if here := s.hiddenUpTo(a.Position); here != a.Hidden {
		return fmt.Errorf("%w: of the positions up to %d it has %s hidden, here %s are",
			ErrForeignHistory, a.Position, a.Hidden, here)
	}
	return nil
}

// hiddenUpTo returns Anchor.Hidden for a position up to the head. What damage has taken is no part
// of it: a reader that has seen it before continues over a log that was repaired.
func (s *Store) hiddenUpTo(p Position) string {
	return ranges(s.withdrawals().clip(1, p)).digest()
}

// lastAssigned returns the last position that was assigned, visible or not: as far as a read-only
// store knows.
func (s *Store) lastAssigned() Position {
	s.catchUp()
	return Position(s.assigned.Load())
}

// reach returns once the log has an event at a position, visible or not: at once in a writer, which
// knows all that was assigned and answered for.
func (s *Store) reach(ctx context.Context, p Position) error {
	for {
		moved := s.announcer.wait()
		if s.lastAssigned() >= p {
			return nil
		}
		err := s.readable(ctx)
		more := false
		if err == nil {
			more, err = s.followsWriter()
		}
		switch last := s.lastAssigned(); {
		case last >= p:
			return nil
		case err == nil && !more:
			return fmt.Errorf("%w: its position %d lies after the last one, %d", ErrForeignHistory, p, last)
		case err == nil:
			err = s.pause(ctx, moved)
		}
		if err != nil {
			return fmt.Errorf("store: wait for position %d, the last one is %d: %w", p, s.lastAssigned(), err)
		}
	}
}

// followsWriter reports whether another process may have written what this store does not show yet.
// If it returns false there was no writer before and after the store caught up, and it shows all
// that there is, so that the head is the end of the log.
func (s *Store) followsWriter() (bool, error) {
	if s.follower == nil {
		return false, nil
	}
	locked, err := s.dir.Locked(lockName)
	if locked || err != nil {
		return locked, s.readError(err)
	}
	s.catchUp()
	if err := s.follower.obstacle(); err != nil {
		return false, s.readError(err)
	}
	locked, err = s.dir.Locked(lockName)
	return locked || s.follower.withheld.Load(), s.readError(err)
}
