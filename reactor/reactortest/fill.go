package reactortest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/penstock-io/penstock/store"
)

// filled returns a payload of the type of zero with something in each field that can be set from
// outside its package. It is the same in every run. What an interface holds is not known, so it
// holds nothing.
func filled(zero store.Payload) store.Payload {
	v := reflect.New(reflect.TypeOf(zero)).Elem()
	new(filler).fill(v)
	payload, _ := reflect.TypeAssert[store.Payload](v)
	return payload
}

// filler numbers the values, so that two fields that are mixed up are found out.
type filler struct {
	n     int
	open  []reflect.Type // structs that are being filled: one within itself stays empty
	depth int            // of what is being filled
}

// maxFilled is deeper than any payload. What is deeper is a type within itself without a struct in
// between, as a map of such maps is, and stays empty.
const maxFilled = 64

// fill reports whether it found something to put in.
func (f *filler) fill(v reflect.Value) bool {
	if !v.CanSet() { // an embedded struct may have exported fields all the same
		return v.Kind() == reflect.Struct && f.fillStruct(v)
	}
	if f.depth == maxFilled {
		return false
	}
	f.depth++
	defer func() { f.depth-- }()
	f.n++
	switch known := v.Addr().Interface().(type) {
	case *time.Time:
		*known = time.Date(2001, 2, 3, 4, 5, f.n%60, 0, time.UTC)
		return true
	case *json.RawMessage:
		*known = json.RawMessage(fmt.Sprintf(`"text %d"`, f.n))
		return true
	case *json.Number:
		*known = json.Number(fmt.Sprint(f.n))
		return true
	}
	return f.fillKind(v)
}

func (f *filler) fillKind(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", f.n))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(f.small())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(uint64(f.small()))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.small()) + 0.5)
	default:
		return f.fillParts(v)
	}
	return true
}

// small fits every type of numbers.
func (f *filler) small() int64 { return int64(f.n-1)%100 + 1 }

func (f *filler) fillParts(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		return f.fillStruct(v)
	case reflect.Array:
		return f.fillAll(v.Len(), v.Index)
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		if f.fill(target.Elem()) {
			v.Set(target)
		}
	case reflect.Slice:
		one := reflect.MakeSlice(v.Type(), 1, 1)
		if f.fill(one.Index(0)) {
			v.Set(one)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if f.fill(key) && f.fill(value) {
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(key, value)
		}
	default: // an interface, or what has no encoding
	}
	return !v.IsZero()
}

func (f *filler) fillStruct(v reflect.Value) bool {
	if slices.Contains(f.open, v.Type()) {
		return false
	}
	f.open = append(f.open, v.Type())
	defer func() { f.open = f.open[:len(f.open)-1] }()
	return f.fillAll(v.NumField(), v.Field)
}

// fillAll fills parts, and reports whether any of them could be.
func (f *filler) fillAll(n int, part func(int) reflect.Value) (found bool) {
	for i := range n {
		found = f.fill(part(i)) || found
	}
	return found
}
