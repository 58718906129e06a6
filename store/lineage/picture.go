package lineage

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Picture is boxes and the arrows between them.
type Picture struct {
	Boxes  []Box   `json:"boxes"`
	Arrows []Arrow `json:"arrows"`
}

// Box is a text in a frame. What it is called in a rendering follows from its place in the picture.
type Box struct {
	Title string   `json:"title"`
	Lines []string `json:"lines,omitempty"` // below the title
	Style Style    `json:"style"`
}

// Arrow leads from one box to another. One from or to a place without a box is not drawn.
type Arrow struct {
	// From and To are places in Picture.Boxes.
	From  int    `json:"from"`
	To    int    `json:"to"`
	Label string `json:"label,omitempty"` // "" for none
}

// Style is how a box is drawn.
type Style uint8

// The styles of boxes.
const (
	Plain  Style = iota
	Faint        // of less weight
	Dashed       // that belongs to something else
	Strong       // of more weight
)

var styles = [...]string{Plain: "plain", Faint: "faint", Dashed: "dashed", Strong: "strong"} //nolint:gochecknoglobals // a table that is never written.

// String is as in "dashed".
func (s Style) String() string {
	if int(s) < len(styles) {
		return styles[s]
	}
	return fmt.Sprintf("Style(%d)", uint8(s))
}

// MarshalText returns [Style.String].
func (s Style) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (s *Style) UnmarshalText(text []byte) error {
	i := slices.Index(styles[:], string(text))
	if i < 0 {
		return fmt.Errorf("lineage: %q is no style", text)
	}
	*s = Style(i)
	return nil
}

// valid returns the arrows between boxes that there are.
func (p Picture) valid() (arrows []Arrow) {
	for _, a := range p.Arrows {
		if a.From >= 0 && a.To >= 0 && a.From < len(p.Boxes) && a.To < len(p.Boxes) {
			arrows = append(arrows, a)
		}
	}
	return arrows
}

// spread is a picture as trees: each box under the first one that an arrow leads from, in the order
// of the boxes.
type spread struct {
	steps []step  // each box once, a tree after the other
	rest  []Arrow // that belong to no tree: they lead back, across, or to a box a second time
}

// step is a box in its tree.
type step struct {
	box, depth int
	last       bool // of those under the same box
	label      string
	leaf       bool
}

// spread finds the trees. Roots are the boxes that no arrow leads to, and of boxes in a ring the
// first. It recurses nowhere, as a chain may be very long.
func (p Picture) spread() (s spread) {
	under := make([][]Arrow, len(p.Boxes))
	led := make([]bool, len(p.Boxes))
	for _, a := range p.valid() {
		under[a.From] = append(under[a.From], a)
		led[a.To] = led[a.To] || a.From != a.To
	}
	seen := make([]bool, len(p.Boxes))
	for _, roots := range []func(int) bool{func(i int) bool { return !led[i] }, func(i int) bool { return !seen[i] }} {
		for i := range p.Boxes {
			if roots(i) && !seen[i] {
				s.tree(i, under, seen)
			}
		}
	}
	return s
}

// tree appends the tree of a root.
func (s *spread) tree(root int, under [][]Arrow, seen []bool) {
	seen[root] = true
	stack := []step{{box: root, last: true}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		var next []step
		for _, a := range under[at.box] {
			if seen[a.To] {
				s.rest = append(s.rest, a)
				continue
			}
			seen[a.To] = true
			next = append(next, step{box: a.To, depth: at.depth + 1, label: a.Label})
		}
		at.leaf = len(next) == 0
		s.steps = append(s.steps, at)
		for i := len(next) - 1; i >= 0; i-- {
			next[i].last = i == len(next)-1
			stack = append(stack, next[i])
		}
	}
}

// plain is a text in which every character can be seen: others are written as escapes, as is what
// is no UTF-8.
func plain(s string) string {
	clean := true
	for _, r := range s {
		clean = clean && r != utf8.RuneError && unicode.IsGraphic(r)
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		s = s[n:]
	}
	return b.String()
}

// rows are the title and the lines of a box, each plain.
func (b *Box) rows() []string {
	rows := []string{plain(b.Title)}
	for _, line := range b.Lines {
		rows = append(rows, plain(line))
	}
	return rows
}
