package contention

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Two processes import the same history, of which a third sends some ids elsewhere, while the
// readers of open messages mark privately. Each message is there once.
func TestImportsOfOneHistoryAreExactUnderContention(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		ctx := patient(t)
		var trackers [3]*delivery.Tracker
		for i := range trackers {
			tracker, err := delivery.New(stores.Open(t, e, database.Open(t)), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
			if err != nil {
				t.Fatal(err)
			}
			trackers[i] = tracker
		}
		const n = 120
		item := func(i int) delivery.Import {
			m := delivery.Import{
				Draft:  delivery.Draft{ID: fmt.Sprint("m", i), Conversation: "c", Sender: fmt.Sprint("u", i%7), Audience: delivery.Audience{Open: true}},
				SentAt: time.Now().Add(-time.Hour),
			}
			if i%3 > 0 {
				m.Audience = delivery.Audience{Recipients: []string{"ann", "bob", fmt.Sprint("only ", i)}, HideRead: []string{"bob"}}
			}
			for _, user := range []string{"ann", "bob"} {
				m.Receipts = append(m.Receipts, delivery.ImportReceipt{Recipient: user, Status: delivery.Read})
			}
			return m
		}
		var all sync.WaitGroup
		for _, tracker := range trackers[:2] {
			all.Go(func() {
				for i := 0; i < n; i += 4 {
					results, err := tracker.Import(ctx, item(i), item(i+1), item(i+2), item(i+3))
					if err != nil {
						t.Error(err)
						return
					}
					for k, r := range results {
						if r.Err != nil && (!errors.Is(r.Err, delivery.ErrConflict) || (i+k)%10 != 0) {
							t.Errorf("m%d: %v", i+k, r.Err)
						}
					}
				}
			})
		}
		all.Go(func() {
			for i := 0; i < n; i += 10 {
				_, err := trackers[2].Send(ctx, delivery.Draft{ID: fmt.Sprint("m", i), Conversation: "d", Sender: "eve", Audience: delivery.Audience{Open: true}})
				if err != nil && !errors.Is(err, delivery.ErrConflict) {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for i := 0; i < n; i += 3 {
				for k := range 3 {
					private := delivery.Actor{User: fmt.Sprint("u", (i+k)%7), Hide: delivery.HideAll}
					_, err := trackers[2].MarkRead(ctx, private, fmt.Sprint("m", i))
					if err != nil && !errors.Is(err, delivery.ErrNotFound) && !errors.Is(err, delivery.ErrOwnMessage) {
						t.Error(err)
					}
				}
			}
		})
		all.Wait()
		seen := 0
		for _, c := range []string{"c", "d"} {
			page, err := trackers[0].Messages(ctx, delivery.Query{Conversation: c, Limit: delivery.MaxBatch})
			if err != nil {
				t.Fatal(err)
			}
			seen += len(page.Messages)
			for _, m := range page.Messages {
				if c == "c" && (m.Delivered != 2 || m.Version != m.Seq) {
					t.Errorf("%+v", m)
				}
			}
		}
		for drift, err := range trackers[0].Verify(ctx) {
			t.Errorf("%+v, %v", drift, err)
		}
		if seen != n {
			t.Errorf("%d messages are there, want %d", seen, n)
		}
		unread, err := trackers[0].Unread(ctx, delivery.Actor{User: "bob"}, "c")
		if err != nil || unread[0].Count != 0 {
			t.Errorf("%+v, %v", unread, err)
		}
	})
}

// A transaction of the app's has sent the first message of a conversation, and has not committed.
func TestAnImportGivesUpWhereATransactionSends(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite { // where nobody can write meanwhile
			return
		}
		db, store := stores.Migrated(t, e)
		tracker := stores.Tracker(t, store)
		draft := delivery.Draft{ID: "m1", Conversation: "c", Sender: "ann", Audience: delivery.Audience{Recipients: []string{"bob"}}}
		past := delivery.Import{Draft: draft, SentAt: time.Now()}
		past.ID = "m2"
		for range 2 { // in a new conversation, and in one that is there
			tx := stores.Begin(t, db)
			if _, err := tracker.SendTx(patient(t), tx, draft); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			if results, err := tracker.Import(ctx, past); err == nil || time.Since(began) > 10*time.Second {
				t.Errorf("imported %v after %v", results, time.Since(began))
			}
			cancel()
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if results, err := tracker.Import(patient(t), past); err != nil || !errors.Is(results[0].Err, delivery.ErrConflict) {
				t.Errorf("beside what was sent: %v, %v", results, err)
			}
			draft.ID += " again"
		}
	})
}

// An import that meets a reader whom a private mark has locked waits without the conversation.
func TestAnImportThatWaitsForAReaderHoldsUpNobodyElse(t *testing.T) {
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} {
		e := engines.First(kind)
		t.Run(e.Name, func(t *testing.T) {
			db, store := stores.Migrated(t, e)
			tracker := stores.Tracker(t, store)
			item := func(id string) delivery.Import {
				return delivery.Import{
					Draft:    delivery.Draft{ID: id, Conversation: "c", Sender: "ann", Audience: delivery.Audience{Recipients: []string{"bob", "cem"}}},
					SentAt:   time.Now().Add(-time.Hour),
					Receipts: []delivery.ImportReceipt{{Recipient: "bob", Status: delivery.Delivered}},
				}
			}
			if _, err := tracker.Import(t.Context(), item("m1")); err != nil {
				t.Fatal(err)
			}
			tx := stores.Begin(t, db)
			if _, err := tracker.MarkTx(t.Context(), tx, delivery.Actor{User: "bob", Hide: delivery.HideAll}, delivery.Read, "m1"); err != nil {
				t.Fatal(err)
			}
			var importing sync.WaitGroup
			importing.Go(func() {
				if results, err := tracker.Import(patient(t), item("m2")); err != nil || !results[0].Stored {
					t.Errorf("%+v, %v", results, err)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for range 20 {
				if m, err := tracker.MarkRead(ctx, delivery.Actor{User: "cem"}, "m1"); err != nil || m.Status != delivery.Read {
					t.Errorf("%+v, %v", m, err)
				}
				time.Sleep(10 * time.Millisecond) // in which the import tries again
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			importing.Wait()
		})
	}
}
