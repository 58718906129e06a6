package saga

import (
	"fmt"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/store/lineage"
)

// Picture returns the saga as boxes and arrows, to be drawn as text, DOT, Mermaid or SVG. A list of
// steps has a box for each step, what is carried out at the same time side by side. A saga of
// handlers has one for each phase that an [In] or [To] names, and an arrow for each input and timer
// that leads from one to another. The error is that of an invalid definition.
func (s *Saga[S]) Picture() (lineage.Picture, error) {
	p, err := s.program()
	if err != nil {
		return lineage.Picture{}, err
	}
	return p.picture(&record{}), nil
}

// Picture is that of the saga, with what the instance of a key has come to: steps with their
// status, those that are done and the present phase of more weight. Errors are those of Get.
func (h *Instances[S]) Picture(key string) (lineage.Picture, error) {
	rec, err := h.record(key)
	if err != nil {
		return lineage.Picture{}, fmt.Errorf("saga %s, key %q: %w", h.saga.name, key, err)
	}
	p, err := h.saga.program()
	if err != nil {
		return lineage.Picture{}, err
	}
	d, _, err := p.take(rec)
	if err != nil {
		return lineage.Picture{}, err
	}
	if rec.Life.Ended() {
		d = p.ended(rec)
	}
	return d.picture(rec), nil
}

// ended is the definition by which an instance has ended. Where the program does not have that any
// more it is the present one, without the steps that the instance has not come to.
func (p *program[S]) ended(rec *record) *definition[S] {
	d := p.definition
	if rec.Version == d.version {
		return d
	}
	if former := p.former[rec.Version]; former != nil {
		return former
	}
	less := *d
	less.stages = nil
	for _, s := range d.stages {
		s.steps = slices.DeleteFunc(slices.Clone(s.steps), func(name string) bool { return rec.Steps[name] == nil })
		if s.pivot && rec.Pivoted || len(s.steps) > 0 {
			less.stages = append(less.stages, s)
		}
	}
	return &less
}

// drawing is a picture in the making.
type drawing struct {
	lineage.Picture

	at map[string]int // boxes by name
}

func (g *drawing) box(name string, b lineage.Box) int {
	if i, there := g.at[name]; there {
		return i
	}
	g.Boxes = append(g.Boxes, b)
	g.at[name] = len(g.Boxes) - 1
	return len(g.Boxes) - 1
}

func (g *drawing) arrow(from, to int, label string) {
	g.Arrows = append(g.Arrows, lineage.Arrow{From: from, To: to, Label: label})
}

func (d *definition[S]) picture(rec *record) lineage.Picture {
	g := &drawing{at: make(map[string]int)}
	switch {
	case d.untyped:
		d.drawRecord(g, rec)
	case d.list:
		d.drawList(g, rec)
	default:
		d.drawPhases(g, rec)
	}
	return g.Picture
}

// starters are the kinds that start an instance.
func (d *definition[S]) starters() (kinds []string) {
	for _, kind := range slices.Sorted(maps.Keys(d.routes)) {
		if d.routes[kind].start != nil {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (d *definition[S]) drawList(g *drawing, rec *record) {
	before, label := []int(nil), ""
	for _, kind := range d.starters() {
		before = append(before, g.box("on "+kind, lineage.Box{Title: kind, Style: lineage.Dashed}))
	}
	next := func(boxes ...int) {
		for _, from := range before {
			for _, to := range boxes {
				g.arrow(from, to, label)
			}
		}
		before, label = boxes, ""
	}
	for _, s := range d.stages {
		if s.pivot {
			label = "no way back"
			continue
		}
		var boxes []int
		for _, name := range s.steps {
			boxes = append(boxes, g.box(name, d.stepBox(name, rec)))
		}
		next(boxes...)
	}
	next(g.box("/end", endBox(rec)))
}

func endBox(rec *record) lineage.Box {
	b := lineage.Box{Title: Completed.String(), Style: lineage.Faint}
	if rec.Life.Ended() {
		b.Title, b.Style = rec.Life.String(), lineage.Strong
	}
	return b
}

// stepBox says of a step whether it is undone, and how far it is.
func (d *definition[S]) stepBox(name string, rec *record) lineage.Box {
	b := lineage.Box{Title: name}
	if def := d.steps[name]; def != nil && def.undo != nil {
		b.Lines = append(b.Lines, "has an undo")
	}
	s := rec.Steps[name]
	if rec.Life == None {
		return b
	}
	if b.Style = lineage.Faint; s == nil {
		return b
	}
	b.Lines = append(b.Lines, string(s.Status))
	if b.Style = lineage.Plain; s.Status == done {
		b.Style = lineage.Strong
	}
	if u := rec.undoing(); u != nil && u.Step == name && rec.Life == Compensating {
		b.Lines = append(b.Lines, "being undone")
	}
	if rec.Stuck != nil && rec.Stuck.Step == name {
		b.Lines = append(b.Lines, "stuck: "+rec.Stuck.Error)
	}
	return b
}

func (d *definition[S]) drawPhases(g *drawing, rec *record) {
	phase := func(name string) int {
		b := lineage.Box{Title: name}
		if rec.Life != None && rec.Phase == name {
			b.Style, b.Lines = lineage.Strong, []string{rec.Life.String()}
		}
		return g.box(name, b)
	}
	draw := func(label string, p phases) {
		for _, from := range p.in {
			for _, to := range p.to {
				g.arrow(phase(from), phase(to), label)
			}
			if len(p.to) == 0 {
				g.arrow(phase(from), g.box(label, lineage.Box{Title: label, Style: lineage.Faint}), "")
			}
		}
	}
	for _, kind := range d.starters() {
		from := g.box("on "+kind, lineage.Box{Title: kind, Style: lineage.Dashed})
		for _, to := range d.routes[kind].start.to {
			g.arrow(from, phase(to), "")
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(d.routes)) {
		if on := d.routes[kind].on; on != nil {
			draw(kind, on.phases)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.timers)) {
		draw("timer "+name, d.timers[name].phases)
	}
}
