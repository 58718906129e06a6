package reactor_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// asGob is a codec that is not that of the store.
var asGob = store.Codec{
	Name: "gob",
	Marshal: func(v any) ([]byte, error) {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.Bytes(), err
	},
	Unmarshal: func(data []byte, v any) error { return gob.NewDecoder(bytes.NewReader(data)).Decode(v) },
}

// sung is written in gob since version 2.
type sung struct{ Text string }

func (sung) Kind() string          { return "sung" }
func (sung) SchemaVersion() uint16 { return 2 }
func (sung) Codec() store.Codec    { return asGob }

type sungV1 struct{ Words []string }

func firstWord(old sungV1) (sung, error) { return sung{Text: old.Words[0]}, nil }

// speechless has a codec that cannot be one, croaking one that refuses each payload.
type speechless struct{}

func (speechless) Kind() string       { return "mute" }
func (speechless) Codec() store.Codec { return store.Codec{Name: "mute"} }

type croaking struct{}

func (croaking) Kind() string { return "croaking" }

func (croaking) Codec() store.Codec {
	c := asGob
	c.Marshal = func(any) ([]byte, error) { return nil, errors.New("cannot be encoded") }
	return c
}

func inGob(t *testing.T, kind string, version uint16, v any) store.Event {
	t.Helper()
	data, err := asGob.Marshal(v)
	require.NoError(t, err)
	return store.Event{Position: 7, Kind: kind, SchemaVersion: version, Codec: "gob", Payload: data}
}

// echo answers each song, at another entity.
func echo(_ context.Context, e reactor.Event[sung], out *reactor.Reactions) error {
	if e.Coordinate.Entity == "in" {
		out.Append(store.At("out", "test"), sung{Text: e.Body.Text + "!"})
	}
	return nil
}

func TestWhatIsAppendedAndReactionsAreInTheCodecOfTheirType(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	appendPayloads(t, st, store.At("in", "test"), sung{Text: "in gob"},
		store.Raw{Type: "sung", SchemaVersion: 2, Data: []byte(`{"Text":"as JSON"}`)})
	run(t, st, reactor.New("echo", reactor.On(echo)))
	var out []string
	for e, err := range st.Read(t.Context(), store.Region{Entity: "out"}, store.Beginning()) {
		require.NoError(t, err)
		require.Equal(t, "gob", e.Codec)
		require.EqualValues(t, 2, e.SchemaVersion)
		body, err := reactor.Decode[sung](nil, e)
		require.NoError(t, err)
		out = append(out, body.Text)
	}
	require.Equal(t, []string{"in gob!", "as JSON!"}, out)
}

func TestUpcastersWorkInTheCodecOfTheEvent(t *testing.T) {
	types := reactor.NewTypes(reactor.TypeOf[sung](reactor.UpcastFrom(1, firstWord)))
	for text, e := range map[string]store.Event{
		"hi": inGob(t, "sung", 1, sungV1{Words: []string{"hi"}}),
		"ho": stored("sung", 0, `{"Words":["ho"]}`),
	} {
		body, err := reactor.Decode[sung](types, e)
		require.NoError(t, err)
		require.Equal(t, sung{Text: text}, body)
		payload, err := types.Decode(e)
		require.NoError(t, err)
		require.Equal(t, sung{Text: text}, payload)
	}
}

func TestATypeWithoutTheCodecReadsWithThatOfTheRegisteredOne(t *testing.T) {
	types := reactor.NewTypes(reactor.TypeOf[sung]())
	body, err := reactor.Decode[hummed](types, inGob(t, "sung", 2, sung{Text: "mm"}))
	require.NoError(t, err)
	require.Equal(t, hummed{Text: "mm"}, body)
	_, err = reactor.Decode[hummed](nil, inGob(t, "sung", 2, sung{Text: "mm"}))
	require.ErrorIs(t, err, store.ErrUnknownCodec)
}

// hummed reads what is sung.
type hummed struct{ Text string }

func (hummed) Kind() string          { return "sung" }
func (hummed) SchemaVersion() uint16 { return 2 }

func TestAnEventOfAnUnknownCodecCanNotBeDecoded(t *testing.T) {
	e := stored("person.named", 1, "")
	e.Codec = "protobuf"
	_, err := reactor.Decode[named](people(), e)
	require.ErrorIs(t, err, reactor.ErrPayload)
	require.Equal(t, store.UnknownCodecError{Position: 7, Kind: "person.named", Codec: "protobuf"},
		*requireAs[*store.UnknownCodecError](t, err), "no upcaster gets it")
	e = stored("sung", 2, "")
	for _, e.Codec = range []string{"protobuf", ""} { // a test may make an event that names none
		_, err = reactor.New("r", reactor.On(ignore[sung])).React(t.Context(), e)
		require.Equal(t, store.UnknownCodecError{Position: 7, Kind: "sung", Codec: e.Codec, Own: "gob"},
			*requireAs[*store.UnknownCodecError](t, err))
		_, err = reactor.NewTypes(reactor.TypeOf[sung]()).Decode(e)
		require.ErrorIs(t, err, store.ErrUnknownCodec)
	}
}

func TestAnEventOfAnUnknownCodecIsParkedAtOnceAndHandledWhenReplayed(t *testing.T) {
	known := false
	var handled []string
	program := func(*store.Store) supervision.Child {
		if !known {
			return reactor.New("r", reactor.On(ignore[hummed]))
		}
		return reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[sung], _ *reactor.Reactions) error {
			handled = append(handled, e.Body.Text)
			return nil
		}))
	}
	run := reactortest.Start(t, reactortest.Program(program))
	run.Given(sung{Text: "la"})
	run.Settle()
	parked := run.Parked("r")
	require.Len(t, parked, 1)
	require.Equal(t, 1, parked[0].Attempts)
	require.Contains(t, parked[0].Error, `unknown codec "gob", known are "json"`)
	known = true
	run.Crash(1)
	run.Settle()
	require.Empty(t, handled)
	run.Replay("r", cursor.ParkedFilter{Key: "entity"})
	run.Settle()
	require.Equal(t, []string{"la"}, handled)
}

func TestAPayloadThatItsCodecRefusesIsAnInvalidReaction(t *testing.T) {
	r := reactor.New("croak", reactor.On(func(_ context.Context, _ reactor.Event[said], out *reactor.Reactions) error {
		out.Append(store.At("out", "test"), croaking{})
		return nil
	}))
	_, err := reactortest.ReactErr(t, r, said{})
	require.ErrorIs(t, err, reactor.ErrReaction)
	require.ErrorContains(t, err, "cannot be encoded")
}
