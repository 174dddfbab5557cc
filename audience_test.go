package delivery_test

import (
	"context"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// messagesOf is a store that remembers the messages that it was given.
type messagesOf struct {
	delivery.Store
	messages []delivery.NewMessage
}

func (s *messagesOf) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	s.messages = append(s.messages, messages...)
	return s.Store.Create(ctx, messages, lease)
}

func TestAStoreIsGivenARosterExactlyIfTheMessageIsNotOpen(t *testing.T) {
	for name, audience := range map[string]delivery.Audience{
		"open":                {Open: true},
		"nobody":              {Recipients: []string{}},
		"nobody but a sender": {Recipients: []string{"alice"}},
		"somebody":            {Recipients: []string{"bob"}},
	} {
		store := &messagesOf{Store: memstore.New()}
		tracker := newTracker(t, store, new(desk), nil)
		if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: audience}); err != nil {
			t.Fatal(err)
		}
		if m := store.messages[0]; (m.Members == nil) != audience.Open || (m.Roster == "") != audience.Open || m.Open != audience.Open {
			t.Errorf("%s: open %t, roster %q, members %#v", name, m.Open, m.Roster, m.Members)
		}
	}
}
