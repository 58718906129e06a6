package supervision

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

// maxDepth is how deep groups may be nested. No tree of workers needs as much; the limit exists
// because a slice of children can contain itself, and following it without end would overflow the
// stack.
const maxDepth = 16

// A Strategy says which children of a group are restarted when one of them fails.
type Strategy int

const (
	// OneForOne restarts the child that failed and leaves its siblings alone. It is the default,
	// because workers share nothing but the log.
	OneForOne Strategy = iota
	// OneForAll restarts all children: for those that share something which a failure of one leaves
	// in doubt.
	OneForAll
	// RestForOne restarts the child that failed and those after it: for children that rely on those
	// before them.
	RestForOne
)

// String returns the name of the constant.
func (s Strategy) String() string {
	switch s {
	case OneForOne:
		return "OneForOne"
	case OneForAll:
		return "OneForAll"
	case RestForOne:
		return "RestForOne"
	default:
		return fmt.Sprintf("Strategy(%d)", int(s))
	}
}

// Affected returns the half-open range of children that are restarted when one of them fails. They
// are stopped in reverse and started in order.
func (s Strategy) Affected(failed, children int) (from, to int) {
	switch s {
	case OneForAll:
		return 0, children
	case RestForOne:
		return failed, children
	default:
		return failed, failed + 1
	}
}

// A Group is a named list of children under one strategy, and a Child itself, so that groups nest.
// The children are started in order and stopped in reverse, one after the other: a child may rely
// on those before it. An empty group is valid and does nothing. Groups nest at most 16 deep.
type Group struct {
	// Name follows the rules of [Spec.Name].
	Name string

	// Strategy is [OneForOne] when left out.
	Strategy Strategy

	// Children have names that differ from each other. A group among them is a Group, not a *Group.
	Children []Child

	// Policy has two uses. It is the default of every child, at any depth, that has a zero Policy of
	// its own and no nearer group with one; budgets are not shared: each child has its own. And it
	// judges, with one more budget, the failures that children of this group escalate: by a restart of
	// the group as one child of the group above, under the strategy of that. The Policy of the top
	// group judges nothing: an escalation that reaches the top halts all workers.
	Policy Policy

	// StopTimeout is that of every child that has none of its own, and bounds the stop of the
	// group. See [Spec].
	StopTimeout time.Duration
}

// Grouped is a child that runs as a group: a Group, or a type of the program or of a package that
// consists of several workers, so that it can stand wherever a child can. Its Spec is that of the
// group, which is the same at each call.
type Grouped interface {
	Child
	Group() Group
}

var _ Grouped = Group{}

// Group returns g.
func (g Group) Group() Group { return g }

// Spec returns the group as its own parent sees it.
func (g Group) Spec() Spec {
	return Spec{Name: g.Name, Policy: g.Policy, StopTimeout: g.StopTimeout}
}

// Validate checks the whole tree and reports every violation it finds, joined, each with the path
// of its place: a [*SettingError], or [ErrDuplicate].
func (g Group) Validate() error {
	return errors.Join(g.violations(g.Name, 1)...)
}

func (g Group) violations(path string, depth int) []error {
	if depth > maxDepth {
		rule := fmt.Sprintf("must be at most %d", maxDepth)
		return located(path, &SettingError{Field: "depth of nested groups", Rule: rule, Value: depth})
	}
	found := located(path, g.Spec().violations()...)
	if g.Strategy < OneForOne || g.Strategy > RestForOne {
		unknown := &SettingError{Field: "Strategy", Rule: "must be a known strategy", Value: g.Strategy}
		found = append(found, located(path, unknown)...)
	}
	seen := make(map[string]bool, len(g.Children))
	for i, c := range g.Children {
		if err := checkChild(i, c); err != nil {
			found = append(found, located(path, err)...)
			continue
		}
		sub, grouped := groupOf(c)
		spec := sub.Spec()
		if !grouped {
			spec = c.Spec()
		}
		if seen[spec.Name] {
			found = append(found, located(path, fmt.Errorf("%w: %.64q", ErrDuplicate, spec.Name))...)
		}
		seen[spec.Name] = true

		below := path + "/" + spec.Name
		if grouped {
			found = append(found, sub.violations(below, depth+1)...)
		} else {
			found = append(found, located(below, spec.violations()...)...)
		}
	}
	return found
}

// groupOf returns the group that a child runs as, if it is one.
func groupOf(c Child) (g Group, grouped bool) {
	child, grouped := c.(Grouped)
	if grouped {
		g = child.Group()
	}
	return g, grouped
}

// located adds the place in the tree to each error.
func located(path string, errs ...error) []error {
	var found []error
	for _, err := range errs {
		if err != nil {
			found = append(found, fmt.Errorf("%q: %w", path, err))
		}
	}
	return found
}

// checkChild refuses what cannot be asked for its Spec. A nil pointer inside a non-nil interface
// counts as nil: calling a value receiver through it would panic.
func checkChild(index int, c Child) error {
	if c == nil {
		return badChild(index, "nil")
	}
	if v := reflect.ValueOf(c); v.Kind() == reflect.Pointer && v.IsNil() {
		return badChild(index, "nil")
	}
	if _, ok := c.(*Group); ok {
		return badChild(index, "a *Group")
	}
	return nil
}

func badChild(index int, what string) error {
	return &SettingError{Field: fmt.Sprintf("Children[%d]", index), Rule: "must be a worker or a Group", Value: what}
}
