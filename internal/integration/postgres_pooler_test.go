package integration

import (
	"database/sql"
	"net/url"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/sqlstore"
)

// pooled lists the settings of drivers that docs/support.md names for pgbouncer in transaction mode.
var pooled = []struct {
	name     string
	driver   string
	settings url.Values
}{
	{"postgres-pgx-exec", "pgx", url.Values{"default_query_exec_mode": {"exec"}}},
	{"postgres-pgx-cache-describe", "pgx", url.Values{"default_query_exec_mode": {"cache_describe"}}},
	{"postgres-pq-binary-parameters", "postgres", url.Values{"binary_parameters": {"yes"}}},
}

func TestSQLStoreKeepsTheContractBehindPgbouncer(t *testing.T) {
	e := engines.First(engines.Postgres)
	pooler := engines.Pgbouncer(t)
	for _, p := range pooled {
		if !slices.Contains(sql.Drivers(), p.driver) {
			continue // not every build has them all
		}
		t.Run(p.name, func(t *testing.T) {
			db := pooler.Front(t, e.Database(t), p.driver, p.settings).Open(t)
			migrate(t, e, db)
			keepsTheContract(t, e, db, nil)
		})
	}
}

// keepsTheContract holds a store in one database to both contracts. It empties the database for each rule.
func keepsTheContract(t *testing.T, e engines.Engine, db *sql.DB, isolations []sql.IsolationLevel) {
	db.SetMaxIdleConns(20)
	empty := func(t *testing.T) {
		for _, table := range []string{"conversations", "messages", "states", "receipts", "readers", "outbox", "dead"} {
			if _, err := db.ExecContext(t.Context(), "DELETE FROM delivery_"+table); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("store", func(t *testing.T) {
		deliverytest.TestStore(t, func(t *testing.T) delivery.Store {
			empty(t)
			return open(t, db, e)
		})
	})
	t.Run("transactions", func(t *testing.T) {
		deliverytest.TestTxStore(t, func(t *testing.T) (delivery.TxStore, *sql.DB) {
			empty(t)
			return open(t, db, e), db
		}, &deliverytest.TxOptions{Isolations: isolations, Conflict: sqlstore.IsConflict})
	})
}
