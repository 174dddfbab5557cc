package broken

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// A client knows a conversation up to version 12, and the database is restored from a backup that
// had less.
func TestAClientAheadOfARestoredStoreStartsOver(t *testing.T) {
	const never = -1
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		tracker, err := delivery.New(store, new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name   string
			backup int64 // the version that it was made at
			told   int64 // the version at which the app calls Restored
			asked  int64 // the version at which the client asks
		}{
			{"at version 5, though nobody says so", 5, never, 5},
			{"at version 9, though nobody says so", 9, never, 9},
			{"at version 9", 9, 9, 9},
			{"at version 12, where it seems to know everything", 9, 9, 12},
			{"at version 15, which has overtaken it", 9, 9, 15},
			{"at version 15, and said late", 9, 15, 15},
			{"at version 0: the conversation is gone, though nobody says so", 0, never, 0},
			{"at version 15: the conversation is gone, and another of its name has overtaken it", 0, 0, 15},
		} {
			t.Run(test.name, func(t *testing.T) {
				conversation := test.name
				version := int64(0)
				reach := func(to int64) {
					t.Helper()
					for ; version < to; version++ {
						m, err := tracker.Send(t.Context(), delivery.Draft{Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Open: true}})
						if err != nil || m.Seq != version+1 {
							t.Fatalf("sending at version %d: %+v, %v", version, m, err)
						}
					}
				}
				changes := func(since delivery.Cursor) delivery.Page {
					t.Helper()
					page, err := tracker.Changes(t.Context(), conversation, since, 0)
					if err != nil {
						t.Fatal(err)
					}
					return page
				}
				reach(12)
				client := changes(delivery.Cursor{}).Cursor
				if page := changes(client); page.Reset || page.Cursor != client || client.Version != 12 {
					t.Fatalf("before: %+v", page)
				}

				restore(t, db, conversation, test.backup)
				version = test.backup
				if test.told != never {
					reach(test.told)
					if err := sqlstore.Restored(t.Context(), db); err != nil {
						t.Fatal(err)
					}
				}
				reach(test.asked)

				page := changes(client)
				if !page.Reset || page.Version != 0 || len(page.Messages) != 0 || page.More {
					t.Fatalf("the client that was ahead gets %+v", page)
				}
				over := changes(page.Cursor)
				if over.Reset || len(over.Messages) != int(test.asked) || over.Version != test.asked {
					t.Errorf("it starts over with %+v", over)
				}
				reach(test.asked + 1)
				if page := changes(over.Cursor); test.asked > 0 && (page.Reset || len(page.Messages) != 1 || page.Version != test.asked+1) {
					t.Errorf("and goes on with %+v", page)
				}
			})
		}
	})
}

// restore brings a conversation of one message a version back to a version, as a backup would.
func restore(t *testing.T, db *sql.DB, conversation string, version int64) {
	t.Helper()
	where := fmt.Sprintf(" WHERE seq > %d AND conv = (SELECT conv FROM delivery_conversations WHERE id = '%s')", version, conversation)
	statements := []string{
		"DELETE FROM delivery_states" + where, "DELETE FROM delivery_messages" + where, "DELETE FROM delivery_outbox",
		fmt.Sprintf("UPDATE delivery_conversations SET version = %d WHERE id = '%s'", version, conversation),
	}
	if version == 0 {
		statements = append(statements, fmt.Sprintf("DELETE FROM delivery_conversations WHERE id = '%s'", conversation))
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestRestoredWantsTheTables(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		if err := sqlstore.Restored(t.Context(), e.Open(t)); err == nil {
			t.Error("without tables it returns nil")
		}
		db, _ := stores.Migrated(t, e)
		if _, err := db.Exec("DELETE FROM delivery_epoch"); err != nil {
			t.Fatal(err)
		}
		if err := sqlstore.Restored(t.Context(), db); err == nil {
			t.Error("without an epoch to end it returns nil")
		}
	})
}
