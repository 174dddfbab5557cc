//go:build !race

package contention

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// skewed is the store of a process whose clock is wrong.
type skewed struct {
	*sqlstore.Store
	by time.Duration
}

func (s skewed) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i].SentAt = messages[i].SentAt.Add(s.by)
	}
	return s.Store.Create(ctx, messages, lease)
}

// Three processes, two of them with clocks that are 10 minutes wrong, remind the recipients of
// 10,000 messages. One dies after it has sent half of the mails of a call. A transaction commits
// after its message was due. Everybody who is overdue gets a mail, nobody gets one early, and only
// those whose mails were not reported before the lease ended get a second one.
func TestEverybodyWhoIsOverdueIsReminded(t *testing.T) {
	const conversations, old, young, limit, step = 100, 9000, 1000, 200, 500
	rule := delivery.OverdueRule{Name: "mail", Status: delivery.Delivered, After: 2 * time.Second, For: delivery.ForRecipient, Lease: 3 * time.Second}
	eachKind(t, func(t *testing.T, e engines.Engine) {
		t.Parallel() // they wait most of the time
		database := stores.Database(t, e)
		admin := database.Open(t)
		var all [3]skewed
		var trackers [3]*delivery.Tracker
		for i, by := range []time.Duration{-10 * time.Minute, 0, 10 * time.Minute} {
			all[i] = skewed{stores.Open(t, e, database.Open(t)), by}
			trackers[i] = stores.Tracker(t, all[i])
		}
		ctx := patient(t)
		if due, err := trackers[0].Overdue(ctx, rule, limit); len(due) > 0 || err != nil {
			t.Fatal(due, err)
		}

		var mu sync.Mutex
		stored := map[string]time.Time{} // no earlier than this
		mails := map[string]int{}        // by recipient and message
		want := map[string]bool{}
		repeats, unreported := 0, 0
		send := func(from, to int) {
			t.Helper()
			for first := from; first < to; first += step {
				messages := make([]delivery.NewMessage, step)
				var marks []delivery.Mark
				mu.Lock()
				for i := range messages {
					n := first + i
					id := fmt.Sprint("m", n)
					messages[i] = delivery.NewMessage{
						Header: delivery.Header{ID: id, Conversation: fmt.Sprint("c", n%conversations), Sender: "ann", SentAt: time.Now()},
						Roster: "them", Members: []string{"bob", "cem"},
					}
					stored[id] = time.Now()
					if n%2 == 0 && n < old {
						marks = append(marks, stores.MarkBy("cem", id))
					} else {
						want["cem "+id] = true
					}
					want["bob "+id] = true
				}
				mu.Unlock()
				process := first / step % len(all)
				for len(messages) > 0 {
					created, _, err := all[process].Create(ctx, messages, delivery.Lease{})
					if err != nil {
						t.Fatal(err)
					}
					var blocked []delivery.NewMessage
					for i, c := range created {
						if c.Blocked {
							blocked = append(blocked, messages[i])
						}
					}
					messages = blocked
				}
				for len(marks) > 0 {
					marked, _, err := all[process].Advance(ctx, marks, delivery.Lease{})
					if err != nil {
						t.Fatal(err)
					}
					var blocked []delivery.Mark
					for i, m := range marked {
						if m.Blocked {
							blocked = append(blocked, marks[i])
						} else if !m.Changed {
							t.Fatalf("a mark came to %+v", m)
						}
					}
					marks = blocked
				}
			}
		}
		late := func() (commit func() error) {
			t.Helper()
			tx := stores.Begin(t, admin)
			mu.Lock()
			stored["late"], want["bob late"] = time.Now(), true
			mu.Unlock()
			draft := delivery.Draft{ID: "late", Conversation: "late", Sender: "ann", Audience: delivery.Audience{Recipients: []string{"bob"}}}
			if _, err := trackers[0].SendTx(ctx, tx, draft); err != nil {
				t.Fatal(err)
			}
			return tx.Commit
		}
		mail := func(d delivery.Due) {
			mu.Lock()
			defer mu.Unlock()
			key := d.Recipient + " " + d.Message.ID
			mails[key]++
			if !want[key] {
				t.Errorf("%s gets a mail for what has come", key)
			}
			if after := time.Since(stored[d.Message.ID]); after < rule.After {
				t.Errorf("%s gets a mail after %v", key, after)
			}
			if mails[key] > 1 {
				repeats++
				if d.Attempts < 2 {
					t.Errorf("%s gets a second mail at attempt %d", key, d.Attempts)
				}
			}
		}
		covered := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(mails) == len(want)
		}

		send(0, old)
		commit := func() error { return nil }
		if e.Kind != engines.SQLite { // where a transaction of the caller's holds up everything
			commit = late()
		}
		var processes sync.WaitGroup
		quit, died := make(chan struct{}), make(chan struct{})
		for i, tracker := range trackers {
			processes.Go(func() {
				for calls := 0; ; calls++ {
					select {
					case <-quit:
						return
					case <-time.After(time.Millisecond):
					}
					due, err := tracker.Overdue(ctx, rule, limit)
					if err != nil {
						t.Error(err)
						return
					}
					if i == 0 && calls >= 5 && len(due) == limit {
						for _, d := range due[:limit/2] {
							mail(d)
						}
						close(died)
						return
					}
					for _, d := range due {
						mail(d)
					}
					done, err := tracker.OverdueDone(ctx, due...)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					unreported += len(due) - done // on a slow machine
					mu.Unlock()
				}
			})
		}
		send(old, old+young)
		<-died
		if e.Kind == engines.SQLite {
			commit = late()
		}
		time.Sleep(rule.After + rule.After/2)
		if err := commit(); err != nil {
			t.Fatal(err)
		}
		for !covered() && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(rule.Lease) // for those who would come again
		close(quit)
		processes.Wait()
		if !covered() {
			t.Errorf("%d of %d are reminded", len(mails), len(want))
		}
		if unreported += limit / 2; repeats != unreported {
			t.Errorf("%d got a second mail, want the %d whose mails were not reported before the lease ended", repeats, unreported)
		}
		t.Logf("%d mails, %d of them twice", len(mails), repeats)
	})
}
