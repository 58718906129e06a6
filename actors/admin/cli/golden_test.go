package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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
	// varies is for what this machine, or the moment, decides: it has no golden file.
	varies bool
	// cold is for what waits for a lock in the other modes, or knows no mode.
	cold bool
	// stopped is for what is refused while the worker runs.
	stopped bool
	// idle is for what is refused while no handler is at work.
	idle bool
	// sagas is for a shop that has some.
	sagas bool
}

var calls = map[string][]one{
	"status":           {{line: "status $T", answer: new(Status)}},
	"top":              {{line: "top $T", answer: new(Status)}},
	"stuck":            {{line: "stuck $T", answer: new(Stuck)}, {line: "stuck $T", answer: new(Stuck), sagas: true}},
	"tail":             {{line: "tail $T -n 3 --entity order", answer: new(Event), values: true}},
	"get":              {{line: "get $T 1", answer: new(One)}, {line: "get $T 1 --raw", answer: new(Bytes)}},
	"why":              {{line: "why $T $BILL", answer: new(Story)}, {line: "why $T $BILL --format dot", answer: new(Drawing)}},
	"effects":          {{line: "effects $T 1", answer: new(Story)}},
	"trace":            {{line: "trace $T 1", answer: new(Story)}},
	"history":          {{line: "history $T order:1", answer: new(Event), values: true}},
	"worker ls":        {{line: "worker ls $T", answer: new(Workers)}},
	"worker show":      {{line: "worker show $T bill", answer: new(Worker)}},
	"worker pause":     {{line: "worker pause $T bill --dry-run", answer: new(Change)}},
	"worker resume":    {{line: "worker resume $T bill --dry-run --by ann", answer: new(Change)}},
	"worker wait":      {{line: "worker wait $T bill --caught-up --timeout 10s", answer: new(Waited)}},
	"parked ls":        {{line: "parked ls $T bill", answer: new(ParkedList)}},
	"parked show":      {{line: "parked show $T bill $PARKED", answer: new(ParkedOne)}},
	"worker rewind":    {{line: "worker rewind $T bill --to 1 --dry-run", answer: new(Change)}},
	"worker skip-to":   {{line: "worker skip-to $T bill --to 4 --dry-run", answer: new(Change)}},
	"worker reset":     {{line: "worker reset $T bill --dry-run", answer: new(Change)}},
	"worker widen":     {{line: "worker widen $T bill --kind order.placed --dry-run", answer: new(Change)}},
	"worker rebind":    {{line: "worker rebind $T bill --entity order --kind order.placed --dry-run", answer: new(Change)}},
	"worker rename":    {{line: "worker rename $T bill invoice --dry-run", answer: new(Change), stopped: true}},
	"worker delete":    {{line: "worker delete $T bill --dry-run", answer: new(Change), stopped: true}},
	"worker watch":     {{line: "worker watch $T bill --timeout 100ms", answer: new(Changed), values: true, varies: true}},
	"worker stack":     {{line: "worker stack $T bill", answer: new(Stack)}},
	"worker interrupt": {{line: "worker interrupt $T bill --dry-run", answer: new(Change), idle: true}},
	"parked replay":    {{line: "parked replay $T bill --error card --dry-run", answer: new(Change)}},
	"parked discard":   {{line: "parked discard $T bill $PARKED --dry-run", answer: new(Change)}},
	"audit":            {{line: "audit $T --worker bill", answer: new(Audited), values: true}},
	"append":           {{line: `append $T order:3 order.placed {"item":"cup"} --scope shop --dry-run`, answer: new(Change)}},
	"store info":       {{line: "store info $T", answer: new(Info)}},
	"store names":      {{line: "store names $T", answer: new(NameList)}},
	"store verify":     {{line: "store verify $T", answer: new(Verified)}},
	"store backup":     {{line: "store backup $T $NEW", answer: new(Copied)}},
	"store restore":    {{line: "store restore $BACKUP $NEW", answer: new(Copied), cold: true}},
	"store export":     {{line: "store export $T -o $NEW", answer: new(Copied)}},
	"store import":     {{line: "store import $EXPORT $NEW", answer: new(Copied), cold: true}},
	"store repair":     {{line: "store repair $T $NEW --dry-run", answer: new(Change), stopped: true, cold: true}},
	"store retain":     {{line: "store retain $T --before 2 --dry-run", answer: new(Change)}},
	"store erase":      {{line: "store erase $T --event 1 --dry-run", answer: new(Change)}},
	"version":          {{line: "version", answer: new(Version), varies: true, cold: true}},
	"completion":       {{line: "completion bash", answer: new(Script), varies: true, cold: true}},

	"explain": {{line: "explain $T checkout 2", answer: new(Explained), sagas: true}},
	"saga ls": {{line: "saga ls $T", answer: new(SagaList), sagas: true}},
	"saga instances": {
		{line: "saga instances $T checkout", answer: new(InstanceList), sagas: true},
		{line: "saga instances $T checkout --life stuck --limit 1", answer: new(InstanceList), sagas: true},
	},
	"saga show":  {{line: "saga show $T checkout 2", answer: new(Instance), sagas: true}},
	"saga story": {{line: "saga story $T checkout 2", answer: new(Told), values: true, sagas: true}},
	"saga graph": {
		{line: "saga graph $T checkout 2", answer: new(Graph), sagas: true},
		{line: "saga graph $T checkout 2 --format mermaid", answer: new(Drawing), sagas: true},
	},
	"saga retry":   {{line: "saga retry $T checkout 2 --dry-run", answer: new(Change), sagas: true}},
	"saga skip":    {{line: "saga skip $T checkout 2 --dry-run", answer: new(Change), sagas: true}},
	"saga settle":  {{line: "saga settle $T checkout 3 charge --refused --dry-run", answer: new(Change), sagas: true}},
	"saga abandon": {{line: "saga abandon $T checkout 4 --dry-run", answer: new(Change), sagas: true}},
	"saga cancel":  {{line: "saga cancel $T checkout 4 --dry-run", answer: new(Change), sagas: true}},
	"saga suspend": {{line: "saga suspend $T checkout 4 --dry-run", answer: new(Change), sagas: true}},
	"saga resume":  {{line: "saga resume $T checkout 5 --dry-run", answer: new(Change), sagas: true}},
	"saga fire":    {{line: "saga fire $T checkout 4 saga-deadline --dry-run", answer: new(Change), sagas: true}},
	"saga purge":   {{line: "saga purge $T checkout 1 --dry-run", answer: new(Change), sagas: true}},
}

