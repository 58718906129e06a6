package supervision

import (
	"errors"
	"fmt"
	"time"
)

// A Child is something that can be supervised: a worker, or a [Group] of them. Implementations have
// value receivers and no side effects; Spec may be called many times and must answer the same each
// time.
type Child interface {
	Spec() Spec
}

// A Spec is what supervision knows of a child. Only the name is required.
type Spec struct {
	// Name names the child among its siblings, in status, logs and errors. It is 1 to
	// 255 bytes of valid UTF-8 without control characters, line separators and marks of direction,
	// contains none of '/', '\', '|' and '=', and is neither "." nor "..": it stands in a path, a key
	// and a log line as it is. Names joined by '/' are the path of a child in the tree.
	Name string

	// Policy says how failures of the child are answered. The zero Policy means the Policy of the
	// child's group; where no group says anything, the defaults of [Policy].
	Policy Policy

	// Restart says when the child is started again. It is not inherited.
	Restart Restart

	// StopTimeout is how long the child may take to finish its batch when it is stopped, before the
	// contexts of its handlers are cancelled; of a group, all of it together. When a restart of its
	// siblings takes the child along, its handlers are cancelled at once, and this is how long they
	// are waited for; of a group, each of its children has its own. Zero means that of the group;
	// where no group says anything, the default of the program that runs the tree.
	StopTimeout time.Duration
}

// Restart says when a child is started again.
type Restart uint8

const (
	// Transient children are started again after a failure. When they end because they are done,
	// they stay so.
	Transient Restart = iota
	// Permanent children are started again also when they end because they are done. That counts
	// against Intensity.
	Permanent
	// Temporary children never are. The first failure that a restart would answer halts them, and
	// so does a restart of their siblings that takes them along.
	Temporary
)

// String returns the name of the constant.
func (r Restart) String() string {
	switch r {
	case Transient:
		return "Transient"
	case Permanent:
		return "Permanent"
	case Temporary:
		return "Temporary"
	default:
		return fmt.Sprintf("Restart(%d)", int(r))
	}
}

// Validate checks the name and the numbers. It reports every violation it finds, joined: a
// [*SettingError] each.
func (s Spec) Validate() error {
	return errors.Join(s.violations()...)
}

// violations has nil where a rule is kept, here and below: errors.Join drops those.
func (s Spec) violations() []error {
	var restart error
	if s.Restart < Transient || s.Restart > Temporary {
		restart = &SettingError{Field: "Restart", Rule: "must be a known kind", Value: s.Restart}
	}
	return append(s.Policy.violations(), checkName(s.Name), restart, atLeastZero("StopTimeout", s.StopTimeout))
}
