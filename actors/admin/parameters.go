package admin

import (
	"encoding"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// parameters sets the fields of a struct, by the names that they have in JSON, to the values of a
// URL: text, numbers, truth values, what reads itself from text, and lists of text.
func parameters(values url.Values, q any) error {
	fields := make(map[string]reflect.Value)
	collect(reflect.ValueOf(q).Elem(), fields)
	for name, given := range values {
		field, ok := fields[name]
		if !ok {
			return fail(Usage, "", "no parameter is called %q", name)
		}
		if err := set(field, given); err != nil {
			return fail(Usage, "", "parameter %s: %v", name, err)
		}
	}
	return nil
}

// collect finds the fields of a struct, and of those that it embeds.
func collect(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			collect(v.Field(i), fields)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = v.Field(i)
	}
}

func set(field reflect.Value, given []string) error {
	last := given[len(given)-1]
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	if text, ok := reflect.TypeAssert[encoding.TextUnmarshaler](field.Addr()); ok {
		return text.UnmarshalText([]byte(last))
	}
	switch field.Kind() {
	case reflect.Bool:
		is, err := strconv.ParseBool(last)
		field.SetBool(is)
		return err
	case reflect.Int:
		n, err := strconv.Atoi(last)
		field.SetInt(int64(n))
		return err
	case reflect.Uint64:
		n, err := strconv.ParseUint(last, 10, 64)
		field.SetUint(n)
		return err
	case reflect.Slice:
		field.Set(reflect.ValueOf(given))
	default:
		field.SetString(last)
	}
	return nil
}
