//go:build !race

package engines

import _ "github.com/lib/pq" // driver "postgres"

// others lists the drivers that are not the first of their kind of database.
var others = []Engine{
	secondSQLite,
	{Name: "postgres-pq", Kind: Postgres, Driver: "postgres"},
}

// Variants lists drivers in settings that change what they send or report, and that some apps use.
var Variants = []Engine{
	{Name: "postgres-pgx-simple", Kind: Postgres, Driver: "pgx", settings: simpleProtocol},
	{Name: "mysql-snapshot-isolation", Kind: MySQL, Driver: "mysql", settings: snapshotIsolation},
}
