package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/sqlstore"
)

// One conversation is as long as all others together, which misleads the planner's statistics. The
// count of the rows that were read tells of every scan, by an index too.
func TestPostgresReadsNoMoreRowsThanItNeeds(t *testing.T) {
	for _, e := range slices.Concat(engines.All, engines.Variants) {
		if e.Kind != engines.Postgres {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			database := e.Database(t)
			db := database.Open(t)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			reopen := func() { // a connection reports its counts when it ends
				must(db.Close())
				db = database.Open(t)
				for left := 1; left > 0; {
					must(db.QueryRow("select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'").Scan(&left))
				}
			}
			must(sqlstore.Migrate(t.Context(), db, sqlstore.Postgres))
			const long = 20_000
			for _, statement := range []string{
				fmt.Sprintf("insert into delivery_conversations (id, version) select 'c' || n, case n when 1 then %d else 10 end from generate_series(1, %d) n", long, long/10),
				fmt.Sprintf("insert into delivery_messages select 1, n, 'm1-' || n, 'ann', '', n %% 2 = 0, (n %% 2) * 3, 1, now() from generate_series(1, %d) n", long),
				fmt.Sprintf("insert into delivery_messages select c, n, 'm' || c || '-' || n, 'ann', '', false, 3, 1, now() from generate_series(2, %d) c, generate_series(1, 10) n", long/10),
				"insert into delivery_states select conv, seq, seq, 1, 0, 0 from delivery_messages",
				"insert into delivery_receipts select conv, seq, r, 1, seq from delivery_messages, unnest(array['bob', 'cem', 'dan']) r where not open",
				"vacuum analyze",
			} {
				_, err := db.Exec(statement)
				must(err)
			}
			reopen()
			_, err := db.Exec("select pg_stat_reset()")
			must(err)

			ctx, store := t.Context(), open(t, db, e)
			const rounds = 12 // from the sixth on the plan may be one for all arguments
			for n := range rounds {
				id := func(of int) string { return fmt.Sprintf("m%d-%d", of, n+1) }
				_, _, err = store.Create(ctx, []delivery.NewMessage{
					{Header: delivery.Header{ID: "new" + id(1), Conversation: "c1", Sender: "ann", Open: true, Quorum: 1}},
					{Header: delivery.Header{ID: "new" + id(2), Conversation: "new", Sender: "ann", Open: true, Quorum: 1}},
				}, delivery.Lease{})
				must(err)
				_, _, err = store.Create(ctx, []delivery.NewMessage{
					{Header: delivery.Header{ID: "free" + id(1), Conversation: "c1", Sender: "ann", Open: true, Quorum: 1}, NoWait: true},
					{Header: delivery.Header{ID: "free" + id(2), Conversation: "c2", Sender: "ann", Open: true, Quorum: 1}, NoWait: true},
				}, delivery.Lease{})
				must(err)
				_, _, err = store.Advance(ctx, []delivery.Mark{markBy("bob", id(1))}, delivery.Lease{})
				must(err)
				_, _, err = store.Advance(ctx, []delivery.Mark{markBy("cem", id(1)), markBy("dan", id(1)), markBy("cem", id(7))}, delivery.Lease{})
				must(err)
				_, _, err = store.AdvanceUpTo(ctx, delivery.UpTo{
					Conversation: "c1", Message: fmt.Sprint("m1-", long), User: "bob", Status: delivery.Read, At: time.Now(), Admitted: true, Limit: 10,
				}, delivery.Lease{})
				must(err)
				_, err = store.Load(ctx, []string{id(1), id(3)})
				must(err)
				_, err = store.Receipts(ctx, []string{id(1), id(3)})
				must(err)
				for _, list := range []delivery.List{{After: 500}, {Before: delivery.Latest}, {Changes: true, After: long - 100}} {
					list.Conversation, list.Viewer, list.Limit = "c1", "bob", 10
					_, err = store.List(ctx, list)
					must(err)
				}
				_, err = store.Pending(ctx, "bob", "c1", 10)
				must(err)
				claimed, err := store.Claim(ctx, 10, delivery.Lease{Token: 1, For: time.Hour})
				must(err)
				for _, c := range claimed {
					_, err = store.Settle(ctx, []delivery.Settlement{{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.Done}})
					must(err)
				}
			}
			reopen()
			rows, err := db.Query(`
				select relname, (seq_tup_read + idx_tup_fetch) / $1 from pg_stat_user_tables
				where relname in ('delivery_conversations', 'delivery_messages', 'delivery_states', 'delivery_receipts')`, rounds)
			must(err)
			defer rows.Close()
			for rows.Next() {
				var table string
				var read int
				must(rows.Scan(&table, &read))
				if read == 0 || read > 150 {
					t.Errorf("a round read %d rows of %s", read, table)
				}
			}
			must(rows.Err())
		})
	}
}
