package contention

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// readerCalls are calls that write the row of a user in a conversation, which is new except for the
// up-to mark. They return an error if something else is locked.
var readerCalls = map[string]func(ctx context.Context, store delivery.Store, user, conversation string) error{
	"a mark": func(ctx context.Context, store delivery.Store, user, conversation string) error {
		marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy(user, conversation)}, delivery.Lease{})
		if err == nil && !marked[0].Changed {
			err = errors.New("it changes nothing")
		}
		return err
	},
	"an up-to mark": func(ctx context.Context, store delivery.Store, user, conversation string) error {
		marked, _, err := store.AdvanceUpTo(ctx, []delivery.UpTo{upToBy(user, conversation, conversation)}, 10, delivery.Lease{})
		if err == nil && marked[0].Changed != 1 {
			err = errors.New("it changes nothing")
		}
		return err
	},
	"a send": func(ctx context.Context, store delivery.Store, user, conversation string) error {
		created, _, err := store.Create(ctx, frozen("to "+user+" in "+conversation, conversation, "ann", user, user), delivery.Lease{})
		if err == nil && created[0].Message.ID == "" {
			err = errors.New("nothing is sent")
		}
		return err
	},
	"a private mark": func(ctx context.Context, store delivery.Store, user, conversation string) error {
		mark := delivery.OwnMark{Message: conversation, User: user, Status: delivery.Read, Admitted: true}
		marked, _, err := store.AdvanceOwn(ctx, []delivery.OwnMark{mark}, delivery.Lease{})
		if err == nil && !marked[0].Changed {
			err = errors.New("it changes nothing")
		}
		return err
	},
}

// An INSERT … SELECT locks the counter of a table with AUTO_INCREMENT until the statement ends. The
// store's statements that write readers do not take that lock: if they did, every other call that
// writes a reader would wait or come back blocked, in whatever conversation.
func TestMySQLCallsThatWriteReadersHinderNoneElsewhere(t *testing.T) {
	for name, slow := range readerCalls {
		for _, where := range []string{"", " in a transaction"} {
			t.Run(name+where, func(t *testing.T) {
				db, store := stores.Migrated(t, mysqlEngine)
				for user, place := range map[string]string{"slow": "here", "bob": "elsewhere"} {
					for name := range readerCalls {
						if id := name + " " + place; name == "an up-to mark" {
							sendTo(t.Context(), t, store, frozen(id, id, "ann", "them", user))
						} else {
							openMessage(t, store, id, id)
						}
					}
				}
				busy, release := slowReader(t, db)
				var calls delivery.Store = store
				commit := func() error { return nil }
				if where != "" {
					tx := stores.Begin(t, db)
					calls, commit = store.InTx(tx), tx.Commit
				}
				ended := make(chan error, 1)
				go func() { ended <- slow(t.Context(), calls, "slow", name+" here") }()
				for !busy() {
					time.Sleep(time.Millisecond)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				for name, call := range readerCalls {
					if err := call(ctx, store, "bob", name+" elsewhere"); err != nil {
						t.Errorf("%s elsewhere: %v", name, err)
					}
				}
				release()
				if err := errors.Join(<-ended, commit()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Whoever else inserts readers may have that lock: an INSERT … SELECT of the app's has it, and with
// innodb_autoinc_lock_mode=0 every INSERT.
func TestMySQLCallsThatNeedTheLockedCounterOfReadersComeBackBlocked(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	openMessage(t, store, "c", "m")
	busy, release := slowReader(t, db)
	ended := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(t.Context(), "INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq) SELECT 1000, 'slow', 0, 0")
		ended <- err
	}()
	for !busy() {
		time.Sleep(time.Millisecond)
	}
	marks := []delivery.Mark{stores.MarkBy("bob", "m")}
	if marked, _, err := store.Advance(t.Context(), marks, delivery.Lease{}); err != nil || !marked[0].Blocked {
		t.Errorf("a mark: %+v, %v", marked, err)
	}
	upTo := []delivery.UpTo{upToBy("bob", "c", "m")}
	if marked, _, err := store.AdvanceUpTo(t.Context(), upTo, 10, delivery.Lease{}); err != nil || !marked[0].Blocked {
		t.Errorf("an up-to mark: %+v, %v", marked, err)
	}
	if created, _, err := store.Create(t.Context(), frozen("n", "c", "ann", "them", "bob"), delivery.Lease{}); err != nil || !created[0].Blocked {
		t.Errorf("a send: %+v, %v", created, err)
	}
	release()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if marked, _, err := store.Advance(t.Context(), marks, delivery.Lease{}); err != nil || !marked[0].Changed {
		t.Errorf("a mark afterwards: %+v, %v", marked, err)
	}
}

// slowReader makes statements that write the row of a user called slow take until release, and
// returns what reports whether one has begun.
func slowReader(t *testing.T, db *sql.DB) (busy func() bool, release func()) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	exec := func(statement string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
	const lock = "CONCAT(DATABASE(), '.slow')"
	const wait = " ON delivery_readers FOR EACH ROW SET @slow = IF(NEW.name = 'slow', GET_LOCK(" + lock + ", 600) + RELEASE_LOCK(" + lock + "), 0)"
	exec("CREATE TRIGGER slow_insert AFTER INSERT" + wait)
	exec("CREATE TRIGGER slow_update AFTER UPDATE" + wait)
	exec("DO GET_LOCK(" + lock + ", 0)")
	busy = func() (slow bool) {
		const text = "SELECT EXISTS (SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User lock')"
		if err := db.QueryRow(text).Scan(&slow); err != nil {
			t.Fatal(err)
		}
		return slow
	}
	return busy, func() { exec("DO RELEASE_LOCK(" + lock + ")") }
}
