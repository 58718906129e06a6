package lineage

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// DOT writes the picture in the language of Graphviz: a digraph from left to right. Errors are
// those of w.
func (p Picture) DOT(w io.Writer) error {
	out := new(bytes.Buffer)
	out.WriteString("digraph lineage {\n\trankdir=LR\n\tnode [shape=box, fontname=\"sans-serif\"]\n")
	styles := map[Style]string{
		Faint: `, color="gray60", fontcolor="gray40"`, Dashed: `, style="dashed"`, Strong: `, penwidth=2`,
	}
	for i := range p.Boxes {
		b := &p.Boxes[i]
		fmt.Fprintf(out, "\tn%d [label=\"%s\"%s]\n", i, joined(b.rows(), quoted, `\n`), styles[b.Style])
	}
	for _, a := range p.valid() {
		fmt.Fprintf(out, "\tn%d -> n%d", a.From, a.To)
		if a.Label != "" {
			fmt.Fprintf(out, " [label=\"%s\"]", quoted(plain(a.Label)))
		}
		out.WriteByte('\n')
	}
	out.WriteString("}\n")
	_, err := out.WriteTo(w)
	return err
}

// quoted is a plain text for a quoted string of DOT, where a backslash begins an escape.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

// Mermaid writes the picture as a flowchart of Mermaid, from left to right. Errors are those of w.
func (p Picture) Mermaid(w io.Writer) error {
	out := new(bytes.Buffer)
	out.WriteString("flowchart LR\n")
	classes := map[Style]string{Faint: ":::faint", Dashed: ":::dashed", Strong: ":::strong"}
	for i := range p.Boxes {
		b := &p.Boxes[i]
		fmt.Fprintf(out, "    n%d[\"%s\"]%s\n", i, joined(b.rows(), entities, "<br/>"), classes[b.Style])
	}
	for _, a := range p.valid() {
		label := ""
		if a.Label != "" {
			label = fmt.Sprintf("|\"%s\"|", entities(plain(a.Label)))
		}
		fmt.Fprintf(out, "    n%d -->%s n%d\n", a.From, label, a.To)
	}
	out.WriteString("    classDef faint color:#777,stroke:#aaa\n")
	out.WriteString("    classDef dashed stroke-dasharray:4\n")
	out.WriteString("    classDef strong stroke-width:3px\n")
	_, err := out.WriteTo(w)
	return err
}

// entities is a plain text for a label of Mermaid: all that may mean something there, in one of its
// versions or in HTML, is written by its number.
func entities(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,:@+-_/()", r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "#%d;", r)
	}
	return b.String()
}

func joined(rows []string, escape func(string) string, separator string) string {
	escaped := make([]string, len(rows))
	for i, row := range rows {
		escaped[i] = escape(row)
	}
	return strings.Join(escaped, separator)
}
