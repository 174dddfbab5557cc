package deliverywire_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/memstore"
)

// view is what a client knows of a conversation.
type view struct {
	version  int64
	messages map[string]delivery.Update
}

// apply does what the package's documentation tells a page to do, and fails at a gap.
func (v *view) apply(t *testing.T, kind delivery.Kind, from, to int64, updates []delivery.Update) {
	t.Helper()
	for _, u := range updates {
		if kind == delivery.MessageDeleted {
			delete(v.messages, u.Message)
			continue
		}
		had, known := v.messages[u.Message]
		if known == (kind == delivery.MessageSent) {
			t.Errorf("%s came as a %v, and the client knew it: %t", u.Message, kind, known)
		}
		if u.Version > had.Version {
			u.Body = had.Body + u.Body // of its first event
			v.messages[u.Message] = u
		}
	}
	if from > v.version+1 {
		t.Errorf("versions %d to %d came after version %d", from, to, v.version)
	}
	v.version = max(v.version, to)
}

func TestACatchUpBringsAClientToWhereTheMessagesStand(t *testing.T) {
	ctx := t.Context()
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(nil), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	client := view{messages: make(map[string]delivery.Update)}
	var since delivery.Cursor
	for round := range 30 {
		for i := range random.IntN(20) {
			id := fmt.Sprint("m", round, "-", i)
			if _, err := tracker.Send(ctx, delivery.Draft{ID: id, Conversation: "c1", Sender: "alice", Body: "body of " + id, Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}}); err != nil {
				t.Fatal(err)
			}
			earlier := fmt.Sprint("m", random.IntN(round+1), "-", random.IntN(5))
			actor := delivery.Actor{User: []string{"bob", "carol"}[random.IntN(2)]}
			_, _ = tracker.MarkRead(ctx, actor, earlier) // there may be none
			if random.IntN(5) == 0 {
				_, _ = tracker.Delete(ctx, actor, earlier)
			}
		}
		held := client.version
		for more := true; more; {
			page, err := tracker.Changes(ctx, "c1", since, 1+random.IntN(10))
			if err != nil {
				t.Fatal(err)
			}
			for _, event := range deliverywire.CatchUp("c1", held, since.Version, page) {
				before := client.version
				_, payloads := split(t, event, 1000)
				for _, p := range payloads {
					client.apply(t, event.Kind, p.From, p.To, p.Expand())
				}
				if client.version == before {
					t.Errorf("an event changed nothing")
				}
			}
			since, more = page.Cursor, page.More
		}
	}
	stands, err := tracker.Messages(ctx, delivery.Query{Conversation: "c1", Limit: delivery.MaxBatch})
	if err != nil || len(stands.Messages) != len(client.messages) || stands.Version != client.version {
		t.Fatalf("%v: the client knows %d messages at version %d, and there are %d at %d", err, len(client.messages), client.version, len(stands.Messages), stands.Version)
	}
	for _, m := range stands.Messages {
		want := delivery.Update{Message: m.ID, Sender: m.Sender, Version: m.Version, Status: m.Status, Delivered: m.Delivered, Read: m.Read, Total: m.Total, Readers: m.Readers, Body: m.Body}
		if got := client.messages[m.ID]; got != want {
			t.Errorf("the client knows %+v, want %+v", got, want)
		}
	}
}

func TestACatchUpToWhereNothingChangedIsNoEvent(t *testing.T) {
	if events := deliverywire.CatchUp("c1", 7, 7, delivery.Page{Cursor: delivery.Cursor{Version: 7}}); len(events) != 0 {
		t.Errorf("got %+v", events)
	}
}
