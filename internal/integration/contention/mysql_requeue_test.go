package contention

import (
	"context"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Dead letters go back into a table with AUTO_INCREMENT by an INSERT … SELECT. It locks the table's
// counter, which all sends and marks need, until it ends. It must not wait with that lock.
func TestMySQLDeadLettersThatSomebodyHasLockedKeepNobodyFromSending(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	for _, id := range []string{"c", "d"} {
		openMessage(t, store, id, id)
	}
	claimed, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Hour})
	if err != nil || len(claimed) != 2 {
		t.Fatalf("%+v, %v", claimed, err)
	}
	var buried, requeued []delivery.Settlement
	for _, c := range claimed {
		buried = append(buried, delivery.Settlement{ID: c.Event.ID, Lease: 1, Outcome: delivery.SettleBury})
		requeued = append(requeued, delivery.Settlement{ID: c.Event.ID, Outcome: delivery.SettleRequeue, Event: c.Event})
	}
	if settled, err := store.Settle(t.Context(), buried); err != nil || settled != 2 {
		t.Fatalf("%d are buried, %v", settled, err)
	}
	tx := stores.Begin(t, db)
	if _, err := tx.Exec("SELECT id FROM delivery_dead WHERE id = ? FOR UPDATE", claimed[1].Event.ID); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		settled, err := store.Settle(t.Context(), requeued)
		if err == nil && settled != 2 {
			t.Errorf("%d are back", settled)
		}
		ended <- err
	}()
	for waiting := 0; waiting == 0; time.Sleep(150 * time.Millisecond) { // it looks anew after 100 ms without a query
		if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "c")}, delivery.Lease{}); err != nil || !marked[0].Changed {
		t.Errorf("a mark: %+v, %v", marked, err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
