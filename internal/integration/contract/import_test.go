package contract

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A reader who has read everything takes one row, as long as nothing imported has a time. The place
// moves in any case, so that neither badges nor up-to marks look at the history again.
func TestAHistoryThatWasReadTakesNoRows(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		tracker := stores.Tracker(t, store)
		stored := 0
		imports := func(n int, at time.Time) {
			t.Helper()
			var items []delivery.Import
			for range n {
				stored++
				m := delivery.Import{SentAt: time.Now(), Draft: delivery.Draft{
					ID: fmt.Sprint("m", stored), Conversation: "c", Sender: []string{"ann", "bob"}[stored%2],
					Audience: delivery.Audience{Recipients: []string{"ann", "bob", "cem", "dan", "eve"}, HideRead: []string{"dan"}, Untracked: []string{"eve"}},
				}}
				for _, user := range m.Recipients {
					if r := (delivery.ImportReceipt{Recipient: user, Status: delivery.Read, ReadAt: at}); user != m.Sender {
						m.Receipts = append(m.Receipts, r)
					}
				}
				items = append(items, m)
			}
			results, err := tracker.Import(t.Context(), items...)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if !r.Stored {
					t.Fatal(r)
				}
			}
		}
		rows := func(table string, want int) {
			t.Helper()
			var n int
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != want {
				t.Errorf("%s has %d rows, want %d, %v", table, n, want, err)
			}
		}
		imports(40, time.Time{})
		imports(10, time.Time{})
		rows("delivery_receipts", 0)
		rows("delivery_own", 0)
		imports(2, time.Now())
		rows("delivery_receipts", 6)
		rows("delivery_own", 0)
		for _, user := range []string{"ann", "bob", "cem", "dan", "eve"} {
			unread, err := tracker.Unread(t.Context(), delivery.Actor{User: user}, "c")
			if err != nil || unread[0].Count != 0 || unread[0].Place.Badge != 52 {
				t.Errorf("%s: %+v, %v", user, unread, err)
			}
		}
		verified, err := store.Verify(t.Context(), "c", 0, 100)
		if err != nil || verified.Messages != 52 || len(verified.Drifts) > 0 {
			t.Errorf("Verify: %+v, %v", verified, err)
		}
	})
}

// It takes seconds, and not minutes, also where the database knows nothing yet of the rows that the
// import has made.
func TestAnImportToTheLargestAudience(t *testing.T) {
	for _, kind := range []engines.Kind{engines.SQLite, engines.Postgres, engines.MySQL} {
		t.Run(string(kind), func(t *testing.T) {
			_, store := stores.Migrated(t, engines.First(kind))
			tracker := stores.Tracker(t, store)
			m := delivery.Import{SentAt: time.Now(), Draft: delivery.Draft{ID: "m", Conversation: "c", Sender: "ann"}}
			for i := range delivery.MaxRecipients {
				user := fmt.Sprint("user", i)
				m.Recipients = append(m.Recipients, user)
				m.Receipts = append(m.Receipts, delivery.ImportReceipt{Recipient: user, Status: delivery.Read, ReadAt: m.SentAt})
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if results, err := tracker.Import(ctx, m); err != nil || !results[0].Stored {
				t.Fatal(results, err)
			}
			if is, err := tracker.Message(ctx, "m"); err != nil || is.Read != delivery.MaxRecipients || is.Status != delivery.Read {
				t.Errorf("%+v, %v", is.Tally, err)
			}
		})
	}
}
