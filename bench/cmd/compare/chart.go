package main

import (
	"bytes"
	"image/color"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/penstock-io/penstock/bench/delivery"
)

const (
	chartWidth = 18 * vg.Centimeter
	barWidth   = 11 * vg.Millimeter / 2
	gap        = 3 * vg.Millimeter
	headRoom   = 2 * vg.Centimeter // of the title and the scale of a panel
)

// chart draws a panel for each row with more than one contestant: a bar for each of them, on a logarithmic scale.
func chart(rows []delivery.Measured, file string) error {
	rows = slices.DeleteFunc(slices.Clone(rows), func(m delivery.Measured) bool { return len(m.Results) < 2 })
	height := vg.Length(0)
	for _, m := range rows {
		height += panelHeight(m)
	}
	canvas := vgsvg.New(chartWidth, height)
	whole := draw.New(canvas)
	whole.SetColor(color.White)
	whole.Fill(whole.Rectangle.Path())
	top := height
	for _, m := range rows {
		p, err := panel(m)
		if err != nil {
			return err
		}
		bottom := top - panelHeight(m)
		p.Draw(draw.Crop(whole, gap, -gap, bottom, top-height))
		top = bottom
	}
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	return os.WriteFile(file, svg.Bytes(), 0o644)
}

func panelHeight(m delivery.Measured) vg.Length {
	return headRoom + vg.Length(len(m.Results))*(barWidth+gap)
}

func panel(m delivery.Measured) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = m.Row + ": " + m.Figures[0]
	if m.Less {
		p.Title.Text += " (less is better)"
	}
	p.Title.TextStyle.Font.Size = 11
	least := math.Inf(1)
	for _, r := range m.Results {
		least = min(least, r.Figures[0])
	}
	floor := math.Floor(math.Log10(least)) - 0.5 // where bars begin: 0 is infinitely far on this scale
	names := make([]string, len(m.Results))
	for i, r := range m.Results {
		place := len(m.Results) - 1 - i // the first one at the top
		names[place] = r.Contestant + "  " + short(r.Figures[0])
		bar, err := plotter.NewBarChart(plotter.Values{math.Log10(r.Figures[0]) - floor}, barWidth)
		if err != nil {
			return nil, err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width = true, float64(place), 0
		bar.Color = colorOf(r.Contestant)
		p.Add(bar)
	}
	p.NominalY(names...)
	p.X.Min = 0
	p.X.Tick.Marker = decades(floor)
	p.X.Padding, p.Y.Padding = 0, barWidth/2
	return p, nil
}

func colorOf(contestant string) color.Color {
	switch {
	case contestant == "limit":
		return color.Gray{Y: 0xc8}
	case len(contestant) >= 8 && contestant[:8] == "penstock":
		return color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}
	default:
		return color.RGBA{R: 0xe6, G: 0x9f, B: 0x4c, A: 0xff}
	}
}

// decades marks the powers of ten on a scale that begins at a power of ten.
type decades float64

// Ticks implements plot.Ticker.
func (d decades) Ticks(lo, hi float64) (ticks []plot.Tick) {
	for power := math.Ceil(float64(d) + lo); power <= float64(d)+hi+0.01; power++ {
		ticks = append(ticks, plot.Tick{Value: power - float64(d), Label: short(math.Pow(10, power))})
	}
	return ticks
}
