package engines

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sqliteDatabase returns a new database file. A transaction takes its write lock at once, a busy
// one waits for it, and a commit is on the disk.
func (e Engine) sqliteDatabase(t testing.TB) Database {
	file := url.URL{Scheme: "file", Opaque: filepath.ToSlash(filepath.Join(t.TempDir(), "delivery.db"))}
	return Database{Engine: e, DSN: file.String()}.
		SQLite(t, "immediate", "busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)")
}

// SQLite returns the same file of SQLite with these settings and no others: how a transaction
// begins, as "deferred" or "immediate", and pragmas, such as "busy_timeout(5000)".
func (d Database) SQLite(t testing.TB, txlock string, pragmas ...string) Database {
	t.Helper()
	file, _, _ := strings.Cut(d.DSN, "?")
	d.DSN = file + "?" + url.Values{"_pragma": pragmas, "_txlock": {txlock}}.Encode()
	if d.settings != nil {
		var err error
		if d.DSN, err = d.settings(d.DSN); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

const sqliteBusy = 5 // SQLITE_BUSY

// IsBusy reports whether err is SQLITE_BUSY, "database is locked", as one of the drivers says it.
func IsBusy(err error) bool {
	return slices.ContainsFunc(All, func(e Engine) bool { return e.busy != nil && e.busy(err) })
}
