package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

// Event is one of the log, on a line.
type Event struct{ admin.Event }

// Schema implements [render.Answer].
func (e *Event) Schema() string { return "event" }

// Text implements [render.Answer].
func (e *Event) Text(p *render.Page) {
	by := ""
	if e.Emitter != nil {
		by = "by " + e.Emitter.Worker
	}
	p.Clipped(
		render.Strong.In(fmt.Sprintf("%8d", e.Position)), render.Faint.In(render.When(e.Time)), render.Of(e.Kind),
		render.Of(fmt.Sprintf("%s@%s", e.Entity, e.Scope)), render.Faint.In("v"+strconv.FormatUint(e.Version, 10)), render.Faint.In(by),
		render.Of(render.Clip(payloadOf(&e.Event), 200)),
	)
}

// payloadOf is that of an event on one line.
func payloadOf(e *admin.Event) string {
	switch {
	case e.Erased != nil:
		return "(erased)"
	case len(e.JSON) > 0:
		return compact(e.JSON)
	case e.Text != "":
		return e.Text
	case len(e.Binary) > 0:
		return fmt.Sprintf("(%s of %s)", render.Count(len(e.Binary), "byte"), e.Codec)
	case e.Bytes > 0:
		return fmt.Sprintf("(%s, not shown)", render.Count(e.Bytes, "byte"))
	}
	return ""
}

// shown is an event with its payload as this command shows it.
func (c *call) shown(e admin.Event) admin.Event {
	if c.options.Decode == nil || e.JSON != nil || e.Text == "" && len(e.Binary) == 0 {
		return e
	}
	if decoded, err := c.options.Decode(e); err == nil && json.Valid(decoded) {
		e.JSON, e.Text, e.Binary = decoded, "", nil
	}
	return e
}

// lines are events, each on a line.
func (c *call) lines(events iter.Seq2[admin.Event, error]) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for e, err := range events {
			if !yield(&Event{c.shown(e)}, err) {
				return
			}
		}
	}
}

func tailCommand(a *app) *cobra.Command {
	var q admin.EventQuery
	var last int
	var match string
	return a.command(spec{
		name: "tail", short: "Show the last events, and with -f those that follow",
		example: "$T -n 50 --entity order --kind order.refused",
		long: "Without --from it shows the last ones. With --match it shows those with the text in their payload, and stops\n" +
			"looking at the beginning of the log.",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.IntVarP(&last, "last", "n", 20, "how many; 0 for all")
			f.BoolVarP(&q.Follow, "follow", "f", false, "wait for what is appended, until interrupted")
			f.StringVar(&q.Entity, "entity", "", "those of this entity, and of what is below it")
			f.StringVar(&q.Scope, "scope", "", "those of exactly this scope")
			f.StringSliceVar(&q.Kinds, "kind", nil, "those of this kind; may be given more than once")
			f.StringVar(&q.Category, "category", "", "those whose kind begins with this and a dot")
			f.StringVar(&q.From, "from", "", "from a position, a time, a date, or since how long ago, as 2h: the first ones after that")
			f.StringVar(&match, "match", "", "those with this text in their payload")
		},
		run: func(c *call) (render.Answer, error) {
			if last < 0 {
				return nil, usage("", "--last is %d, and cannot be negative", last)
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			out := &render.Stream[*Event]{Name: "events", Head: &headed{v}}
			out.Values = c.lines(c.tailed(s, v, q, last, match))
			return out, nil
		},
	})
}

// tailed are the events of tail.
func (c *call) tailed(s *admin.Surface, v admin.View, q admin.EventQuery, last int, match string) iter.Seq2[admin.Event, error] {
	return func(yield func(admin.Event, error) bool) {
		ahead := q
		if q.From == "" {
			// The last ones are found backwards, and shown forwards.
			var newest []admin.Event
			back := q
			back.Backward, back.Follow = true, false
			for e, err := range s.Events(c.ctx, back) {
				if err != nil {
					yield(e, err)
					return
				}
				if matches(&e, match) {
					newest = append(newest, e)
				}
				if last > 0 && len(newest) == last {
					break
				}
			}
			for _, e := range slices.Backward(newest) {
				if !yield(e, nil) {
					return
				}
			}
			if !q.Follow {
				return
			}
			ahead.From = fmt.Sprint(max(v.AsOf, latest(newest)))
			last = 0
		}
		left := last
		for e, err := range s.Events(c.ctx, ahead) {
			if q.Follow && errors.Is(err, context.Canceled) {
				return // it was interrupted, as is meant
			}
			if err == nil && !matches(&e, match) {
				continue
			}
			left--
			if !yield(e, err) || left == 0 && !q.Follow {
				return
			}
		}
	}
}

