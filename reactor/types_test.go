package reactor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/projector"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
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
		`"said" is among the types twice`:     reactor.NewTypes(reactor.TypeOf[said](), reactor.TypeOf[unsaid]()),
		"must be a value type":                reactor.NewTypes(reactor.TypeOf[said](), reactor.TypeOf[*placed]()),
		"a type that was not made by TypeOf":  reactor.NewTypes(reactor.TypeOf[said](), reactor.Type{}),
		`"said" has an upcaster from version`: reactor.NewTypes(reactor.TypeOf[said](reactor.Upcast(1, nil))),
		`"mute": invalid codec`:               reactor.NewTypes(reactor.TypeOf[said](), reactor.TypeOf[speechless]()),
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
	require.Equal(t, []string{"person.named", "said"}, people().Kinds())
	require.Equal(t, named{}, people().Zero("person.named"))
	require.Nil(t, people().Zero("order.placed"))
}

func TestADecoderSaysWhatItReads(t *testing.T) {
	d, err := reactor.NewDecoder[named](people())
	require.NoError(t, err)
	require.Equal(t, []any{"person.named", uint16(3)}, []any{d.Kind, d.Newest()})
}
