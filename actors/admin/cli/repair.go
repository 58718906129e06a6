package cli

import (
	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/store"
)

// Repaired is what a repair has lost, or would lose.
type Repaired struct {
	Clean  bool        `json:"clean"` // nothing is lost
	Events uint64      `json:"events"`
	Ranges []lostRange `json:"ranges,omitempty"` // of those events
	Sides  []string    `json:"sides,omitempty"`
	Cut    bool        `json:"cut,omitempty"` // commits at the end are gone, it is not known how many
}

// lostRange is a range of positions, both inclusive.
type lostRange struct {
	From store.Position `json:"from"`
	To   store.Position `json:"to"`
}

func storeRepairCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "repair", short: "Make a store, in another directory, of what is whole in a damaged one", args: []argument{{name: "DIRECTORY"}},
		long: "The damaged one is only read. A backup may have what is lost: restore that first, and compare.",
		change: func(c *call, act admin.Act) (*Change, error) {
			dir, v, err := c.directory()
			if err != nil {
				return nil, err
			}
			bar := c.progress("repair")
			defer bar.end()
			o := store.RepairOptions{Reason: act.Reason, By: act.By, Progress: bar.copied}
			var r store.RepairReport
			if act.DryRun {
				r, err = store.PlanRepair(c.ctx, dir, o)
			} else {
				r, err = store.Repair(c.ctx, dir, c.args[0], o)
			}
			if err != nil {
				return nil, err
			}
			v.AsOf = r.Last
			lost := &Repaired{Clean: r.Clean(), Events: r.Events(), Sides: r.Sides, Cut: r.Cut}
			for _, one := range r.Lost {
				lost.Ranges = append(lost.Ranges, lostRange(one))
			}
			return &Change{
				View: v, Change: "make a store of what is whole, in " + c.args[0], Touches: []string{r.String()},
				Final: "the damaged directory stays as it is", Repaired: lost,
			}, nil
		},
	})
}
