package cli

import (
	"bytes"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store/lineage"
)

// Instance is all that is known of one instance of a saga.
type Instance struct {
	View     admin.View     `json:"view"`
	Saga     string         `json:"saga"`
	Instance admin.Instance `json:"instance"`
}

// Schema implements [render.Answer].
func (i *Instance) Schema() string { return "saga-instance" }

// Text implements [render.Answer].
func (i *Instance) Text(p *render.Page) {
	header(p, i.View)
	writeInstance(p, i.Saga, &i.Instance)
}

func writeInstance(p *render.Page, name string, o *admin.Instance) {
	blocked := ""
	if o.Blocked != nil {
		blocked = fmt.Sprintf("event %d, which %s has parked: %s", o.Blocked.Event, o.Blocked.Worker, o.Blocked.Error)
	}
	ended := ""
	if o.Ended != nil {
		ended = render.When(*o.Ended)
	}
	aliases := make([]string, 0, len(o.Aliases))
	for _, a := range o.Aliases {
		aliases = append(aliases, a.Name+"="+a.Value)
	}
	p.Facts(
		render.Fact{Name: "instance", Value: render.Strong.In(name + " " + o.Key)},
		render.Fact{Name: "life", Value: lifeOf(o)},
		render.Fact{Name: "phase", Value: render.Of(o.Phase)},
		render.Fact{Name: "for", Value: render.Of(p.Since(o.Since))},
		render.Fact{Name: "why", Value: render.Bad.In(o.Err)},
		render.Fact{Name: "blocked", Value: render.Bad.In(blocked)},
		render.Fact{Name: "lacks", Value: render.Bad.In(o.Unrunnable)},
		render.Fact{Name: "damage", Value: render.Bad.In(o.Damage)},
		render.Fact{Name: "began", Value: render.Of(render.When(o.Began))},
		render.Fact{Name: "ended", Value: render.Of(ended)},
		render.Fact{Name: "run", Value: render.Of(fmt.Sprintf("%d, of version %d", o.Run, o.Version))},
		render.Fact{Name: "to undo", Value: render.Of(strings.Join(o.ToUndo, ", "))},
		render.Fact{Name: "not undone", Value: render.Of(strings.Join(o.Skipped, ", "))},
		render.Fact{Name: "found by", Value: render.Of(strings.Join(aliases, ", "))},
		render.Fact{Name: "held", Value: render.Of(number(uint64(max(0, o.Held))))},
		render.Fact{Name: "state", Value: render.Of(render.Clip(compact(o.State), 1_000))},
	)
	writeSteps(p, o)
}

func writeSteps(p *render.Page, o *admin.Instance) {
	rows := make([][]render.Cell, 0, len(o.Steps))
	for _, s := range o.Steps {
		rows = append(rows, []render.Cell{
			render.Strong.In(s.Name), render.Of(s.Status), render.Of(s.Key), render.Of(render.Clip(strings.TrimSpace(compact(s.Result)+" "+s.Err), 100)),
		})
	}
	if len(rows) > 0 {
		p.Table([]string{"STEP", "STATUS", "EFFECT", "RESULT"}, rows)
	}
	rows = rows[:0]
	for _, t := range o.Timers {
		rows = append(rows, []render.Cell{render.Strong.In(t.Name), render.Of(p.In(t.Due))})
	}
	if len(rows) > 0 {
		p.Table([]string{"TIMER", "DUE"}, rows)
	}
	writeFailing(p, o.Failing, 0)
}

// Explained says what an instance is doing, and waits for.
type Explained struct {
	View    admin.View `json:"view"`
	Saga    string     `json:"saga"`
	Key     string     `json:"key"`
	Explain string     `json:"explain"`
	// Failing are what it waits for that failed and is tried again, where a system runs.
	Failing []admin.Failing `json:"failing,omitempty"`
}

// Schema implements [render.Answer].
func (e *Explained) Schema() string { return "explain" }

// Text implements [render.Answer].
func (e *Explained) Text(p *render.Page) {
	header(p, e.View)
	p.Block("", e.Explain, render.Usual)
	writeFailing(p, e.Failing, 0)
}

// instance asks for the instance that the arguments name.
func (c *call) instance() (admin.View, admin.Instance, error) {
	s, v, err := c.look()
	if err != nil {
		return v, admin.Instance{}, err
	}
	o, err := s.Instance(c.ctx, c.args[0], c.args[1])
	return v, o, err
}

func sagaShowCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "show", short: "Show all that is known of one instance of a saga", args: []argument{sagaArgument(), keyArgument()},
		run: func(c *call) (render.Answer, error) {
			v, o, err := c.instance()
			return &Instance{v, c.args[0], o}, err
		},
	})
}

func explainCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "explain", short: "Say what an instance of a saga is doing, what it waits for, and what can be asked of it",
		args: []argument{sagaArgument(), keyArgument()},
		run: func(c *call) (render.Answer, error) {
			v, o, err := c.instance()
			return &Explained{v, c.args[0], c.args[1], o.Explain, o.Failing}, err
		},
	})
}

// Told is what an instance was given, and what its saga wrote as the answer.
type Told struct{ admin.SagaInput }

// Schema implements [render.Answer].
func (t *Told) Schema() string { return "saga-input" }

// Text implements [render.Answer].
func (t *Told) Text(p *render.Page) {
	p.Clipped(render.Faint.In(fmt.Sprintf("%8d", t.Event.Position)), render.Faint.In("+"+render.Age(timeOf(t.After))), render.Of(t.SagaInput.Text))
	for _, answer := range t.Answers {
		p.Clipped(render.Faint.In(fmt.Sprintf("%8d", answer.Event.Position)), render.Of("  "+answer.Text))
	}
}

func sagaStoryCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "story", short: "Show what happened to an instance: each input, and what was written as the answer",
		args: []argument{sagaArgument(), keyArgument()},
		run: func(c *call) (render.Answer, error) {
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			values := func(yield func(*Told, error) bool) {
				for in, err := range s.SagaStory(c.ctx, c.args[0], c.args[1]) {
					if !yield(&Told{in}, err) {
						return
					}
				}
			}
			return &render.Stream[*Told]{Name: "saga-story", Head: &headed{v}, Values: iter.Seq2[*Told, error](values)}, nil
		},
	})
}

// Graph is an instance as boxes and arrows.
type Graph struct {
	View    admin.View      `json:"view"`
	Saga    string          `json:"saga"`
	Key     string          `json:"key"`
	Picture lineage.Picture `json:"picture"`
}

// Schema implements [render.Answer].
func (g *Graph) Schema() string { return "saga-graph" }

// Text implements [render.Answer].
func (g *Graph) Text(p *render.Page) {
	header(p, g.View)
	_ = g.Picture.Text(p) // a page takes all
}

func sagaGraphCommand(a *app) *cobra.Command {
	format := "tree"
	return a.command(spec{
		name: "graph", short: "Draw an instance of a saga: its steps, and how far each is", args: []argument{sagaArgument(), keyArgument()},
		long: "With the key '' it draws the saga itself, which needs its definition.",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&format, "format", format, "one of "+formats)
		},
		run: func(c *call) (render.Answer, error) {
			draw, err := c.drawing(format)
			if err != nil {
				return nil, err
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			picture, err := s.SagaPicture(c.ctx, c.args[0], c.args[1])
			if err != nil || draw == nil {
				return &Graph{v, c.args[0], c.args[1], picture}, err
			}
			var out bytes.Buffer
			err = draw(picture, &out)
			return &Drawing{format, strings.TrimRight(out.String(), "\n") + "\n"}, err
		},
	})
}
