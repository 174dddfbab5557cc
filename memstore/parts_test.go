package memstore

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
)

// spread returns a store with n messages from alice, each in a conversation of its own, named by number.
func spread(t testing.TB, n int) (store *Store, ids []string) {
	t.Helper()
	store = New()
	for i := range n {
		id := fmt.Sprint(i)
		ids = append(ids, id)
		m := delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c" + id, Sender: "alice", Quorum: 1, Open: true}}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{m}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	return store, ids
}

func claimAll(t testing.TB, store *Store) []delivery.Claimed {
	t.Helper()
	claimed, err := store.Claim(t.Context(), 1<<20, delivery.Lease{Token: 1, For: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return claimed
}

func settle(t testing.TB, store *Store, settlements ...delivery.Settlement) {
	t.Helper()
	if held, err := store.Settle(t.Context(), settlements); held != len(settlements) || err != nil {
		t.Fatalf("Settle returned %d of %d, %v", held, len(settlements), err)
	}
}

func TestEventsOfAMomentAreClaimedInTheOrderTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where time stands still
		store, ids := spread(t, 3*shards)
		var got []string
		for _, c := range claimAll(t, store) {
			got = append(got, c.Event.Updates[0].Message)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("got %v", got)
		}
	})
}

func TestABatchIsThereAtOneMoment(t *testing.T) {
	store, ids := spread(t, 2*shards)
	const writers, batches = 4, 50
	var writing sync.WaitGroup
	for writer := range writers {
		writing.Go(func() {
			for batch := range batches {
				var marks []delivery.Mark
				for i := range ids { // from another end each time
					id := ids[(i*(2*writer+1)+batch)%len(ids)]
					marks = append(marks, delivery.Mark{Message: id, User: fmt.Sprint(writer, "/", batch), Status: delivery.Read, At: time.Now(), Admitted: true})
				}
				if _, _, err := store.Advance(t.Context(), marks, delivery.Lease{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	for looking := true; looking; {
		select {
		case <-done:
			looking = false
		default:
		}
		messages, err := store.Load(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Read != messages[0].Read {
				t.Fatalf("message %s was read by %d, message %s by %d", m.ID, m.Read, messages[0].ID, messages[0].Read)
			}
		}
		backlog, err := store.Backlog(t.Context())
		if err != nil || backlog.Waiting%len(ids) != 0 {
			t.Fatalf("the backlog is %+v, %v: no whole number of batches", backlog, err)
		}
	}
}

func TestOneIdIsStoredOnceWhereverItIsSent(t *testing.T) {
	store := New()
	const senders = 8
	results := make([]delivery.Created, senders)
	var sending sync.WaitGroup
	for i := range senders {
		sending.Go(func() {
			m := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: fmt.Sprint("c", i), Sender: "alice", Open: true, Quorum: 1}}
			created, _, err := store.Create(t.Context(), []delivery.NewMessage{m}, delivery.Lease{})
			if err != nil {
				t.Error(err)
			}
			results[i] = created[0]
		})
	}
	sending.Wait()
	conversations := 0
	for i := range store.shards {
		conversations += len(store.shards[i].conversations)
	}
	if conversations != 1 {
		t.Errorf("there are %d conversations, want 1", conversations)
	}
	for _, r := range results {
		if r.Message != results[0].Message {
			t.Errorf("told of %+v and %+v", r.Message, results[0].Message)
		}
	}
}

func TestReceiptsAreFoundAmongFewAndMany(t *testing.T) {
	m := &message{Header: delivery.Header{ID: "m", Sender: "alice", Open: true, Quorum: 1}}
	for i := range 3 * shortList {
		user := fmt.Sprint("user ", i)
		if _, exists := m.receiptOf(user); exists {
			t.Fatalf("%s has a receipt before the mark", user)
		}
		for _, status := range []delivery.Status{delivery.Delivered, delivery.Read} {
			step, verdict := m.judge(user, status, time.Now(), true)
			if verdict != advances {
				t.Fatalf("%s's mark %v does not advance", user, status)
			}
			step.take(int64(i))
		}
		for j := range i + 1 {
			if r, _ := m.receiptOf(fmt.Sprint("user ", j)); r.Recipient != fmt.Sprint("user ", j) || r.Version != int64(j) || r.Status != delivery.Read {
				t.Fatalf("of %d receipts, that of user %d is %+v", i+1, j, r)
			}
		}
	}
	if m.Read != 3*shortList {
		t.Errorf("%d have read it", m.Read)
	}
}

func TestTheOldestEventIsFoundAmongRequeuedOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := filled(t, 3, true) // of one conversation, so in one part
		claimed := claimAll(t, store)
		settle(t, store, delivery.Settlement{ID: claimed[0].Event.ID, Lease: 1, Outcome: delivery.Bury})
		time.Sleep(time.Minute)
		settle(t, store, delivery.Settlement{ID: claimed[0].Event.ID, Outcome: delivery.Requeue, Event: claimed[0].Event})
		for i, want := range []time.Duration{2 * time.Minute, 2 * time.Minute, time.Minute} {
			if i == 0 {
				time.Sleep(time.Minute)
			}
			if backlog, err := store.Backlog(t.Context()); err != nil || backlog.Oldest != want || backlog.Waiting != 3-i {
				t.Errorf("%d events done: the backlog is %+v, %v; the oldest should be %v old", i, backlog, err, want)
			}
			if i < 2 {
				settle(t, store, delivery.Settlement{ID: claimed[i+1].Event.ID, Lease: 1, Outcome: delivery.Done})
			}
		}
		if got := claimAll(t, store); len(got) != 1 || got[0].Event.ID != claimed[0].Event.ID {
			t.Errorf("due is %+v, want the requeued one", got)
		}
	})
}

func TestEventsThatAreDoneTakeNoRoom(t *testing.T) {
	store := filled(t, 1000, true)
	claimed := claimAll(t, store)
	for i, c := range claimed {
		if i%100 != 7 {
			settle(t, store, delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.Done})
		}
	}
	outbox := &store.shardOf("c").outbox
	if len(outbox.waiting) > 2*10+8 || len(outbox.schedule) != 10 {
		t.Errorf("%d places are kept for %d events", len(outbox.waiting), len(outbox.schedule))
	}
	for i := 7; i < len(claimed); i += 100 {
		settle(t, store, delivery.Settlement{ID: claimed[i].Event.ID, Lease: 1, Outcome: delivery.Release})
	}
	if got := claimAll(t, store); len(got) != 10 {
		t.Errorf("%d events are due, want 10", len(got))
	}
}
