//go:build sqlite2 && !race

package engines

import (
	"errors"

	"github.com/glebarez/go-sqlite" // driver "sqlite"
)

var firstSQLite = Engine{Name: "sqlite-glebarez", Kind: SQLite, Driver: "sqlite", busy: glebarezBusy}

func glebarezBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqliteBusy
}
