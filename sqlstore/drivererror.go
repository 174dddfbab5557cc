package sqlstore

import "reflect"

// Drivers' errors carry the number of the database's own error in types that cannot be named
// without importing the driver. So they are looked through by reflection.

// errorNumber returns what number says of err or, if that is 0, of the errors that err wraps. It
// returns 0 if none of them has a number.
func errorNumber(err error, number func(err reflect.Value) int64) int64 {
	if err == nil {
		return 0
	}
	if n := number(reflect.ValueOf(err)); n != 0 {
		return n
	}
	switch wrapper := err.(type) {
	case interface{ Unwrap() error }:
		return errorNumber(wrapper.Unwrap(), number)
	case interface{ Unwrap() []error }:
		for _, err := range wrapper.Unwrap() {
			if n := errorNumber(err, number); n != 0 {
				return n
			}
		}
	}
	return 0
}

// fieldOf returns a field of a struct or of what a pointer points to, the zero Value if there is
// none.
func fieldOf(v reflect.Value, name string) reflect.Value {
	if v = reflect.Indirect(v); v.Kind() == reflect.Struct {
		return v.FieldByName(name)
	}
	return reflect.Value{}
}

// integer returns the value of an integer of any type, 0 for other values.
func integer(v reflect.Value) int64 {
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint()) // #nosec G115 -- error numbers are small
	}
	return 0
}
