package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// Audited is something that was done.
type Audited struct{ admin.AuditEvent }

// Schema implements [render.Answer].
func (a *Audited) Schema() string { return "audit-event" }

// Text implements [render.Answer].
func (a *Audited) Text(p *render.Page) {
	by, at, key := "", "", ""
	if a.By != "" {
		by = "by " + a.By
	}
	switch {
	case a.To != 0:
		at = fmt.Sprintf("from %d to %d", a.Position, a.To)
	case a.Position != 0:
		at = fmt.Sprintf("at %d", a.Position)
	}
	if a.Key != "" {
		key = "key " + a.Key
	}
	p.Clipped(
		render.Strong.In(fmt.Sprintf("%8d", a.Event)), render.Faint.In(render.When(a.Time)), render.Of(a.Of), render.Strong.In(a.What),
		render.Of(at), render.Of(key), render.Of(a.Selection), render.Of(by), render.Of(a.Reason), render.Faint.In(render.Clip(a.Error, 200)),
	)
}

func auditCommand(a *app) *cobra.Command {
	var q admin.AuditQuery
	var last int
	return a.command(spec{
		name: "audit", short: "Show what was done, when, by whom and why",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar(&q.Worker, "worker", "", "what was done to this worker")
			f.StringVar(&q.From, "from", "", "from a position, a time, a date, or since how long ago, as 2h")
			f.IntVarP(&last, "last", "n", 20, "how many; 0 for all")
			f.BoolVarP(&q.Follow, "follow", "f", false, "wait for what follows, until interrupted")
		},
		run: func(c *call) (render.Answer, error) {
			if last < 0 {
				return nil, usage("", "--last is %d, and cannot be negative", last)
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			return &render.Stream[*Audited]{Name: "audit", Head: &headed{v}, Values: c.audited(s, v, q, last)}, nil
		},
	})
}

// audited are what was done: the last ones, or the first ones after a place.
func (c *call) audited(s *admin.Surface, v admin.View, q admin.AuditQuery, last int) iter.Seq2[*Audited, error] {
	return func(yield func(*Audited, error) bool) {
		if q.From == "" {
			back := q
			back.Backward, back.Follow, back.Limit = true, false, last
			var newest []admin.AuditEvent
			for e, err := range s.Audit(c.ctx, back) {
				if err != nil {
					yield(nil, err)
					return
				}
				newest = append(newest, e)
			}
			for _, e := range slices.Backward(newest) {
				if !yield(&Audited{e}, nil) {
					return
				}
			}
			if !q.Follow {
				return
			}
			from := v.AsOf
			if len(newest) > 0 {
				from = max(from, newest[0].Event)
			}
			q.From = fmt.Sprint(from)
		} else if !q.Follow {
			q.Limit = last
		}
		for e, err := range s.Audit(c.ctx, q) {
			if q.Follow && errors.Is(err, context.Canceled) {
				return
			}
			if !yield(&Audited{e}, err) {
				return
			}
		}
	}
}

// Changed is a state that a worker came into.
type Changed struct{ admin.Transition }

// Schema implements [render.Answer].
func (t *Changed) Schema() string { return "transition" }

// Text implements [render.Answer].
func (t *Changed) Text(p *render.Page) {
	if t.Missed > 0 {
		p.Line(render.Warning.In(render.Count(t.Missed, "transition") + " left out"))
	}
	why := ""
	if t.Reason != nil {
		why = t.Reason.Text
	}
	to := admin.Worker{Running: &admin.Running{State: t.To}}
	p.Clipped(
		render.Faint.In(render.When(t.Time)), render.Strong.In(t.Worker), render.Of(t.From+" →"), stateOf(&to), render.Of(fmt.Sprintf("at %d", t.Position)),
		render.Of(why),
	)
}

func workerWatchCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "watch", short: "Show the states that a worker comes into, until interrupted", args: []argument{workerArgument()},
		long: "Only a process that runs it can be asked. It begins with those that the process has kept. With --timeout it\n" +
			"ends after that.",
		run: func(c *call) (render.Answer, error) {
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			if _, _, err := c.find(s, c.args[0]); err != nil {
				return nil, err
			}
			return &render.Stream[*Changed]{Name: "transitions", Head: &headed{v}, Values: c.watched(s)}, nil
		},
	})
}

// watched are the transitions of one worker. That the caller has seen enough is no error.
func (c *call) watched(s *admin.Surface) iter.Seq2[*Changed, error] {
	return func(yield func(*Changed, error) bool) {
		for t, err := range s.Watch(c.ctx, admin.WatchQuery{}) {
			if err != nil && c.ctx.Err() != nil {
				return
			}
			if err == nil && t.Worker != c.args[0] {
				continue
			}
			if !yield(&Changed{t}, err) {
				return
			}
		}
	}
}
