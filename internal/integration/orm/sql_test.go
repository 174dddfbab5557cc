//go:build !race

package orm

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// insert is the statement that adds a row to the app's table.
func insert(kind engines.Kind) string {
	if kind == engines.Postgres {
		return "INSERT INTO notes (id) VALUES ($1)"
	}
	return "INSERT INTO notes (id) VALUES (?)"
}

func openSQL(t *testing.T, d engines.Database, db *sql.DB) app {
	var none *sql.Tx
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			in := inside{tx: tx, add: func(id string) error {
				_, err := tx.ExecContext(ctx, insert(d.Kind), id)
				return err
			}}
			in.within = func(fn func(inside) error) error {
				if _, err := tx.ExecContext(ctx, "SAVEPOINT app"); err != nil {
					return err
				}
				statement, err := "RELEASE SAVEPOINT app", fn(in)
				if err != nil {
					statement = "ROLLBACK TO SAVEPOINT app"
				}
				_, failure := tx.ExecContext(ctx, statement)
				return errors.Join(err, failure)
			}
			return end(tx, fn(in))
		},
		outside: map[string]delivery.DBTX{"nil": nil, "a nil *sql.Tx": none, "db": db},
	}
}

// openConn is for apps that choose how a transaction begins, which a *sql.Tx does not allow.
func openConn(t *testing.T, d engines.Database, db *sql.DB) app {
	idle, err := db.Conn(t.Context())
	must(t, err)
	t.Cleanup(func() { idle.Close() })
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			conn, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
				return err
			}
			err = fn(inside{tx: conn, add: func(id string) error {
				_, err := conn.ExecContext(ctx, insert(d.Kind), id)
				return err
			}})
			if err != nil {
				_, failure := conn.ExecContext(ctx, "ROLLBACK")
				return errors.Join(err, failure)
			}
			_, err = conn.ExecContext(ctx, "COMMIT")
			return err
		},
		outside: map[string]delivery.DBTX{"a connection": idle},
	}
}

func openPgxpool(t *testing.T, d engines.Database, _ *sql.DB) app {
	pool, err := pgxpool.New(t.Context(), d.DSN)
	must(t, err)
	t.Cleanup(pool.Close)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { db.Close() })
	return openSQL(t, d, db)
}

// queries is what sqlc generates, in short: sqlc is a program and no library, so that this stands
// in for its output.
type queries struct {
	db interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
		PrepareContext(context.Context, string) (*sql.Stmt, error)
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}
	kind engines.Kind
}

func (q *queries) WithTx(tx *sql.Tx) *queries { return &queries{tx, q.kind} }

func (q *queries) AddNote(ctx context.Context, id string) error {
	_, err := q.db.ExecContext(ctx, insert(q.kind), id)
	return err
}

func openSqlc(t *testing.T, d engines.Database, db *sql.DB) app {
	queries := &queries{db, d.Kind}
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			q := queries.WithTx(tx)
			return end(tx, fn(inside{tx: tx, add: func(id string) error { return q.AddNote(ctx, id) }}))
		},
		outside: map[string]delivery.DBTX{"db": db, "queries.db": queries.db},
	}
}
