package store

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The rules for what callers hand in, except those of a region (Region.Validate) and of options
// (Options.withDefaults). They are applied on the caller's goroutine before anything is queued: a
// batch that breaks one costs the committer nothing, and the committer has nothing to check again.
// What a rule admits, the format can hold: each limit is below the width of its field in a record.

// checkBatch checks what does not need encoding.
func checkBatch(b *Batch) error {
	if len(b.Events) == 0 && len(b.Sides) == 0 {
		return &InvalidError{Field: "batch", Rule: "must hold an event or a side value"}
	}
	if err := checkMax("batch events", len(b.Events), MaxBatchEvents); err != nil {
		return err
	}
	if err := checkMax("batch side values", len(b.Sides), maxBatchSides); err != nil {
		return err
	}
	if b.IdempotencyKey != "" {
		if err := checkKey(b.IdempotencyKey, b.Events); err != nil {
			return err
		}
	}
	for _, c := range b.Conditions {
		if err := c.Region.Validate(); err != nil {
			return err
		}
	}
	return checkSides(b.Sides)
}

// checkKey refuses a key for events that a retry might encode as other bytes.
func checkKey(key string, events []Proposal) error {
	if err := checkText("idempotency key", key, MaxIdempotencyKeyBytes); err != nil {
		return err
	}
	if len(events) == 0 {
		return &InvalidError{Field: "idempotency key", Rule: "needs an event in the batch", Value: key}
	}
	for i := range events {
		if codec, own := codecOf(events[i].Payload); own && !codec.Deterministic {
			return &InvalidError{
				Field: "idempotency key", Value: key,
				Rule: fmt.Sprintf("needs payloads that are encoded alike each time, and codec %q is not deterministic", codec.Name),
			}
		}
	}
	return nil
}

// checkSides refuses a key that stands twice: the last write would win, and what the first one
// expected would have been judged for nothing. The keys of a single one need no set.
func checkSides(sides []SideWrite) error {
	for i := range sides {
		if err := sides[i].Validate(); err != nil {
			return err
		}
	}
	if len(sides) < 2 {
		return nil
	}
	seen := make(map[string]struct{}, len(sides))
	for i := range sides {
		if _, twice := seen[sides[i].Key]; twice {
			return &InvalidError{Field: "side key", Rule: "stands twice in the batch", Value: sides[i].Key}
		}
		seen[sides[i].Key] = struct{}{}
	}
	return nil
}

// Validate reports the first rule that a side write breaks by itself, as an [InvalidError].
func (w *SideWrite) Validate() error {
	if err := checkText("side key", w.Key, maxSideKeyBytes); err != nil {
		return err
	}
	if isReserved(w.Key) {
		return &InvalidError{Field: "side key", Rule: "is reserved", Value: w.Key}
	}
	return checkMax("side value bytes", len(w.Value), maxSideValueBytes)
}

// isReserved reports whether a side key is one of the store's own: events rely on the values there.
func isReserved(key string) bool {
	return strings.HasPrefix(key, emitterPrefix) || strings.HasPrefix(key, fencePrefix) || strings.HasPrefix(key, erasurePrefix)
}

// checkCoordinate lets a proposal into the reserved scope only at the entity that [Audit] set.
func checkCoordinate(p *Proposal) error {
	if err := checkText("entity", p.At.Entity, MaxEntityBytes); err != nil {
		return err
	}
	if err := checkText("scope", p.At.Scope, MaxScopeBytes); err != nil {
		return err
	}
	switch {
	case p.reserved == "" && p.At.Scope == ReservedScope:
		return &InvalidError{Field: "scope", Rule: "is reserved", Value: p.At.Scope}
	case p.reserved != "" && p.At != At(p.reserved, ReservedScope):
		return &InvalidError{Field: "audit coordinate", Rule: "must not be changed", Value: p.At.String()}
	}
	return nil
}

// checkKind applies the rules for kinds, and to audit events the one that is theirs.
func checkKind(p *Proposal, kind string) error {
	if err := checkText("kind", kind, MaxKindBytes); err != nil {
		return err
	}
	if p.reserved != "" && !strings.HasPrefix(kind, auditKinds) {
		return &InvalidError{Field: "audit kind", Rule: `must begin with "` + auditKinds + `"`, Value: kind}
	}
	return nil
}

// checkText applies the rules for names that are written. They stand in logs, metrics and
// terminals, where a control character (C1 too, which is two bytes in UTF-8) could pass for a line
// or a command of its own, and where a separator of lines or a mark of direction makes one name
// look like another.
func checkText(field, s string, limit int) error {
	if len(s) <= limit && isPlain(s) {
		return nil
	}
	if err := checkTerm(field, s, limit); err != nil {
		return err
	}
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
		case unicode.IsControl(r):
			return &InvalidError{Field: field, Rule: "must not hold control characters", Value: s}
		case unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control):
			return &InvalidError{Field: field, Rule: "must not hold line separators or marks of direction", Value: s}
		}
	}
	return nil
}

// isPlain reports whether s is printable ASCII, at least one byte of it, as nearly all names are.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// checkTerm applies the rules for names that are looked for, which have always held for all names:
// not empty, within the limit, UTF-8, no ASCII control characters. The length is checked before the
// content, so that an error does not carry megabytes of value. A log may have names that would be
// refused by now, and they are read like any other.
func checkTerm(field, s string, limit int) error {
	switch {
	case s == "":
		return &InvalidError{Field: field, Rule: "must not be empty"}
	case len(s) > limit:
		return &InvalidError{Field: field + " bytes", Limit: int64(limit), Value: int64(len(s))}
	case !utf8.ValidString(s):
		return &InvalidError{Field: field, Rule: "must be UTF-8", Value: s}
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return &InvalidError{Field: field, Rule: "must not hold control characters", Value: s}
		}
	}
	return nil
}

// checkMax applies a limit of a number.
func checkMax(field string, value, limit int) error {
	if value > limit {
		return &InvalidError{Field: field, Limit: int64(limit), Value: int64(value)}
	}
	return nil
}
