package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

// Verified is what was compared, and what is wrong.
type Verified struct {
	View     admin.View     `json:"view"`
	Whole    bool           `json:"whole"`
	First    store.Position `json:"first"`
	Head     store.Position `json:"head"`
	Segments int            `json:"segments"`
	Bytes    int64          `json:"bytes"`
	Events   uint64         `json:"events"`
	Erased   uint64         `json:"erased,omitempty"`
	Hidden   uint64         `json:"hidden,omitempty"`
	Lost     uint64         `json:"lost,omitempty"`
	Unlinked uint64         `json:"unlinked,omitempty"`
	Keys     uint64         `json:"keys"`
	Sides    uint64         `json:"sides"`
	Damage   []Damage       `json:"damage,omitempty"`
	More     uint64         `json:"more,omitempty"` // damage that is not listed
	Repair   string         `json:"repair,omitempty"`
}

// Damage is one thing that is not what was written.
type Damage struct {
	Kind    string         `json:"kind"`
	Segment uint32         `json:"segment"`
	Offset  int64          `json:"offset"`
	Reason  string         `json:"reason"`
	First   store.Position `json:"first,omitempty"` // that is lost
	Last    store.Position `json:"last,omitempty"`
	Entity  string         `json:"entity,omitempty"`
	SideKey string         `json:"sideKey,omitempty"`
}

// Schema implements [render.Answer].
func (v *Verified) Schema() string { return "verify" }

func (v *Verified) exit() int {
	if !v.Whole {
		return exitDamage
	}
	return exitFine
}

// Text implements [render.Answer].
func (v *Verified) Text(p *render.Page) {
	header(p, v.View)
	what := fmt.Sprintf("%d events (%d to %d), %d keys, %d side values in %d segments, %s", v.Events, v.First, v.Head, v.Keys, v.Sides, v.Segments, render.Size(v.Bytes))
	if v.Whole {
		p.Line(render.Good.In("whole:"), render.Of(what))
	} else {
		p.Line(render.Bad.In("damaged:"), render.Of("whole are "+what))
	}
	p.Facts(
		render.Fact{Name: "erased", Value: render.Of(number(v.Erased))},
		render.Fact{Name: "hidden", Value: render.Of(number(v.Hidden))},
		render.Fact{Name: "lost before", Value: render.Of(number(v.Lost))},
		render.Fact{Name: "not compared with the event before", Value: render.Of(number(v.Unlinked))},
	)
	if len(v.Damage) == 0 {
		return
	}
	rows := make([][]render.Cell, 0, len(v.Damage))
	for _, d := range v.Damage {
		lost := "nothing"
		if d.First != 0 {
			lost = fmt.Sprintf("events %d to %d", d.First, d.Last)
		}
		of := strings.TrimSpace(d.Entity + " " + d.SideKey)
		rows = append(rows, []render.Cell{
			render.Bad.In(d.Kind), render.Of(fmt.Sprint(d.Segment)), render.Of(fmt.Sprint(d.Offset)), render.Of(lost), render.Of(of), render.Of(d.Reason),
		})
	}
	p.Table([]string{"DAMAGE", "SEGMENT", "OFFSET", "LOST", "OF", "REASON"}, rows)
	if v.More > 0 {
		p.Line(render.Of(fmt.Sprintf("and %d more", v.More)))
	}
	p.Line(render.Faint.In("try:"), render.Of(v.Repair))
}

// directory is the target, which has to be one, and how it is found.
func (c *call) directory() (string, admin.View, error) {
	if strings.Contains(c.target, "://") {
		return "", admin.View{}, usage("give the directory of the store", "this needs the files themselves, and %s is a URL", c.target)
	}
	o, err := store.OwnerOf(c.target)
	if err != nil {
		return "", admin.View{}, err
	}
	v := admin.View{Mode: admin.Cold, Directory: c.target}
	if o != nil {
		v.Mode, v.Owner = admin.Beside, o
		v.Note = owner(v) + " has it open"
	}
	return c.target, v, nil
}

func storeVerifyCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "verify", short: "Read the whole log, and compare all in it with all else",
		long: "It ends with exit code 6 where something is damaged. It reads beside a process that writes, and changes nothing.",
		run: func(c *call) (render.Answer, error) {
			dir, v, err := c.directory()
			if err != nil {
				return nil, err
			}
			bar := c.progress("verify")
			defer bar.end()
			r, err := store.VerifyDir(c.ctx, dir, store.VerifyOptions{Progress: bar.bytes})
			if err != nil {
				return nil, err
			}
			v.AsOf = r.Head
			out := &Verified{
				View: v, Whole: r.Whole(), First: r.First, Head: r.Head, Segments: r.Segments, Bytes: r.Bytes, Events: r.Events, Erased: r.Erased,
				Hidden: r.Hidden, Lost: r.Lost, Unlinked: r.Unlinked, Keys: r.Keys, Sides: r.Sides, More: r.More,
			}
			for _, d := range r.Damage {
				out.Damage = append(out.Damage, Damage{d.Kind.String(), d.Segment, d.Offset, d.Reason, d.First, d.Last, d.Entity, d.SideKey})
			}
			if !out.Whole {
				out.Repair = c.next("store", "repair", "NEW-DIRECTORY", "--dry-run")
			}
			return out, nil
		},
	})
}
