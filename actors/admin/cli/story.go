package cli

import (
	"bytes"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store/lineage"
)

// Story is events and what they led to.
type Story struct {
	View      admin.View      `json:"view"`
	Direction admin.Direction `json:"direction"`
	Forest    lineage.Forest  `json:"forest"`
}

// Schema implements [render.Answer].
func (s *Story) Schema() string { return string(s.Direction) }

// Text implements [render.Answer].
func (s *Story) Text(p *render.Page) {
	header(p, s.View)
	_ = s.Forest.Picture().Text(p) // a page takes all
}

// Drawing is a story in a form that other programs draw.
type Drawing struct {
	Format  string `json:"format"`
	Drawing string `json:"drawing"`
}

// Schema implements [render.Answer].
func (d *Drawing) Schema() string { return "drawing" }

// Text implements [render.Answer].
func (d *Drawing) Text(p *render.Page) { p.Raw([]byte(d.Drawing)) }

// drawings are the forms beside text and JSON.
func drawings() map[string]func(lineage.Picture, io.Writer) error {
	return map[string]func(lineage.Picture, io.Writer) error{"dot": lineage.Picture.DOT, "mermaid": lineage.Picture.Mermaid, "svg": lineage.Picture.SVG}
}

const formats = "tree, json, dot, mermaid, svg"

// drawing returns what draws in a format: nil where the answer itself is text or JSON, and then
// "json" asks for that.
func (c *call) drawing(format string) (draw func(lineage.Picture, io.Writer) error, err error) {
	draw = drawings()[format]
	switch {
	case format == "json" && c.flags.json == "":
		c.flags.json = jsonObject
	case format == "json", format == "tree":
	case draw == nil:
		return nil, usage("there are "+formats, "there is no format %q", format)
	}
	return draw, nil
}

func whyCommand(a *app) *cobra.Command {
	return a.story("why", "Show why an event is there: its causes, up to the first", "EVENT", admin.Why)
}

func effectsCommand(a *app) *cobra.Command {
	return a.story("effects", "Show all that followed from an event", "EVENT", admin.Effects)
}

func traceCommand(a *app) *cobra.Command {
	return a.story("trace", "Show the whole story that an event, or a correlation, belongs to", "CORRELATION|EVENT", admin.Trace)
}

func (a *app) story(name, short, of string, direction admin.Direction) *cobra.Command {
	var depth, limit int
	format := "tree"
	return a.command(spec{
		name: name, short: short, args: []argument{{name: of}},
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar(&format, "format", format, "one of "+formats)
			f.IntVar(&depth, "depth", 0, "how many steps; 0 for any number")
			f.IntVar(&limit, "limit", 1_000, "how many events; 0 for any number")
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
			forest, err := s.Lineage(c.ctx, admin.LineageQuery{Event: c.args[0], Direction: direction, Depth: depth, Limit: limit})
			if err != nil {
				return nil, err
			}
			if draw == nil {
				return &Story{v, direction, forest}, nil
			}
			var out bytes.Buffer
			err = draw(forest.Picture(), &out)
			return &Drawing{format, strings.TrimRight(out.String(), "\n") + "\n"}, err
		},
	})
}
