package render

import (
	"bytes"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
)

// Tone is what a colour says of a text. A word says it, too.
type Tone uint8

// The tones.
const (
	Usual Tone = iota
	Good
	Warning
	Bad
	Faint
	Strong
)

// Cell is a piece of text with a tone.
type Cell struct {
	Text string
	Tone Tone
}

// In returns a text in a tone.
func (t Tone) In(text string) Cell { return Cell{text, t} }

// Of returns a text in no special tone.
func Of(text string) Cell { return Cell{Text: text} }

// Page is what is being written for people. What is written to it may hold anything: what is no
// graphic character shows as an escape.
type Page struct {
	Now time.Time

	out   bytes.Buffer
	width int
	style *lipgloss.Renderer
}

// String is the page as it is so far.
func (p *Page) String() string { return p.out.String() }

// Line writes cells one after the other, with a space between them, without empty ones.
func (p *Page) Line(cells ...Cell) {
	var parts []string
	for _, c := range cells {
		if c.Text != "" {
			parts = append(parts, p.cell(c))
		}
	}
	p.out.WriteString(strings.Join(parts, " "))
	p.out.WriteByte('\n')
}

// Clipped is Line, cut at the width of the page.
func (p *Page) Clipped(cells ...Cell) {
	left := p.width
	for i := range cells {
		if p.width == 0 {
			break
		}
		runes := []rune(Plain(cells[i].Text))
		if len(runes) > left {
			cells[i].Text = string(runes[:max(0, left-1)]) + "…"
			cells = cells[:i+1]
			break
		}
		left -= len(runes) + 1
	}
	p.Line(cells...)
}

// Block writes a text of several lines, each after an indent.
func (p *Page) Block(indent, text string, tone Tone) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")
		p.out.WriteString(strings.TrimRight(indent+p.cell(Cell{line, tone}), " ") + "\n")
	}
}

// Raw writes bytes as they are.
func (p *Page) Raw(b []byte) { p.out.Write(b) }

// Write is Raw, for what draws on a writer. It never fails.
func (p *Page) Write(b []byte) (int, error) { return p.out.Write(b) }

// Facts writes pairs of a name and a value below each other. Pairs without a value are left out.
func (p *Page) Facts(facts ...Fact) {
	longest := 0
	for _, f := range facts {
		if f.Value.Text != "" {
			longest = max(longest, len(f.Name))
		}
	}
	for _, f := range facts {
		if f.Value.Text != "" {
			name := f.Name + strings.Repeat(" ", longest-len(f.Name)+1)
			p.out.WriteString(p.cell(Faint.In(name)) + " " + p.cell(f.Value) + "\n")
		}
	}
}

// Fact is a value with a name.
type Fact struct {
	Name  string
	Value Cell
}

// Table writes rows below headings. Where a terminal is too narrow the cells are wrapped.
func (p *Page) Table(headings []string, rows [][]Cell) {
	const gap = "  "
	t := table.New().Border(lipgloss.HiddenBorder()).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderColumn(false).BorderHeader(false).
		StyleFunc(func(int, int) lipgloss.Style { return lipgloss.NewStyle() })
	widths := make([]int, len(headings))
	head := make([]string, len(headings))
	for i, h := range headings {
		head[i] = p.cell(Faint.In(h)) + gap
		widths[i] = len(h)
	}
	t.Headers(head...)
	for _, row := range rows {
		line := make([]string, len(row))
		for i, c := range row {
			line[i] = p.cell(c) + gap
			widths[i] = max(widths[i], lipgloss.Width(line[i])-len(gap))
		}
		t.Row(line...)
	}
	total := 0
	for _, w := range widths {
		total += w + len(gap)
	}
	if p.width > 0 && total > p.width {
		t.Width(p.width)
	}
	for line := range strings.Lines(t.Render() + "\n") {
		p.out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

// cell returns a cell as it is written.
func (p *Page) cell(c Cell) string {
	text := Plain(c.Text)
	if p.style == nil || c.Tone == Usual || text == "" {
		return text
	}
	s := p.style.NewStyle()
	switch c.Tone {
	case Good:
		s = s.Foreground(lipgloss.ANSIColor(2))
	case Warning:
		s = s.Foreground(lipgloss.ANSIColor(3))
	case Bad:
		s = s.Foreground(lipgloss.ANSIColor(1)).Bold(true)
	case Faint:
		s = s.Faint(true)
	case Strong:
		s = s.Bold(true)
	case Usual:
	}
	return s.Render(text)
}
