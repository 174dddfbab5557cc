//go:build !race

package orm

import (
	"cmp"
	"context"
	"database/sql"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/mysqldialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func openBunDB(d engines.Database, pool *sql.DB) *bun.DB {
	dialects := map[engines.Kind]schema.Dialect{
		engines.SQLite: sqlitedialect.New(), engines.Postgres: pgdialect.New(), engines.MySQL: mysqldialect.New(),
	}
	return bun.NewDB(pool, dialects[d.Kind])
}

func insideBun(ctx context.Context, tx bun.Tx) inside {
	return inside{
		tx: tx.Tx,
		add: func(id string) error {
			_, err := tx.NewInsert().Model(&note{id}).Exec(ctx)
			return err
		},
		within: func(fn func(inside) error) error {
			return tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return fn(insideBun(ctx, tx)) })
		},
	}
}

func openBun(t *testing.T, d engines.Database, pool *sql.DB) app {
	db := openBunDB(d, pool)
	conn, err := db.Conn(t.Context())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return app{
		transact: func(ctx context.Context, fn func(inside) error) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return fn(insideBun(ctx, tx)) })
		},
		outside: map[string]delivery.DBTX{"db": db, "db.DB": db.DB, "bun.Tx{}.Tx": bun.Tx{}.Tx, "a bun.Conn": conn, "its *sql.Conn": conn.Conn},
	}
}

// bunTx hands over a bun.Tx. By its methods that is a transaction, but it writes arguments into the
// texts of statements where they have a question mark, and drops them where they have the
// placeholders of Postgres.
func bunTx(t *testing.T, w *world, _ app) {
	s, name := w.scene(t), `?0 it's "a" \ \' :b 😀`
	err := openBunDB(w.Database, w.db).RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		in := insideBun(ctx, tx)
		in.tx = tx
		return cmp.Or(in.add(s.id("row")), s.send(in, name), s.read(in, name), s.deliverUpTo(in, name))
	})
	if w.Kind == engines.Postgres {
		if err == nil {
			t.Error("no error")
		}
		s.has(before)
		return
	}
	must(t, err)
	both := []string{"first delivered", name + " read"}
	s.has(stored{rows: []string{"row"}, messages: both, announced: both})
}
