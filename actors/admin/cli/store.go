package cli

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

func storeCommand(a *app) *cobra.Command {
	return a.group("store", "Look at the log itself: sizes, checks, copies, what is removed from it",
		storeInfoCommand(a), storeNamesCommand(a), storeVerifyCommand(a), storeBackupCommand(a), storeRestoreCommand(a), storeExportCommand(a), storeImportCommand(a), storeRepairCommand(a),
		storeRetainCommand(a), storeEraseCommand(a))
}

// Info describes the store.
type Info struct{ admin.Log }

// Schema implements [render.Answer].
func (i *Info) Schema() string { return "store" }

func (i *Info) exit() int {
	if i.Poisoned || i.Erasing != "" || i.Rewriting != "" {
		return exitFinding
	}
	return exitFine
}

// Text implements [render.Answer].
func (i *Info) Text(p *render.Page) {
	header(p, i.View)
	poisoned, ahead, free := "", "", "unknown"
	if i.Poisoned {
		poisoned = "a write has failed: no commit is taken until the program starts again"
	}
	if i.ClockAhead > 0 {
		ahead = "times of events are " + render.Age(timeOf(i.ClockAhead)) + " ahead of the machine's"
	}
	if i.FreeBytes >= 0 {
		free = render.Size(i.FreeBytes)
	}
	p.Facts(
		render.Fact{Name: "store", Value: render.Of(fmt.Sprintf("%s, incarnation %d", i.Store, i.Incarnation))},
		render.Fact{Name: "events", Value: render.Of(fmt.Sprintf("%d to %d", i.First, i.Head))},
		render.Fact{Name: "segments", Value: render.Of(fmt.Sprint(i.Segments))},
		render.Fact{Name: "side values", Value: render.Of(fmt.Sprintf("%d, %s", i.SideValues, render.Size(i.SideBytes)))},
		render.Fact{Name: "log", Value: render.Of(render.Size(i.LogBytes))},
		render.Fact{Name: "superseded", Value: render.Of(render.Size(i.SupersededBytes))},
		render.Fact{Name: "indexes", Value: render.Of(render.Size(i.IndexBytes))},
		render.Fact{Name: "made ahead", Value: render.Of(render.Size(i.ReservedBytes))},
		render.Fact{Name: "of dropped events", Value: render.Of(render.Size(i.CarriedBytes))},
		render.Fact{Name: "free on the disk", Value: render.Of(free)},
		render.Fact{Name: "clock", Value: render.Warning.In(ahead)},
		render.Fact{Name: "rewriting", Value: render.Bad.In(i.Rewriting)},
		render.Fact{Name: "erasing", Value: render.Bad.In(i.Erasing)},
		render.Fact{Name: "poisoned", Value: render.Bad.In(poisoned)},
	)
	if w := i.Written; w != nil {
		p.Facts(
			render.Fact{Name: "commits", Value: render.Of(fmt.Sprintf("%d in %d groups, %d refused", w.Commits, w.Groups, w.Refused))},
			render.Fact{Name: "syncs", Value: render.Of(took(w.Syncs))},
			render.Fact{Name: "writes", Value: render.Of(took(w.Writes))},
		)
	}
	for _, f := range i.Fences {
		p.Line(render.Warning.In("fence"), render.Of(fmt.Sprintf("%q: %d events from %d, open for %s, at most %s more",
			f.Reason, f.Events, f.First, p.Since(f.Since), render.Age(f.Deadline.Sub(p.Now)))))
	}
	if len(i.Holds) == 0 {
		return
	}
	rows := make([][]render.Cell, 0, len(i.Holds))
	for _, h := range i.Holds {
		rows = append(rows, []render.Cell{render.Of(h.Kind + " " + h.Who), render.Of(fmt.Sprint(h.From)), render.Of(h.Note)})
	}
	p.Table([]string{"EVENTS ARE NEEDED BY", "FROM", "NOTE"}, rows)
}

func took(l admin.Latency) string {
	ms := func(d admin.Duration) string { return timeOf(d).Round(time.Microsecond).String() }
	return fmt.Sprintf("%d, half within %s, 99%% within %s", l.Count, ms(l.P50), ms(l.P99))
}

func storeInfoCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "info", short: "Show what the store has, what that takes, and what needs it",
		long: "It ends with exit code 5 where the store is poisoned, or cannot finish an erasure or a rewriting.",
		run: func(c *call) (render.Answer, error) {
			s, err := c.surface()
			if err != nil {
				return nil, err
			}
			out, err := s.Log(c.ctx)
			if err != nil {
				return nil, err
			}
			out.View = c.seen(out.View)
			return &Info{out}, nil
		},
	})
}

