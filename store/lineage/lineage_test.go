package lineage

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files again")

// renderings are all of them, by the name of their golden files' ends.
var renderings = map[string]func(p Picture, w io.Writer) error{
	"txt": Picture.Text, "dot": Picture.DOT, "mmd": Picture.Mermaid, "svg": Picture.SVG,
}

func requireGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "%s: look at it, then run with -update", name)
}

// story is a forest with a node of each state.
func story() Forest {
	at := time.Date(2026, 11, 28, 3, 4, 5, 678_000_000, time.UTC)
	return Forest{Cut: true, Nodes: []Node{
		{ID: "id-0", State: Missing, Parent: -1},
		{ID: "id-1", Parent: 0, Cause: "id-0", Position: 3, Kind: "order.placed", Entity: "order:42", Scope: "shop", Version: 1, Time: at},
		{
			ID: "id-2", Parent: 1, Cause: "id-1", Position: 4, Kind: "stock.reserved", Entity: "stock:lamp", Scope: "shop", Version: 7,
			Time: at.Add(12 * time.Millisecond), Delay: 12 * time.Millisecond, Worker: "reserve-stock", Build: "0123abc", Epoch: 3, Attempt: 2,
		},
		{
			ID: "id-3", State: Erased, Parent: 1, Cause: "id-1", Position: 6, Kind: "mail.sent", Entity: "customer:\"7\"", Scope: "<shop>",
			Time: at.Add(2 * time.Second), Delay: 2 * time.Second, Worker: "mail\x1b[31m", Attempt: 1, More: 1,
		},
		{ID: "id-4", Parent: 2, Cause: "id-2", Position: 9, Kind: "parcel.sent", Entity: "parcel:1", Scope: "shop", Time: at.Add(time.Hour), Delay: time.Hour, More: 3},
		{ID: "id-5", State: Outside, Parent: -1, Cause: "id-9", Position: 5, Kind: "day.closed", Entity: "day:1", Scope: "shop", Time: at},
		{ID: "id-6", Parent: 5, Cause: "id-5", Position: 10, Kind: "report.made", Entity: "day:1", Scope: "shop", Time: at},
	}}
}

// machine is a picture that is no forest.
func machine() Picture {
	return Picture{
		Boxes: []Box{
			{Title: "reserve", Style: Strong},
			{Title: "charge", Lines: []string{"timeout 5s"}},
			{Title: "ship"},
			{Title: "refund", Style: Faint},
			{Title: "never reached", Style: Dashed},
		},
		Arrows: []Arrow{
			{0, 1, "ok"},
			{1, 2, "paid"},
			{1, 3, "declined"},
			{3, 0, "again"},
			{1, 1, "retry"},
			{0, 2, ""},
			{4, 4, "itself"},
			{7, 0, "from nowhere"},
			{0, -1, "to nowhere"},
		},
	}
}

func TestEachRenderingIsTheGoldenOne(t *testing.T) {
	for name, p := range map[string]Picture{"story": story().Picture(), "machine": machine(), "empty": {}} {
		for end, render := range renderings {
			var out bytes.Buffer
			require.NoError(t, render(p, &out))
			requireGolden(t, name+"."+end, out.Bytes())
		}
	}
	b, err := json.MarshalIndent(story(), "", "  ")
	require.NoError(t, err)
	requireGolden(t, "story.json", append(b, '\n'))
}

func TestTheJSONOfAForestIsReadBackAndNothingElseIs(t *testing.T) {
	for _, f := range []Forest{story(), {Nodes: []Node{}}} {
		b, err := json.Marshal(f)
		require.NoError(t, err)
		var read Forest
		require.NoError(t, json.Unmarshal(b, &read))
		require.Equal(t, f, read)
	}
	for _, bad := range []string{
		`{}`, `{"schema":"penstock.lineage/2","nodes":[]}`, `[]`,
		`{"schema":"penstock.lineage/1","nodes":[{"parent":0}]}`, `{"schema":"penstock.lineage/1","nodes":[{"parent":-2}]}`,
		`{"schema":"penstock.lineage/1","nodes":[{"parent":-1,"state":"unheard"}]}`,
	} {
		require.Error(t, json.Unmarshal([]byte(bad), &Forest{}), bad)
	}
	b, err := json.Marshal(Forest{})
	require.NoError(t, err)
	require.JSONEq(t, `{"schema":"penstock.lineage/1","nodes":[]}`, string(b))
	require.Equal(t, "State(9)", State(9).String())
}