func latest(newest []admin.Event) store.Position {
	if len(newest) == 0 {
		return 0
	}
	return newest[0].Position
}

func matches(e *admin.Event, text string) bool {
	return text == "" || strings.Contains(payloadOf(e), text) || strings.Contains(string(e.Binary), text)
}

// One is an event with all that is known of it.
type One struct {
	View  admin.View  `json:"view"`
	Event admin.Event `json:"event"`
}

// Schema implements [render.Answer].
func (o *One) Schema() string { return "get" }

// Text implements [render.Answer].
func (o *One) Text(p *render.Page) {
	header(p, o.View)
	writeEvent(p, &o.Event)
}

// writeEvent writes all that is known of an event.
func writeEvent(p *render.Page, e *admin.Event) {
	cause, by, erased := "none: it came from outside", "", ""
	if e.Cause != nil {
		cause = fmt.Sprintf("%s, depth %d", e.Cause, e.Depth)
	}
	if m := e.Emitter; m != nil {
		by = fmt.Sprintf("%s, build %s, epoch %d, attempt %d", m.Worker, or(m.Build, "unknown"), m.Epoch, m.Attempt)
	}
	if x := e.Erased; x != nil {
		erased = fmt.Sprintf("%s by %s: %s", render.When(x.At), or(x.By, "unknown"), x.Reason)
	}
	p.Facts(
		render.Fact{Name: "event", Value: render.Strong.In(fmt.Sprint(e.Position))},
		render.Fact{Name: "id", Value: render.Of(e.ID.String())},
		render.Fact{Name: "kind", Value: render.Of(e.Kind)},
		render.Fact{Name: "schema", Value: render.Of(number(uint64(e.Schema)))},
		render.Fact{Name: "entity", Value: render.Of(fmt.Sprintf("%s, version %d", e.Entity, e.Version))},
		render.Fact{Name: "scope", Value: render.Of(e.Scope)},
		render.Fact{Name: "time", Value: render.Of(render.When(e.Time) + ", " + p.Since(e.Time) + " ago")},
		render.Fact{Name: "cause", Value: render.Of(cause)},
		render.Fact{Name: "correlation", Value: render.Of(e.Correlation.String())},
		render.Fact{Name: "emitted by", Value: render.Of(by)},
		render.Fact{Name: "erased", Value: render.Bad.In(erased)},
		render.Fact{Name: "headers", Value: render.Of(pairs(e.Headers))},
		render.Fact{Name: "meta", Value: render.Of(pairs(e.Meta))},
		render.Fact{Name: "payload", Value: render.Of(fmt.Sprintf("%s %s", render.Count(e.Bytes, "byte"), e.Codec))},
	)
	switch {
	case len(e.JSON) > 0:
		p.Block("  ", indented(e.JSON), render.Usual)
	case e.Text != "":
		p.Block("  ", e.Text, render.Usual)
	case len(e.Binary) > 0:
		p.Block("  ", fmt.Sprintf("%x", e.Binary), render.Usual)
	}
}

func getCommand(a *app) *cobra.Command {
	var raw bool
	return a.command(spec{
		name: "get", short: "Show one event, by its position or its id", args: []argument{{name: "EVENT"}},
		flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&raw, "raw", false, "print the bytes of the payload and nothing else")
		},
		run: func(c *call) (render.Answer, error) {
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			if raw {
				b, err := s.Payload(c.ctx, c.args[0])
				return &Bytes{b}, err
			}
			e, err := s.Event(c.ctx, c.args[0])
			if err != nil {
				return nil, err
			}
			return &One{v, c.shown(e)}, nil
		},
	})
}

// Bytes are those of a payload.
type Bytes struct {
	Bytes []byte `json:"bytes"`
}

// Schema implements [render.Answer].
func (b *Bytes) Schema() string { return "payload" }

// Text implements [render.Answer].
func (b *Bytes) Text(p *render.Page) { p.Raw(b.Bytes) }

func historyCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "history", short: "Show all events of one entity, and check their chain of hashes", args: []argument{{name: "ENTITY"}},
		run: func(c *call) (render.Answer, error) {
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			return &render.Stream[*Event]{
				Name: "history", Head: &headed{v}, Values: c.lines(s.History(c.ctx, c.args[0])),
				End: func(p *render.Page, n int) {
					p.Line(render.Good.In(render.Count(n, "event")), render.Of("in a whole chain"))
				},
			}, nil
		},
	})
}

// timeOf is a duration of the surface.
func timeOf(d admin.Duration) time.Duration { return time.Duration(d) }
