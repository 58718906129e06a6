package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Measures of the chart, in pixels.
const (
	chartWidth  = 1060
	lineHeight  = 20
	headHeight  = 104
	groupHeight = 30
	barLeft     = 420 // where a bar may begin
	barRight    = 740 // where it may end
	textLeft    = barRight + 16
)

// span is from which to which part of a goal the chart reaches, to the right and to the left.
const span = 8.0

// Colours.
const (
	good   = "#0b6e99"
	bad    = "#d9822b"
	parity = "#555555"
)

// chart draws a bar for each goal, from the line that is the goal: to the right where more was
// reached, to the left where less was, on a logarithmic scale. A mark shows where the contestant
// that Penstock is compared with would stand.
func (r results) chart() []byte {
	var body strings.Builder
	y, group := headHeight, ""
	for _, v := range r.verdicts() {
		if v.group != group {
			group = v.group
			y += groupHeight
			text(&body, 12, y-8, "start", `font-weight="bold"`, group)
		}
		v.draw(&body, y)
		y += lineHeight
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="Helvetica,Arial,sans-serif" font-size="12">`+"\n",
		chartWidth, y+12)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", chartWidth, y+12)
	r.head(&out, y)
	out.WriteString(body.String())
	out.WriteString("</svg>\n")
	return []byte(out.String())
}

// head says what the colours mean, and draws the scale down to a height.
func (r results) head(out *strings.Builder, bottom int) {
	text(out, 12, 22, "start", `font-weight="bold" font-size="15"`, "Penstock: what is reached of each goal")
	text(out, 12, 40, "start", `fill="#555555" font-size="11"`, r.Scene.String()+".")
	text(out, 12, 55, "start", `fill="#555555" font-size="11"`, r.way())
	for _, entry := range []struct {
		x            int
		colour, says string
	}{{12, good, "met"}, {70, bad, "missed"}, {146, parity, "mark: the peer or the limit that it is compared with"}} {
		fmt.Fprintf(out, `<rect x="%d" y="68" width="10" height="10" fill="%s"/>`+"\n", entry.x, entry.colour)
		text(out, entry.x+15, 77, "start", "", entry.says)
	}
	for _, times := range []float64{1. / 8, 1. / 4, 1. / 2, 1, 2, 4, 8} {
		x, stroke := place(times), "#dddddd"
		name := fmt.Sprintf("%g ×", times)
		switch {
		case times == 1:
			stroke, name = "#000000", "the goal"
		case times < 1:
			name = fmt.Sprintf("1/%g", 1/times)
		}
		fmt.Fprintf(out, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", x, headHeight, x, bottom, stroke)
		text(out, int(x), headHeight-4, "middle", `font-size="10"`, name)
	}
}

// place is where on the scale a multiple of the goal lies.
func place(times float64) float64 {
	times = min(max(times, 1/span), span)
	return barLeft + (barRight-barLeft)*(1+math.Log(times)/math.Log(span))/2
}

func (v verdict) draw(out *strings.Builder, y int) {
	text(out, barLeft-12, y+13, "end", "", v.title(v.of))
	colour := good
	if !v.met(v.value) {
		colour = bad
	}
	from, to := place(1), place(v.times(v.value))
	fmt.Fprintf(out, `<rect x="%.1f" y="%d" width="%.1f" height="12" fill="%s"/>`+"\n", min(from, to), y+3, math.Abs(to-from), colour)
	if v.theirs != "" {
		fmt.Fprintf(out, `<rect x="%.1f" y="%d" width="3" height="16" fill="%s"/>`+"\n", place(v.times(1))-1.5, y+1, parity)
	}
	text(out, textLeft, y+13, "start", "", fmt.Sprintf("%s, goal %s", v.got(v.value), strings.TrimSuffix(v.wanted(), v.goal.of())))
}

func text(out *strings.Builder, x, y int, anchor, more, s string) {
	fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(s))
}
