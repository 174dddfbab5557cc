package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestObserver(t *testing.T) {
	members := func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
		return user != "mallory", nil
	}
	type traceKey struct{}
	var seen []string
	see := func(ctx context.Context, format string, args ...any) {
		seen = append(seen, fmt.Sprintf("%v: ", ctx.Value(traceKey{}))+fmt.Sprintf(format, args...))
	}
	observer := &delivery.Observer{
		Sent: func(ctx context.Context, s delivery.SentInfo) { see(ctx, "%+v", s) },
		Marked: func(ctx context.Context, m delivery.MarkedInfo) {
			see(ctx, "%s in %q by %s, %v, up to %v, in a transaction %v, changed %d: %v", m.Message, m.Conversation, m.User, m.Status, m.UpTo, m.InTx, m.Changed, m.Err)
		},
	}
	ctx := context.WithValue(t.Context(), traceKey{}, "trace")
	expect := func(t *testing.T, want ...string) {
		t.Helper()
		if got := strings.Join(seen, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
		seen = nil
	}

	t.Run("every send is told, with the caller's context and what became of it", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{Authorize: members, Observer: observer})
		seen = nil
		for _, body := range []string{"hi", "hi", "ho"} {
			d.Send(ctx, delivery.Draft{Conversation: "c", ID: "m", Sender: "alice", Body: body, Audience: delivery.Audience{Recipients: []string{"bob"}}})
		}
		d.Send(ctx, delivery.Draft{Conversation: "c", Sender: ""}) // is not tried
		expect(t,
			"trace: {Conversation:c Message:m Sender:alice InTx:false Err:<nil>}",
			"trace: {Conversation:c Message:m Sender:alice InTx:false Err:<nil>}",
			"trace: {Conversation:c Message:m Sender:alice InTx:false Err:"+delivery.ErrConflict.Error()+"}",
		)
	})

	t.Run("every mark is told, taken or refused, and a message named twice once", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{Authorize: members, Observer: observer})
		d.send(t, delivery.Draft{Conversation: "c", ID: "frozen", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		d.send(t, delivery.Draft{Conversation: "c", ID: "open", Sender: "alice", Audience: delivery.Audience{Open: true}})
		for _, c := range []struct {
			user, message, conversation string
			changed                     int
			err                         error
		}{
			{"bob", "frozen", "c", 1, nil},
			{"bob", "frozen", "c", 0, nil},
			{"alice", "frozen", "c", 0, delivery.ErrOwnMessage},
			{"carol", "frozen", "c", 0, delivery.ErrNotRecipient},
			{"mallory", "open", "c", 0, delivery.ErrForbidden},
			{"bob", "nowhere", "", 0, delivery.ErrNotFound},
		} {
			seen = nil
			d.Mark(ctx, delivery.Actor{User: c.user}, delivery.Read, c.message, c.message)
			expect(t, fmt.Sprintf("trace: %s in %q by %s, read, up to false, in a transaction false, changed %d: %v", c.message, c.conversation, c.user, c.changed, c.err))
		}
	})

	t.Run("a mark that is taken is told with its receipt and when the message was sent", func(t *testing.T) {
		var told []delivery.MarkedInfo
		d := newDesk(t, &delivery.Options{OpenConversations: true, Observer: &delivery.Observer{
			Marked: func(_ context.Context, m delivery.MarkedInfo) { told = append(told, m) },
		}})
		d.send(t, delivery.Draft{Conversation: "c", ID: "m", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		message, err := d.Message(ctx, "m")
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := d.MarkRead(ctx, bob, "m")
		if err != nil {
			t.Fatal(err)
		}
		d.MarkRead(ctx, delivery.Actor{User: "alice"}, "m")
		d.MarkRead(ctx, bob, "nowhere")
		if len(told) != 3 || told[0].SentAt != message.SentAt || delivery.Own(told[0].Receipt) != receipt {
			t.Fatalf("told %+v", told)
		}
		for _, m := range told[1:] {
			if !m.SentAt.IsZero() || m.Receipt != (delivery.Receipt{}) {
				t.Errorf("of a refused mark it was told %+v", m)
			}
		}
	})

	t.Run("a mark that others may not see wholly is told as private", func(t *testing.T) {
		var told []string
		d := newDesk(t, &delivery.Options{OpenConversations: true, Observer: &delivery.Observer{
			Marked: func(_ context.Context, m delivery.MarkedInfo) {
				told = append(told, fmt.Sprint(m.Status, " ", m.Private))
			},
		}})
		d.send(t, delivery.Draft{Conversation: "c", ID: "m", Sender: "alice", Audience: delivery.Audience{Open: true}})
		for _, hide := range []delivery.Hide{delivery.HideNothing, delivery.HideRead, delivery.HideAll} {
			actor := delivery.Actor{User: fmt.Sprint("user", hide), Hide: hide}
			d.MarkDelivered(ctx, actor, "m")
			d.MarkUpTo(ctx, actor, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"})
		}
		if got, want := strings.Join(told, ", "), "delivered false, read false, delivered false, read true, delivered true, read true"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		told = nil
		d.send(t, delivery.Draft{Conversation: "d", ID: "n", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}, Untracked: []string{"bob"}, HideRead: []string{"carol"}}})
		for _, user := range []string{"bob", "carol"} {
			d.MarkDelivered(ctx, delivery.Actor{User: user}, "n")
			d.MarkUpTo(ctx, delivery.Actor{User: user}, delivery.Read, delivery.MessageRef{Conversation: "d", ID: "n"})
		}
		if got, want := strings.Join(told, ", "), "delivered true, read true, delivered false, read true"; got != want {
			t.Errorf("of who is untracked or hides reads it was told %q, want %q", got, want)
		}
	})

	t.Run("every write of a batch is told, with what it wrote", func(t *testing.T) {
		var told []string
		d := newDesk(t, &delivery.Options{OpenConversations: true, Observer: &delivery.Observer{
			Wrote: func(_ context.Context, w delivery.WroteInfo) {
				if w.Took < 0 || w.Err != nil {
					t.Errorf("it took %v: %v", w.Took, w.Err)
				}
				told = append(told, fmt.Sprint(w.Items, " ", w.What))
			},
		}})
		d.send(t, delivery.Draft{Conversation: "c", ID: "m1", Sender: "alice", Audience: delivery.Audience{Open: true}})
		d.send(t, delivery.Draft{Conversation: "c", ID: "m2", Sender: "alice", Audience: delivery.Audience{Open: true}})
		d.Mark(ctx, bob, delivery.Delivered, "m1", "m2")
		d.MarkUpTo(ctx, bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m2"})
		d.Delete(ctx, bob, "m1")
		if got, want := strings.Join(told, ", "), "1 sends, 1 sends, 2 marks, 1 up-to marks, 1 deletions"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})

	t.Run("every up-to mark is told once", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{Authorize: members, Observer: observer})
		for i := range 3 {
			d.send(t, delivery.Draft{Conversation: "c", ID: fmt.Sprint("m", i), Sender: "alice", Audience: delivery.Audience{Open: true}})
		}
		seen = nil
		d.MarkUpTo(ctx, bob, delivery.Delivered, delivery.MessageRef{Conversation: "c", ID: "m2"})
		d.MarkUpTo(ctx, delivery.Actor{User: "mallory"}, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m2"})
		d.MarkUpTo(ctx, bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "nowhere"})
		expect(t,
			"trace: m2 in \"c\" by bob, delivered, up to true, in a transaction false, changed 3: <nil>",
			"trace: m2 in \"c\" by mallory, read, up to true, in a transaction false, changed 0: "+delivery.ErrForbidden.Error(),
			"trace: nowhere in \"c\" by bob, read, up to true, in a transaction false, changed 0: "+delivery.ErrNotFound.Error(),
		)
	})

	t.Run("a failure of the store is told for each message of the call", func(t *testing.T) {
		store := &faultyStore{Store: memstore.New()}
		tracker := newTracker(t, store, new(endpoint), &delivery.Options{Observer: observer})
		sendAs(t, tracker, "m", "n")
		seen = nil
		store.fault = func(context.Context) error { return errors.New("connection refused") }
		tracker.Mark(ctx, bob, delivery.Read, "m", "n")
		expect(t,
			"trace: m in \"c\" by bob, read, up to false, in a transaction false, changed 0: delivery: marking: connection refused",
			"trace: n in \"c\" by bob, read, up to false, in a transaction false, changed 0: delivery: marking: connection refused",
		)
	})

	t.Run("a call of the notifier is told with its events", func(t *testing.T) {
		var told []string
		refusal := errors.New("too large")
		refusing := delivery.NotifierFunc(func(context.Context, []delivery.Event) error {
			return delivery.Refused(map[int]error{1: delivery.Permanent(refusal)})
		})
		tracker := newTracker(t, memstore.New(), refusing, &delivery.Options{Observer: &delivery.Observer{
			Notified: func(_ context.Context, n delivery.NotifiedInfo) {
				for _, e := range n.Batch {
					told = append(told, e.Updates[0].Message)
				}
				if n.Events != len(n.Batch) || !errors.Is(n.Err, refusal) {
					t.Errorf("told %+v", n)
				}
			},
		}})
		sendAs(t, tracker, "m", "n")
		if err := tracker.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(told, ", "); got != "m, n" {
			t.Errorf("told of %q", got)
		}
	})

	t.Run("what becomes of dead letters is told, with the caller's context", func(t *testing.T) {
		refusing := delivery.NotifierFunc(func(context.Context, []delivery.Event) error {
			return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("too large"))})
		})
		store := &sick{Store: memstore.New()}
		tracker := newTracker(t, store, refusing, &delivery.Options{NotifyEvents: 1, Observer: &delivery.Observer{
			Resolved: func(ctx context.Context, r delivery.ResolvedInfo) {
				see(ctx, "%v, discarded %v, settled %d: %v", r.Events, r.Discarded, r.Settled, r.Err)
			},
		}})
		sendAs(t, tracker, "m", "n", "o")
		if err := tracker.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		seen = nil
		tracker.Replay(ctx, 2, 1, 2)
		tracker.Discard(ctx, 1, 3)
		store.settle = func() error { return errors.New("connection refused") }
		tracker.Replay(ctx, 9)
		tracker.Discard(ctx, 9)
		expect(t,
			"trace: [1 2], discarded false, settled 2: <nil>",
			"trace: [1 3], discarded true, settled 1: 1 of 2 dead letters: "+delivery.ErrNotFound.Error(),
			"trace: [9], discarded false, settled 0: 1 of 1 dead letters: "+delivery.ErrNotFound.Error(),
			"trace: [9], discarded true, settled 0: delivery: moving dead letters: connection refused",
		)
	})
}
