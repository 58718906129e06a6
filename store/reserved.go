package store

import "fmt"

// ReservedError says what an open fence has that a batch needs. One of Entity, IdempotencyKey and
// Condition is set, or Position alone, of an event that was to be erased. It is no [ErrConflict]:
// nothing has changed yet, and to try again at once is of no use. The fence ends within
// [MaxFenceDeadline].
type ReservedError struct {
	Entity         string
	IdempotencyKey string
	// Condition is that of the batch which the staged event at Position would break.
	Condition *Condition
	Position  Position
	// Reason of the fence.
	Reason string
}

func (e *ReservedError) Error() string {
	text := fmt.Sprintf("store: an open fence (%s) has ", e.Reason)
	switch {
	case e.Condition != nil:
		return text + fmt.Sprintf("event %d in the region (%s) that should be empty after %d",
			e.Position, e.Condition.Region, e.Condition.After)
	case e.IdempotencyKey != "":
		return text + fmt.Sprintf("the idempotency key %q", e.IdempotencyKey)
	case e.Position != 0:
		return text + fmt.Sprintf("event %d", e.Position)
	}
	return text + fmt.Sprintf("entity %q", e.Entity)
}

// Unwrap returns [ErrReserved].
func (e *ReservedError) Unwrap() error { return ErrReserved }
