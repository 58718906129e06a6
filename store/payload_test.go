package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rot is a codec that moves each byte of the text by one. It is not deterministic where it says so.
func rot(deterministic bool) Codec {
	move := func(b []byte, by byte) []byte {
		moved := make([]byte, len(b))
		for i := range b {
			moved[i] = b[i] + by
		}
		return moved
	}
	return Codec{
		Name: "rot",
		Marshal: func(v any) ([]byte, error) {
			b, err := json.Marshal(v)
			return move(b, 1), err
		},
		Unmarshal:     func(data []byte, v any) error { return json.Unmarshal(move(data, 255), v) },
		Deterministic: deterministic,
	}
}

type turned struct{ Text string }

func (turned) Kind() string { return "turned" }
func (turned) Codec() Codec { return rot(true) }

// unsteady is turned in a codec that does not promise the same bytes.
type unsteady struct{ Text string }

func (unsteady) Kind() string { return "turned" }
func (unsteady) Codec() Codec { return rot(false) }

// upright is read as the same kind without the codec.
type upright struct{ Text string }

// shouting has a codec in the place of encoding/json.
type shouting struct{ Text string }

func (shouting) Kind() string { return "shouting" }

func (shouting) Codec() Codec {
	return Codec{
		Name: CodecJSON,
		Marshal: func(v any) ([]byte, error) {
			b, err := json.Marshal(v)
			return bytes.ToUpper(b), err
		},
		Unmarshal: json.Unmarshal,
	}
}

// broken has whatever codec the test sets.
type broken struct{ codec Codec }

func (broken) Kind() string   { return "broken" }
func (b broken) Codec() Codec { return b.codec }

func TestAPayloadIsWrittenAndReadInTheCodecOfItsType(t *testing.T) {
	s := memoryLog(t)
	pointed := turned{Text: "by pointer"}
	for _, p := range []Payload{turned{Text: "a"}, &pointed, shouting{Text: "b"}, Raw{Type: "turned", Data: []byte(`{"Text":"as JSON"}`)}} {
		_, err := s.Append(t.Context(), At("a", "test"), Any, p)
		require.NoError(t, err)
	}
	events := all(t, s, Region{})
	require.Equal(t, "rot", events[0].Codec)
	require.NotContains(t, string(events[0].Payload), "Text")
	require.Equal(t, []string{"rot", CodecJSON, CodecJSON}, []string{events[1].Codec, events[2].Codec, events[3].Codec})
	require.Equal(t, `{"TEXT":"B"}`, string(events[2].Payload))
	for i, want := range map[int]string{0: "a", 1: "by pointer", 3: "as JSON"} {
		var got turned
		require.NoError(t, events[i].Decode(&got))
		require.Equal(t, want, got.Text)
	}
	require.Error(t, events[0].Decode((*turned)(nil)))
	require.Error(t, events[3].Decode((*turned)(nil)))
	require.Error(t, events[3].Decode(nil))
}

func TestAnEventOfAnotherCodecCanNotBeDecodedAndSaysWhich(t *testing.T) {
	s := memoryLog(t)
	write(t, s, proposing(func(p *Proposal) { p.Payload = turned{Text: "a"} }))
	write(t, s, raw(Raw{Type: "turned", Codec: "other", Data: []byte{1}}))
	events := all(t, s, Region{})
	for _, c := range []struct {
		event Event
		into  any
		want  UnknownCodecError
		text  string
	}{
		{events[0], &upright{}, UnknownCodecError{Position: 1, Kind: "turned", Codec: "rot"}, `unknown codec "rot", known are "json"`},
		{events[1], &turned{}, UnknownCodecError{Position: 2, Kind: "turned", Codec: "other", Own: "rot"}, `known are "json" and "rot"`},
		{events[1], &shouting{}, UnknownCodecError{Position: 2, Kind: "turned", Codec: "other", Own: "json"}, `known are "json"`},
		{Event{Payload: []byte("{}")}, &upright{}, UnknownCodecError{}, `unknown codec ""`},
	} {
		err := c.event.Decode(c.into)
		var unknown *UnknownCodecError
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, c.want, *unknown)
		require.ErrorIs(t, err, ErrUnknownCodec)
		require.ErrorContains(t, err, c.text)
	}
}

func TestACodecThatCanNotBeOneIsRefusedByCommitAndDecode(t *testing.T) {
	s := memoryLog(t)
	lacking := func(change func(*Codec)) Codec {
		c := rot(true)
		change(&c)
		return c
	}
	for _, c := range []Codec{
		{},
		lacking(func(c *Codec) { c.Name = "" }),
		lacking(func(c *Codec) { c.Name = "a\nb" }),
		lacking(func(c *Codec) { c.Name = strings.Repeat("n", maxCodecBytes+1) }),
		lacking(func(c *Codec) { c.Marshal = nil }),
		lacking(func(c *Codec) { c.Unmarshal = nil }),
	} {
		_, err := s.Append(t.Context(), At("a", "test"), Any, broken{c})
		require.ErrorIs(t, err, ErrInvalid)
		require.ErrorContains(t, err, "codec")
		err = Event{Position: 7, Kind: "a.b", Codec: c.Name, Payload: []byte("x")}.Decode(&broken{c})
		require.ErrorIs(t, err, ErrInvalid)
		require.ErrorContains(t, err, "codec")
	}
	refusal := errors.New("cannot be said")
	refusing := lacking(func(c *Codec) { c.Marshal = func(any) ([]byte, error) { return nil, refusal } })
	_, err := s.Append(t.Context(), At("a", "test"), Any, broken{refusing})
	require.ErrorIs(t, err, ErrInvalid)
	require.ErrorIs(t, err, refusal)
	require.Zero(t, s.Head())
}

