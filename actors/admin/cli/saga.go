package cli

import (
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/reactor/saga"
)

func sagaCommand(a *app) *cobra.Command {
	below := []*cobra.Command{sagaListCommand(a), sagaInstancesCommand(a), sagaShowCommand(a), sagaStoryCommand(a), sagaGraphCommand(a)}
	return a.group("saga", "Look at processes of several steps, and operate them", append(below, sagaCallCommands(a)...)...)
}

// SagaList is the sagas that there are.
type SagaList struct {
	View  admin.View         `json:"view"`
	Sagas []admin.SagaStatus `json:"sagas"`
}

// Schema implements [render.Answer].
func (l *SagaList) Schema() string { return "sagas" }

// Items implements [render.List].
func (l *SagaList) Items() iter.Seq[render.Answer] {
	return each(l.Sagas, func(one admin.SagaStatus) render.Answer { return &sagaItem{one} })
}

// sagaItem is one of a list.
type sagaItem struct{ admin.SagaStatus }

func (i *sagaItem) Schema() string { return "saga" }
func (i *sagaItem) Text(p *render.Page) {
	p.Table(sagaHeadings, [][]render.Cell{sagaRow(&i.SagaStatus)})
}

//nolint:gochecknoglobals // a table
var sagaHeadings = []string{"SAGA", "RUNNING", "COMPENSATING", "STUCK", "SUSPENDED", "COMPLETED", "COMPENSATED", "FAILED", "NOTE"}

// Text implements [render.Answer].
func (l *SagaList) Text(p *render.Page) {
	header(p, l.View)
	if len(l.Sagas) == 0 {
		p.Line(render.Of("no saga has run on it"))
		return
	}
	rows := make([][]render.Cell, 0, len(l.Sagas))
	for i := range l.Sagas {
		rows = append(rows, sagaRow(&l.Sagas[i]))
	}
	p.Table(sagaHeadings, rows)
}

func sagaRow(s *admin.SagaStatus) []render.Cell {
	row := []render.Cell{render.Strong.In(s.Name)}
	for life := saga.Running; life <= saga.Failed; life++ {
		cell := render.Of(strconv.Itoa(s.Instances[life]))
		if life == saga.Stuck {
			cell = count(s.Instances[life])
		}
		row = append(row, cell)
	}
	note := render.Bad.In(s.Error)
	if s.Error == "" && s.Untyped {
		note = render.Faint.In("its definition is not here")
	}
	return append(row, note)
}

func sagaListCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "ls", short: "Show the sagas that a log has, and how many instances of each there are",
		run: func(c *call) (render.Answer, error) {
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			list, err := s.Sagas(c.ctx)
			return &SagaList{v, list}, err
		},
	})
}

// InstanceList is instances of a saga.
type InstanceList struct {
	View      admin.View       `json:"view"`
	Saga      string           `json:"saga"`
	Instances []admin.Instance `json:"instances"`
	More      bool             `json:"more,omitempty"` // there are more than were asked for
}

// Schema implements [render.Answer].
func (l *InstanceList) Schema() string { return "instances" }

// Items implements [render.List].
func (l *InstanceList) Items() iter.Seq[render.Answer] {
	return each(l.Instances, func(one admin.Instance) render.Answer { return &instanceItem{l.Saga, one} })
}

// instanceItem is one of a list.
type instanceItem struct {
	Saga string `json:"saga"`
	admin.Instance
}

func (i *instanceItem) Schema() string      { return "instance" }
func (i *instanceItem) Text(p *render.Page) { writeInstance(p, i.Saga, &i.Instance) }

// Text implements [render.Answer].
func (l *InstanceList) Text(p *render.Page) {
	header(p, l.View)
	if len(l.Instances) == 0 {
		p.Line(render.Of("no instance of "+l.Saga), render.Of("that this selects"))
		return
	}
	rows := make([][]render.Cell, 0, len(l.Instances))
	for i := range l.Instances {
		o := &l.Instances[i]
		why := or(o.Damage, o.Err)
		if why == "" && o.Unrunnable != "" {
			why = "its program lacks " + o.Unrunnable
		}
		rows = append(rows, []render.Cell{
			render.Strong.In(o.Key), lifeOf(o), render.Of(o.Phase), render.Of(p.Since(o.Since)), render.Of(p.Since(o.Began)),
			render.Of(number(uint64(max(0, o.Held)))), render.Of(render.Clip(why, 100)),
		})
	}
	p.Table([]string{"KEY", "LIFE", "PHASE", "FOR", "AGE", "HELD", "WHY"}, rows)
	if l.More {
		p.Line(render.Faint.In("and more: --limit"))
	}
}

// lifeOf says how far an instance has come.
func lifeOf(o *admin.Instance) render.Cell {
	switch {
	case o.Damage != "":
		return render.Bad.In("unreadable")
	case o.Life == saga.Stuck, o.Life == saga.Failed:
		return render.Bad.In(o.Life.String())
	case o.Life == saga.Completed:
		return render.Good.In(o.Life.String())
	case o.Life == saga.Running && o.Waiting:
		return render.Of("waiting")
	case o.Life == saga.Running:
		return render.Of(o.Life.String())
	}
	return render.Warning.In(o.Life.String())
}

func sagaInstancesCommand(a *app) *cobra.Command {
	var q admin.InstanceQuery
	var older time.Duration
	return a.command(spec{
		name: "instances", short: "Show instances of a saga, by how far they have come and since when", args: []argument{sagaArgument()},
		long: "Those that are compensating, stuck or suspended are found at once, however many others there are.",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringSliceVar(&q.Life, "life", nil, "those that are running, compensating, stuck, suspended, completed, compensated or failed")
			f.StringVar(&q.Phase, "phase", "", "those in this phase")
			f.DurationVar(&older, "older", 0, "those that have been as they are for so long, as 1h")
			f.BoolVar(&q.Unrunnable, "unrunnable", false, "those that their program cannot continue")
			f.IntVar(&q.Limit, "limit", 100, "how many; 0 for all")
		},
		run: func(c *call) (render.Answer, error) {
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			q.Saga, q.OlderThan = c.args[0], admin.Duration(older)
			out := &InstanceList{View: v, Saga: q.Saga, Instances: []admin.Instance{}}
			most := q.Limit
			if q.Limit > 0 {
				q.Limit++
			}
			for o, err := range s.Instances(c.ctx, q) {
				if err != nil {
					return nil, err
				}
				if most > 0 && len(out.Instances) == most {
					out.More = true
					break
				}
				out.Instances = append(out.Instances, o)
			}
			return out, nil
		},
	})
}

// sagaArgument is one that names a saga.
func sagaArgument() argument {
	return argument{"SAGA", func(c *call) (names []string) {
		s, err := c.surface()
		if err != nil {
			return nil
		}
		list, _ := s.Sagas(c.ctx) // what cannot be found out is not completed
		for _, one := range list {
			names = append(names, one.Name)
		}
		return names
	}}
}

// keyArgument is one that names an instance of the saga before it.
func keyArgument() argument {
	return argument{"KEY", func(c *call) (keys []string) {
		s, err := c.surface()
		if err != nil {
			return nil
		}
		for o, err := range s.Instances(c.ctx, admin.InstanceQuery{Saga: c.args[0], Limit: 1_000}) {
			if err == nil {
				keys = append(keys, fmt.Sprintf("%s\t%s", o.Key, o.Life))
			}
		}
		return keys
	}}
}
