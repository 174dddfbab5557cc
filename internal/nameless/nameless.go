// Package nameless has the names that stores keep in the place of those of erased users.
package nameless

import (
	"fmt"

	"github.com/msgdelivery/delivery"
)

// MaxName is how many bytes such a name takes.
const MaxName = 140

// Name returns the name of an erased user who is known by a number. No user has such a name, as it
// is too long for one, and it comes after all others.
func Name(number int64) string { return fmt.Sprintf("\U0010FFFF%0136d", number) }

// Shown returns a name as others see it: that of an erased user is empty.
func Shown(name string) string {
	if len(name) > delivery.MaxID {
		return ""
	}
	return name
}
