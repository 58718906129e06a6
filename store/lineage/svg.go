package lineage

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Lengths of the SVG, in pixels.
const (
	charWidth  = 8  // of the font, at most
	lineHeight = 16 // of a row of text
	padding    = 8  // between frame and text
	rowGap     = 14 // between boxes, one above the other
	columnGap  = 70 // between boxes of a depth and the next, where the labels are
	margin     = 10 // around all
	hang       = 40 // of what leads back, below its boxes
)

// place is where a box is drawn.
type place struct{ x, y, width, height int }

func (p place) middle() int { return p.y + p.height/2 }

// SVG writes the picture as an image that stands by itself: trees from left to right, each box in
// the middle of those under it, and the arrows that belong to no tree dashed. It has no scripts,
// links and outside fonts. Errors are those of w.
func (p Picture) SVG(w io.Writer) error {
	out := new(bytes.Buffer)
	s := p.spread()
	places, width, height := p.layout(s)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n",
		width, height, width, height)
	out.WriteString(`<style>text{font:12px monospace;fill:#222}rect{fill:#fff;stroke:#444}path{fill:none;stroke:#444}` +
		`.title{font-weight:bold}.label{fill:#666}.faint rect{stroke:#bbb}.faint text{fill:#888}.dashed rect{stroke-dasharray:4}.strong rect{stroke-width:3}` +
		`.rest{stroke-dasharray:4;stroke:#999}</style>` + "\n")
	above := make([]int, 0, len(s.steps)) // the boxes above, by depth
	for _, at := range s.steps {
		above = append(above[:at.depth], at.box)
		if at.depth > 0 {
			writeArrow(out, places[above[at.depth-1]], places[at.box], at.label)
		}
	}
	for _, a := range s.rest {
		writeBack(out, places[a.From], places[a.To], a.Label)
	}
	for i := range p.Boxes {
		writeBox(out, &p.Boxes[i], places[i])
	}
	out.WriteString("</svg>\n")
	_, err := out.WriteTo(w)
	return err
}

// layout gives each depth a column as wide as its widest box, and each box without others under it
// a row as high as the tallest of all; the rest lie in the middle of those under them.
func (p Picture) layout(s spread) (places []place, width, height int) {
	places = make([]place, len(p.Boxes))
	var columns []int
	tallest := 0
	for _, at := range s.steps {
		places[at.box] = p.Boxes[at.box].size()
		if at.depth == len(columns) {
			columns = append(columns, 0)
		}
		columns[at.depth] = max(columns[at.depth], places[at.box].width)
		tallest = max(tallest, places[at.box].height)
	}
	lefts := make([]int, len(columns)+1)
	lefts[0] = margin
	for i, w := range columns {
		lefts[i+1] = lefts[i] + w + columnGap
	}
	y := margin
	for _, at := range s.steps {
		b := &places[at.box]
		b.x = lefts[at.depth]
		if at.leaf {
			b.y, y = y+(tallest-b.height)/2, y+tallest+rowGap
		}
	}
	setMiddles(s, places)
	if len(s.rest) > 0 {
		y += hang
	}
	return places, max(2*margin, lefts[len(columns)]-columnGap+margin), max(2*margin, y-rowGap+margin)
}

// setMiddles places boxes with others under them, from the last step to the first, so that those
// under a box are placed before it.
func setMiddles(s spread, places []place) {
	type span struct{ first, last int }
	under := make([]span, 0, 8) // of the boxes of a depth whose parent was not met yet
	for _, at := range slices.Backward(s.steps) {
		b := &places[at.box]
		if !at.leaf {
			u := under[at.depth+1]
			b.y = (u.first+u.last)/2 - b.height/2
			under[at.depth+1] = span{}
		}
		for len(under) < at.depth+2 {
			under = append(under, span{})
		}
		u := &under[at.depth]
		if *u == (span{}) {
			u.last = b.middle()
		}
		u.first = b.middle()
		if at.depth == 0 {
			*u = span{}
		}
	}
}

// size is that of a box by its text.
func (b *Box) size() place {
	widest, rows := 0, b.rows()
	for _, row := range rows {
		widest = max(widest, utf8.RuneCountInString(row))
	}
	return place{width: widest*charWidth + 2*padding, height: len(rows)*lineHeight + padding}
}

// writeArrow leads from the right side of a box to the left side of one under it.
func writeArrow(out *bytes.Buffer, from, to place, label string) {
	x, y, tx, ty := from.x+from.width, from.middle(), to.x, to.middle()
	bend := columnGap / 2
	fmt.Fprintf(out, `<path d="M%d %dC%d %d %d %d %d %d"/>`, x, y, x+bend, y, tx-bend, ty, tx, ty)
	fmt.Fprintf(out, `<path d="M%d %dl-6 -3m6 3l-6 3"/>`, tx, ty)
	writeLabel(out, tx-8, ty-4, "end", label)
	out.WriteByte('\n')
}

// writeBack leads from below a box to below another one, or the same.
func writeBack(out *bytes.Buffer, from, to place, label string) {
	x, y, tx, ty := from.x+from.width/3, from.y+from.height, to.x+to.width*2/3, to.y+to.height
	low := max(y, ty) + hang
	fmt.Fprintf(out, `<path class="rest" d="M%d %dC%d %d %d %d %d %d"/>`, x, y, x, low, tx, low, tx, ty)
	fmt.Fprintf(out, `<path d="M%d %dl-3 6m3 -6l3 6"/>`, tx, ty)
	writeLabel(out, (x+tx)/2, low-margin, "middle", label)
	out.WriteByte('\n')
}

func writeLabel(out *bytes.Buffer, x, y int, anchor, label string) {
	if label != "" {
		fmt.Fprintf(out, `<text class="label" x="%d" y="%d" text-anchor="%s">%s</text>`, x, y, anchor, escaped(plain(label)))
	}
}

func writeBox(out *bytes.Buffer, b *Box, at place) {
	classes := map[Style]string{Faint: ` class="faint"`, Dashed: ` class="dashed"`, Strong: ` class="strong"`}
	fmt.Fprintf(out, `<g%s><rect x="%d" y="%d" width="%d" height="%d" rx="4"/>`, classes[b.Style], at.x, at.y, at.width, at.height)
	for i, row := range b.rows() {
		title := ""
		if i == 0 {
			title = ` class="title"`
		}
		fmt.Fprintf(out, `<text x="%d" y="%d"%s>%s</text>`, at.x+padding, at.y+(i+1)*lineHeight, title, escaped(row))
	}
	out.WriteString("</g>\n")
}

// escaped is a plain text for XML.
func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