func TestAnIdempotencyKeyIsRefusedWhereARetryMightBeOtherBytes(t *testing.T) {
	s := memoryLog(t)
	with := func(p Payload) Batch {
		return Batch{IdempotencyKey: "key", Events: []Proposal{
			{At: At("a", "test"), Payload: turned{Text: "first"}}, {At: At("a", "test"), Payload: p},
		}}
	}
	_, err := s.Commit(t.Context(), with(unsteady{Text: "b"}))
	var invalid *InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, []any{"idempotency key", "key"}, []any{invalid.Field, invalid.Value})
	require.Contains(t, invalid.Rule, `codec "rot" is not deterministic`)
	require.Zero(t, s.Head())

	first := write(t, s, with(turned{Text: "b"}))
	require.Equal(t, first.Events, write(t, s, with(turned{Text: "b"})).Events)
	encoded, err := Proposal{At: At("a", "test"), Payload: unsteady{Text: "b"}}.Encode()
	require.NoError(t, err)
	require.Equal(t, first.Events, write(t, s, with(encoded.Payload)).Events, "bytes that are kept are the same ones")
	write(t, s, proposing(func(p *Proposal) { p.Payload = unsteady{Text: "without a key"} }))
}

// hostile is what a payload may look like.
type hostile struct {
	hostileInner
	Name   string
	Count  int8
	Price  float64
	Quoted int64 `json:"quoted,string"`
	List   []int
	Map    map[string]int
	Any    any
	Number json.Number
	Own    shout
	Next   *hostile
}

type hostileInner struct{ Deep string }

// shout decodes itself.
type shout string

func (s *shout) UnmarshalJSON(b []byte) error {
	if bytes.Contains(b, []byte("!")) {
		return errors.New("too loud")
	}
	*s = shout(bytes.ToUpper(b))
	return nil
}

// Logs outlive the Go release that wrote them, and Go 1.27 decodes JSON by other code than those
// before it. Whatever is read of a payload must not depend on it.
func TestHostileJSONIsReadAlikeByEveryGoRelease(t *testing.T) {
	for in, want := range map[string]hostile{
		`{"Name":"a","Name":"b"}`:                   {Name: "b"},
		`{"name":"a","NAME":"b","nAmE":"c"}`:        {Name: "c"},
		`{"Name":"a","name":null}`:                  {Name: "a"},
		"{\"Name\":\"\xff\xfe\"}":                   {Name: "\ufffd\ufffd"},
		`{"Name":"\ud800x\udc00"}`:                  {Name: "\ufffdx\ufffd"},
		`{"\u004eame":"escaped","Unknown":[]}`:      {Name: "escaped"},
		`{"Deep":"in","deep":"inner"}`:              {hostileInner: hostileInner{Deep: "inner"}},
		`{"List":null,"Map":null,"Any":null}`:       {},
		`{"List":[],"Map":{}}`:                      {List: []int{}, Map: map[string]int{}},
		`{"List":[1,2,3],"List":[4]}`:               {List: []int{4}},
		`{"Map":{"a":1},"Map":{"b":2}}`:             {Map: map[string]int{"a": 1, "b": 2}},
		`{"Any":{"a":1,"a":[2,"x",true]}}`:          {Any: map[string]any{"a": []any{2.0, "x", true}}},
		`{"Number":123456789012345678901234567890}`: {Number: "123456789012345678901234567890"},
		`{"Number":"1e400"}`:                        {Number: "1e400"},
		`{"quoted":"-9223372036854775808"}`:         {Quoted: math.MinInt64},
		`{"Price":1e-400,"Count":-0}`:               {},
		`{"Own":{"a":[1]}}`:                         {Own: `{"A":[1]}`},
		`{"Next":{"Next":{"Name":"x"}}}`:            {Next: &hostile{Next: &hostile{Name: "x"}}},
		" \t\r\n{}\n":                               {},
		`null`:                                      {},
	} {
		var got hostile
		require.NoError(t, Event{Codec: CodecJSON, Payload: []byte(in)}.Decode(&got), in)
		require.Equal(t, want, got, in)
	}
	nested := func(n int) string { return `{"Any":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}" }
	require.NoError(t, Event{Codec: CodecJSON, Payload: []byte(nested(9999))}.Decode(&hostile{}))
	for _, in := range []string{
		``, `{`, `{}{}`, `{}x`, "\ufeff{}", `[]`, `1`, `{"Name"}`, `{"Name":}`, `{"Name":"a",}`, `{'Name':"a"}`, `{Name:"a"}`,
		`{"Name":1}`, `{"Name":"\x"}`, "{\"Name\":\"a\nb\"}", `{"Count":128}`, `{"Count":1.5}`, `{"Count":"1"}`, `{"Count":01}`,
		`{"Price":1e400}`, `{"Price":NaN}`, `{"quoted":1}`, `{"quoted":"1.5"}`, `{"quoted":" 1"}`, `{"Number":"x"}`, `{"Any":1e400}`,
		`{"List":[1,"a"]}`, `{"Map":{"a":"b"}}`, `{"Own":"!"}`, `{"Any":[1,]}`, nested(10001),
	} {
		require.Error(t, Event{Codec: CodecJSON, Payload: []byte(in)}.Decode(&hostile{}), fmt.Sprintf("%.40s", in))
	}
}
