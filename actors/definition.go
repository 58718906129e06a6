package actors

import (
	"sync"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Definition is what a worker was declared with, what it inherits from its groups, and the defaults
// of what both leave out; but for its functions.
type Definition struct {
	// Region is what it reads, as text and without Kinds, and Kinds those of it, none for all: as they
	// are now, after a Widen or Rebind.
	Region string   `json:"region"`
	Kinds  []string `json:"kinds"`
	// Lanes is 1 where one event is handled after the other.
	Lanes     int `json:"lanes"`
	BatchSize int `json:"batchSize"`
	// Timeout of an event, 0 for none; Rate in events per second, 0 for no limit.
	Timeout time.Duration       `json:"-"`
	Rate    float64             `json:"rate"`
	Policy  supervision.Policy  `json:"-"`
	Restart supervision.Restart `json:"-"`
	// StopTimeout is 0 where that of the system counts.
	StopTimeout   time.Duration `json:"-"`
	MaxParkedKeys int           `json:"maxParkedKeys"`
	MaxParked     int           `json:"maxParked"`
	Formerly      []string      `json:"formerly"`
	KeyVersion    uint32        `json:"keyVersion"`
	// OwnKeys says that a function tells the key of an event, which else is the entity; GivesUp that
	// one is called for an event in place of parking it; OwnPosition that the worker keeps its
	// position itself. See cursor.Worker for the others.
	OwnKeys     bool `json:"ownKeys"`
	GivesUp     bool `json:"givesUp"`
	OwnPosition bool `json:"ownPosition"`
	Stateful    bool `json:"stateful"`
	Volatile    bool `json:"volatile"`
	Erased      bool `json:"erased"`
	// Build is that of the program, which its reactions name.
	Build string `json:"build"`
}

// definitionOf describes a worker that reads a region.
func definitionOf(w *cursor.Worker, reads store.Region) Definition {
	d := w.WithDefaults()
	kinds := reads.Kinds
	reads.Kinds = nil
	return Definition{
		Region: reads.String(), Kinds: kinds,
		Lanes: d.Lanes, BatchSize: d.BatchSize, Timeout: d.Timeout, Rate: d.Rate,
		Policy: d.Policy, Restart: d.Restart, StopTimeout: d.StopTimeout,
		MaxParkedKeys: d.MaxParkedKeys, MaxParked: d.MaxParked,
		Formerly: d.Formerly, KeyVersion: d.KeyVersion,
		OwnKeys: d.Key != nil || d.Resolve != nil, GivesUp: d.GiveUp != nil, OwnPosition: d.ExternalPosition != nil,
		Stateful: d.Stateful, Volatile: d.Volatile, Erased: d.Erased,
		Build: cursor.BuildOf(w),
	}
}

// reads is the region of a worker: as declared, until it has its checkpoint.
func (v *view) reads(w *cursor.Worker) store.Region {
	if v.acquired {
		return *v.region
	}
	return checkpoint.Binding{Region: w.Region, Kinds: w.Kinds}.Reads()
}

// Budget is how many restarts a policy allows yet: of a worker those after its failures, of a group
// those after what its children escalate. One more halts, or escalates.
type Budget struct {
	Left   int           `json:"left"`
	Of     int           `json:"of"` // the Intensity, 0 for none
	Period time.Duration `json:"-"`  // a failure counts for so long
}

// charges are the failures that count against budgets, by the node of the tree: very few have any.
// The supervisor writes them, any goroutine reads them.
type charges struct {
	mu sync.Mutex
	at map[*drive.Node][]time.Time // each list replaced as a whole
}

func (c *charges) set(n *drive.Node, at []time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(at) == 0 {
		delete(c.at, n)
		return
	}
	if c.at == nil {
		c.at = make(map[*drive.Node][]time.Time)
	}
	c.at[n] = at
}

// left is what is left of the budget that a policy of a node allows.
func (c *charges) left(n *drive.Node, p supervision.Policy, now time.Time) Budget {
	b := Budget{Of: max(0, p.Intensity), Period: p.Period}
	b.Left = b.Of
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.at[n] {
		if now.Sub(at) < p.Period && b.Left > 0 {
			b.Left--
		}
	}
	return b
}

// GroupStatus is a group of the tree, and what is left of its budget. Its children are those in
// whose Path its own is followed by their name.
type GroupStatus struct {
	Name string `json:"name"`
	// Path is the names of the groups above it and its own, joined by "/".
	Path     string               `json:"path"`
	Strategy supervision.Strategy `json:"-"`
	// Policy is what its children inherit, and judges what they escalate. That of the top group judges
	// nothing: what escalates there halts all workers.
	Policy      supervision.Policy `json:"-"`
	StopTimeout time.Duration      `json:"-"` // 0 where that of the system counts
	Budget      Budget             `json:"budget"`
}

// groupsOf returns the groups at and below a node, depth first. There are no others later.
func groupsOf(n *drive.Node) (groups []*drive.Node) {
	if n == nil || n.IsLeaf() {
		return nil
	}
	groups = append(groups, n)
	for _, child := range n.Children {
		groups = append(groups, groupsOf(child)...)
	}
	return groups
}

func groupStatus(n *drive.Node, c *charges, now time.Time) GroupStatus {
	s := n.Supervised()
	return GroupStatus{
		Name: n.Name, Path: n.Path, Strategy: n.Strategy, Policy: s.Policy, StopTimeout: s.StopTimeout,
		Budget: c.left(n, s.Policy, now),
	}
}
