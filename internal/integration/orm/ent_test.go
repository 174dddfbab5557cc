//go:build !race

package orm

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/schema/field"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

var entDialects = map[engines.Kind]string{
	engines.SQLite: dialect.SQLite, engines.Postgres: dialect.Postgres, engines.MySQL: dialect.MySQL,
}

// createNote does what the code that ent generates does for
// client.Note.Create().SetID(id).Exec(ctx), and for client.Note.UpdateOneID(id).Exec(ctx), which
// begins a transaction.
func createNote(ctx context.Context, driver dialect.Driver, id string) error {
	create := sqlgraph.NewCreateSpec("notes", sqlgraph.NewFieldSpec("id", field.TypeString))
	create.ID.Value = id
	if err := sqlgraph.CreateNode(ctx, driver, create); err != nil {
		return err
	}
	update := sqlgraph.NewUpdateSpec("notes", []string{"id"}, sqlgraph.NewFieldSpec("id", field.TypeString))
	update.Node.ID.Value = id
	update.ScanValues = func([]string) ([]any, error) { return []any{new(sql.NullString)}, nil }
	update.Assign = func([]string, []any) error { return nil }
	return sqlgraph.UpdateNode(ctx, driver, update)
}

// joined is a driver for ent.NewClient(ent.Driver(…)) on a transaction that is under way: what ent
// begins and ends for itself is a part of that.
type joined struct{ *entsql.Driver }

func (d joined) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d), nil }

func openEntJoined(t *testing.T, d engines.Database, db *sql.DB) app {
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			driver := joined{entsql.NewDriver(entDialects[d.Kind], entsql.Conn{ExecQuerier: tx})}
			return end(tx, fn(inside{tx: tx, add: func(id string) error { return createNote(ctx, driver, id) }}))
		},
		outside: map[string]delivery.DBTX{"db": db, "an *entsql.Driver": entsql.OpenDB(entDialects[d.Kind], db)},
	}
}

// entTx is what ent generates for *ent.Tx with the feature sql/execquery, in short, and the driver
// of its clients.
type entTx struct {
	dialect.Tx
	dialect string
}

func (tx *entTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	q, ok := tx.Tx.(interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	})
	if !ok {
		return nil, errors.New("Tx.ExecContext is not supported")
	}
	return q.ExecContext(ctx, query, args...)
}

func (tx *entTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	q, ok := tx.Tx.(interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	})
	if !ok {
		return nil, errors.New("Tx.QueryContext is not supported")
	}
	return q.QueryContext(ctx, query, args...)
}

type entTxDriver struct{ *entTx }

func (d entTxDriver) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(d), nil }
func (d entTxDriver) Close() error                           { return nil }
func (d entTxDriver) Dialect() string                        { return d.dialect }

func openEntTx(t *testing.T, d engines.Database, db *sql.DB) app {
	driver := entsql.OpenDB(entDialects[d.Kind], db)
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			begun, err := driver.Tx(ctx)
			if err != nil {
				return err
			}
			tx := &entTx{begun, driver.Dialect()}
			return end(tx, fn(inside{tx: tx, add: func(id string) error { return createNote(ctx, entTxDriver{tx}, id) }}))
		},
		outside: map[string]delivery.DBTX{"an *entsql.Driver": driver},
	}
}