// words are the arguments of a call.
func (o one) words(t *testing.T, s *shop, more ...string) []string {
	t.Helper()
	words := append(strings.Fields(o.line), more...)
	for i, word := range words {
		switch word {
		case "$T":
			words[i] = s.dir
		case "$BILL", "$PARKED":
			words[i] = s.position(t, word)
		case "$NEW":
			words[i] = filepath.Join(t.TempDir(), "new")
		case "$BACKUP":
			words[i] = filepath.Join(t.TempDir(), "backup")
			require.Zero(t, run(t, "store", "backup", s.dir, words[i]).code)
		case "$EXPORT":
			words[i] = filepath.Join(t.TempDir(), "export")
			require.Zero(t, run(t, "store", "export", s.dir, "-o", words[i]).code)
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

// Each command says in each mode what its golden file has, as text and as JSON. The text is made
// again from the JSON, in another process as it were: so it has nothing that the JSON does not
// have.
func TestGolden(t *testing.T) {
	now := time.Now()
	shops, sagas := make(map[admin.Mode]*shop), make(map[admin.Mode]*shop)
	for _, mode := range allModes {
		shops[mode], sagas[mode] = inMode(t, mode), sagasIn(t, mode)
	}
	for name, list := range calls {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for _, c := range list {
				for _, mode := range allModes {
					if c.cold && mode != admin.Cold {
						continue
					}
					s := shops[mode]
					if c.sagas {
						s = sagas[mode]
					}
					outs := make(map[string]said)
					for _, format := range []string{"", " --json", " --json=lines"} {
						out := newApp(Options{}).at(now).runs(t, c.words(t, s, strings.Fields(format)...)...)
						fmt.Fprintf(&got, "=== %s: penstock %s%s: %d\n%s%s\n", mode, c.line, format, out.code, masked(s, out.out), masked(s, out.err))
						outs[format] = out
					}
					c.checkSchemas(t, outs[" --json"].out, outs[" --json=lines"].out)
					if !strings.Contains(outs[" --json"].out, `"error":`) {
						c.checkText(t, s, now, outs[""].out, outs[" --json"].out)
					}
				}
			}
			if !list[0].varies {
				compare(t, filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".golden"), got.String())
			}
		})
	}
}

// checkSchemas looks for the schema of an object, and of each value of JSON lines.
func (o one) checkSchemas(t *testing.T, object, lines string) {
	t.Helper()
	schema := regexp.MustCompile(`^\{("error":|"schema":"penstock\.[a-z-]+/1"[,}])`)
	require.Regexp(t, schema, compact([]byte(object)), o.line)
	for line := range strings.Lines(lines) {
		require.Regexp(t, schema, line, o.line)
		require.True(t, json.Valid([]byte(line)), o.line)
	}
}

// checkText compares a text with the one that is made of the JSON.
func (o one) checkText(t *testing.T, s *shop, now time.Time, text, object string) {
	t.Helper()
	page := (&render.Printer{Now: now}).Page()
	if o.values {
		readStream(t, o, object).Text(page)
		require.Equal(t, page.String(), text[:min(len(page.String()), len(text))], "but for the last line")
		return
	}
	answer := o.fresh()
	require.NoError(t, json.Unmarshal([]byte(object), answer))
	answer.Text(page)
	require.Equal(t, masked(s, text), masked(s, page.String()))
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
	{regexp.MustCompile(`/tmp/\S*/(new|backup|export)\b`), "$1"},
	{regexp.MustCompile(`\s*"delayNs": ?\d+,`), ""},          // not there where it is 0
	{regexp.MustCompile(`\s*"after": ?"[^"]*",| \+\S+`), ""}, // as little
	{regexp.MustCompile(`,?\s*"admin": ?"[^"]*"`), ""},
	{regexp.MustCompile(`("pid": ?)\d+`), "${1}N"},
	{regexp.MustCompile(`process \d+ \([^)]*\)`), "process PID (PROGRAM)"},
	{regexp.MustCompile(`"program":( ?)"[^"]*"`), `"program":$1"PROGRAM"`},
	{regexp.MustCompile(`attempt \d+|waiting \(\d+\)`), "attempt N"}, // more of them, the longer it took
	{regexp.MustCompile(`("attempts?": ?)\d+`), "${1}N"},
	{regexp.MustCompile(`("transition": ?)\d+`), "${1}N"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|ns|s|m|h|d)\b`), "AGE"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ([KMGT]i)?B\b`), "SIZE"},
	{regexp.MustCompile(`("\w*[bB]ytes": ?)\d+`), "${1}N"},
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
