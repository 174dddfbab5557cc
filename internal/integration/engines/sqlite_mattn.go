//go:build !sqlite2 || race

package engines

import (
	"errors"
	"net/url"
	"strings"

	"github.com/mattn/go-sqlite3" // driver "sqlite3"
)

var secondSQLite = Engine{Name: "sqlite-mattn", Kind: SQLite, Driver: "sqlite3", settings: mattnPragmas, busy: mattnBusy}

// mattnPragmas writes _pragma=name(value) as _name=value.
func mattnPragmas(dsn string) (string, error) {
	file, settings, _ := strings.Cut(dsn, "?")
	query, err := url.ParseQuery(settings)
	if err != nil {
		return "", err
	}
	for _, pragma := range query["_pragma"] {
		name, value, _ := strings.Cut(strings.TrimSuffix(pragma, ")"), "(")
		query.Set("_"+name, value)
	}
	query.Del("_pragma")
	return file + "?" + query.Encode(), nil
}

func mattnBusy(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqliteBusy
}
