//go:build !race

package orm

import (
	"context"
	"database/sql"
	"testing"

	"github.com/upper/db/v4"
	"github.com/upper/db/v4/adapter/mysql"
	"github.com/upper/db/v4/adapter/postgresql"
	"github.com/upper/db/v4/adapter/sqlite"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func openUpper(t *testing.T, d engines.Database, pool *sql.DB) app {
	open := map[engines.Kind]func(*sql.DB) (db.Session, error){
		engines.SQLite: sqlite.New, engines.Postgres: postgresql.New, engines.MySQL: mysql.New,
	}
	session, err := open[d.Kind](pool)
	must(t, err)
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			return session.TxContext(ctx, func(session db.Session) error {
				return fn(inside{tx: session.Driver().(delivery.DBTX), add: func(id string) error {
					_, err := session.Collection("notes").Insert(map[string]string{"id": id})
					return err
				}})
			}, nil)
		},
		outside: map[string]delivery.DBTX{"session.Driver().(delivery.DBTX)": session.Driver().(delivery.DBTX)},
	}
}
