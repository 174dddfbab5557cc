package deliverytest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// The test of a store is this, with the store in the place of memstore.
func ExampleTestStore() {
	_ = func(t *testing.T) {
		deliverytest.TestStore(t, func(t *testing.T) delivery.Store { return memstore.New() }, nil)
	}
}

// A recorder in the place of the real notifier shows who is told what.
func ExampleRecorder() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var recorder deliverytest.Recorder
	tracker, err := delivery.New(memstore.New(), &recorder, &delivery.Options{OpenConversations: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	running, stop := context.WithCancel(ctx)
	stopped := make(chan error)
	go func() { stopped <- tracker.Run(running) }()

	if _, err := tracker.Send(ctx, delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}); err != nil {
		fmt.Println(err)
	}
	if _, err := tracker.MarkRead(ctx, delivery.Actor{User: "bob", Socket: "123.456"}, "m1"); err != nil {
		fmt.Println(err)
	}
	if _, err := recorder.Wait(ctx, 2); err != nil {
		fmt.Println(err)
	}
	stop()
	if err := <-stopped; err != nil {
		fmt.Println(err)
	}

	for _, event := range recorder.Events() {
		if event.Kind == delivery.StatusChanged {
			fmt.Printf("all of %s but %s are told that %s is %v\n", event.Conversation, event.Except, event.Updates[0].Message, event.Updates[0].Status)
		}
	}
	// Output:
	// all of c1 but 123.456 are told that m1 is read
}

// A store that commits a send and then loses the answer: the send is tried again, and stored once.
func ExampleLosingStore() {
	ctx := context.Background()
	lost := fmt.Errorf("the connection broke: %w", delivery.ErrOutcomeUnknown)
	store := deliverytest.LosingStore(memstore.New(), deliverytest.OnCall(1, lost, "Create"))
	tracker, err := delivery.New(store, new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	draft := delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Body: "hi", Audience: delivery.Audience{Open: true}}
	_, err = tracker.Send(ctx, draft)
	fmt.Println("unknown:", errors.Is(err, delivery.ErrOutcomeUnknown))
	message, err := tracker.Send(ctx, draft)
	fmt.Println("again:", message.Seq, err)
	page, err := tracker.Messages(ctx, delivery.Query{Conversation: "c1"})
	fmt.Println("stored:", len(page.Messages), err)
	// Output:
	// unknown: true
	// again: 1 <nil>
	// stored: 1 <nil>
}

// An endpoint that accepts events and then breaks the connection is told them again.
func ExampleLosingNotifier() {
	ctx := context.Background()
	var recorder deliverytest.Recorder
	notifier := deliverytest.LosingNotifier(&recorder, deliverytest.OnCall(1, errors.New("connection reset")))
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := tracker.Send(ctx, delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
		fmt.Println(err)
	}
	running, stop := context.WithTimeout(ctx, 10*time.Second)
	stopped := make(chan error)
	go func() { stopped <- tracker.Run(running) }()
	events, err := recorder.Wait(running, 2)
	stop()
	fmt.Println(len(events), err, <-stopped)
	fmt.Println("the same event:", events[0].ID == events[1].ID)
	// Output:
	// 2 <nil> <nil>
	// the same event: true
}

// An endpoint that will never take an event: it is a dead letter, with the reason.
func ExampleRefusingNotifier() {
	ctx := context.Background()
	tooLong := delivery.Permanent(errors.New("the channel's name is too long"))
	notifier := deliverytest.RefusingNotifier(new(deliverytest.Recorder), func(event delivery.Event) error {
		if len(event.Conversation) > 100 {
			return tooLong
		}
		return nil
	})
	err := notifier.Notify(ctx, []delivery.Event{{ID: 1, Conversation: "c1"}, {ID: 2, Conversation: fmt.Sprintf("%0200d", 1)}})
	fmt.Println(err)
	// Output:
	// event refused: the channel's name is too long
}
