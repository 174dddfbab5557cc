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
	const long, fresh, limit, old, few = 5000, 100, 50, 50, 2
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
		send := func(n int, conversation string) {
			t.Helper()
			for batch := range slices.Chunk(make([]delivery.NewMessage, n), delivery.MaxBatch) {
				for i := range batch {
					sent++
					batch[i].Header = delivery.Header{ID: id(), Conversation: conversation, Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}
				}
				if _, _, err := store.Create(t.Context(), batch, delivery.Lease{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		bobReads := func(conversation string) {
			t.Helper()
			_, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{{
				Conversation: conversation, Message: id(), User: "bob", Status: delivery.Read, At: time.Now(), Admitted: true,
			}}, long, delivery.Lease{})
			if err != nil {
				t.Fatal(err)
			}
		}
		all := []string{"c"}
		look := func(t *testing.T, user string, conversations []string, limit, unread, most int, more bool) {
			const rounds = 12 // from the sixth on the plan may be one for all arguments
			for range rounds {
				tx, err := db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				before := count(t, tx, rowsRead[e.Kind])
				got, err := store.InTx(tx).Unread(t.Context(), user, conversations, limit)
				if err != nil || got[0].Count != unread || got[0].More != more {
					t.Fatalf("got %+v, %v", got, err)
				}
				if read := count(t, tx, rowsRead[e.Kind]) - before; read < int64(unread) || read > int64(most) {
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
		send(long, "c")
		bobReads("c")
		send(fresh, "c")
		for len(all) < delivery.MaxConversations {
			conversation := fmt.Sprint("c", len(all))
			all = append(all, conversation)
			send(old, conversation)
			bobReads(conversation)
			send(few, conversation)
		}
		for _, statistics := range []string{"without statistics", "with statistics"} {
			switch {
			case statistics == "without statistics":
			case e.Kind == engines.Postgres:
				exec("vacuum analyze")
			default:
				exec("analyze table delivery_conversations, delivery_messages, delivery_receipts, delivery_readers")
			}
			t.Run(statistics+" it reads what came after the user's place", func(t *testing.T) {
				look(t, "bob", all[:1], delivery.MaxUnread, fresh, 5*fresh, false)
			})
			t.Run(statistics+" it reads no more than the limit", func(t *testing.T) {
				look(t, "eve", all[:1], limit, limit, 5*fresh, true)
			})
			t.Run(statistics+" it reads in each of many conversations what came after the user's place", func(t *testing.T) {
				look(t, "bob", all, delivery.MaxUnread, fresh, 5*fresh+len(all)*(5*few+20), false)
			})
		}
		t.Run("it passes over what was deleted", func(t *testing.T) {
			deletions := make([]delivery.Deletion, fresh/2) // the newest ones
			for i := range deletions {
				deletions[i].Message = fmt.Sprint("m", long+fresh-i)
			}
			if _, _, err := store.Delete(t.Context(), deletions, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
			look(t, "bob", all[:1], delivery.MaxUnread, fresh/2, 5*fresh, false)
		})
	})
}

func count(t *testing.T, tx *sql.Tx, query string) (n int64) {
	t.Helper()
	if err := tx.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
