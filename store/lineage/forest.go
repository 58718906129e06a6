package lineage

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// State says how much there is of a node.
type State uint8

// The states of a node.
const (
	Whole   State = iota // an event that belongs to what was asked for
	Erased               // such an event, whose payload was removed for good
	Outside              // an event of the log that was not asked for: its own causes and effects are not shown
	Missing              // an event that is not in the log: of another one, or dropped; only its id is known
)

var states = [...]string{Whole: "whole", Erased: "erased", Outside: "outside", Missing: "missing"} //nolint:gochecknoglobals // a table that is never written.

// String is as in "missing".
func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns [State.String].
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (s *State) UnmarshalText(text []byte) error {
	for state, name := range states {
		if name == string(text) {
			*s = State(state)
			return nil
		}
	}
	return fmt.Errorf("lineage: %q is no state", text)
}

// Node is an event as its lineage shows it.
type Node struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	// Parent is the place in Forest.Nodes of its cause, always a smaller one; -1 where there is
	// none.
	Parent int `json:"parent"`
	// Cause is the id of its cause, "" where it has none. The node of a cause that is not followed
	// has no parent.
	Cause       string    `json:"cause,omitempty"`
	Correlation string    `json:"correlation,omitempty"`
	Position    uint64    `json:"position,omitempty"`
	Kind        string    `json:"kind,omitempty"`
	Entity      string    `json:"entity,omitempty"`
	Scope       string    `json:"scope,omitempty"`
	Version     uint64    `json:"version,omitempty"`
	Time        time.Time `json:"time,omitzero"`
	// Delay is the time since its cause, to the millisecond; 0 where there is no parent with a
	// time.
	Delay time.Duration `json:"delayNs,omitempty"`
	// Worker is "" for an event that no worker emitted; Build, Epoch and Attempt are those of its
	// run.
	Worker  string `json:"worker,omitempty"`
	Build   string `json:"build,omitempty"`
	Epoch   uint64 `json:"epoch,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
	// More is the number of its effects that the log has and the forest does not.
	More int `json:"more,omitempty"`
}

// Forest is some events, each under its cause. The zero value is none.
type Forest struct {
	Nodes []Node // causes before their effects
	// Cut says that there are more events than were asked for.
	Cut bool
}

// schema names the form of the JSON.
const schema = "penstock.lineage/1"

type forestJSON struct {
	Schema string `json:"schema"`
	Nodes  []Node `json:"nodes"`
	Cut    bool   `json:"cut,omitempty"`
}

// MarshalJSON returns an object with "schema", "nodes" and "cut": the nodes in a row, each with the
// place of its parent, so that no program has to read very deep JSON.
func (f Forest) MarshalJSON() ([]byte, error) {
	nodes := f.Nodes
	if nodes == nil {
		nodes = []Node{}
	}
	return json.Marshal(forestJSON{schema, nodes, f.Cut})
}

// UnmarshalJSON is the reverse of MarshalJSON. It refuses another schema, and parents that do not
// come before their nodes.
func (f *Forest) UnmarshalJSON(b []byte) error {
	var read forestJSON
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	if read.Schema != schema {
		return fmt.Errorf("lineage: schema %q, want %q", read.Schema, schema)
	}
	for i, n := range read.Nodes {
		if n.Parent < -1 || n.Parent >= i {
			return fmt.Errorf("lineage: node %d has the parent %d", i, n.Parent)
		}
	}
	*f = Forest{Nodes: read.Nodes, Cut: read.Cut}
	return nil
}

// Picture returns the boxes and arrows of the forest: a box for each node, and one for the effects
// of a node that are not shown.
func (f Forest) Picture() Picture {
	var p Picture
	for _, n := range f.Nodes {
		p.Boxes = append(p.Boxes, n.box())
	}
	for i, n := range f.Nodes {
		if n.Parent >= 0 {
			p.Arrows = append(p.Arrows, Arrow{From: n.Parent, To: i, Label: n.delay(f.Nodes[n.Parent])})
		}
		if n.More > 0 {
			p.Arrows = append(p.Arrows, Arrow{From: i, To: len(p.Boxes)})
			p.Boxes = append(p.Boxes, Box{Title: plural(n.More, "effect") + " not shown", Style: Faint})
		}
	}
	if f.Cut {
		p.Boxes = append(p.Boxes, Box{Title: "more events, not shown", Style: Faint})
	}
	return p
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (n *Node) box() Box {
	if n.State == Missing {
		return Box{Title: "not in this log", Lines: []string{n.ID}, Style: Dashed}
	}
	b := Box{Title: n.Kind, Lines: []string{n.place()}}
	if by := n.emitter(); by != "" {
		b.Lines = append(b.Lines, by)
	}
	switch n.State {
	case Erased:
		b.Lines = append(b.Lines, "erased")
		b.Style = Faint
	case Outside:
		b.Style = Dashed
	case Whole, Missing:
	}
	return b
}

// place is as in "#7 order:42@shop 2026-11-28T03:04:05.678Z".
func (n *Node) place() string {
	s := fmt.Sprintf("#%d %s@%s", n.Position, n.Entity, n.Scope)
	if !n.Time.IsZero() {
		s += " " + n.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	return s
}

// emitter is as in "by reserve-stock, build 0123abc, epoch 3, attempt 2".
func (n *Node) emitter() string {
	if n.Worker == "" {
		return ""
	}
	parts := []string{"by " + n.Worker}
	if n.Build != "" {
		parts = append(parts, "build "+n.Build)
	}
	if n.Epoch > 0 {
		parts = append(parts, fmt.Sprint("epoch ", n.Epoch))
	}
	if n.Attempt > 1 {
		parts = append(parts, fmt.Sprint("attempt ", n.Attempt))
	}
	return strings.Join(parts, ", ")
}

// delay is the time since the cause, where both are known: as in "+12ms".
func (n *Node) delay(cause Node) string {
	if cause.Time.IsZero() || n.Time.IsZero() {
		return ""
	}
	return "+" + n.Delay.String()
}
