package fields_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor/fields"
)

// all has a field of each kind.
type all struct {
	small  uint8
	number uint64
	named  string
	flag   bool
	text   string
	bytes  []byte
	time   time.Time
	part   *all
	list   []all
	table  map[string]*all
	names  []string
	pairs  map[string]string
}

var names = []string{"", "red", "blue"}

func (a *all) fields(c *fields.Coder) {
	fields.Number(c, 1, &a.small)
	fields.Number(c, 2, &a.number)
	fields.Name(c, 3, &a.named, names)
	c.Flag(4, &a.flag)
	fields.Text(c, 5, &a.text)
	fields.Text(c, 6, &a.bytes)
	c.Time(7, &a.time)
	inner := func(c *fields.Coder, in *all) { in.fields(c) }
	fields.Part(c, 8, &a.part, inner)
	fields.List(c, 9, &a.list, inner)
	fields.Table(c, 10, &a.table, func(c *fields.Coder, in *all) { fields.Number(c, 2, &in.number) })
	fields.Strings(c, 11, &a.names)
	fields.Map(c, 12, &a.pairs)
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	far := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	for _, want := range []all{
		{},
		{small: math.MaxUint8, number: math.MaxUint64, named: "blue", flag: true, text: "x", bytes: []byte{0, 1}},
		{time: far},
		{time: time.Unix(-1, 5).UTC()},
		{part: &all{}, list: []all{{}, {flag: true, list: []all{{number: 300}}}}},
		{table: map[string]*all{"": {number: 1}, "b": {}}, names: []string{"", "y"}, pairs: map[string]string{"h": "v", "": ""}},
	} {
		var got all
		require.NoError(t, fields.Read(fields.Write(nil, want.fields), got.fields))
		require.Equal(t, want, got)
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	for name, bad := range map[string]string{
		"an unknown field":                "\x0d",
		"fields in the wrong order":       "\x02\x01\x01\x01",
		"a field twice":                   "\x02\x01\x02\x01",
		"a number without an end":         "\x02\x80",
		"no number":                       "\x02",
		"a number of too many bytes":      "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"a number that is too large":      "\x01\x80\x02",
		"an unknown name":                 "\x03\x03",
		"a text that is longer than all":  "\x05\x02x",
		"a text of a length without end":  "\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x",
		"a time without seconds":          "\x07",
		"a time without nanoseconds":      "\x07\x00",
		"a time of too many nanoseconds":  "\x07\x00\x80\x94\xeb\xdc\x03",
		"a part without an end":           "\x08",
		"a part with an unknown field":    "\x08\x0d\x00",
		"an element without an end":       "\x09\x00\x09\x04",
		"an element of a table, likewise": "\x0a\x01\x01x",
		"an element of a map, likewise":   "\x0c\x01\x01x",
	} {
		var got all
		require.ErrorIs(t, fields.Read([]byte(bad), got.fields), fields.ErrMalformed, name)
	}
}