func TestAVeryLongChainIsDrawnInProportionToItsLength(t *testing.T) {
	var p Picture
	for i := range 20_000 {
		p.Boxes = append(p.Boxes, Box{Title: "link"})
		if i > 0 {
			p.Arrows = append(p.Arrows, Arrow{From: i - 1, To: i})
		}
	}
	for end, render := range renderings {
		var out bytes.Buffer
		require.NoError(t, render(p, &out))
		require.Less(t, out.Len(), len(p.Boxes)*300, end)
	}
}

type fullDisk struct{}

var errFull = errors.New("full")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestAnErrorOfTheWriterIsReturned(t *testing.T) {
	for end, render := range renderings {
		require.ErrorIs(t, render(story().Picture(), fullDisk{}), errFull, end)
	}
}

func TestBoxesOfAnImageNeverOverlap(t *testing.T) {
	for name, p := range map[string]Picture{"story": story().Picture(), "machine": machine()} {
		places, width, height := p.layout(p.spread())
		for i, a := range places {
			require.True(t, a.x >= 0 && a.y >= 0 && a.x+a.width <= width && a.y+a.height <= height, "%s: box %d is outside", name, i)
			for j, b := range places[:i] {
				apart := a.x+a.width <= b.x || b.x+b.width <= a.x || a.y+a.height <= b.y || b.y+b.height <= a.y
				require.True(t, apart, "%s: boxes %d and %d", name, i, j)
			}
		}
	}
}

var (
	dotLine     = regexp.MustCompile(`^\tn\d+ (-> n\d+ )?\[label="([^"\\]|\\["\\n])*"(, [a-z]+="?[a-z0-9]+"?)*\]$`)
	mermaidLine = regexp.MustCompile("^    n\\d+(\\[\"[^\"<>`{}&;]*\"\\](:::[a-z]+)?| -->(\\|\"[^\"<>`{}&;]*\"\\|)? n\\d+)$")
	numbered    = regexp.MustCompile(`#\d+;`)
)

func FuzzNoNameLeavesItsPlace(f *testing.F) {
	for _, name := range []string{
		"order:42", "", "\"]; x [", `\`, `\"`, "<script>alert(1)</script>", "a\nb\r\n", "\x1b[2J", "\u202eevil", "#quot;", "`md`", "]]>", "--> n1",
		"\xff\xfe", "%%{init}%%", "&amp;", "ünter\u0301", "\u2028", "end", "\U0001f600",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		forest := Forest{Nodes: []Node{
			{ID: name, State: Missing, Parent: -1},
			{ID: name, Kind: name, Entity: name, Scope: name, Worker: name, Build: name, Parent: 0, Cause: name, Position: 1, More: 2},
		}}
		p := forest.Picture()
		p.Arrows[0].Label = name
		p.Arrows = append(p.Arrows, Arrow{1, 0, name})
		out := make(map[string]string)
		for end, render := range renderings {
			var b bytes.Buffer
			require.NoError(t, render(p, &b))
			out[end] = b.String()
			require.True(t, utf8.ValidString(out[end]), end)
			require.Equal(t, plain(out[end]), strings.NewReplacer("\n", `\u{a}`, "\t", `\u{9}`).Replace(out[end]), "%s: all of it can be seen", end)
		}
		require.Equal(t, len(p.Boxes)+1, strings.Count(out["txt"], "\n"))
		for _, line := range strings.Split(strings.TrimSpace(out["dot"]), "\n")[3:] {
			require.True(t, line == "}" || dotLine.MatchString(line) || line == "\tn1 -> n2" || name == "" && !strings.Contains(line, "label"), "%q", line)
		}
		for _, line := range strings.Split(out["mmd"], "\n")[1:] {
			line = numbered.ReplaceAllString(strings.ReplaceAll(line, "<br/>", ""), "")
			require.True(t, line == "" || strings.HasPrefix(line, "    classDef ") || mermaidLine.MatchString(line), "%q", line)
		}
		requireImage(t, out["svg"])
		if b, err := json.Marshal(forest); utf8.ValidString(name) {
			require.NoError(t, err)
			var read Forest
			require.NoError(t, json.Unmarshal(b, &read))
			require.Equal(t, forest, read)
		}
	})
}

// requireImage requires XML of the elements that the package writes.
func requireImage(t *testing.T, svg string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			require.Contains(t, []string{"svg", "style", "g", "rect", "text", "path"}, start.Name.Local)
			for _, a := range start.Attr {
				require.NotRegexp(t, "^(on.*|href)$", a.Name.Local)
			}
		}
	}
}
