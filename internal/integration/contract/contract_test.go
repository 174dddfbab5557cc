package contract

import (
	"database/sql"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func TestSQLStoreKeepsTheContract(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		var database engines.Database
		var pool *sql.DB
		open := func(t *testing.T) delivery.Store {
			pool = database.Open(t)
			return stores.Open(t, e, pool)
		}
		deliverytest.TestStore(t, func(t *testing.T) delivery.Store {
			database = stores.Database(t, e)
			return open(t)
		}, &deliverytest.StoreOptions{
			Reopen: func(t *testing.T, _ delivery.Store) delivery.Store {
				if err := pool.Close(); err != nil {
					t.Fatal(err)
				}
				return open(t)
			},
			Second: func(t *testing.T, _ delivery.Store) delivery.Store { return open(t) },
		})
	})
}

func TestSQLStoreKeepsTheContractOfKeepers(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		deliverytest.TestKeeper(t, func(t *testing.T) delivery.Keeper {
			_, store := stores.Migrated(t, e)
			return store
		})
	})
}

func TestSQLStoreKeepsFailures(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		deliverytest.TestFailureStore(t, func(t *testing.T) delivery.FailureStore {
			_, store := stores.Migrated(t, e)
			return store
		})
	})
}

func TestSQLStoreFindsWhoIsOverdue(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		deliverytest.TestOverdueStore(t, func(t *testing.T) delivery.OverdueStore {
			_, store := stores.Migrated(t, e)
			return store
		})
	})
}

func TestSQLStoreCountsHours(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		deliverytest.TestHourStore(t, func(t *testing.T) delivery.HourStore {
			_, store := stores.Migrated(t, e)
			return store
		})
	})
}

func TestSQLStoreKeepsTheContractOfTransactions(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		deliverytest.TestTxStore(t, func(t *testing.T) (delivery.TxStore, *sql.DB) {
			db, store := stores.Migrated(t, e)
			return store, db
		}, &deliverytest.TxOptions{Isolations: stores.Isolations[e.Kind], Conflict: sqlstore.IsConflict, OneWriter: e.Kind == engines.SQLite})
	})
}
