package contract

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestSQLStoreKeepsTheContract(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		open := keepsTheContract(t, stores.Database(t, e), stores.Isolations[e.Kind])
		t.Run("keeper", func(t *testing.T) {
			deliverytest.TestKeeper(t, func(t *testing.T) delivery.Keeper { return open(t) })
		})
		t.Run("failures", func(t *testing.T) {
			deliverytest.TestFailureStore(t, func(t *testing.T) delivery.FailureStore { return open(t) })
		})
		t.Run("import", func(t *testing.T) {
			deliverytest.TestImportStore(t, func(t *testing.T) delivery.ImportStore { return open(t) })
		})
		t.Run("overdue", func(t *testing.T) {
			deliverytest.TestOverdueStore(t, func(t *testing.T) delivery.OverdueStore { return open(t) })
		})
		t.Run("hours", func(t *testing.T) {
			deliverytest.TestHourStore(t, func(t *testing.T) delivery.HourStore { return open(t) })
		})
	})
}

// keepsTheContract holds a store in a database that has the tables to what every store does. For
// each rule it empties the database, as open does: to make another one takes longer than most rules
// do.
func keepsTheContract(t *testing.T, database engines.Database, isolations []sql.IsolationLevel) (open func(*testing.T) *sqlstore.Store) {
	connect := func() *sql.DB {
		db := database.Open(t)
		db.SetMaxIdleConns(20)
		return db
	}
	db := connect()
	empties := empties(t, db, database.Kind)
	open = func(t *testing.T) *sqlstore.Store {
		for _, statement := range empties {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		return stores.Open(t, database.Engine, db)
	}
	t.Run("store", func(t *testing.T) {
		deliverytest.TestStore(t, func(t *testing.T) delivery.Store { return open(t) }, &deliverytest.StoreOptions{
			Reopen: func(t *testing.T, _ delivery.Store) delivery.Store {
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = connect()
				return stores.Open(t, database.Engine, db)
			},
			Second: func(t *testing.T, _ delivery.Store) delivery.Store { return stores.Open(t, database.Engine, connect()) },
		})
	})
	t.Run("transactions", func(t *testing.T) {
		deliverytest.TestTxStore(t, func(t *testing.T) (delivery.TxStore, *sql.DB) { return open(t), db },
			&deliverytest.TxOptions{Isolations: isolations, Conflict: sqlstore.IsConflict, OneWriter: database.Kind == engines.SQLite})
	})
	return open
}

// empties returns the statements that empty a database, given a new one.
func empties(t *testing.T, db *sql.DB, kind engines.Kind) (statements []string) {
	tables := tables(t, db, kind)
	if kind == engines.Postgres { // deleted rows would be in the way of the rules that follow
		return []string{"TRUNCATE " + strings.Join(tables, ", ")}
	}
	for _, table := range tables {
		statements = append(statements, "DELETE FROM "+table)
	}
	return statements
}

// tables lists the tables that are empty when a database is new.
func tables(t *testing.T, db *sql.DB, kind engines.Kind) (empty []string) {
	all, err := db.QueryContext(t.Context(), map[engines.Kind]string{
		engines.SQLite:   "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'delivery%'",
		engines.Postgres: "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'delivery%'",
		engines.MySQL:    "SHOW TABLES LIKE 'delivery%'",
	}[kind])
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	for all.Next() {
		var name string
		if err := all.Scan(&name); err != nil {
			t.Fatal(err)
		}
		var rows int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if rows == 0 {
			empty = append(empty, name)
		}
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
	return empty
}
