package reactor_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// said is at version 1, which it declares.
type said struct{ Text string }

func (said) Kind() string          { return "said" }
func (said) SchemaVersion() uint16 { return 1 }

// unsaid reads the same kind, and declares no version.
type unsaid struct{ Text string }

func (unsaid) Kind() string { return "said" }

func stored(kind string, version uint16, data string) store.Event {
	return store.Event{Position: 7, Kind: kind, SchemaVersion: version, Codec: store.CodecJSON, Payload: []byte(data)}
}

func people() *reactor.Types {
	return reactor.NewTypes(
		reactor.TypeOf[named](reactor.Upcast(2, joinName), reactor.UpcastFrom(1, splitName)), reactor.TypeOf[said]())
}

func TestAnEventWithoutAVersionIsOneOfVersion1(t *testing.T) {
	for _, version := range []uint16{0, 1} {
		declared, err := reactor.Decode[said](nil, stored("said", version, `{"Text":"hi"}`))
		require.NoError(t, err)
		require.Equal(t, "hi", declared.Text)
		undeclared, err := reactor.Decode[unsaid](nil, stored("said", version, `{"Text":"hi"}`))
		require.NoError(t, err)
		require.Equal(t, "hi", undeclared.Text)
		raised, err := reactor.Decode[named](people(), stored("person.named", version, `{"Name":"Ada Lovelace"}`))
		require.NoError(t, err)
		require.Equal(t, "Lovelace, Ada", raised.Full)
		payload, err := people().Decode(stored("person.named", version, `{"Name":"Ada Lovelace"}`))
		require.NoError(t, err)
		require.Equal(t, raised, payload)
	}
	require.Len(t, reactortest.React(t, greeter(reactor.Upcast(2, joinName), reactor.UpcastFrom(1, splitName)),
		version(0, `{"Name":"Ada Lovelace"}`), version(1, `{"Name":"Ada Lovelace"}`)), 2)

	_, err := reactor.Decode[named](nil, stored("person.named", 0, `{}`))
	failure := requireAs[*reactor.DecodeError](t, err)
	require.Equal(t, []uint16{1, 3, 3}, []uint16{failure.Version, failure.Oldest, failure.Newest})
}

func TestAHandlerReadsWhatItsTypesSay(t *testing.T) {
	handle := ignore[named]
	r := reactor.New("r", reactor.On(handle))
	r.Types = reactor.NewTypes(reactor.TypeOf[said]())
	_, err := r.CursorWorker()
	require.ErrorIs(t, err, reactor.ErrDefinition)
	require.ErrorContains(t, err, `"person.named" is not among the types`)

	_, err = reactor.Decode[unsaid](people(), stored("said", 0, `{"Text":"hi"}`))
	require.NoError(t, err, "another type of the same kind and version")
	_, err = reactor.Decode[namedOnce](people(), stored("person.named", 1, `{}`))
	require.ErrorIs(t, err, reactor.ErrDefinition)
	require.ErrorContains(t, err, `"person.named" is read at version 1, and among the types at 3`)
}

// namedOnce is a type of another version than the registered one.
type namedOnce struct{ Name string }

func (namedOnce) Kind() string { return "person.named" }

func TestInvalidTypesAreTheErrorOfAllThatTheyAreGivenTo(t *testing.T) {
	for rule, types := range map[string]*reactor.Types{
		`"said" is among the types twice`:       reactor.NewTypes(reactor.TypeOf[said](), reactor.TypeOf[unsaid]()),
		"must be a value type":                  reactor.NewTypes(reactor.TypeOf[said](), reactor.TypeOf[*placed]()),
		"a type that was not made by TypeOf":    reactor.NewTypes(reactor.TypeOf[said](), reactor.Type{}),
		`"said" has an upcaster from version`:   reactor.NewTypes(reactor.TypeOf[said](reactor.Upcast(1, nil))),
		`"said" has a codec without a name, or`: reactor.NewTypes(reactor.TypeOf[said]().WithCodec(reactor.Codec{Name: "gob"})),
	} {
		require.ErrorIs(t, types.Err(), reactor.ErrDefinition, rule)
		require.ErrorContains(t, types.Err(), rule)
		r := reactor.New("r", reactor.On(ignore[said]))
		r.Types = types
		_, err := r.CursorWorker()
		require.ErrorContains(t, err, rule)
		p := projector.New("p", nil)
		p.Types = types
		_, err = p.CursorWorker()
		require.ErrorContains(t, err, rule)
		_, err = reactor.Decode[said](types, stored("said", 1, `{}`))
		require.ErrorContains(t, err, rule)
		_, err = types.Decode(stored("said", 1, `{}`))
		require.ErrorContains(t, err, rule)
		_, err = types.Encode(said{})
		require.ErrorContains(t, err, rule)
	}
	require.NoError(t, (*reactor.Types)(nil).Err())
	require.NoError(t, people().Err())
}

func TestARouteThatWasNotMadeByOnIsRefused(t *testing.T) {
	_, err := reactor.New("r", reactor.Route{}).CursorWorker()
	require.ErrorIs(t, err, reactor.ErrDefinition)
	_, err = projector.New("p", nil, projector.Route{}).CursorWorker()
	require.ErrorIs(t, err, reactor.ErrDefinition)
}

