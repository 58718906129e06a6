package cursor_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// A setting that is forgotten in Worker.With, or that means something else in a Worker, fails here.
func TestAWorkerTakesOverEverySetting(t *testing.T) {
	var s cursor.Settings
	settings := reflect.ValueOf(&s).Elem()
	for i := range settings.NumField() {
		setAny(t, settings.Field(i), settings.Type().Field(i).Name)
	}
	w := reflect.ValueOf(cursor.Worker{}.With(s))
	for i := range settings.NumField() {
		name := settings.Type().Field(i).Name
		field := w.FieldByName(name)
		require.True(t, field.IsValid(), "Worker has no %s", name)
		require.Equal(t, settings.Field(i).Type(), field.Type(), name)
		require.False(t, field.IsZero(), "%s is lost", name)
		if field.Kind() != reflect.Func {
			require.Equal(t, settings.Field(i).Interface(), field.Interface(), name)
		}
	}
}

// setAny gives a setting a value that is not zero.
func setAny(t *testing.T, field reflect.Value, name string) {
	t.Helper()
	switch field.Kind() {
	case reflect.Int, reflect.Int64:
		field.SetInt(7)
	case reflect.Uint8, reflect.Uint32:
		field.SetUint(7)
	case reflect.Float64:
		field.SetFloat(7)
	case reflect.String:
		field.SetString(name)
	case reflect.Slice:
		field.Set(reflect.Append(field, reflect.ValueOf(name)))
	case reflect.Func:
		field.Set(reflect.ValueOf(func(store.Event) string { return name }))
	case reflect.Struct:
		if field.Type() == reflect.TypeFor[store.From]() { // opaque
			field.Set(reflect.ValueOf(store.After(7)))
			return
		}
		for i := range field.NumField() {
			if part := field.Field(i); part.CanSet() && part.Kind() != reflect.Struct {
				setAny(t, part, field.Type().Field(i).Name)
				return
			}
		}
		fallthrough
	default:
		require.Failf(t, "no value for the setting", "%s is a %s", name, field.Type())
	}
}
