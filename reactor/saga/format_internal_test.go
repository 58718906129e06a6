package saga

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// whole is a record in which nothing is zero.
func whole(tb testing.TB) *record {
	tb.Helper()
	r := new(record)
	fill(tb, reflect.ValueOf(r).Elem())
	r.Steps["x"].Status, r.Life, r.Before = done, Stuck, Running
	return r
}

// fill sets all that can be set to what is not zero.
func fill(tb testing.TB, v reflect.Value) {
	tb.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2042, 1, 2, 3, 4, 5, 6, time.UTC)))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(`"x"`)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(tb, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(tb, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(tb, v.Index(0))
		fill(tb, v.Index(1))
	case reflect.Map:
		one := reflect.New(v.Type().Elem()).Elem()
		fill(tb, one)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), one)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(300)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(2)
	default:
		require.Fail(tb, "no value for it", "%s", v.Type())
	}
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	for _, r := range []*record{{}, {Life: Running, Run: 1}, whole(t)} {
		got, err := decodeRecord(r.encode())
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
}

// What is kept once must be readable forever: fields are added, none changes.
func TestTheFormatOfARecordStaysAsItIs(t *testing.T) {
	want := "" +
		"\x01\x01\x03\x02\x02\x03\x02\x04\x01x\x05\xca\xce\xfd\xf6\x10\x06\x06\xca\xce\xfd\xf6\x10\x06\a" +
		"\xca\xce\xfd\xf6\x10\x06\b\x02\t\x03\"x\"\n\x01\x01x\x02\x02\x03\xac\x02\x04\xac\x02\x05\x02\x06" +
		"\x03\"x\"\a\x01x\x00\v\x01\x01x\x03\xac\x02\x04\x02\x05\x06\x03\"x\"\a\xac\x02\b\xac\x02\x00\v" +
		"\x01\x01x\x03\xac\x02\x04\x02\x05\x06\x03\"x\"\a\xac\x02\b\xac\x02\x00\f\x02\r\x01\x01x\x02\xca" +
		"\xce\xfd\xf6\x10\x06\x03\x02\x04\x01x\x00\x0e\x02\x0f\x01\x01x\x02\x01x\x03\x02\x00\x0f\x01\x01x\x02\x01" +
		"x\x03\x02\x00\x10\x11\x12\x01\x02\x02\x00\x12\x01\x02\x02\x00\x13\xca\xce\xfd\xf6\x10\x06\x14\x02\x15" +
		"\x01\x16\x01\x01x\x02\x01x\x03\x01x\x04\x05\x00\x17\x01\x01x\x02\x03\x01x\x04\xca\xce\xfd\xf6" +
		"\x10\x06\x00\x18\x01\x01x\x00\x18\x01\x01x\x00\x19\x02\x1a\x01x\x1b\x02\x1e\x02\x1f\x02 \xac\x02!\x02\"\x01x"
	require.Equal(t, want, string(whole(t).encode()))
}

// The result of a step is kept once, though it may be undone.
func TestWhatIsUndoneIsKeptOnce(t *testing.T) {
	s := &stepRecord{Status: done, Visit: 7, Order: 9, Result: json.RawMessage(`"a result"`)}
	r := &record{Life: Running, Steps: map[string]*stepRecord{"charge": s}}
	without := len(r.encode())
	r.addUndo(s.toUndo("charge"))
	require.LessOrEqual(t, len(r.encode())-without, len("charge")+5)
	got, err := decodeRecord(r.encode())
	require.NoError(t, err)
	require.Equal(t, r, got)
	again := *s // it was requested another time
	again.Visit, again.Order, again.Result = 8, 10, json.RawMessage(`"another result"`)
	r.Steps["charge"] = &again
	got, err = decodeRecord(r.encode())
	require.NoError(t, err)
	require.Equal(t, r, got)
}

// The record is written with each input, and what was done is mostly what would be undone.
func TestWhatTheStepsSayOfWhatIsUndoneIsNotKept(t *testing.T) {
	r := &record{Life: Running, Steps: make(map[string]*stepRecord)}
	undo := func(name string, order uint64, as status) *stepRecord {
		s := &stepRecord{Status: as, Visit: 1, Order: order, Result: json.RawMessage(`"a result"`)}
		r.Steps[name] = s
		if s.happened() {
			r.addUndo(s.toUndo(name))
		}
		return s
	}
	undo("ship", 3, done)
	undo("charge", 2, unknown)
	reserve := undo("reserve", 1, done)
	undo("invoice", 4, refused)
	undo("bill", 5, requested)
	short := len(r.encode())
	read := func(what string) {
		got, err := decodeRecord(r.encode())
		require.NoError(t, err, what)
		require.Equal(t, r, got, what)
	}
	read("all that was done")
	all := r.Undo
	for what, change := range map[string]func(){
		"an undo that was requested": func() { r.Undo[2].Try = 1 },
		"one that was refused":       func() { r.Undo[2].Refused = 1 },
		"one of a request before":    func() { r.Undo[0].Visit = 7 },
		"a step that has no undo":    func() { r.Undo = r.Undo[1:] },
		"an undo that no action has": func() { r.addUndo(undoRecord{Step: "stock", Order: 9}) },
		"one that is not done":       func() { r.Undo[2] = r.Steps["bill"].toUndo("bill") },
		"the same step twice":        func() { r.Undo[1] = r.Undo[0] },
		"a step that was undone":     func() { reserve.Status = undone },
	} {
		r.Undo, reserve.Status = slices.Clone(all), done
		change()
		read(what)
	}
	r.Undo, reserve.Status = nil, done // behind the pivot
	read("nothing")
	require.LessOrEqual(t, short-len(r.encode()), 1)
}

func TestARecordThatCannotBeReadIsAnError(t *testing.T) {
	kept := whole(t).encode()
	for i := range kept {
		_, err := decodeRecord(kept[:i])
		if err != nil { // else it ends between two fields
			require.ErrorIs(t, err, ErrRecord)
		}
	}
	for _, bad := range [][]byte{{}, []byte(`{"f":1}`), {recordFormat, 200}, append(slices.Clip(kept), 1)} {
		_, err := decodeRecord(bad)
		require.ErrorIs(t, err, ErrRecord)
	}
}

// FuzzRecord requires of any bytes that they are a record, or an ErrRecord.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(nil))
	f.Add((&record{Life: Running, Run: 1}).encode())
	f.Add(whole(f).encode())
	f.Fuzz(func(t *testing.T, kept []byte) {
		r, err := decodeRecord(kept)
		if err != nil {
			require.ErrorIs(t, err, ErrRecord)
			return
		}
		again, err := decodeRecord(r.encode())
		require.NoError(t, err)
		require.Equal(t, r.encode(), again.encode())
	})
}

func BenchmarkRecord(b *testing.B) {
	r := &record{
		Life: Running, Run: 1, Version: 1, Phase: "ship", Began: time.Now().UTC(), Entered: time.Now().UTC(), Inputs: 3, Order: 3,
		State: json.RawMessage(`{"ID":"100002","Cents":900}`), Steps: make(map[string]*stepRecord),
	}
	for i, name := range []string{"reserve", "charge", "label"} {
		s := &stepRecord{Status: done, Visit: 1, Order: uint64(i) + 1, Result: json.RawMessage(`"a result"`)}
		r.Steps[name] = s
		r.addUndo(s.toUndo(name))
	}
	kept := r.encode()
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.encode()
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = decodeRecord(kept)
		}
		b.ReportMetric(float64(len(kept)), "B")
	})
}
