package sqlstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
)

// foreign is an error with a number of its own, which says nothing of any database.
type foreign struct{ number int }

func (e foreign) Error() string { return fmt.Sprint("error ", e.number) }
func (e foreign) Code() int     { return e.number }

func TestIsConflict(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"no error is no conflict", nil, false},
		{"a Tx form's conflict is one, however wrapped", fmt.Errorf("saving: %w", errors.Join(errors.New("x"), delivery.ErrTxConflict)), true},
		{"an error with a number that SQLite has for busy is none if no SQLite driver made it", foreign{5}, false},
		{"another error is none", errors.New("deadlock"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := IsConflict(test.err); got != test.want {
				t.Errorf("IsConflict(%v) = %t", test.err, got)
			}
		})
	}
}
