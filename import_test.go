package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func TestImport(t *testing.T) {
	long := time.Date(1999, time.March, 4, 5, 6, 7, 0, time.UTC)
	later := func(minutes int) time.Time { return long.Add(time.Duration(minutes) * time.Minute) }
	item := func(id string, receipts ...delivery.ImportReceipt) delivery.Import {
		return delivery.Import{
			Draft:  delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}},
			SentAt: long, Receipts: receipts,
		}
	}
	open := func(id string) delivery.Import {
		i := item(id)
		i.Audience = delivery.Audience{Open: true}
		return i
	}
	stored := func(t *testing.T, d *desk, items ...delivery.Import) {
		t.Helper()
		results, err := d.Import(t.Context(), items...)
		if err != nil || len(results) != len(items) {
			t.Fatalf("imported %v, %v", results, err)
		}
		for i, r := range results {
			if !r.Stored || r.Err != nil {
				t.Fatalf("item %d: %+v", i, r)
			}
		}
	}
	read := delivery.ImportReceipt{Recipient: "bob", Status: delivery.Read, DeliveredAt: later(1), ReadAt: later(2)}

	t.Run("messages have their places, times and receipts, and nobody is told", func(t *testing.T) {
		d := newDesk(t, nil)
		stored(t, d, item("m1", read), open("m2"))
		m, err := d.Message(t.Context(), "m1")
		if err != nil || m.Seq != 1 || m.Version != 1 || !m.SentAt.Equal(long) || m.Body != "hi" || m.Delivered != 1 || m.Read != 1 || m.Total != 2 {
			t.Errorf("m1 is %+v, %v", m, err)
		}
		unread, err := d.Unread(t.Context(), bob, "c")
		if err != nil || unread[0].Count != 1 || unread[0].First.ID != "m2" || unread[0].Version != 2 {
			t.Errorf("unread: %+v, %v", unread, err)
		}
		if events := d.told(t); len(events) != 0 {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("times are put in order, and none is in the future", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, nil)
			now, none := time.Now().UTC(), time.Time{}
			future := now.Add(time.Hour)
			for i, c := range []struct{ sent, delivered, read, wantSent, wantDelivered, wantRead time.Time }{
				{long, later(2), later(1), long, later(2), later(2)},
				{later(3), later(1), later(2), later(3), later(3), later(3)},
				{long, none, later(1), long, later(1), later(1)},
				{long, none, long.Add(-1), long, long, long},
				{long, later(1), none, long, later(1), none},
				{long, none, none, long, none, none},
				{future, future, future, now, now, now},
				{long, later(1), future, long, later(1), now},
				{long.In(time.FixedZone("", 3600)).Add(1), later(1).Add(999), later(2), long, later(1), later(2)},
			} {
				id := fmt.Sprint("m", i)
				m := item(id, delivery.ImportReceipt{Recipient: "bob", Status: delivery.Read, DeliveredAt: c.delivered, ReadAt: c.read})
				m.SentAt = c.sent
				stored(t, d, m)
				page, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: id, Limit: 1})
				if err != nil {
					t.Fatal(err)
				}
				is, err := d.Message(t.Context(), id)
				if r := page.Receipts[0]; err != nil || is.SentAt != c.wantSent || r.DeliveredAt != c.wantDelivered || r.ReadAt != c.wantRead {
					t.Errorf("%d: sent %v, delivered %v, read %v, %v", i, is.SentAt, r.DeliveredAt, r.ReadAt, err)
				}
			}
		})
	})

	t.Run("each message has its own result", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, delivery.Draft{ID: "live", Conversation: "d", Sender: "alice", Audience: delivery.Audience{Open: true}})
		stored(t, d, item("m1", read), item("gone"))
		if _, err := d.Delete(t.Context(), alice, "gone"); err != nil {
			t.Fatal(err)
		}
		elsewhere, stranger, lacking := item("n"), item("m4", read, delivery.ImportReceipt{Recipient: "mallory", Status: delivery.Read}), item("m5")
		elsewhere.Conversation = "d"
		lacking.Audience = delivery.Audience{Roster: delivery.Roster{Key: "v1"}}
		results, err := d.Import(t.Context(), item("m1"), elsewhere, item("gone"), item("m2"), item("live"), stranger, lacking, item("m3"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range results {
			var invalid *delivery.InvalidError
			switch {
			case errors.As(r.Err, &invalid):
				got = append(got, invalid.Field)
			case r.Err != nil:
				got = append(got, map[error]string{delivery.ErrConflict: "conflict", delivery.ErrGone: "gone"}[r.Err])
			default:
				got = append(got, fmt.Sprint(r.Stored))
			}
		}
		if want := []string{"false", "conflict", "gone", "true", "conflict", "receipts", "roster", "true"}; !slices.Equal(got, want) {
			t.Errorf("the results are %q, want %q", got, want)
		}
	})

	t.Run("what is not valid is refused by its field, and nothing is stored", func(t *testing.T) {
		d := newDesk(t, nil)
		changed := func(change func(*delivery.Import)) delivery.Import {
			i := item("m2", read)
			change(&i)
			return i
		}
		receipt := func(change func(*delivery.ImportReceipt)) delivery.Import {
			r := read
			change(&r)
			return item("m2", r)
		}
		for i, c := range []struct {
			field string
			item  delivery.Import
		}{
			{"id", item("")},
			{"id", item("m1")}, // again
			{"conversation", changed(func(i *delivery.Import) { i.Conversation = "" })},
			{"sender", changed(func(i *delivery.Import) { i.Sender = strings.Repeat("a", delivery.MaxID+1) })},
			{"body", changed(func(i *delivery.Import) { i.Body = strings.Repeat("a", delivery.MaxBody+1) })},
			{"audience", changed(func(i *delivery.Import) { i.Audience = delivery.Audience{} })},
			{"sent_at", changed(func(i *delivery.Import) { i.SentAt = time.Time{} })},
			{"sent_at", changed(func(i *delivery.Import) { i.SentAt = time.Unix(-1, 0) })},
			{"receipts", changed(func(i *delivery.Import) { i.Receipts = append(i.Receipts, read) })},
			{"receipts", changed(func(i *delivery.Import) { i.Receipts = make([]delivery.ImportReceipt, delivery.MaxRecipients+1) })},
			{"receipts", receipt(func(r *delivery.ImportReceipt) { r.Recipient = "alice" })},
			{"receipts", receipt(func(r *delivery.ImportReceipt) { r.Status = delivery.Delivered })},
			{"recipient", receipt(func(r *delivery.ImportReceipt) { r.Recipient = "" })},
			{"status", receipt(func(r *delivery.ImportReceipt) { r.Status = delivery.Sent })},
			{"status", receipt(func(r *delivery.ImportReceipt) { r.Status = 0 })},
		} {
			var invalid *delivery.InvalidError
			if results, err := d.Import(t.Context(), item("m1"), c.item); !errors.As(err, &invalid) || invalid.Field != c.field || results != nil || !strings.Contains(err.Error(), "item 1: ") {
				t.Errorf("%d: %v, %v, want an error of the field %q", i, results, err, c.field)
			}
		}
		var invalid *delivery.InvalidError
		if _, err := d.Import(t.Context(), make([]delivery.Import, delivery.MaxBatch+1)...); !errors.As(err, &invalid) || invalid.Field != "items" {
			t.Errorf("too many items: %v", err)
		}
		if results, err := d.Import(t.Context()); len(results) != 0 || err != nil {
			t.Errorf("no items: %v, %v", results, err)
		}
		if loaded, err := d.Load(t.Context(), "m1", "m2"); err != nil || len(loaded) != 0 {
			t.Errorf("stored %+v, %v", loaded, err)
		}
	})

	t.Run("members are asked for once per call, and may be left out of later ones", func(t *testing.T) {
		d := newDesk(t, nil)
		asked := 0
		keyed := func(id string, members func(context.Context) (delivery.Members, error)) delivery.Import {
			i := item(id, read)
			i.Audience = delivery.Audience{Roster: delivery.Roster{Key: "v1", Members: members}}
			return i
		}
		members := func(context.Context) (delivery.Members, error) {
			asked++
			return delivery.Members{Users: []string{"alice", "bob", "carol"}}, nil
		}
		stored(t, d, keyed("m1", members), keyed("m2", members))
		stored(t, d, keyed("m3", nil))
		if m, err := d.Message(t.Context(), "m3"); err != nil || asked != 1 || m.Total != 2 || m.Read != 1 {
			t.Errorf("asked %d times, %+v, %v", asked, m, err)
		}
		failure := errors.New("no database")
		_, err := d.Import(t.Context(), keyed("m4", func(context.Context) (delivery.Members, error) { return delivery.Members{}, failure }))
		if !errors.Is(err, failure) {
			t.Errorf("members that cannot be had: %v", err)
		}
	})

	t.Run("a large call is several transactions, which keep the order of each conversation", func(t *testing.T) {
		calls := &importCalls{ImportStore: memstore.New()}
		tracker := newTracker(t, calls, &desk{}, nil)
		var items []delivery.Import
		for i := range 80 {
			m := item(fmt.Sprint("m", i))
			m.Conversation, m.Body = fmt.Sprint("c", i%2), strings.Repeat("a", delivery.MaxBody)
			items = append(items, m)
		}
		crowd := item("crowd")
		crowd.Audience = delivery.Audience{Open: true}
		for i := range 10_000 {
			crowd.Receipts = append(crowd.Receipts, delivery.ImportReceipt{Recipient: fmt.Sprint("u", i), Status: delivery.Delivered})
		}
		items = append(items, crowd, item("after"))
		results, err := tracker.Import(t.Context(), items...)
		if err != nil || slices.ContainsFunc(results, func(r delivery.ImportResult) bool { return !r.Stored }) {
			t.Fatalf("%v, %v", results, err)
		}
		if calls.n != 6 {
			t.Errorf("it took %d calls", calls.n)
		}
		for _, c := range []string{"c0", "c1"} {
			page, err := tracker.Messages(t.Context(), delivery.Query{Conversation: c, Limit: 40})
			for i, m := range page.Messages {
				if m.Seq != int64(i+1) || m.ID != fmt.Sprint("m", 2*i+int(c[1]-'0')) {
					t.Fatalf("message %d of %s is %s at %d, %v", i, c, m.ID, m.Seq, err)
				}
			}
		}
	})

	t.Run("it waits for a conversation that is locked, and repeats what it is not sure of", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls := &importCalls{ImportStore: memstore.New(), blocked: 3}
			tracker := newTracker(t, calls, &desk{}, nil)
			if results, err := tracker.Import(t.Context(), item("m1")); err != nil || !results[0].Stored || calls.n != 4 {
				t.Errorf("%+v, %v, after %d calls", results, err, calls.n)
			}
			lost := deliverytest.LosingStore(memstore.New(), deliverytest.OnCall(1, delivery.ErrOutcomeUnknown, "Import"))
			tracker = newTracker(t, lost, &desk{}, nil)
			if _, err := tracker.Import(t.Context(), item("m1"), item("m2")); !errors.Is(err, delivery.ErrOutcomeUnknown) {
				t.Errorf("an answer that is lost: %v", err)
			}
			results, err := tracker.Import(t.Context(), item("m1"), item("m2"), item("m3"))
			if err != nil || results[0].Stored || results[1].Stored || !results[2].Stored {
				t.Errorf("repeated: %+v, %v", results, err)
			}
		})
	})

	t.Run("a store that takes no history says so", func(t *testing.T) {
		tracker := newTracker(t, struct{ delivery.Store }{memstore.New()}, &desk{}, nil)
		if _, err := tracker.Import(t.Context(), item("m1")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Import: %v", err)
		}
	})
}

// importCalls counts the calls of a store that answers some first ones with Blocked.
type importCalls struct {
	delivery.ImportStore
	n, blocked int
}

func (c *importCalls) Import(ctx context.Context, messages []delivery.NewImport) ([]delivery.ImportOutcome, error) {
	if c.n++; c.n <= c.blocked {
		return slices.Repeat([]delivery.ImportOutcome{delivery.ImportBlocked}, len(messages)), nil
	}
	return c.ImportStore.Import(ctx, messages)
}
