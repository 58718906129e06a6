package supervision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The defaults of a [Policy].
const (
	// defaultIntensity and defaultPeriod ride out a dependency that is unavailable for a minute (ten
	// restarts take 65 to 91 s with the default Backoff) and halt a child that cannot start at all
	// within two.
	defaultIntensity = 10
	defaultPeriod    = 5 * time.Minute

	// defaultAttempts tries an event for 41 to 61 s with the default Backoff: longer than the
	// restart of a dependency takes, and a bad event holds up those after it for about a minute.
	defaultAttempts = 10
)

// maxIntensity is the largest allowed Intensity: every restart within the Period is remembered.
const maxIntensity = 1000

// ErrSetting is what every [*SettingError] wraps.
var ErrSetting = errors.New("supervision: bad setting")

// A Policy says how the failures of one child are answered. The zero Policy works: each zero field
// has a default.
type Policy struct {
	// Intensity is how many restarts are allowed within any Period; one more failure halts the
	// child. It counts failures that belong to no event, and panics once they happen at more than
	// three different events within the Period. Zero means 10. Negative means never
	// restart: the first panic, or the first failure without an event, halts. At most
	// 1000.
	Intensity int

	// Period is the length of the sliding window of Intensity. A child that ran for a Period
	// without any failure starts again with the shortest delay. Zero means 5 minutes.
	Period time.Duration

	// Backoff is the delays before retries and restarts.
	Backoff Backoff

	// Attempts is how often one event is tried altogether, errors and panics counted together,
	// before Exhausted decides. One means no second try; zero means 10.
	Attempts int

	// Exhausted decides about an event whose attempts are used up: [ActionPark] (zero means that),
	// [ActionSkip] or [ActionHalt].
	Exhausted Action

	// Outage says when failures at events are taken for those of what the handler depends on.
	Outage OutagePolicy

	// OverBudget decides about a child that would have to be restarted more often than Intensity
	// allows: [ActionHalt] (zero means that), or [ActionEscalate] for the group above to be
	// restarted.
	OverBudget Action
}

// WithDefaults returns p with every zero field set to its default.
func (p Policy) WithDefaults() Policy {
	if p.Intensity == 0 {
		p.Intensity = defaultIntensity
	}
	if p.Period <= 0 {
		p.Period = defaultPeriod
	}
	if p.Attempts <= 0 {
		p.Attempts = defaultAttempts
	}
	if p.Exhausted == 0 {
		p.Exhausted = ActionPark
	}
	if p.OverBudget == 0 {
		p.OverBudget = ActionHalt
	}
	p.Backoff, p.Outage = p.Backoff.withDefaults(), p.Outage.WithDefaults()
	return p
}

func (p Policy) violations() []error {
	var intensity error
	if p.Intensity > maxIntensity {
		intensity = &SettingError{Field: "Policy.Intensity", Rule: fmt.Sprintf("must be at most %d", maxIntensity), Value: p.Intensity}
	}
	return append(
		append(p.Backoff.violations("Policy.Backoff"), p.Outage.violations("Policy.Outage")...),
		intensity,
		atLeastZero("Policy.Period", p.Period),
		atLeastZero("Policy.Attempts", p.Attempts),
		oneOf("Policy.Exhausted", p.Exhausted, ActionPark, ActionSkip, ActionHalt),
		oneOf("Policy.OverBudget", p.OverBudget, ActionHalt, ActionEscalate),
	)
}

// oneOf accepts the actions that are allowed, and the zero value.
func oneOf(field string, a Action, allowed ...Action) error {
	if a == 0 || slices.Contains(allowed, a) {
		return nil
	}
	names := make([]string, len(allowed))
	for i, action := range allowed {
		names[i] = action.String()
	}
	return &SettingError{Field: field, Rule: "must be " + strings.Join(names, " or "), Value: a}
}

// A SettingError names a setting and the rule that it breaks: a name, a number, a child.
type SettingError struct {
	Field string // where it is, as in "Name", "Policy.Period" or "Children[1]"
	Rule  string // as in "must be at least 0", or of a name "is empty"
	Value any    // what was set; of a child what it is, as in "nil"
}

func (e *SettingError) Error() string {
	if e.Field == fieldName { // which may hold anything, of any length
		return fmt.Sprintf("invalid %s %.64q: %s", e.Field, e.Value, e.Rule)
	}
	return fmt.Sprintf("invalid %s %v: %s", e.Field, e.Value, e.Rule)
}

// Unwrap returns [ErrSetting].
func (e *SettingError) Unwrap() error { return ErrSetting }

func atLeastZero[N int | time.Duration](field string, value N) error {
	if value < 0 {
		return &SettingError{Field: field, Rule: "must be at least 0", Value: value}
	}
	return nil
}
