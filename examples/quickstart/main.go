// Quickstart sends a message from alice to bob and carol, marks it, and prints what happens. It
// needs no database and no network.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	// A notifier gets every change. This one prints it. The one of pusheradapter sends it to
	// browsers.
	notifier := delivery.NotifierFunc(func(_ context.Context, events []delivery.Event) error {
		for _, e := range events {
			for _, u := range e.Updates {
				fmt.Printf("  event: version %d, %s, delivered to %d and read by %d of %d\n", u.Version, u.Status, u.Delivered, u.Read, u.Total)
			}
		}
		return nil
	})
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true})
	if err != nil {
		return err
	}

	fmt.Println("alice sends")
	msg, err := tracker.Send(ctx, delivery.Draft{Conversation: "lunch", Sender: "alice", Body: "Noon?", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}})
	if err != nil {
		return err
	}
	for _, user := range []string{"bob", "carol", "alice"} {
		if err := tracker.Flush(ctx); err != nil { // a server has tracker.Run publish instead
			return err
		}
		fmt.Println(user, "reads")
		if _, err := tracker.MarkRead(ctx, delivery.Actor{User: user}, msg.ID); err != nil {
			fmt.Println("  refused:", err)
		}
	}
	page, err := tracker.Receipts(ctx, delivery.ReceiptQuery{Message: msg.ID})
	for _, r := range page.Receipts {
		fmt.Printf("%s: %s\n", r.Recipient, r.Status)
	}
	return err
}
