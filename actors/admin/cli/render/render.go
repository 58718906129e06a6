package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/charmbracelet/lipgloss"
)

// Answer is what a command has found. It is marshalled as a JSON object, and Text writes it for
// people, from nothing that the JSON does not have.
type Answer interface {
	// Schema is NAME in "penstock.NAME/1".
	Schema() string
	Text(p *Page)
}

// List is an answer that is a list: each of its values is a line of JSON lines.
type List interface {
	Answer
	Items() iter.Seq[Answer]
}

// Format is how answers are printed.
type Format uint8

// The formats.
const (
	Text  Format = iota
	JSON         // one object for each answer
	Lines        // one line for each value
)

// Printer prints answers.
type Printer struct {
	To     io.Writer
	Format Format
	// Now is what ages count from.
	Now time.Time
	// Width is how many columns a line of a table may have, 0 for any number.
	Width int
	// Style has the colours of the terminal. Nil: no colours.
	Style *lipgloss.Renderer
}

// Page returns an empty page.
func (p *Printer) Page() *Page {
	return &Page{Now: p.Now, width: p.Width, style: p.Style}
}

// Print prints an answer. Errors are those of the writer.
func (p *Printer) Print(a Answer) error {
	if s, ok := a.(streamer); ok {
		return s.print(p)
	}
	list, isList := a.(List)
	switch {
	case p.Format == Text:
		return p.text(a)
	case p.Format == Lines && isList:
		for item := range list.Items() {
			if err := p.json(item); err != nil {
				return err
			}
		}
		return nil
	default:
		return p.json(a)
	}
}

func (p *Printer) text(a Answer) error {
	page := p.Page()
	a.Text(page)
	_, err := p.To.Write(page.out.Bytes())
	return err
}

func (p *Printer) json(a Answer) error {
	object, err := Object(a)
	if err != nil {
		return err
	}
	return p.Raw(object)
}

// Raw prints an object that is JSON already.
func (p *Printer) Raw(object []byte) error {
	var out bytes.Buffer
	if p.Format == JSON {
		if err := json.Indent(&out, object, "", "  "); err != nil {
			return err
		}
	} else {
		out.Write(object)
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(p.To)
	return err
}

// Object returns an answer as JSON, with its schema.
func Object(a Answer) ([]byte, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	if len(b) < 2 || b[0] != '{' {
		return nil, fmt.Errorf("render: %T is no object", a)
	}
	head := fmt.Sprintf(`{"schema":%q`, SchemaName(a.Schema()))
	if len(b) > 2 {
		head += ","
	}
	return append([]byte(head), b[1:]...), nil
}

// SchemaName is as in "penstock.status/1".
func SchemaName(name string) string { return "penstock." + name + "/1" }
