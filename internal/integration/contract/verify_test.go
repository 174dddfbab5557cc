package contract

import (
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Counters that somebody has changed by hand are found, and so are a receipt that shows more than
// its recipient's cap and a message without its roster.
func TestVerifyFindsWhatWasChangedByHand(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		tracker := stores.Tracker(t, store)
		bob := delivery.Actor{User: "bob"}
		for _, id := range []string{"sound", "counted", "status", "shown", "failed", "lost"} {
			for _, conversation := range []string{"c", "d"} {
				audience := delivery.Audience{Recipients: []string{"bob", "cem"}}
				switch id {
				case "lost":
					audience.Recipients = append(audience.Recipients, "dan")
				case "shown":
					audience.HideRead = []string{"bob"}
				}
				if _, err := tracker.Send(t.Context(), delivery.Draft{ID: id + conversation, Conversation: conversation, Sender: "ann", Audience: audience}); err != nil {
					t.Fatal(err)
				}
				if _, err := tracker.MarkRead(t.Context(), bob, id+conversation); err != nil {
					t.Fatal(err)
				}
				if id == "failed" {
					fail(t, tracker, id+conversation, "bob", "late")
					fail(t, tracker, id+conversation, "cem", "lost")
				}
			}
		}
		drifts := func() map[string]delivery.Drift {
			t.Helper()
			found := map[string]delivery.Drift{}
			for d, err := range tracker.Verify(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				found[d.Message] = d
			}
			return found
		}
		if found := drifts(); len(found) != 0 {
			t.Errorf("before anything was changed: %+v", found)
		}
		for id, set := range map[string]string{"countedd": "delivered_count = 2", "statusc": "status = 3", "shownc": "read_count = 1", "failedd": "failed = 2"} {
			var conv, seq int64
			if err := db.QueryRow("SELECT conv, seq FROM delivery_messages WHERE id = '"+id+"'").Scan(&conv, &seq); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(fmt.Sprintf("UPDATE delivery_states SET %s WHERE conv = %d AND seq = %d", set, conv, seq)); err != nil {
				t.Fatal(err)
			}
			if id != "shownc" {
				continue
			}
			if _, err := db.Exec(fmt.Sprintf("UPDATE delivery_receipts SET status = 3 WHERE conv = %d AND seq = %d", conv, seq)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Exec("DELETE FROM delivery_rosters WHERE size = 4"); err != nil {
			t.Fatal(err)
		}
		sound := delivery.Tally{Status: delivery.Sent, Delivered: 1, Read: 1}
		want := map[string]delivery.Drift{
			"countedd": {Message: "countedd", Conversation: "d", Stored: delivery.Tally{Status: delivery.Sent, Delivered: 2, Read: 1}, Counted: sound},
			"statusc":  {Message: "statusc", Conversation: "c", Stored: delivery.Tally{Status: delivery.Read, Delivered: 1, Read: 1}, Counted: sound},
			"shownc":   {Message: "shownc", Conversation: "c", Stored: sound, Counted: delivery.Tally{Status: delivery.Sent, Delivered: 1}},
			"failedd":  {Message: "failedd", Conversation: "d", Stored: delivery.Tally{Status: delivery.Sent, Delivered: 1, Read: 1, Failed: 2}, Counted: delivery.Tally{Status: delivery.Sent, Delivered: 1, Read: 1, Failed: 1}},
			"lostc":    {Message: "lostc", Conversation: "c", Stored: sound, Counted: sound, NoRoster: true},
			"lostd":    {Message: "lostd", Conversation: "d", Stored: sound, Counted: sound, NoRoster: true},
		}
		found := drifts()
		for id, d := range want {
			if found[id] != d {
				t.Errorf("%s is %+v, want %+v", id, found[id], d)
			}
		}
		if len(found) != len(want) {
			t.Errorf("there are %d drifts, want %d", len(found), len(want))
		}
	})
}
