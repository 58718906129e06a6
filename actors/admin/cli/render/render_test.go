package render_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

func TestAgesAndSizesHaveOneUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 1: "1ms", 20 * time.Millisecond: "20ms", time.Second: "1s", 59 * time.Second: "59s", 3*time.Minute + 1: "3m",
		time.Hour: "1h", 47 * time.Hour: "1d",
	} {
		require.Equal(t, want, render.Age(d))
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 3 << 30: "3.0 GiB", 1 << 62: "4.0 EiB"} {
		require.Equal(t, want, render.Size(n))
	}
	require.Equal(t, "1 event", render.Count(1, "event"))
	require.Equal(t, "0 events", render.Count(0, "event"))
	require.Equal(t, "abc…", render.Clip("abcdef", 4))
}

func TestPlainLeavesNothingThatMovesACursor(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		"Grüße, 世界":          "Grüße, 世界",
		"\x1b[31mred\n":      `\x1b[31mred\n`,
		"a\u202eb\u00a0c":    `a\u202eb\u00a0c`,
		"\xff\u009b":         `\xff\u009b`,
		"a\u2028b\ufeff\x00": `a\u2028b\ufeff\x00`,
	} {
		require.Equal(t, want, render.Plain(text))
	}
}

type event struct {
	N int `json:"n"`
}

func (event) Schema() string        { return "event" }
func (e event) Text(p *render.Page) { p.Line(render.Good.In(strings.Repeat("x", e.N))) }

func printed(t *testing.T, f render.Format, a render.Answer) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := (&render.Printer{To: &out, Format: f}).Print(a)
	return out.String(), err
}

// What came before an error is printed, and the error is not lost.
func TestAStreamThatFailsIsPrintedAsFarAsItCame(t *testing.T) {
	damage := errors.New("damage")
	s := &render.Stream[event]{Name: "events", Head: event{7}, Values: func(yield func(event, error) bool) {
		_ = yield(event{1}, nil) && yield(event{2}, nil) && yield(event{}, damage)
	}, End: func(p *render.Page, n int) { p.Line(render.Of("the end")) }}
	for format, want := range map[render.Format]string{
		render.Text: "xxxxxxx\nx\nxx\n", render.JSON: "", render.Lines: `{"schema":"penstock.event/1","n":1}` + "\n" + `{"schema":"penstock.event/1","n":2}` + "\n",
	} {
		out, err := printed(t, format, s)
		require.ErrorIs(t, err, damage)
		require.Equal(t, want, out)
		if format == render.JSON {
			var part *render.PartialError
			require.ErrorAs(t, err, &part)
			require.JSONEq(t, `[{"n":1},{"n":2}]`, string(part.Members["items"]))
			require.JSONEq(t, `7`, string(part.Members["n"]))
		}
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	style := lipgloss.NewRenderer(io.Discard)
	style.SetColorProfile(termenv.ANSI)
	for _, colours := range []*lipgloss.Renderer{nil, lipgloss.NewRenderer(io.Discard), style} {
		var out bytes.Buffer
		require.NoError(t, (&render.Printer{To: &out, Style: colours}).Print(event{3}))
		require.Equal(t, colours == style, out.String() == "\x1b[32mxxx\x1b[0m\n", "%q", out.String())
		require.Equal(t, colours != style, out.String() == "xxx\n")
	}
}

func TestANarrowTerminalWrapsATableAndCutsALine(t *testing.T) {
	p := (&render.Printer{Width: 30}).Page()
	p.Table([]string{"A", "B"}, [][]render.Cell{{render.Of("one"), render.Of(strings.Repeat("many words ", 8))}})
	p.Clipped(render.Of(strings.Repeat("y", 20)), render.Of(strings.Repeat("z", 20)))
	for line := range strings.Lines(p.String()) {
		require.LessOrEqual(t, lipgloss.Width(strings.TrimRight(line, "\n")), 30, "%q", line)
	}
	require.Contains(t, p.String(), strings.Repeat("y", 20)+" zzzzzzzz…\n")
	wide := (&render.Printer{}).Page()
	wide.Table([]string{"A", "B"}, [][]render.Cell{{render.Of("one"), render.Of("two")}, {render.Of("three")}})
	require.Equal(t, "A      B\none    two\nthree\n", wide.String())
}
