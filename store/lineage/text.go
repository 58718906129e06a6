package lineage

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// maxIndent is the depth from which on a number stands for the lines of a tree: so the text of a
// long chain grows with its length, and not with the square of it.
const maxIndent = 40

// Text writes the picture as trees of lines, in UTF-8: a line for each box, and below them the
// arrows that belong to no tree. Errors are those of w.
func (p Picture) Text(w io.Writer) error {
	out := new(bytes.Buffer)
	s := p.spread()
	var lasts []bool // of the boxes above, by depth
	for _, at := range s.steps {
		lasts = append(lasts[:at.depth], at.last)
		out.WriteString(prefix(lasts))
		writeLine(out, &p.Boxes[at.box], at.label)
	}
	for _, a := range s.rest {
		fmt.Fprintf(out, "%s → %s", plain(p.Boxes[a.From].Title), plain(p.Boxes[a.To].Title))
		if a.Label != "" {
			fmt.Fprintf(out, "  %s", plain(a.Label))
		}
		out.WriteByte('\n')
	}
	_, err := out.WriteTo(w)
	return err
}

// prefix is what stands before a box, given whether it and those above are the last under theirs.
func prefix(lasts []bool) string {
	depth := len(lasts) - 1
	if depth == 0 {
		return ""
	}
	if depth > maxIndent {
		return fmt.Sprintf("[%d] ", depth)
	}
	var b strings.Builder
	for _, last := range lasts[1:depth] {
		if last {
			b.WriteString("   ")
		} else {
			b.WriteString("│  ")
		}
	}
	if lasts[depth] {
		b.WriteString("└─ ")
	} else {
		b.WriteString("├─ ")
	}
	return b.String()
}

func writeLine(out *bytes.Buffer, b *Box, label string) {
	rows := b.rows()
	if b.Style == Dashed {
		rows[0] = "(" + rows[0] + ")"
	}
	out.WriteString(rows[0])
	if label != "" {
		out.WriteString("  " + plain(label))
	}
	for _, row := range rows[1:] {
		out.WriteString("  " + row)
	}
	out.WriteByte('\n')
}
