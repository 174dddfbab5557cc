package contention

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// openMessage stores a message that anyone admitted may mark.
func openMessage(t *testing.T, store *sqlstore.Store, conversation, id string) {
	t.Helper()
	_, _, err := store.Create(t.Context(), []delivery.NewMessage{{Header: delivery.Header{
		ID: id, Conversation: conversation, Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now(),
	}}}, delivery.Lease{})
	if err != nil {
		t.Fatal(err)
	}
}

func upToBy(user, conversation, message string) delivery.UpTo {
	return delivery.UpTo{Conversation: conversation, Message: message, User: user, Status: delivery.Delivered, At: time.Now(), Admitted: true}
}

// hold locks a conversation, as someone's transaction does.
func hold(t *testing.T, db *sql.DB, conversation string) *sql.Tx {
	t.Helper()
	tx := stores.Begin(t, db)
	if _, err := tx.Exec("select from delivery_conversations where id = $1 for update", conversation); err != nil {
		t.Fatal(err)
	}
	return tx
}

// waiting returns when as many locks are waited for in the database.
func waiting(t *testing.T, db *sql.DB, locks int) {
	t.Helper()
	ctx := patient(t)
	for n := 0; n < locks; {
		err := db.QueryRowContext(ctx, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n)
		if err != nil {
			t.Errorf("waiting for %d locks to be waited for: %v", locks, err)
			return
		}
	}
}

func TestPostgresLetsOthersPassAHeldConversation(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "held", "h")
		openMessage(t, store, "free", "f")
		hold(t, db, "held")
		got, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "h"), stores.MarkBy("bob", "f"), stores.MarkBy("bob", "none")}, delivery.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		if held := got[0]; !held.Blocked || held.Changed || held.Header.ID != "h" || held.Receipt != (delivery.Receipt{}) {
			t.Errorf("the mark in the held conversation is %+v", held)
		}
		if free := got[1]; free.Blocked || !free.Changed || free.Receipt.Version != 2 {
			t.Errorf("the mark in the free conversation is %+v", free)
		}
		if got[2] != (delivery.Marked{}) {
			t.Errorf("the mark of no message is %+v", got[2])
		}
	})
}

func TestPostgresMarksThatNeedNoStepPassAHeldConversation(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "held", "h")
		if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "h")}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		hold(t, db, "held")
		for _, user := range []string{"ann", "bob"} { // the sender, and one who has marked
			got, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy(user, "h")}, delivery.Lease{})
			if err != nil || got[0].Changed || got[0].Blocked || got[0].Header.ID != "h" {
				t.Errorf("the mark by %s is %+v, %v", user, got, err)
			}
		}
	})
}

// While three transactions wait for a conversation, its holder marks the same message. What they
// read before they waited is out of date then.
func TestPostgresCountsFromTheNewestStateAfterAWait(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "c", "m")
		openMessage(t, store, "c", "m2")
		holder := stores.Begin(t, db)
		if _, _, err := store.InTx(holder).Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m")}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, call := range []func(inside delivery.Store){
			func(inside delivery.Store) { // one mark
				got, _, err := inside.Advance(t.Context(), []delivery.Mark{stores.MarkBy("cem", "m")}, delivery.Lease{})
				if err != nil || !got[0].Changed {
					t.Errorf("the mark alone is %+v, %v", got, err)
				}
			},
			func(inside delivery.Store) { // a batch, with one that the holder has marked
				got, _, err := inside.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m"), stores.MarkBy("dan", "m")}, delivery.Lease{})
				if err != nil || got[0].Changed || got[0].Receipt.Version != 3 || !got[1].Changed {
					t.Errorf("the batch is %+v, %v", got, err)
				}
			},
			func(inside delivery.Store) { // up to
				got, _, err := inside.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("bob", "c", "m2")}, 9, delivery.Lease{})
				if err != nil || got[0].Changed != 1 || got[0].To-got[0].From != 0 {
					t.Errorf("the mark up to m2 is %+v, %v", got, err)
				}
			},
		} {
			tx := stores.Begin(t, db)
			wg.Go(func() {
				call(store.InTx(tx))
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			})
		}
		waiting(t, db, 3)
		if err := holder.Commit(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		wantTally(t, store, "m", 3)
		wantVersions(t, store, "c", 6)
	})
}

