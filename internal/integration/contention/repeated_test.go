package contention

import (
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// An up-to mark whose transaction conflicts at its commit is repeated, and does in the end what it
// says: a reader that keeps SQLite's commit from its lock for a while makes it conflict.
func TestAnUpToMarkThatIsRepeatedIsStored(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		db := database.SQLite(t, "immediate", "busy_timeout(0)").Open(t)
		store := stores.Open(t, e, db)
		message := delivery.NewMessage{
			Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", Total: 1, Quorum: 1, SentAt: time.Now()},
			Roster: "them", Members: []string{"bob"},
		}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rows, err := conn.QueryContext(t.Context(), "SELECT id FROM delivery_messages UNION ALL SELECT id FROM delivery_messages")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		rows.Next()
		time.AfterFunc(150*time.Millisecond, func() { rows.Close() })
		upTo := delivery.UpTo{Conversation: "c", Message: "m", User: "bob", Status: delivery.Read, At: time.Now(), Admitted: true, Covered: true}
		marked, claimed, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upTo}, 10, delivery.Lease{Token: 5, For: time.Minute})
		if err != nil || marked[0].Changed != 1 || len(claimed) != 1 {
			t.Errorf("%+v, %d events, %v", marked, len(claimed), err)
		}
		if receipts, err := stores.Receipts(t.Context(), store, "m"); err != nil || receipts[0].Status != delivery.Read || receipts[0].Version != 2 {
			t.Errorf("stored: %+v, %v", receipts, err)
		}
	})
}
