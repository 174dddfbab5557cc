//go:build !race

package orm

import (
	"context"
	"database/sql"
	"testing"

	"github.com/Masterminds/squirrel"
	"github.com/doug-martin/goqu/v9"
	_ "github.com/doug-martin/goqu/v9/dialect/mysql"
	_ "github.com/doug-martin/goqu/v9/dialect/postgres"
	_ "github.com/doug-martin/goqu/v9/dialect/sqlite3"
	"github.com/jmoiron/sqlx"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func openSqlx(t *testing.T, d engines.Database, pool *sql.DB) app {
	db := sqlx.NewDb(pool, d.Driver)
	conn, err := db.Connx(t.Context())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			tx, err := db.BeginTxx(ctx, nil)
			if err != nil {
				return err
			}
			return end(tx, fn(inside{tx: tx, add: func(id string) error {
				_, err := tx.NamedExecContext(ctx, "INSERT INTO notes (id) VALUES (:id)", map[string]any{"id": id})
				return err
			}}))
		},
		outside: map[string]delivery.DBTX{"db": db, "a nil *sqlx.Tx": (*sqlx.Tx)(nil), "a *sqlx.Conn": conn, "its *sql.Conn": conn.Conn},
	}
}

// openSquirrel runs squirrel's statements on a *sql.Tx. Its own runner around one does not show
// that it is a transaction.
func openSquirrel(t *testing.T, d engines.Database, db *sql.DB) app {
	builder := squirrel.StatementBuilder
	if d.Kind == engines.Postgres {
		builder = builder.PlaceholderFormat(squirrel.Dollar)
	}
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return end(tx, fn(inside{tx: tx, add: func(id string) error {
				_, err := builder.Insert("notes").Columns("id").Values(id).RunWith(tx).ExecContext(ctx)
				return err
			}}))
		},
		outside: map[string]delivery.DBTX{"db": db, "squirrel.WrapStdSqlCtx(tx)": squirrel.WrapStdSqlCtx(new(sql.Tx))},
	}
}

func openGoqu(t *testing.T, d engines.Database, pool *sql.DB) app {
	names := map[engines.Kind]string{engines.SQLite: "sqlite3", engines.Postgres: "postgres", engines.MySQL: "mysql"}
	db := goqu.New(names[d.Kind], pool)
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			return db.WithTx(func(tx *goqu.TxDatabase) error {
				return fn(inside{tx: tx, add: func(id string) error {
					_, err := tx.Insert("notes").Rows(goqu.Record{"id": id}).Executor().ExecContext(ctx)
					return err
				}})
			})
		},
		outside: map[string]delivery.DBTX{"db": db},
	}
}
