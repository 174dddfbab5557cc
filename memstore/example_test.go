package memstore_test

import (
	"context"
	"fmt"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func Example() {
	ctx := context.Background()
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	draft := delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}, Quorum: 1}}
	if _, err := tracker.Send(ctx, draft); err != nil {
		fmt.Println(err)
	}
	if _, err := tracker.MarkDelivered(ctx, delivery.Actor{User: "bob"}, "m1"); err != nil {
		fmt.Println(err)
	}
	message, err := tracker.Message(ctx, "m1")
	fmt.Println(message.Status, "to", message.Delivered, "of", message.Total, err)
	// Output: delivered to 1 of 2 <nil>
}
