//go:build race

package engines

// See the package's documentation.
var (
	firstSQLite      = Engine{Name: "sqlite", Kind: SQLite, Driver: secondSQLite.Driver, settings: secondSQLite.settings, busy: secondSQLite.busy}
	others, Variants []Engine
)
