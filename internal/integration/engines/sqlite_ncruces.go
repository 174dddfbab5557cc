//go:build sqlite2 && !race

package engines

import (
	"errors"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // driver "sqlite3"
)

var secondSQLite = Engine{Name: "sqlite-ncruces", Kind: SQLite, Driver: "sqlite3", busy: func(err error) bool { return errors.Is(err, sqlite3.BUSY) }}
