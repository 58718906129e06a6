package cli

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

func parkedCommand(a *app) *cobra.Command {
	return a.group("parked", "Look at events that workers keep apart because they failed", parkedListCommand(a), parkedShowCommand(a), parkedReplayCommand(a), parkedDiscardCommand(a))
}

// ParkedList is what a worker keeps apart.
type ParkedList struct {
	View   admin.View     `json:"view"`
	Worker string         `json:"worker"`
	Parked []admin.Parked `json:"parked"`
	More   bool           `json:"more,omitempty"` // there are more than were asked for
}

// Schema implements [render.Answer].
func (l *ParkedList) Schema() string { return "parked" }

// Items implements [render.List].
func (l *ParkedList) Items() iter.Seq[render.Answer] {
	return each(l.Parked, func(one admin.Parked) render.Answer { return &parkedItem{one} })
}

// parkedItem is one of a list.
type parkedItem struct{ admin.Parked }

func (i *parkedItem) Schema() string      { return "parked-event" }
func (i *parkedItem) Text(p *render.Page) { writeParked(p, &i.Parked) }

// Text implements [render.Answer].
func (l *ParkedList) Text(p *render.Page) {
	header(p, l.View)
	if len(l.Parked) == 0 {
		p.Line(render.Good.In("nothing is parked of "+l.Worker), render.Of("that this selects"))
		return
	}
	rows := make([][]render.Cell, 0, len(l.Parked))
	for i := range l.Parked {
		one := &l.Parked[i]
		kind := ""
		if one.Event != nil {
			kind = one.Event.Kind
		}
		first, _, _ := strings.Cut(or(one.Damage, one.Error), "\n")
		rows = append(rows, []render.Cell{
			render.Of(fmt.Sprint(one.Position)), render.Of(one.Key), render.Of(kind), parkedState(one), render.Of(p.Since(one.Since)),
			render.Of(number(uint64(max(0, one.Attempts)))), render.Of(render.Clip(first, 100)),
		})
	}
	p.Table([]string{"POSITION", "KEY", "KIND", "STATE", "FOR", "ATTEMPTS", "ERROR"}, rows)
	if l.More {
		p.Line(render.Faint.In("and more: --limit"))
	}
}

// parkedState is a word for how an event is kept.
func parkedState(one *admin.Parked) render.Cell {
	switch {
	case one.Damage != "":
		return render.Bad.In("unreadable")
	case one.Replaying:
		return render.Warning.In("replaying")
	case one.Held:
		return render.Faint.In("held")
	case one.Doubt:
		return render.Warning.In("doubtful")
	}
	return render.Bad.In("failed")
}

func writeParked(p *render.Page, one *admin.Parked) {
	p.Facts(
		render.Fact{Name: "parked", Value: render.Strong.In(fmt.Sprint(one.Position))},
		render.Fact{Name: "key", Value: render.Of(one.Key)},
		render.Fact{Name: "state", Value: parkedState(one)},
		render.Fact{Name: "for", Value: render.Of(p.Since(one.Since))},
		render.Fact{Name: "attempts", Value: render.Of(number(uint64(max(0, one.Attempts))))},
		render.Fact{Name: "damage", Value: render.Bad.In(one.Damage)},
	)
	if one.Error != "" {
		p.Line(render.Faint.In("error"))
		p.Block("  ", one.Error, render.Usual)
	}
	if one.Event != nil {
		writeEvent(p, one.Event)
	}
}

// selecting is what the flags of a selection say.
type selecting struct {
	admin.Selection

	older time.Duration
}

// flags are those that select parked events; most is the flag for how many.
func (q *selecting) flags(cmd *cobra.Command, most string, usual int) {
	f := cmd.Flags()
	f.StringVar(&q.Key, "key", "", "those of this key")
	f.StringVar(&q.Error, "error", "", "those with this in the text of their error")
	f.StringVar(&q.Kind, "kind", "", "those of this kind")
	f.DurationVar(&q.older, "older", 0, "those that were parked longer ago, as 1h")
	f.IntVar(&q.Max, most, usual, "the oldest so many; 0 for all")
}

// selected is what was asked for.
func (q *selecting) selected(c *call) (admin.Selection, error) {
	s := q.Selection
	if s.Max < 0 || q.older < 0 {
		return s, usage("", "numbers and durations cannot be negative")
	}
	if q.older > 0 {
		before := c.now().Add(-q.older)
		s.Before = &before
	}
	return s, nil
}

func parkedListCommand(a *app) *cobra.Command {
	var q selecting
	return a.command(spec{
		name: "ls", short: "List what a worker keeps apart, with the errors", args: []argument{workerArgument()},
		flags: func(cmd *cobra.Command) { q.flags(cmd, "limit", 100) },
		run: func(c *call) (render.Answer, error) {
			which, err := q.selected(c)
			if err != nil {
				return nil, err
			}
			return c.parkedOf(c.args[0], which)
		},
	})
}

// parkedOf lists what a worker keeps apart.
func (c *call) parkedOf(worker string, which admin.Selection) (*ParkedList, error) {
	s, v, err := c.look()
	if err != nil {
		return nil, err
	}
	out := &ParkedList{View: v, Worker: worker, Parked: []admin.Parked{}}
	most := which.Max
	if most > 0 {
		which.Max++
	}
	for one, err := range s.Parked(c.ctx, admin.ParkedQuery{Selection: which, Worker: worker, Events: true}) {
		if err != nil {
			return nil, err
		}
		if out.More = most > 0 && len(out.Parked) == most; out.More {
			break
		}
		if one.Event != nil {
			*one.Event = c.shown(*one.Event)
		}
		out.Parked = append(out.Parked, one)
	}
	return out, nil
}

// ParkedOne is one event that is kept apart.
type ParkedOne struct {
	View   admin.View   `json:"view"`
	Worker string       `json:"worker"`
	Parked admin.Parked `json:"parked"`
}

// Schema implements [render.Answer].
func (o *ParkedOne) Schema() string { return "parked-event" }

// Text implements [render.Answer].
func (o *ParkedOne) Text(p *render.Page) {
	header(p, o.View)
	writeParked(p, &o.Parked)
}

func parkedShowCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "show", short: "Show one event that a worker keeps apart: the whole error beside the payload",
		args: []argument{workerArgument(), {"POSITION", parkedPositions}},
		run: func(c *call) (render.Answer, error) {
			at, err := strconv.ParseUint(c.args[1], 10, 64)
			if err != nil || at == 0 {
				return nil, usage("", "%q is no position of an event", c.args[1])
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			for one, err := range s.Parked(c.ctx, admin.ParkedQuery{Selection: admin.Selection{At: store.Position(at)}, Worker: c.args[0], Events: true}) {
				if err != nil {
					return nil, err
				}
				if one.Event != nil {
					*one.Event = c.shown(*one.Event)
				}
				return &ParkedOne{v, c.args[0], one}, nil
			}
			return nil, &admin.Error{Code: admin.NotFound, Text: fmt.Sprintf("%s has not parked event %d", c.args[0], at), Hint: c.next("parked", "ls", c.args[0])}
		},
	})
}

// parkedPositions are those of the worker that was named before.
func parkedPositions(c *call) (out []string) {
	s, err := c.surface()
	if err != nil {
		return nil
	}
	for one, err := range s.Parked(c.ctx, admin.ParkedQuery{Selection: admin.Selection{Max: 100}, Worker: c.args[0]}) {
		if err != nil {
			break
		}
		out = append(out, fmt.Sprintf("%d\t%s", one.Position, one.Key))
	}
	return out
}
