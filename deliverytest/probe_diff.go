package deliverytest

import (
	"fmt"
	"reflect"
	"time"
)

// diff says where got first differs from want, or "" if it doesn't. Times are the same if they are
// the same instant, and an empty slice is the same as none.
func diff(what string, got, want any) string {
	return diffValues(what, reflect.ValueOf(got), reflect.ValueOf(want))
}

func diffValues(path string, got, want reflect.Value) string {
	differs := func(got, want any) string {
		return fmt.Sprintf("%s is %s, want %s", path, show(got), show(want))
	}
	switch want.Kind() {
	case reflect.Struct:
		if want, ok := want.Interface().(time.Time); ok {
			if got := got.Interface().(time.Time); !got.Equal(want) {
				return differs(got, want)
			}
			return ""
		}
		for i := range want.NumField() {
			if d := diffValues(path+"."+want.Type().Field(i).Name, got.Field(i), want.Field(i)); d != "" {
				return d
			}
		}
	case reflect.Pointer:
		if got.IsNil() || want.IsNil() {
			if got.IsNil() != want.IsNil() {
				return differs(got, want)
			}
			return ""
		}
		return diffValues(path, got.Elem(), want.Elem())
	case reflect.Slice:
		for i := range min(got.Len(), want.Len()) {
			if d := diffValues(fmt.Sprintf("%s[%d]", path, i), got.Index(i), want.Index(i)); d != "" {
				return d
			}
		}
		if got.Len() != want.Len() {
			return fmt.Sprintf("%s has %d elements, want %d", path, got.Len(), want.Len())
		}
	default:
		if !got.Equal(want) {
			return differs(got, want)
		}
	}
	return ""
}

// show formats a value for a failure, texts quoted and cut short.
func show(value any) string {
	if v, ok := value.(reflect.Value); ok {
		switch {
		case v.Kind() == reflect.Pointer && v.IsNil():
			return "nil"
		case v.Kind() == reflect.Pointer:
			v = v.Elem()
		}
		value = v.Interface()
	}
	if text, ok := value.(string); ok {
		return fmt.Sprintf("%.100q", text)
	}
	return fmt.Sprintf("%+v", value)
}
