package integration

import (
	"database/sql"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/sqlstore"
)

// dialects says which dialect each kind of database speaks.
var dialects = map[engines.Kind]sqlstore.Dialect{
	engines.SQLite:   sqlstore.SQLite,
	engines.Postgres: sqlstore.Postgres,
	engines.MySQL:    sqlstore.MySQL,
}

// migrated returns a pool on a fresh database with the tables in it, and a store on it.
func migrated(t testing.TB, e engines.Engine) (*sql.DB, *sqlstore.Store) {
	t.Helper()
	db := e.Open(t)
	migrate(t, e, db)
	return db, open(t, db, e)
}

func migrate(t testing.TB, e engines.Engine, db *sql.DB) {
	t.Helper()
	if err := sqlstore.Migrate(t.Context(), db, dialects[e.Kind]); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, db *sql.DB, e engines.Engine) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.New(db, dialects[e.Kind])
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestSQLStoreKeepsTheContract(t *testing.T) {
	each(t, func(t *testing.T, e engines.Engine) {
		deliverytest.TestStore(t, func(t *testing.T) delivery.Store {
			_, store := migrated(t, e)
			return store
		})
	})
}

func TestSQLStoreKeepsTheContractOfTransactions(t *testing.T) {
	each(t, func(t *testing.T, e engines.Engine) {
		deliverytest.TestTxStore(t, func(t *testing.T) (delivery.TxStore, *sql.DB) {
			db, store := migrated(t, e)
			return store, db
		}, &deliverytest.TxOptions{Isolations: isolations[e.Kind], Conflict: sqlstore.IsConflict})
	})
}

// isolations are the levels at which callers begin transactions. The default is READ COMMITTED on
// Postgres, REPEATABLE READ on MariaDB, and on SQLite the only one.
var isolations = map[engines.Kind][]sql.IsolationLevel{
	engines.SQLite:   {sql.LevelDefault},
	engines.Postgres: {sql.LevelDefault, sql.LevelRepeatableRead, sql.LevelSerializable},
	engines.MySQL:    {sql.LevelDefault, sql.LevelReadCommitted, sql.LevelSerializable},
}

// each runs test on every engine and in every setting of it.
func each(t *testing.T, test func(t *testing.T, e engines.Engine)) {
	engines.Each(t, test)
	for _, e := range engines.Variants {
		t.Run(e.Name, func(t *testing.T) { test(t, e) })
	}
}
