package reactortest_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
)

// tossed and those after it are what a program makes of one kind over time.
type tossed struct {
	Coin  string
	Heads bool
}

func (tossed) Kind() string { return "coin.tossed" }

type tossedRenamed struct {
	Side  string
	Heads bool
}

func (tossedRenamed) Kind() string { return "coin.tossed" }

type tossedNext struct {
	Side  string
	Heads bool
}

func (tossedNext) Kind() string          { return "coin.tossed" }
func (tossedNext) SchemaVersion() uint16 { return 2 }

func renameCoin(old tossed) (tossedNext, error) {
	return tossedNext{Side: old.Coin, Heads: old.Heads}, nil
}

// rich has fields of all sorts.
type rich struct {
	embedded
	ID    uuid.UUID
	At    time.Time
	Raw   json.RawMessage
	Lines []struct {
		SKU   string
		Count uint8
		Price *float64
	}
	Attributes map[string]bool
	Next       *rich
	Bytes      []byte
	Pair       [2]int
	Number     json.Number
	Any        any
	Tree       tree
}

// tree is a type within itself.
type tree map[string]tree

type embedded struct{ Note string }

func (rich) Kind() string { return "Rich/Thing:v1" }

// picky is decoded from one text only.
type picky struct{ Text onlyYes }

func (picky) Kind() string { return "picky" }

type onlyYes string

func (y *onlyYes) UnmarshalText(b []byte) error {
	if string(b) != "yes" {
		return errors.New("not yes")
	}
	*y = "yes"
	return nil
}

// lossy does not read what it writes.
type lossy struct{ Text unread }

func (lossy) Kind() string { return "lossy" }

type unread string

func (*unread) UnmarshalJSON([]byte) error { return nil }

// golden keeps samples in a new directory.
func golden(t *testing.T, types ...reactor.Type) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "payloads")
	update(t, dir, types...)
	return dir
}

func update(t *testing.T, dir string, types ...reactor.Type) {
	t.Helper()
	t.Setenv("PENSTOCK_UPDATE", "1")
	reactortest.Golden(t, reactor.NewTypes(types...), dir)
	t.Setenv("PENSTOCK_UPDATE", "")
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		all = append(all, f.Name())
	}
	return all
}

func TestASampleIsKeptOfEachKindAndVersion(t *testing.T) {
	raise := reactor.UpcastFrom(1, renameCoin)
	dir := golden(t, reactor.TypeOf[tossed](), reactor.TypeOf[rich]())
	reactortest.Golden(t, reactor.NewTypes(reactor.TypeOf[tossed](), reactor.TypeOf[rich]()), dir)
	kept, err := os.ReadFile(filepath.Join(dir, "coin.tossed.v1.json"))
	require.NoError(t, err)
	require.Equal(t, "{\n  \"Coin\": \"text 2\",\n  \"Heads\": true\n}\n", string(kept))

	next := reactor.NewTypes(reactor.TypeOf[tossedNext](raise), reactor.TypeOf[rich]())
	require.Equal(t, "reactortest: golden: coin.tossed: no sample of version 2 is kept: set PENSTOCK_UPDATE=1 to write it",
		fails(t, func(tb testing.TB) { reactortest.Golden(tb, next, dir) }))
	update(t, dir, reactor.TypeOf[tossedNext](raise), reactor.TypeOf[rich]())
	reactortest.Golden(t, next, dir)
	require.Equal(t, []string{"%52ich%2f%54hing%3av1.v1.json", "coin.tossed.v1.json", "coin.tossed.v2.json"}, names(t, dir))
}

func TestASampleHasSomethingInEachField(t *testing.T) {
	dir := golden(t, reactor.TypeOf[rich]())
	kept, err := os.ReadFile(filepath.Join(dir, "%52ich%2f%54hing%3av1.v1.json"))
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(kept, &fields))
	require.Nil(t, fields["Any"])
	require.Nil(t, fields["Next"], "one within itself")
	require.Nil(t, fields["Tree"], "one within itself")
	delete(fields, "Tree")
	delete(fields, "Any")
	delete(fields, "Next")
	require.Len(t, fields, 9)
	for name, value := range fields {
		require.NotEmpty(t, value, name)
	}
	require.NotNil(t, fields["Lines"].([]any)[0].(map[string]any)["Price"])
}

func TestAnotherEncodingNeedsAnotherVersion(t *testing.T) {
	dir := golden(t, reactor.TypeOf[tossed]())
	renamed := reactor.NewTypes(reactor.TypeOf[tossedRenamed]())
	message := fails(t, func(tb testing.TB) { reactortest.Golden(tb, renamed, dir) })
	require.Contains(t, message, "coin.tossed: version 1 is not written as it was ("+filepath.Join(dir, "coin.tossed.v1.json")+"):\n"+
		"  - is missing, + was not wanted\n"+
		"    (1 the same)\n"+
		"  -   \"Coin\": \"text 2\",\n"+
		"  +   \"Side\": \"text 2\",\n"+
		"    (2 the same)\n"+
		"Logs have events of version 1: raise its SchemaVersion, with an upcaster.")

	t.Setenv("PENSTOCK_UPDATE", "1")
	require.Equal(t, message, fails(t, func(tb testing.TB) { reactortest.Golden(tb, renamed, dir) }), "it is never written again")
}

