package broken

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// refusals are triggers of an app's own, which refuse messages with the body "bad" and receipts of
// the user "bad", or the user where the user is new to the conversation.
var refusals = map[engines.Kind][]string{
	engines.SQLite: {
		`CREATE TRIGGER no_message BEFORE INSERT ON delivery_messages WHEN NEW.body = 'bad' BEGIN SELECT RAISE(ABORT, 'not here'); END`,
		`CREATE TRIGGER no_receipt BEFORE INSERT ON delivery_receipts
			WHEN (SELECT name FROM delivery_readers WHERE reader = NEW.reader) = 'bad' BEGIN SELECT RAISE(ABORT, 'not here'); END`,
	},
	engines.Postgres: {
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not here'; END $$`,
		`CREATE TRIGGER no_message BEFORE INSERT ON delivery_messages FOR EACH ROW WHEN (NEW.body = 'bad') EXECUTE FUNCTION refuse()`,
		`CREATE TRIGGER no_reader BEFORE INSERT ON delivery_readers FOR EACH ROW WHEN (NEW.name = 'bad') EXECUTE FUNCTION refuse()`,
	},
	engines.MySQL: {
		`CREATE TRIGGER no_message BEFORE INSERT ON delivery_messages FOR EACH ROW
			IF NEW.body = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not here'; END IF`,
		`CREATE TRIGGER no_receipt BEFORE INSERT ON delivery_receipts FOR EACH ROW
			IF (SELECT name FROM delivery_readers WHERE reader = NEW.reader) = 'bad' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not here'; END IF`,
	},
}

// A refusal of one caller's item by the app's own database does not fail the calls of others that
// share the batch.
func TestWhatATriggerRefusesFailsAlone(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		tracker := stores.Tracker(t, store)
		if _, err := tracker.Send(t.Context(), delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
		for _, text := range refusals[e.Kind] {
			if _, err := db.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		calls := map[string]func(name, text string) error{
			"send": func(name, text string) error {
				_, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c " + name, Sender: name, Body: text, Audience: delivery.Audience{Open: true}})
				return err
			},
			"mark": func(name, text string) error {
				_, err := tracker.MarkDelivered(t.Context(), delivery.Actor{User: text}, "m")
				return err
			},
			"up-to mark": func(name, text string) error {
				_, err := tracker.MarkUpTo(t.Context(), delivery.Actor{User: text}, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"})
				return err
			},
		}
		for what, call := range calls {
			var callers sync.WaitGroup
			for i := range 60 {
				callers.Go(func() {
					for n := range 5 {
						text := fmt.Sprintf("%s %d.%d", what, i, n)
						if i%12 == 0 {
							text = "bad"
						}
						err := call(fmt.Sprint("u", i), text)
						if refused := err != nil && strings.Contains(err.Error(), "not here"); refused != (text == "bad") || err != nil && !refused {
							t.Errorf("%s of %q: %v", what, text, err)
						}
					}
				})
			}
			callers.Wait()
		}
	})
}
