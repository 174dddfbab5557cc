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
		deliverytest.TestStore(t, func(t *testing.T) delivery.Store {
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
		}, &deliverytest.TxOptions{Isolations: stores.Isolations[e.Kind], Conflict: sqlstore.IsConflict})
	})
}