func TestAnEventOfAnotherKindIsNotDecoded(t *testing.T) {
	_, err := reactor.Decode[said](nil, stored("order.placed", 0, `{}`))
	require.ErrorIs(t, err, reactor.ErrUnknownKind)
	_, err = people().Decode(stored("order.placed", 0, `{}`))
	require.ErrorIs(t, err, reactor.ErrUnknownKind)
	_, err = people().Encode(placed{})
	require.ErrorIs(t, err, reactor.ErrUnknownKind)
	require.Equal(t, []string{"person.named", "said"}, people().Kinds())
	require.Equal(t, named{}, people().Zero("person.named"))
	require.Nil(t, people().Zero("order.placed"))
}

// asGob is a codec that is not that of the store.
func asGob() reactor.Codec {
	return reactor.Codec{
		Name: "gob",
		Marshal: func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
		Unmarshal: func(data []byte, v any) error { return gob.NewDecoder(bytes.NewReader(data)).Decode(v) },
	}
}

// shout answers each what is said, in the same kind at another entity.
func shout(_ context.Context, e reactor.Event[said], out *reactor.Reactions) error {
	if e.Coordinate.Entity == "in" {
		out.Append(store.At("out", "test"), said{Text: e.Body.Text + "!"})
	}
	return nil
}

func TestACodecIsUsedForWhatIsReadAndForReactions(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	types := reactor.NewTypes(reactor.TypeOf[said]().WithCodec(asGob()))
	raw, err := types.Encode(said{Text: "in gob"})
	require.NoError(t, err)
	require.Equal(t, []any{"said", "gob", uint16(1)}, []any{raw.Type, raw.Codec, raw.SchemaVersion})
	again, err := types.Encode(raw)
	require.NoError(t, err)
	require.Equal(t, raw, again, "it is encoded already")
	appendPayloads(t, st, store.At("in", "test"), raw, said{Text: "as JSON"})

	r := reactor.New("shout", reactor.On(shout))
	r.Types = types
	run(t, st, r)
	var out []string
	for e, err := range st.Read(t.Context(), store.Region{Entity: "out"}, store.Beginning()) {
		require.NoError(t, err)
		require.Equal(t, "gob", e.Codec)
		require.EqualValues(t, 1, e.SchemaVersion)
		body, err := reactor.Decode[said](types, e)
		require.NoError(t, err)
		out = append(out, body.Text)
	}
	require.Equal(t, []string{"in gob!", "as JSON!"}, out)
}

func TestACodecThatTheTypeDoesNotHaveIsAFailureToDecode(t *testing.T) {
	e := stored("said", 1, "")
	e.Codec = "protobuf"
	_, err := reactor.Decode[said](people(), e)
	require.ErrorIs(t, err, reactor.ErrPayload)
	require.ErrorIs(t, err, store.ErrInvalid)
	e = stored("person.named", 1, "")
	e.Codec = "protobuf"
	_, err = reactor.Decode[named](people(), e)
	require.ErrorIs(t, err, store.ErrInvalid, "no upcaster gets it")
}

func TestAnEventThatNamesNoCodecIsAFailureToDecode(t *testing.T) {
	e := store.Event{Position: 1, Kind: "said", Payload: []byte(`{}`)} // as a test may make one
	_, err := reactor.New("r", reactor.On(ignore[said])).React(t.Context(), e)
	require.ErrorIs(t, err, reactor.ErrPayload)
	for _, types := range []*reactor.Types{nil, reactor.NewTypes(reactor.TypeOf[said]())} {
		_, err = reactor.Decode[said](types, e)
		require.ErrorIs(t, err, reactor.ErrPayload)
	}
}

func TestAPayloadThatItsCodecRefusesIsAnInvalidReaction(t *testing.T) {
	broken := asGob()
	broken.Marshal = func(any) ([]byte, error) { return nil, errors.New("cannot be encoded") }
	r := reactor.New("shout", reactor.On(shout))
	r.Types = reactor.NewTypes(reactor.TypeOf[said]().WithCodec(broken))
	_, err := reactortest.ReactErr(t, r, reactortest.At(store.At("in", "test"), said{}))
	require.ErrorIs(t, err, reactor.ErrReaction)
	require.ErrorContains(t, err, "cannot be encoded")
}

func TestUpcastersWorkInTheCodecOfTheEvent(t *testing.T) {
	type old struct{ Words []string }
	raise := reactor.UpcastFrom(1, func(o old) (saidTwice, error) { return saidTwice{Text: o.Words[0]}, nil })
	types := reactor.NewTypes(reactor.TypeOf[saidTwice](raise).WithCodec(asGob()))
	e := stored("said.twice", 0, "")
	var err error
	e.Codec = "gob"
	e.Payload, err = asGob().Marshal(old{Words: []string{"hi"}})
	require.NoError(t, err)
	body, err := reactor.Decode[saidTwice](types, e)
	require.NoError(t, err)
	require.Equal(t, "hi", body.Text)
	body, err = reactor.Decode[saidTwice](types, stored("said.twice", 0, `{"Words":["ho"]}`))
	require.NoError(t, err)
	require.Equal(t, "ho", body.Text)
}

type saidTwice struct{ Text string }

func (saidTwice) Kind() string          { return "said.twice" }
func (saidTwice) SchemaVersion() uint16 { return 2 }

func TestADecoderSaysWhatItReads(t *testing.T) {
	d, err := reactor.NewDecoder[named](people())
	require.NoError(t, err)
	require.Equal(t, []any{"person.named", uint16(3)}, []any{d.Kind, d.Newest()})
}
