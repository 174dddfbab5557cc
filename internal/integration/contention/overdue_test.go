package contention

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A message is stored long before it is committed: the rule has passed its time. Within an hour the
// rule comes back to it, and later with the next message of the conversation.
func TestAMessageThatCommitsLateIsNotSkipped(t *testing.T) {
	rule := delivery.OverdueRule{Name: "mail", Status: delivery.Delivered, After: time.Millisecond, For: delivery.ForSender}
	eachKind(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		tracker := stores.Tracker(t, store)
		send := func(conversation, id string) {
			t.Helper()
			draft := delivery.Draft{ID: id, Conversation: conversation, Sender: "ann", Audience: delivery.Audience{Recipients: []string{"bob"}}}
			if _, err := tracker.Send(t.Context(), draft); err != nil {
				t.Fatal(err)
			}
		}
		overdue := func(want ...string) {
			t.Helper()
			time.Sleep(20 * time.Millisecond)
			var got []string
			for {
				due, err := tracker.Overdue(t.Context(), rule, 0)
				if err != nil {
					t.Fatal(err)
				}
				if len(due) == 0 {
					break
				}
				for _, d := range due {
					got = append(got, d.Message.ID)
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("overdue are the recipients of %v, want %v", got, want)
			}
		}
		exec := func(statement string, args ...any) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), fmt.Sprintf(statement, args...)); err != nil {
				t.Fatal(err)
			}
		}
		overdue()
		exec("UPDATE delivery_rules SET since = since - %d", (24 * time.Hour).Microseconds())
		send("known", "k1")
		overdue("k1")
		// sendLate sends what was stored so long ago.
		sendLate := func(conversation, id string, ago time.Duration) {
			t.Helper()
			send(conversation, id)
			exec("UPDATE delivery_messages SET stored_at = stored_at - %d WHERE id = '%s'", ago.Microseconds(), id)
		}
		sendLate("known", "k2", 59*time.Minute)
		sendLate("new", "n1", 59*time.Minute)
		overdue("k2", "n1")
		sendLate("known", "k3", 3*time.Hour)
		sendLate("other", "o1", 3*time.Hour)
		overdue()
		send("known", "k4")
		send("other", "o2")
		overdue("k3", "k4", "o1", "o2")

		// A call that leaves recipients of its last message leaves them to the next one, also hours
		// later.
		draft := delivery.Draft{ID: "last", Conversation: "known", Sender: "ann", Audience: delivery.Audience{Recipients: []string{"bob", "cem", "dan"}}}
		if _, err := tracker.Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		if due, err := tracker.Overdue(t.Context(), rule, 1); len(due) != 1 || err != nil {
			t.Errorf("overdue are %v, %v, want one", due, err)
		}
		for _, later := range []string{"delivery_messages SET stored_at = stored_at", "delivery_rules SET head = head", "delivery_rules SET tail = tail"} {
			exec("UPDATE %s - %d", later, (3 * time.Hour).Microseconds())
		}
		overdue("last", "last")
	})
}
