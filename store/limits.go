package store

import (
	"strings"
	"unicode/utf8"
)

// Limits of what can be committed. All are in bytes of UTF-8 unless the name says otherwise.
const (
	MaxEntityBytes         = 512
	MaxScopeBytes          = 255
	MaxKindBytes           = 255
	MaxCodecBytes          = 64
	MaxIdempotencyKeyBytes = 512
	MaxHeaderBytes         = 64 << 10 // all names and values of one event
	MaxPayloadBytes        = 16 << 20
	MaxBatchBytes          = 64 << 20 // one commit as it is written
	MaxBatchEvents         = 1 << 16  // events in one commit
	MaxBatchSides          = 1 << 16  // side values in one commit
	MaxSideKeyBytes        = 1024
	MaxSideValueBytes      = 1 << 20
)

// checkText applies the rules for names: not empty, within the limit, UTF-8, no control characters.
func checkText(field, s string, limit int) error {
	switch {
	case s == "":
		return &InvalidError{Field: field, Rule: "must not be empty"}
	case len(s) > limit:
		return &LimitError{Field: field + " bytes", Limit: int64(limit), Value: int64(len(s))}
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

func checkMax(field string, value, limit int) error {
	if value > limit {
		return &LimitError{Field: field, Limit: int64(limit), Value: int64(value)}
	}
	return nil
}

// checkCoordinate lets a proposal into the reserved scope only at the entity that [Audit] gave it.
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
