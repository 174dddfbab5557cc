//go:build !sqlite2 && !race

package engines

import (
	"errors"

	"modernc.org/sqlite" // driver "sqlite"
)

var firstSQLite = Engine{Name: "sqlite", Kind: SQLite, Driver: "sqlite", busy: moderncBusy}

func moderncBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqliteBusy
}
