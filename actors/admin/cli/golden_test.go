package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

var update = flag.Bool("update", false, "write the golden files")

// one is a call of a command, with $T for the target. Each command is called at least once.
type one struct {
	line   string
	answer render.Answer // into which its JSON is read: a stream has the type of its values
	values bool
	same   bool // in all modes
}

var calls = map[string][]one{
	"status":        {{line: "status $T", answer: new(Status)}},
	"stuck":         {{line: "stuck $T", answer: new(Stuck)}},
	"tail":          {{line: "tail $T -n 3 --entity order", answer: new(Event), values: true}},
	"get":           {{line: "get $T 1", answer: new(One)}, {line: "get $T 1 --raw", answer: new(Bytes)}},
	"why":           {{line: "why $T $BILL", answer: new(Story)}, {line: "why $T $BILL --format dot", answer: new(Drawing)}},
	"effects":       {{line: "effects $T 1", answer: new(Story)}},
	"trace":         {{line: "trace $T 1", answer: new(Story)}},
	"history":       {{line: "history $T order:1", answer: new(Event), values: true}},
	"worker ls":     {{line: "worker ls $T", answer: new(Workers)}},
	"worker show":   {{line: "worker show $T bill", answer: new(Worker)}},
	"worker pause":  {{line: "worker pause $T bill --dry-run", answer: new(Change)}},
	"worker resume": {{line: "worker resume $T bill --dry-run --by ann", answer: new(Change)}},
	"worker wait":   {{line: "worker wait $T bill --caught-up --timeout 10s", answer: new(Waited)}},
	"parked ls":     {{line: "parked ls $T bill", answer: new(ParkedList)}},
	"parked show":   {{line: "parked show $T bill $PARKED", answer: new(ParkedOne)}},
	"version":       {{line: "version", answer: new(Version), same: true}},
	"completion":    {{line: "completion bash", answer: new(Script), same: true}},
}

// words are the arguments of a call.
func (o one) words(t *testing.T, s *shop) []string {
	t.Helper()
	words := strings.Fields(o.line)
	for i, word := range words {
		switch word {
		case "$T":
			words[i] = s.dir
		case "$BILL", "$PARKED":
			words[i] = s.position(t, word)
		}
	}
	return words
}

// position is that of the bill, or of the parked event.
func (s *shop) position(t *testing.T, word string) string {
	t.Helper()
	surface, err := admin.Open(t.Context(), s.dir, admin.OpenOptions{})
	require.NoError(t, err)
	defer surface.Close()
	q := admin.EventQuery{Kinds: []string{"order.billed"}}
	if word == "$PARKED" {
		q = admin.EventQuery{Entity: "order:2"}
	}
	for e, err := range surface.Events(t.Context(), q) {
		require.NoError(t, err)
		return fmt.Sprint(e.Position)
	}
	return ""
}

func TestEachCommandIsCalled(t *testing.T) {
	for name := range leaves(newApp(Options{}).root) {
		require.NotEmpty(t, calls[name], name)
	}
}

func TestGolden(t *testing.T) {
	usual := make(map[admin.Mode]*shop)
	for _, mode := range allModes {
		usual[mode] = inMode(t, mode)
	}
	for name, list := range calls {
		t.Run(name, func(t *testing.T) {
			shops := maps.Clone(usual)
			if leaves(newApp(Options{}).root)[name].Flags().Lookup("reason") != nil {
				for _, mode := range allModes { // what asks a worker lets it look at the log once more
					shops[mode] = inMode(t, mode)
				}
			}
			var got strings.Builder
			for _, c := range list {
				for _, mode := range allModes {
					if c.same {
						continue // it says what this machine is
					}
					for _, format := range []string{"", " --json", " --json=lines"} {
						words := append(c.words(t, shops[mode]), strings.Fields(format)...)
						out := run(t, words...)
						fmt.Fprintf(&got, "=== %s: penstock %s%s: %d\n%s%s\n", mode, c.line, format, out.code, masked(shops[mode], out.out), masked(shops[mode], out.err))
					}
				}
			}
			compare(t, filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".golden"), got.String())
		})
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if got == "" {
		return
	}
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./actors/admin/cli -update writes it")
}