// A statement may see the past although it waits for nobody: the holder of a conversation commits
// after the statement began to read and before it takes the row. A view in place of a table stops
// statements in between.
func TestPostgresDoesNotWriteByAStaleSnapshot(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "c", "m")
		openMessage(t, store, "d", "n")
		openMessage(t, store, "e", "o")
		openMessage(t, store, "f", "p")
		if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("cem", "m")}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			`create function gate() returns boolean language plpgsql as
				'begin perform pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1); return true; end'`,
			"alter table delivery_messages rename to messages",
			"create view delivery_messages as select * from messages where gate()",
		} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		tx, gate := stores.Begin(t, db), stores.Begin(t, db)
		if _, _, err := store.InTx(tx).Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m")}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		if _, err := gate.Exec("select pg_advisory_xact_lock(1)"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { // one mark
			mark := stores.MarkBy("cem", "m")
			mark.Status = delivery.Read
			got, _, err := store.Advance(t.Context(), []delivery.Mark{mark}, delivery.Lease{})
			if err != nil || !got[0].Blocked || got[0].Changed {
				t.Errorf("the mark alone is %+v, %v", got, err)
			}
		})
		wg.Go(func() { // a batch of two conversations
			got, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("dan", "m"), stores.MarkBy("dan", "n")}, delivery.Lease{})
			if err != nil || !got[0].Blocked || !got[1].Changed {
				t.Errorf("the batch is %+v, %v", got, err)
			}
		})
		wg.Go(func() { // up to, in two conversations
			got, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("eve", "c", "m"), upToBy("fay", "e", "o")}, 9, delivery.Lease{})
			if err != nil || !got[0].Blocked || got[0].Changed > 0 || got[0].Header.ID != "m" || got[1].Changed != 1 {
				t.Errorf("the marks up to m and o are %+v, %v", got, err)
			}
		})
		wg.Go(func() { // deletions in two conversations
			got, _, err := store.Delete(t.Context(), deletionsOf("m", "p"), delivery.Lease{})
			if err != nil || !got[0].Blocked || got[0].Changed || !got[1].Changed {
				t.Errorf("the deletions are %+v, %v", got, err)
			}
		})
		waiting(t, db, 4)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := gate.Commit(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		wantTally(t, store, "m", 2)
		wantVersions(t, store, "c", 3)
		got, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("eve", "c", "m")}, 9, delivery.Lease{})
		if err != nil || got[0].Changed != 1 {
			t.Errorf("when it is tried again, the mark up to m is %+v, %v", got, err)
		}
	})
}

// In a transaction of the caller's nothing comes back blocked, not even when a message becomes
// visible between the store's statements and its conversation is held at once.
func TestPostgresWaitsInATransactionForAMessageThatCameLate(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		for name, advance := range map[string]func(t *testing.T, store delivery.Store, c, early, late string) (changed bool, err error){
			"marks": func(t *testing.T, store delivery.Store, _, early, late string) (bool, error) {
				got, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", early), stores.MarkBy("bob", late)}, delivery.Lease{})
				return err == nil && got[0].Changed && got[1].Changed, err
			},
			"up to": func(t *testing.T, store delivery.Store, c, _, late string) (bool, error) {
				got, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("bob", c, late)}, 9, delivery.Lease{})
				return err == nil && got[0].Changed == 1, err
			},
			"deletions": func(t *testing.T, store delivery.Store, _, early, late string) (bool, error) {
				got, _, err := store.(delivery.Keeper).Delete(t.Context(), deletionsOf(early, late), delivery.Lease{})
				return err == nil && got[0].Changed && got[1].Changed, err
			},
		} {
			t.Run(name, func(t *testing.T) {
				c, early, late := "c "+name, "early "+name, "late "+name
				openMessage(t, store, "d "+name, early)
				tx := interrupted{stores.Begin(t, db), sync.OnceFunc(func() {
					openMessage(t, store, c, late)
					holder := hold(t, db, c)
					go func() {
						waiting(t, db, 1)
						holder.Rollback()
					}()
				})}
				if changed, err := advance(t, store.InTx(tx), c, early, late); err != nil || !changed {
					t.Errorf("all was advanced: %t, %v", changed, err)
				}
			})
		}
	})
}

// interrupted is a transaction in which something happens after a statement.
type interrupted struct {
	*sql.Tx
	then func()
}

func (i interrupted) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	defer i.then()
	return i.Tx.ExecContext(ctx, query, args...)
}

func wantTally(t *testing.T, store *sqlstore.Store, message string, delivered int) {
	t.Helper()
	messages, err := store.Load(t.Context(), []string{message})
	if err != nil || len(messages) != 1 || messages[0].Delivered != delivered {
		t.Errorf("%d receipts make %+v, %v", delivered, messages, err)
	}
}

// wantVersions checks a conversation's version, which counts all changes in it: a gap would add to
// it.
func wantVersions(t *testing.T, store *sqlstore.Store, conversation string, version int64) {
	t.Helper()
	page, err := store.List(t.Context(), delivery.List{Conversation: conversation, Limit: 1})
	if err != nil || page.Version != version {
		t.Errorf("conversation %s is at version %d, want %d: %v", conversation, page.Version, version, err)
	}
}
