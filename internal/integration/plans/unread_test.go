package plans

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// rowsRead says how many rows of our tables a transaction has read so far, where the database can
// tell.
var rowsRead = map[engines.Kind]string{
	engines.Postgres: "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables",
	engines.MySQL:    "select cast(sum(variable_value) as signed) from information_schema.session_status where variable_name like 'handler_read%'",
}

// bob comes back to a conversation with a long history that he has read; eve has never been there,
// and the limit spares her most of it.
func TestUnreadReadsNoMoreRowsThanAreNew(t *testing.T) {
	const long, fresh, limit = 5000, 100, 50
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		if rowsRead[e.Kind] == "" {
			return
		}
		db, store := stores.Migrated(t, e)
		db.SetMaxOpenConns(1)
		exec := func(statements ...string) {
			t.Helper()
			for _, statement := range statements {
				if _, err := db.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
		}
		sent := 0
		id := func() string { return fmt.Sprint("m", sent) }
		send := func(n int) {
			t.Helper()
			for batch := range slices.Chunk(make([]delivery.NewMessage, n), delivery.MaxBatch) {
				for i := range batch {
					sent++
					batch[i].Header = delivery.Header{ID: id(), Conversation: "c", Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}
				}
				if _, _, err := store.Create(t.Context(), batch, delivery.Lease{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		look := func(t *testing.T, user string, limit, unread int, more bool) {
			const rounds = 12 // from the sixth on the plan may be one for all arguments
			for range rounds {
				tx, err := db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				before := count(t, tx, rowsRead[e.Kind])
				got, err := store.InTx(tx).Unread(t.Context(), user, []string{"c"}, limit)
				if err != nil || got[0].Count != unread || got[0].More != more {
					t.Fatalf("got %+v, %v", got, err)
				}
				if read := count(t, tx, rowsRead[e.Kind]) - before; read < int64(unread) || read > 5*fresh {
					t.Fatalf("it read %d rows", read)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			}
		}

		if e.Kind == engines.Postgres { // whose statistics would come sooner or later
			exec("alter table delivery_messages set (autovacuum_enabled = off)", "alter table delivery_receipts set (autovacuum_enabled = off)")
		}
		send(long)
		_, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{{
			Conversation: "c", Message: id(), User: "bob", Status: delivery.Read, At: time.Now(), Admitted: true,
		}}, long, delivery.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		send(fresh)
		for _, statistics := range []string{"without statistics", "with statistics"} {
			switch {
			case statistics == "without statistics":
			case e.Kind == engines.Postgres:
				exec("vacuum analyze")
			default:
				exec("analyze table delivery_conversations, delivery_messages, delivery_receipts, delivery_readers")
			}
			t.Run(statistics+" it reads what came after the user's place", func(t *testing.T) { look(t, "bob", delivery.MaxUnread, fresh, false) })
			t.Run(statistics+" it reads no more than the limit", func(t *testing.T) { look(t, "eve", limit, limit, true) })
		}
	})
}

func count(t *testing.T, tx *sql.Tx, query string) (n int64) {
	t.Helper()
	if err := tx.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
