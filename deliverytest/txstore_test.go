package deliverytest

import (
	"database/sql"
	"testing"

	"github.com/msgdelivery/delivery"
)

func TestTakingTurnsIsASoundTxStore(t *testing.T) {
	for _, snapshots := range []bool{false, true} {
		t.Run(map[bool]string{false: "transactions take turns", true: "transactions take turns to write, and read a snapshot"}[snapshots], func(t *testing.T) {
			TestTxStore(t, func(t *testing.T) (delivery.TxStore, *sql.DB) { return newTurns(t, snapshots, flaws{}) }, &TxOptions{OneWriter: true})
		})
	}
}
