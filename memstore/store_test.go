package memstore_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func TestLeasesRunOnFakeTimeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice"}, Roster: "bob", Members: []string{"bob"}}
		if _, born, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{Token: 1, For: time.Hour}); err != nil || len(born) != 1 {
			t.Fatalf("Create returned %v, %v; want one event under the lease", born, err)
		}
		for _, step := range []struct {
			pass time.Duration
			want int
		}{{time.Hour - 1, 0}, {1, 1}, {0, 0}} {
			time.Sleep(step.pass)
			claimed, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 2, For: time.Minute})
			if err != nil || len(claimed) != step.want {
				t.Errorf("%v later Claim returned %v, %v; want %d events", step.pass, claimed, err, step.want)
			}
		}
	})
}

func TestACursorOfAnotherProcessIsReset(t *testing.T) {
	var cursor delivery.Cursor
	for _, reset := range []bool{false, true} { // the same happens in two processes, one after the other
		tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
		page, err := tracker.Changes(t.Context(), "c", cursor, 0)
		if err != nil || page.Reset != reset {
			t.Errorf("after %+v: %+v, %v; want a reset: %t", cursor, page, err, reset)
		}
		cursor = page.Cursor
	}
}

func TestStoreKeepsTheContract(t *testing.T) {
	deliverytest.TestStore(t, func(*testing.T) delivery.Store { return memstore.New() }, nil)
}

func TestTheOldestEventIsFoundAmongRequeuedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		var drafts []delivery.NewMessage
		for _, id := range []string{"1", "2", "3"} {
			drafts = append(drafts, delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c", Sender: "alice", Open: true, Quorum: 1}})
		}
		_, claimed, err := store.Create(t.Context(), drafts, delivery.Lease{Token: 1, For: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		settle := func(s delivery.Settlement) {
			t.Helper()
			if held, err := store.Settle(t.Context(), []delivery.Settlement{s}); held != 1 || err != nil {
				t.Fatalf("Settle returned %d, %v", held, err)
			}
		}
		first := claimed[0].Event
		settle(delivery.Settlement{ID: first.ID, Lease: 1, Outcome: delivery.SettleBury})
		time.Sleep(time.Minute)
		settle(delivery.Settlement{ID: first.ID, Outcome: delivery.SettleRequeue, Event: first})
		time.Sleep(time.Minute)
		for i, want := range []time.Duration{2 * time.Minute, 2 * time.Minute, time.Minute} {
			if backlog, err := store.Backlog(t.Context()); err != nil || backlog.Oldest != want || backlog.Waiting != 3-i {
				t.Errorf("%d events done: the backlog is %+v, %v; the oldest should be %v old", i, backlog, err, want)
			}
			if i < 2 {
				settle(delivery.Settlement{ID: claimed[i+1].Event.ID, Lease: 1, Outcome: delivery.SettleDone})
			}
		}
	})
}

func TestStoreIsAKeeper(t *testing.T) {
	deliverytest.TestKeeper(t, func(*testing.T) delivery.Keeper { return memstore.New() })
}

func TestStoreKeepsFailures(t *testing.T) {
	t.Run("all it can do", func(t *testing.T) {
		deliverytest.TestFailureStore(t, func(*testing.T) delivery.FailureStore { return memstore.New() })
	})
	t.Run("failures alone", func(t *testing.T) {
		deliverytest.TestFailureStore(t, func(*testing.T) delivery.FailureStore {
			return struct{ delivery.FailureStore }{memstore.New()}
		})
	})
}

func TestStoreTakesAHistory(t *testing.T) {
	t.Run("all it can do", func(t *testing.T) {
		deliverytest.TestImportStore(t, func(*testing.T) delivery.ImportStore { return memstore.New() })
	})
	t.Run("imports alone", func(t *testing.T) {
		deliverytest.TestImportStore(t, func(*testing.T) delivery.ImportStore {
			return struct{ delivery.ImportStore }{memstore.New()}
		})
	})
}

func TestStoreFindsWhoIsOverdue(t *testing.T) {
	t.Run("a keeper", func(t *testing.T) {
		deliverytest.TestOverdueStore(t, func(*testing.T) delivery.OverdueStore { return memstore.New() })
	})
	t.Run("no keeper", func(t *testing.T) {
		deliverytest.TestOverdueStore(t, func(*testing.T) delivery.OverdueStore {
			return struct{ delivery.OverdueStore }{memstore.New()}
		})
	})
}

func TestStoreCountsHours(t *testing.T) {
	deliverytest.TestHourStore(t, func(*testing.T) delivery.HourStore { return memstore.New() })
}

func TestOverdueLooksAtSoManyRecipientsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		rule := delivery.OverdueRule{Name: "mail", Status: delivery.Read, After: time.Second, Within: time.Hour, For: delivery.ForSender}
		look := func(want int, more bool) {
			t.Helper()
			result, err := store.Overdue(t.Context(), rule, 10, delivery.Lease{Token: 1, For: time.Hour})
			if err != nil || len(result.Due) != want || result.More != more {
				t.Errorf("Overdue returned %d, %v, %v; want %d, %v", len(result.Due), result.More, err, want, more)
			}
		}
		look(0, false)
		time.Sleep(time.Nanosecond)
		m := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "ann", SentAt: time.Now()}, Roster: "many"}
		for i := range 5000 {
			m.Members, m.Caps = append(m.Members, fmt.Sprintf("u%04d", i)), append(m.Caps, delivery.Sent)
		}
		m.Caps[len(m.Caps)-1] = delivery.Read
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{m}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rule.After)
		look(0, true)
		look(0, true)
		look(1, false)
	})
}
