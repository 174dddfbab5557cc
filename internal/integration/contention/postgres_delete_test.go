package contention

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

func deletionsOf(messages ...string) (deletions []delivery.Deletion) {
	for _, id := range messages {
		deletions = append(deletions, delivery.Deletion{Message: id})
	}
	return deletions
}

func TestPostgresDeletionsPassAHeldConversation(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "held", "h")
		openMessage(t, store, "held", "gone")
		openMessage(t, store, "free", "f")
		if _, _, err := store.Delete(t.Context(), deletionsOf("gone"), delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		tx := hold(t, db, "held")
		got, _, err := store.Delete(t.Context(), deletionsOf("h", "gone", "f", "none"), delivery.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		header := func(id, conversation string, seq int64) delivery.Header {
			return delivery.Header{ID: id, Conversation: conversation, Seq: seq}
		}
		for i, want := range []delivery.Deleted{
			{Header: header("h", "held", 1), Blocked: true}, {Header: header("gone", "held", 2)}, {Header: header("f", "free", 1), Changed: true}, {},
		} {
			if got[i] != want {
				t.Errorf("%+v, want %+v", got[i], want)
			}
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		got, _, err = store.Delete(t.Context(), deletionsOf("h"), delivery.Lease{})
		if err != nil || !got[0].Changed {
			t.Errorf("when it is free: %+v, %v", got, err)
		}
	})
}

// A snapshot may be old: in a transaction that has read before, a message was marked since, or was
// sent. What became of its event is of no concern.
func TestPostgresDeletesInATransactionWhatIsThereNowOrReportsAConflict(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		lease := delivery.Lease{Token: 7, For: time.Hour}
		settle := func(outcome delivery.Outcome) func(t *testing.T, id string, event int64) {
			return func(t *testing.T, _ string, event int64) {
				ctx := patient(t)
				held, err := store.Settle(ctx, []delivery.Settlement{{ID: event, Lease: lease.Token, Outcome: outcome, After: time.Hour, Reason: "no"}})
				if held != 1 || err != nil {
					t.Errorf("%d settled, %v", held, err)
				}
			}
		}
		mark := func(t *testing.T, id string, _ int64) {
			if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", id)}, delivery.Lease{}); err != nil {
				t.Error(err)
			}
		}
		for name, since := range map[string]func(t *testing.T, id string, event int64){
			"nothing": nil, "a mark": mark, "the event's burial": settle(delivery.SettleBury), "the end of the event's lease": settle(delivery.SettleRelease),
		} {
			for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
				t.Run(fmt.Sprint(name, " at ", level), func(t *testing.T) {
					id := name + level.String()
					message := delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c" + id, Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}, Body: "secret", EventBody: true}
					_, claimed, err := store.Create(t.Context(), []delivery.NewMessage{message}, lease)
					if err != nil {
						t.Fatal(err)
					}
					event := claimed[0].Event.ID
					tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
					if err != nil {
						t.Fatal(err)
					}
					defer tx.Rollback()
					inside := store.InTx(tx).(delivery.Keeper)
					if _, err := inside.Load(t.Context(), []string{id}); err != nil { // takes the snapshot
						t.Fatal(err)
					}
					if since != nil {
						since(t, id, event)
					}
					deleted, _, err := inside.Delete(t.Context(), deletionsOf(id), delivery.Lease{})
					if name == "a mark" && level != sql.LevelReadCommitted {
						if !errors.Is(err, delivery.ErrTxConflict) {
							t.Errorf("%+v, %v; want a conflict", deleted, err)
						}
						return
					}
					if err != nil || !deleted[0].Changed {
						t.Fatalf("%+v, %v", deleted, err)
					}
					if since == nil { // who holds the event waits for no commit of this transaction
						settle(delivery.SettleDone)(t, id, event)
					}
					if err := tx.Commit(); err != nil {
						t.Fatal(err)
					}
					var secrets int
					if err := db.QueryRow("select count(*) from (select id, payload from delivery_outbox union all select id, payload from delivery_dead) e where id = $1 and payload like '%secret%'", event).Scan(&secrets); err != nil {
						t.Fatal(err)
					}
					if secrets > 0 {
						t.Errorf("%d payloads have the body", secrets)
					}
				})
			}
		}
	})
}

func TestPostgresDoesNotPassOverAMessageToDeleteThatTheSnapshotLacks(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		openMessage(t, store, "c", "m")
		for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
			late := "late at " + level.String()
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			inside := store.InTx(tx).(delivery.Keeper)
			if deleted, _, err := inside.Delete(t.Context(), deletionsOf(late), delivery.Lease{}); err != nil || deleted[0].Header.ID != "" {
				t.Errorf("at %v what does not exist is %+v, %v", level, deleted, err)
			}
			openMessage(t, store, "c "+late, late)
			deleted, _, err := inside.Delete(t.Context(), deletionsOf(late), delivery.Lease{})
			switch {
			case level == sql.LevelReadCommitted:
				if err != nil || !deleted[0].Changed {
					t.Errorf("at %v a message that came late is %+v, %v", level, deleted, err)
				}
			case !errors.Is(err, delivery.ErrTxConflict):
				t.Errorf("at %v a message that came late is %+v, %v", level, deleted, err)
			}
		}
	})
}
