// An app whose SQLite is too old. It is a module of its own, so that the versions that it requires stay as old.
module github.com/msgdelivery/delivery/internal/integration/settings/testdata/sqlite341

go 1.25.0

require (
	// The version that GORM's driver github.com/glebarez/sqlite v1.11.0 requires.
	github.com/glebarez/go-sqlite v1.21.2
	github.com/msgdelivery/delivery v0.0.0
)

require (
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.17 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	golang.org/x/sys v0.38.0 // indirect
	modernc.org/libc v1.22.5 // indirect
	modernc.org/mathutil v1.5.0 // indirect
	modernc.org/memory v1.5.0 // indirect
	modernc.org/sqlite v1.23.1 // indirect
)

replace github.com/msgdelivery/delivery => ../../../../../
