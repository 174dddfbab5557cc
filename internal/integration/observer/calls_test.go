package observer

import (
	"context"

	"github.com/msgdelivery/delivery"
)

// kinds are the calls that alice watches, of a message that carol has just sent.
var kinds = []struct {
	name  string
	reads bool
	call  func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error
}{
	{"send", false, func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error {
		_, err := t.Send(ctx, draft(alice.User, message.Conversation, message.ID+" answer"))
		return err
	}},
	{"mark", false, func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error {
		_, err := t.MarkRead(ctx, alice, message.ID)
		return err
	}},
	{"mark up to", false, func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error {
		_, err := t.MarkUpTo(ctx, alice, delivery.Read, message)
		return err
	}},
	{"delete", false, func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error {
		_, err := t.Delete(ctx, alice, message.ID)
		return err
	}},
	{"page", true, func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error {
		_, err := t.Messages(ctx, delivery.Query{Conversation: message.Conversation, Before: delivery.Latest, Limit: 20, Viewer: alice.User})
		return err
	}},
	{"receipts", true, func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error {
		_, err := t.Receipts(ctx, delivery.ReceiptQuery{Message: message.ID})
		return err
	}},
	{"unread", true, func(ctx context.Context, t *delivery.Tracker, message delivery.MessageRef) error {
		_, err := t.Unread(ctx, alice, message.Conversation)
		return err
	}},
}

var alice = delivery.Actor{User: "alice"}

func draft(sender, conversation, id string) delivery.Draft {
	return delivery.Draft{
		ID: id, Conversation: conversation, Sender: sender, Body: "hi",
		Audience: delivery.Audience{Recipients: []string{"alice", "bert", "bob", "carol"}},
	}
}
