package engines

import (
	"net/url"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // driver "sqlite"
)

// sqliteFile returns the DSN of a new database file. A transaction takes its write lock at once, a busy one waits for it,
// and a commit is on the disk.
func sqliteFile(t testing.TB) string {
	file := url.URL{
		Scheme: "file",
		Opaque: filepath.ToSlash(filepath.Join(t.TempDir(), "delivery.db")),
		RawQuery: url.Values{
			"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"},
			"_txlock": {"immediate"},
		}.Encode(),
	}
	return file.String()
}
