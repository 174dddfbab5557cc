//go:build !race

package engines

import (
	"net/url"

	"github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq" // driver "postgres"
)

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

// simpleProtocol makes pgx send no prepared statements, as apps do behind some connection poolers.
func simpleProtocol(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	query := u.Query()
	query.Set("default_query_exec_mode", "simple_protocol")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// snapshotIsolation makes the server refuse to change a row that somebody else changed since the
// snapshot, which is MariaDB's default from 11.6.2 on. It also makes the server count matched rows
// as affected, and the driver put arguments into the text of statements. None of these has to do
// with another.
func snapshotIsolation(dsn string) (string, error) {
	return changed(dsn, func(c *mysql.Config) {
		c.Params = map[string]string{"innodb_snapshot_isolation": "ON"}
		c.ClientFoundRows, c.InterpolateParams, c.ParseTime = true, true, true
	})
}
