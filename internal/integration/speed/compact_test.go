package speed

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

// BenchmarkCompact measures what a group of 1,000 members takes, who have read 1,000 messages by
// up-to marks, before and after its compaction: tables and indexes, without the outbox, at their
// smallest.
func BenchmarkCompact(b *testing.B) {
	const members, messages = 1000, 1000
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL, engines.SQLite} {
		e := engines.First(kind)
		b.Run("store="+e.Name, func(b *testing.B) {
			for b.Loop() {
				db, store := stores.Migrated(b, e)
				users := make([]string, members)
				for i := range users {
					users[i] = fmt.Sprintf("user %04d", i)
				}
				sent := time.Now().Add(-48 * time.Hour)
				for first := range messages / 100 {
					var drafts []delivery.NewMessage
					for i := range 100 {
						n := first*100 + i
						drafts = append(drafts, delivery.NewMessage{
							Header: delivery.Header{ID: fmt.Sprintf("message %06d", n), Conversation: "c", Sender: users[n%members], SentAt: sent},
							Body:   "Hello, everybody!", Roster: "all", Members: users,
						})
					}
					if _, _, err := store.Create(b.Context(), drafts, delivery.Lease{}); err != nil {
						b.Fatal(err)
					}
				}
				last := fmt.Sprintf("message %06d", messages-1)
				for some := range slices.Chunk(users, 10) {
					marks := make([]delivery.UpTo, len(some))
					for i, user := range some {
						marks[i] = delivery.UpTo{Conversation: "c", Message: last, User: user, Status: delivery.Read, At: sent.Add(time.Hour), Covered: true}
					}
					marked, _, err := store.AdvanceUpTo(b.Context(), marks, 20*messages, delivery.Lease{})
					if err != nil {
						b.Fatal(err)
					}
					for i, m := range marked {
						if m.More || m.Changed < messages-1 {
							b.Fatalf("%s: %+v", some[i], m)
						}
					}
					if _, err := db.Exec("DELETE FROM delivery_outbox"); err != nil {
						b.Fatal(err)
					}
				}
				tracker := stores.Tracker(b, store)
				counts := func() (all []delivery.Tally) {
					for q := (delivery.Query{Conversation: "c", Limit: delivery.MaxBatch}); ; {
						page, err := tracker.Messages(b.Context(), q)
						if err != nil {
							b.Fatal(err)
						}
						for _, m := range page.Messages {
							m.DeliveredAt, m.ReadAt, q.After = time.Time{}, time.Time{}, m.Seq
							all = append(all, m.Tally)
						}
						if !page.More {
							return all
						}
					}
				}
				counted, before := counts(), bytesOf(b, kind, db)
				began := time.Now()
				n, err := tracker.Compact(b.Context(), time.Now().Add(-24*time.Hour))
				if err != nil || n != messages {
					b.Fatalf("%d, %v", n, err)
				}
				took, after := time.Since(began), bytesOf(b, kind, db)
				if !slices.Equal(counted, counts()) || len(counted) != messages {
					b.Error("the counts are others")
				}
				for d, err := range tracker.Verify(b.Context()) {
					b.Fatalf("%+v, %v", d, err)
				}
				b.ReportMetric(float64(before)/1e6, "before-MB")
				b.ReportMetric(float64(after)/1e6, "after-MB")
				b.ReportMetric(float64(before)/float64(after), "times-fewer")
				b.ReportMetric(took.Seconds(), "compacting-s")
			}
		})
	}
}

// bytesOf makes the tables as small as they can be, and returns what they and their indexes take,
// without the outbox.
func bytesOf(b *testing.B, kind engines.Kind, db *sql.DB) (n int64) {
	b.Helper()
	exec := func(statement string) {
		b.Helper()
		if _, err := db.Exec(statement); err != nil {
			b.Fatal(err)
		}
	}
	exec("DELETE FROM delivery_outbox")
	size := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
	switch kind {
	case engines.Postgres:
		exec("VACUUM FULL")
		size = `SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
			WHERE relkind = 'r' AND relname LIKE 'delivery\_%' AND relname <> 'delivery_outbox' AND relnamespace = current_schema()::regnamespace`
	case engines.MySQL:
		tables := "conversations, delivery_readers, delivery_rosters, delivery_members, delivery_messages, delivery_states, delivery_receipts, delivery_own"
		for _, statement := range []string{"OPTIMIZE TABLE delivery_" + tables, "ANALYZE TABLE delivery_" + tables} {
			rows, err := db.Query(statement)
			if err != nil {
				b.Fatal(err)
			}
			rows.Close()
		}
		size = `SELECT CAST(SUM(data_length + index_length) AS SIGNED) FROM information_schema.tables
			WHERE table_schema = DATABASE() AND table_name LIKE 'delivery\_%' AND table_name <> 'delivery_outbox'`
	default:
		exec("VACUUM")
	}
	if err := db.QueryRow(size).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}