// masks are what is another one each time.
var masks = []struct {
	of *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`"started":( ?)"[^"]*"`), `"started":$1"TIME"`},
	{regexp.MustCompile(`\s*"delayNs": ?\d+,`), ""}, // not there where it is 0
	{regexp.MustCompile(`("pid": ?)\d+`), "${1}N"},
	{regexp.MustCompile(`position \d+;`), "position N;"}, // what asks a worker lets it look once more
	{regexp.MustCompile(`process \d+ \([^)]*\)`), "process PID (PROGRAM)"},
	{regexp.MustCompile(`"program":( ?)"[^"]*"`), `"program":$1"PROGRAM"`},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|ns|s|m|h|d)\b`), "AGE"},
	{regexp.MustCompile(` +`), " "},
}

func masked(s *shop, text string) string {
	text = strings.ReplaceAll(text, s.dir, "DIR")
	text = strings.ReplaceAll(text, admin.Someone(), "SOMEONE")
	for _, m := range masks {
		text = m.of.ReplaceAllString(text, m.by)
	}
	return text
}

// The table is made again from the JSON, in another process as it were: so it has nothing that the
// JSON does not have.
func TestTheTableHasNothingThatTheJSONDoesNotHave(t *testing.T) {
	now := time.Now()
	for _, mode := range allModes {
		usual := inMode(t, mode)
		for _, list := range calls {
			for _, c := range list {
				t.Run(string(mode)+" "+c.line, func(t *testing.T) {
					s := usual
					if _, change := c.answer.(*Change); change {
						s = inMode(t, mode)
					}
					words := c.words(t, s)
					table := newApp(Options{}).at(now).runs(t, words...)
					object := newApp(Options{}).at(now).runs(t, append(words, "--json")...)
					if strings.HasPrefix(compact([]byte(object.out)), `{"error":`) {
						require.Equal(t, exitRefused, object.code)
						return
					}
					page := (&render.Printer{Now: now}).Page()
					if c.values {
						readStream(t, c, object.out).Text(page)
						require.Equal(t, page.String(), table.out[:min(len(page.String()), len(table.out))], "but for the last line")
						return
					}
					answer := c.fresh()
					require.NoError(t, json.Unmarshal([]byte(object.out), answer))
					answer.Text(page)
					require.Equal(t, masked(s, table.out), masked(s, page.String()))
				})
			}
		}
	}
}

// fresh is an answer of the type of this call.
func (o one) fresh() render.Answer {
	v, _ := reflect.TypeAssert[render.Answer](reflect.New(reflect.TypeOf(o.answer).Elem()))
	return v
}

// readStream reads a stream from its JSON.
func readStream(t *testing.T, c one, out string) render.Answer {
	t.Helper()
	var read struct {
		headed

		Items []json.RawMessage `json:"items"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &read))
	values := func(yield func(render.Answer, error) bool) {
		for _, item := range read.Items {
			v := c.fresh()
			if !yield(v, json.Unmarshal(item, v)) {
				return
			}
		}
	}
	return &render.Stream[render.Answer]{Head: &read.headed, Values: values}
}

// Each object says its schema, and each value of JSON lines, too.
func TestEachJSONHasASchema(t *testing.T) {
	s := inMode(t, admin.Live)
	schema := regexp.MustCompile(`^\{"schema":"penstock\.[a-z-]+/1"[,}]`)
	for name, list := range calls {
		for _, c := range list {
			words := c.words(t, s)
			object := run(t, append(slices.Clone(words), "--json")...)
			var flat bytes.Buffer
			require.NoError(t, json.Compact(&flat, []byte(object.out)), name)
			require.Regexp(t, schema, flat.String(), c.line)
			for line := range strings.Lines(run(t, append(words, "--json=lines")...).out) {
				require.Regexp(t, schema, line, c.line)
				require.True(t, json.Valid([]byte(line)), c.line)
			}
		}
	}
}
