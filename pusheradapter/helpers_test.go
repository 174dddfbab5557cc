package pusheradapter_test

import (
	"errors"
	"reflect"

	"github.com/msgdelivery/delivery"
)

// isPermanent reports whether an error is marked with delivery.Permanent, whose type is the core's own.
func isPermanent(err error) bool {
	permanent := reflect.TypeOf(delivery.Permanent(errors.New("")))
	for ; err != nil; err = errors.Unwrap(err) {
		if reflect.TypeOf(err) == permanent {
			return true
		}
	}
	return false
}
