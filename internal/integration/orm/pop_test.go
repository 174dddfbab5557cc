//go:build !race

package orm

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/gobuffalo/pop/v6"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func openPop(t *testing.T, d engines.Database, _ *sql.DB) app {
	details := &pop.ConnectionDetails{Driver: d.Driver}
	switch d.Kind {
	case engines.SQLite:
		details.Dialect = "sqlite3"
		details.Database, details.RawOptions, _ = strings.Cut(d.DSN, "?")
	case engines.MySQL:
		details.URL = "mysql://" + d.DSN
	default:
		details.URL = d.DSN
	}
	db, err := pop.NewConnection(details)
	must(t, err)
	must(t, db.Open())
	t.Cleanup(func() { db.Close() })
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			return db.WithContext(ctx).Transaction(func(c *pop.Connection) error {
				return fn(inside{tx: c.TX, add: func(id string) error { return c.Create(&note{id}) }})
			})
		},
		outside: map[string]delivery.DBTX{"db.TX": db.TX},
	}
}