// NameList are names that the log has.
type NameList struct {
	View  admin.View      `json:"view"`
	Of    admin.NameField `json:"of"`
	Names []admin.Name    `json:"names"`
	More  bool            `json:"more,omitempty"`
}

// Schema implements [render.Answer].
func (n *NameList) Schema() string { return "names" }

// Items implements [render.List].
func (n *NameList) Items() iter.Seq[render.Answer] {
	return each(n.Names, func(one admin.Name) render.Answer { return &nameItem{one} })
}

// nameItem is one of a list.
type nameItem struct{ admin.Name }

func (n *nameItem) Schema() string      { return "name" }
func (n *nameItem) Text(p *render.Page) { p.Line(render.Of(n.Name.Text)) }

// Text implements [render.Answer].
func (n *NameList) Text(p *render.Page) {
	header(p, n.View)
	rows := make([][]render.Cell, 0, len(n.Names))
	for _, one := range n.Names {
		rows = append(rows, []render.Cell{render.Of(one.Text), render.Of(fmt.Sprint(one.Events))})
	}
	p.Table([]string{strings.ToUpper(string(n.Of)), "EVENTS"}, rows)
	if n.More {
		p.Line(render.Faint.In("and more: --limit, --prefix"))
	}
}

func storeNamesCommand(a *app) *cobra.Command {
	q := admin.NameQuery{Field: admin.Kinds}
	return a.command(spec{
		name: "names", short: "List the names that events have, with how many have them: what fills the log",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar((*string)(&q.Field), "of", string(q.Field), "kind, category, scope or entity")
			f.StringVar(&q.Prefix, "prefix", "", "those that begin with this")
			f.IntVar(&q.Limit, "limit", 100, "how many")
		},
		run: func(c *call) (render.Answer, error) {
			if q.Limit <= 0 {
				return nil, usage("", "--limit is %d, and has to be at least 1", q.Limit)
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			out, err := s.Names(c.ctx, q)
			if err != nil {
				return nil, err
			}
			return &NameList{v, q.Field, append([]admin.Name{}, out.Names...), out.More}, nil
		},
	})
}

func storeRetainCommand(a *app) *cobra.Command {
	var q admin.Retain
	var before uint64
	return a.command(spec{
		name: "retain", short: "Drop the oldest events, by whole segments, as far as no reader needs them",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.DurationVar((*time.Duration)(&q.MaxAge), "max-age", 0, "what is older, as 720h")
			f.Int64Var(&q.MaxBytes, "max-bytes", 0, "the oldest of what exceeds this")
			f.Uint64Var(&before, "before", 0, "what is before this position")
			f.StringSliceVar(&q.Ignore, "ignore", nil, "a reader whose need does not count; may be given more than once")
		},
		change: func(c *call, act admin.Act) (*Change, error) {
			q := q
			q.Act, q.Before = act, store.Position(before)
			if q.MaxAge <= 0 && q.MaxBytes <= 0 && before == 0 {
				return nil, usage("", "--max-age, --max-bytes or --before is missing")
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			out, err := s.Retain(c.ctx, q)
			if err != nil {
				return nil, err
			}
			return &Change{View: v, Change: "drop the oldest events", Touches: []string{out.Text}, Final: "what is dropped is gone", Retained: &out}, nil
		},
	})
}

func storeEraseCommand(a *app) *cobra.Command {
	var q admin.Erase
	var events []string
	return a.command(spec{
		name: "erase", short: "Remove the payloads of an entity, or of some events, for good",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar(&q.Entity, "entity", "", "of this entity, and of what is below it")
			f.StringSliceVar(&events, "event", nil, "of this event, by position or id; may be given more than once")
			f.BoolVar(&q.Effects, "effects", false, "and of all that followed from them")
		},
		change: func(c *call, act admin.Act) (*Change, error) {
			q := q
			q.Act, q.Events = act, nil
			if act.DryRun {
				q.Reason = or(act.Reason, "dry run") // an erasure is refused without one
			}
			if q.Entity == "" && len(events) == 0 {
				return nil, usage("", "--entity or --event is missing")
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			for _, ref := range events {
				e, err := s.Event(c.ctx, ref)
				if err != nil {
					return nil, err
				}
				q.Events = append(q.Events, e.ID)
			}
			out, err := s.Erase(c.ctx, q)
			if err != nil {
				return nil, err
			}
			return &Change{
				View: v, Change: "erase " + render.Count(len(out.Events), "event"), Touches: []string{out.Text}, Final: "that is the point of it", Erased: &out,
			}, nil
		},
	})
}
