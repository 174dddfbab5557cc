// Reminder mails whoever has not read a message a second after it was sent. It has a mail server of
// its own on the loopback interface, which prints what came, and needs no database.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

// rule is for mails to the recipient. It goes by what the recipient knows: dan, who reads without
// letting others see it, gets none. Whom it returns is never shown to others.
var rule = delivery.OverdueRule{Name: "mail-unread", Status: delivery.Read, After: time.Second, For: delivery.ForRecipient}

func run(ctx context.Context) error {
	sink, err := listen(func(mail []string) {
		for _, line := range mail {
			fmt.Println(strings.TrimRight("  "+line, " "))
		}
	})
	if err != nil {
		return err
	}
	defer sink.Close()
	tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
	if err != nil {
		return err
	}
	server := mailServer{sink.Addr().String(), 10 * time.Second}
	if _, err := remind(ctx, tracker, server); err != nil { // the rule begins here
		return err
	}

	fmt.Println("alice sends to bob, carol and dan; carol reads, and dan reads privately")
	message, err := tracker.Send(ctx, delivery.Draft{
		ID: "m1", Conversation: "lunch", Sender: "alice", Body: "Noon?",
		Audience: delivery.Audience{Recipients: []string{"bob", "carol", "dan"}},
	})
	if err != nil {
		return err
	}
	for _, reader := range []delivery.Actor{{User: "carol"}, {User: "dan", Hide: delivery.HideAll}} {
		if _, err := tracker.MarkRead(ctx, reader, message.ID); err != nil {
			return err
		}
	}
	for mails := 0; mails == 0; { // a server goes on until it stops, and looks once a minute
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if mails, err = remind(ctx, tracker, server); err != nil {
			return err
		}
	}
	return nil
}

// batch is how many mails are sent under one lease. Even if each takes as long as the server's
// patience lasts, they take less than half of the lease, so nobody gets two.
const batch = 10

// remind mails everybody who is overdue now. If a mail fails, its recipient comes again after the
// rule's lease. The others wait no longer for it than the server's patience.
func remind(ctx context.Context, tracker *delivery.Tracker, server mailServer) (mails int, err error) {
	for {
		due, err := tracker.Overdue(ctx, rule, batch)
		if err != nil || len(due) == 0 {
			return mails, err
		}
		for _, d := range due {
			if err := server.remind(ctx, d); err != nil {
				log.Printf("mail to %q, attempt %d: %v", d.Recipient, d.Attempts, err)
				continue
			}
			mails++
			if _, err := tracker.OverdueDone(ctx, d); err != nil {
				return mails, err
			}
		}
	}
}