func TestASampleOfAnOlderVersionMustStayReadable(t *testing.T) {
	dir := golden(t, reactor.TypeOf[tossed]())
	update(t, dir, reactor.TypeOf[tossedNext](reactor.UpcastFrom(1, renameCoin)))
	without := reactor.NewTypes(reactor.TypeOf[tossedNext]())
	require.Contains(t, fails(t, func(tb testing.TB) { reactortest.Golden(tb, without, dir) }),
		"coin.tossed: version 1 cannot be read any more")
	require.Contains(t, fails(t, func(tb testing.TB) { reactortest.Golden(tb, reactor.NewTypes(reactor.TypeOf[tossed]()), dir) }),
		"coin.tossed: the type is at version 1, and "+filepath.Join(dir, "coin.tossed.v2.json")+" is of a newer one")
	require.Contains(t, fails(t, func(tb testing.TB) { reactortest.Golden(tb, reactor.NewTypes(), dir) }),
		"coin.tossed: it is not among the types, and "+filepath.Join(dir, "coin.tossed.v1.json")+" is kept")
}

func TestAPayloadMustBeReadAsItIsWritten(t *testing.T) {
	message := fails(t, func(tb testing.TB) { reactortest.Golden(tb, reactor.NewTypes(reactor.TypeOf[lossy]()), t.TempDir()) })
	require.Contains(t, message, "lossy: a payload of it cannot be written and read: what is read is not what was written:")
	require.Contains(t, message, `"Text": "text 2"`)
}

func TestATestMayPassASampleOfItsOwn(t *testing.T) {
	types, dir := reactor.NewTypes(reactor.TypeOf[picky]()), t.TempDir()
	t.Setenv("PENSTOCK_UPDATE", "1")
	require.Contains(t, fails(t, func(tb testing.TB) { reactortest.Golden(tb, types, dir) }), "not yes")
	reactortest.Golden(t, types, dir, picky{Text: "yes"})
	require.Contains(t, fails(t, func(tb testing.TB) { reactortest.Golden(tb, types, dir, picky{Text: "yes"}, tossed{}) }),
		"coin.tossed: a sample is passed, and the kind is not among the types")
}

// carved is a payload in gob, chiselled another one of its kind, and written one in JSON.
type carved struct{ Rune string }

func (carved) Kind() string       { return "rune" }
func (carved) Codec() store.Codec { return asGob }

type chiselled struct{ Letter string }

func (chiselled) Kind() string       { return "rune" }
func (chiselled) Codec() store.Codec { return asGob }

type written struct{ Rune string }

func (written) Kind() string { return "rune" }

var asGob = store.Codec{
	Name: "gob",
	Marshal: func(v any) ([]byte, error) {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.Bytes(), err
	},
	Unmarshal: func(data []byte, v any) error { return gob.NewDecoder(bytes.NewReader(data)).Decode(v) },
}

func TestAPayloadIsGivenAndExpectedInTheCodecOfItsType(t *testing.T) {
	r := reactor.New("again", reactor.On(func(_ context.Context, e reactor.Event[carved], out *reactor.Reactions) error {
		if e.Depth == 0 {
			out.Append(e.Coordinate, carved{Rune: e.Body.Rune + "z"})
		}
		return nil
	}))
	require.Equal(t, carved{Rune: "az"}, reactortest.React(t, r, carved{Rune: "a"})[0].Payload)
	run := reactortest.Start(t, r)
	run.Given(carved{Rune: "b"})
	run.Settle()
	run.Then(carved{Rune: "bz"})
}

func TestSamplesAreKeptInTheCodecOfTheirType(t *testing.T) {
	dir := golden(t, reactor.TypeOf[carved]())
	require.Equal(t, []string{"rune.v1.gob"}, names(t, dir))
	require.Contains(t, fails(t, func(tb testing.TB) {
		reactortest.Golden(tb, reactor.NewTypes(reactor.TypeOf[chiselled]()), dir)
	}), "00000000  ", "the difference is shown in bytes")
	dir = golden(t, reactor.TypeOf[written]())
	require.Contains(t, fails(t, func(tb testing.TB) {
		reactortest.Golden(tb, reactor.NewTypes(reactor.TypeOf[carved]()), dir)
	}), `rune: version 1 is written as "gob", and was as "json"`)
}

func TestWhatIsNoSampleIsRefused(t *testing.T) {
	for _, name := range []string{"README.md", "coin.tossed.v1", "coin.tossed.v01.json", "coin.tossed.v70000.json", "coin.tossed.v0.json", "Coin.v1.json"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600))
		require.Contains(t, fails(t, func(tb testing.TB) { reactortest.Golden(tb, reactor.NewTypes(), dir) }), name+" is not the name of a sample")
	}
	dir := golden(t, reactor.TypeOf[tossed]())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "coin.tossed.v1.json"), []byte("{"), 0o600))
	require.Contains(t, fails(t, func(tb testing.TB) {
		reactortest.Golden(tb, reactor.NewTypes(reactor.TypeOf[tossed]()), dir)
	}), "coin.tossed: version 1 is not written as it was")
	require.Contains(t, fails(t, func(tb testing.TB) {
		reactortest.Golden(tb, reactor.NewTypes(reactor.TypeOf[tossed](), reactor.TypeOf[tossed]()), dir)
	}), "is among the types twice")
}
