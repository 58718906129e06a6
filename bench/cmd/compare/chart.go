package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
)

// Sizes of the chart.
const (
	columns    = 2
	chartWidth = 24 * vg.Centimeter
	barHeight  = 0.55 * vg.Centimeter
	panelExtra = 2.1 * vg.Centimeter // title and axis of a panel
	headHeight = 1.5 * vg.Centimeter
)

// Colours: who it is, and pale what does not outlive a power cut.
var (
	ours     = color.NRGBA{R: 0x0b, G: 0x6e, B: 0x99, A: 0xff}
	bound    = color.NRGBA{R: 0x8a, G: 0x8a, B: 0x8a, A: 0xff}
	peers    = color.NRGBA{R: 0xd9, G: 0x82, B: 0x2b, A: 0xff}
	paleness = 0.35
)

// chart draws a panel for each row: bars on a logarithmic scale.
func (r report) chart() ([]byte, error) {
	lines := (len(r.Rows) + columns - 1) / columns
	heights := make([]vg.Length, lines)
	total := headHeight
	for i, m := range r.Rows {
		heights[i/columns] = max(heights[i/columns], panelExtra+barHeight*vg.Length(len(m.Row.Contestants)))
	}
	for _, h := range heights {
		total += h
	}
	canvas := vgsvg.New(chartWidth, total)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	r.head(all)
	top := all.Max.Y - headHeight
	for i, m := range r.Rows {
		p, err := panel(m)
		if err != nil {
			return nil, err
		}
		width := chartWidth / columns
		left := width * vg.Length(i%columns)
		p.Draw(draw.Crop(all, left+4, left+width-chartWidth-8, top-heights[i/columns]-all.Min.Y+10, top-all.Max.Y-8))
		if i%columns == columns-1 {
			top -= heights[i/columns]
		}
	}
	var out bytes.Buffer
	_, err := canvas.WriteTo(&out)
	// Arial has the same widths, where there is no Liberation Sans.
	return bytes.ReplaceAll(out.Bytes(), []byte("Liberation Sans"), []byte("'Liberation Sans',Arial,Helvetica,sans-serif")), err
}

func style(size vg.Length, weight font.Weight) text.Style {
	s := plot.NewLegend().TextStyle
	s.Font.Variant, s.Font.Size, s.Font.Weight = "Sans", size, weight
	return s
}

// head says what the colours mean.
func (r report) head(c draw.Canvas) {
	at := vg.Point{X: c.Min.X + 8, Y: c.Max.Y - 18}
	c.FillText(style(12, font.WeightBold), at, "Penstock and others, storing and delivering events")
	at.Y -= 15
	for _, entry := range []struct {
		colour color.Color
		text   string
	}{
		{ours, "Penstock"},
		{bound, "limit of the machine"},
		{peers, "others"},
		{pale(peers), "pale: acknowledged before it is safe from a power cut"},
	} {
		box := vg.Rectangle{Min: at, Max: vg.Point{X: at.X + 9, Y: at.Y + 7}}
		c.SetColor(entry.colour)
		c.Fill(box.Path())
		s := style(9, font.WeightNormal)
		c.FillText(s, vg.Point{X: at.X + 13, Y: at.Y}, entry.text)
		at.X += 13 + s.Width(entry.text) + 18
	}
}

// panel draws one row. The first contestant is on top.
func panel(m delivery.Measured) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = m.Row.Title + ": " + m.Row.Unit
	if m.Row.Less {
		p.Title.Text += " (less is better)"
	}
	p.Title.TextStyle = style(9.5, font.WeightBold)
	p.Title.TextStyle.XAlign = draw.XCenter
	b := bars{label: style(8, font.WeightNormal)}
	n := len(m.Row.Contestants)
	names := make([]string, n)
	for i, c := range m.Row.Contestants {
		v, ok := m.Figure(c.Name, m.Row.Unit)
		if !ok {
			return nil, fmt.Errorf("%s has no %s", c.Name, m.Row.Unit)
		}
		names[n-1-i] = c.Name
		b.list = append(b.list, bar{at: float64(n - 1 - i), value: v, colour: colourOf(c)})
	}
	p.Add(b)
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.6, float64(n)-0.4
	p.Y.Tick.Label.Font = style(9, font.WeightNormal).Font
	p.X.Min, p.X.Max = b.span()
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = decades{}
	p.X.Tick.Label.Font = style(8, font.WeightNormal).Font
	return p, nil
}

func colourOf(c delivery.Contestant) color.Color {
	colour := peers
	switch {
	case c.Name == "limit":
		return bound
	case len(c.Name) >= 8 && c.Name[:8] == "Penstock":
		colour = ours
	}
	if !c.Durable {
		return pale(colour)
	}
	return colour
}

// pale mixes a colour with white.
func pale(c color.NRGBA) color.NRGBA {
	mix := func(v uint8) uint8 { return uint8(255 - paleness*(255-float64(v))) }
	return color.NRGBA{R: mix(c.R), G: mix(c.G), B: mix(c.B), A: 0xff}
}

// bar is a value, and the place of its bar.
type bar struct {
	at, value float64
	colour    color.Color
}

// bars are horizontal, begin at the left edge, and have their values beside them. (Those of the
// library begin at zero, which no logarithmic scale has.)
type bars struct {
	list  []bar
	label text.Style
}

// Plot draws the bars.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, bar := range b.list {
		end := c.Min.X
		if bar.value > p.X.Min {
			end = x(bar.value)
		}
		middle := y(bar.at)
		box := vg.Rectangle{
			Min: vg.Point{X: c.Min.X, Y: middle - 0.35*barHeight}, Max: vg.Point{X: end, Y: middle + 0.35*barHeight},
		}
		c.SetColor(bar.colour)
		c.Fill(box.Path())
		s := b.label
		s.YAlign = draw.YCenter
		c.FillText(s, vg.Point{X: end + 3, Y: middle}, figures.Short(bar.value))
	}
}

// span is from the decade below the least value to where the label of the greatest has room.
func (b bars) span() (least, greatest float64) {
	least, greatest = math.Inf(1), 0
	for _, bar := range b.list {
		if bar.value > 0 {
			least = min(least, bar.value)
		}
		greatest = max(greatest, bar.value)
	}
	if greatest == 0 {
		return 0.1, 1
	}
	least = math.Pow(10, math.Floor(math.Log10(least*0.8)))
	return least, greatest * math.Pow(greatest/least, 0.16)
}

// decades are the ticks of a logarithmic scale, with a name for each power of ten.
type decades struct{}

// Ticks returns the powers of ten.
func (decades) Ticks(least, greatest float64) []plot.Tick {
	var list []plot.Tick
	for v := math.Pow(10, math.Floor(math.Log10(least))); v <= greatest; v *= 10 {
		if v >= least*0.999 {
			list = append(list, plot.Tick{Value: v, Label: figures.Short(v)})
		}
	}
	return list
}
