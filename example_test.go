package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// printer is a notifier that prints what it is told.
func printer(_ context.Context, events []delivery.Event) error {
	for _, event := range events {
		for _, u := range event.Updates {
			fmt.Printf("%s %d: %s is %s, read by %d of %d\n", event.Conversation, u.Version, u.Message, u.Status, u.Read, u.Total)
		}
	}
	return nil
}

func Example() {
	ctx := context.Background()
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(printer), &delivery.Options{OpenConversations: true})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := tracker.Send(ctx, delivery.Draft{
		ID: "m1", Conversation: "lunch", Sender: "alice", Body: "Noon?", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, user := range []string{"bob", "carol"} {
		if _, err := tracker.MarkRead(ctx, delivery.Actor{User: user}, msg.ID); err != nil {
			log.Fatal(err)
		}
	}
	_, err = tracker.MarkRead(ctx, delivery.Actor{User: "alice"}, msg.ID)
	fmt.Println(errors.Is(err, delivery.ErrOwnMessage))

	if err := tracker.Flush(ctx); err != nil { // a server has tracker.Run publish instead
		log.Fatal(err)
	}
	// Output:
	// true
	// lunch 1: m1 is sent, read by 0 of 2
	// lunch 2: m1 is sent, read by 1 of 2
	// lunch 3: m1 is read, read by 2 of 2
}

// A tracker needs to know who may do what: from a rule of the app's, or by the word that everyone
// may do everything.
func ExampleNew() {
	for _, opts := range []*delivery.Options{
		nil,
		{OpenConversations: true},
		{Authorize: func(_ context.Context, user string, to delivery.Action, conversation string) (bool, error) {
			return user == "alice" || to != delivery.ToSend, nil
		}},
	} {
		_, err := delivery.New(memstore.New(), delivery.NotifierFunc(printer), opts)
		fmt.Println(err)
	}
	// Output:
	// delivery: authorize must be set, or OpenConversations, and not both
	// <nil>
	// <nil>
}

// A refused message does not fail the others.
func ExampleTracker_Mark() {
	ctx := context.Background()
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(printer), &delivery.Options{OpenConversations: true})
	if err != nil {
		log.Fatal(err)
	}
	for id, sender := range map[string]string{"m1": "alice", "m2": "bob"} {
		if _, err := tracker.Send(ctx, delivery.Draft{ID: id, Conversation: "lunch", Sender: sender, Audience: delivery.Audience{Open: true}}); err != nil {
			log.Fatal(err)
		}
	}
	results, err := tracker.Mark(ctx, delivery.Actor{User: "bob"}, delivery.Delivered, "m1", "m2", "m3")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Changed, r.Err)
	}
	// Output:
	// true <nil>
	// false delivery: a sender may not mark its own message
	// false delivery: not found
}

// A user who comes back marks all that was missed with one call, and everyone hears of it in one
// event.
func ExampleTracker_MarkUpTo() {
	ctx := context.Background()
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
	if err != nil {
		log.Fatal(err)
	}
	var last delivery.Message
	for range 1000 {
		if last, err = tracker.Send(ctx, delivery.Draft{Conversation: "lunch", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}); err != nil {
			log.Fatal(err)
		}
	}
	result, err := tracker.MarkUpTo(ctx, delivery.Actor{User: "bob"}, delivery.Read, delivery.MessageRef{Conversation: "lunch", ID: last.ID})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d receipts, versions %d to %d\n", result.Changed, result.From, result.To)
	// Output:
	// 1000 receipts, versions 1001 to 2000
}

// A badge, a line above the first unread message, and what "mark all as read" does.
func ExampleTracker_Unread() {
	ctx := context.Background()
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"m1", "m2", "m3"} {
		if _, err := tracker.Send(ctx, delivery.Draft{ID: id, Conversation: "lunch", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			log.Fatal(err)
		}
	}
	bob := delivery.Actor{User: "bob"}
	if _, err := tracker.MarkRead(ctx, bob, "m1"); err != nil {
		log.Fatal(err)
	}
	unread, err := tracker.Unread(ctx, bob, "lunch")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(unread[0].Count, "unread, from", unread[0].First.ID, "to", unread[0].Newest.ID)

	if _, err := tracker.MarkUpTo(ctx, bob, delivery.Read, delivery.MessageRef{Conversation: "lunch", ID: unread[0].Newest.ID}); err != nil {
		log.Fatal(err)
	}
	if unread, err = tracker.Unread(ctx, bob, "lunch"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(unread[0].Count, "unread")
	// Output:
	// 2 unread, from m2 to m3
	// 0 unread
}

// A client that was away asks for what changed since the version it holds.
func ExampleTracker_Changes() {
	ctx := context.Background()
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"m1", "m2", "m3"} {
		if _, err := tracker.Send(ctx, delivery.Draft{ID: id, Conversation: "lunch", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			log.Fatal(err)
		}
	}
	page, err := tracker.Messages(ctx, delivery.Query{Conversation: "lunch"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := tracker.MarkRead(ctx, delivery.Actor{User: "bob"}, "m2"); err != nil {
		log.Fatal(err)
	}
	for more := true; more; {
		changes, err := tracker.Changes(ctx, "lunch", page.Cursor, 0)
		if err != nil {
			log.Fatal(err)
		}
		if changes.Reset {
			log.Fatal("the store was restored: forget all, and start over")
		}
		for _, m := range changes.Messages {
			fmt.Println(m.ID, "is", m.Status)
		}
		page.Cursor, more = changes.Cursor, changes.More
	}
	// Output:
	// m2 is read
}
