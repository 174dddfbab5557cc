package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestTexts(t *testing.T) {
	t.Run("it knows what was put there, even if that is nothing", func(t *testing.T) {
		var known texts
		known.put("one", "Hello")
		known.put("two", "")
		for id, want := range map[string]string{"one": "Hello", "two": ""} {
			if text, ok := known.get(id); !ok || text != want {
				t.Errorf("%s says %q, %v", id, text, ok)
			}
		}
		if _, ok := known.get("three"); ok {
			t.Error("it knows what nobody put there")
		}
	})
	t.Run("it forgets the oldest, and holds no more than two generations", func(t *testing.T) {
		var known texts
		text := strings.Repeat("x", delivery.MaxBody)
		const many = 10 * textGeneration / delivery.MaxBody
		for n := range many {
			known.put(fmt.Sprint(n), text)
		}
		held := 0
		for _, generation := range []map[string]string{known.young, known.old} {
			for id, text := range generation {
				held += textOverhead + len(id) + len(text)
			}
		}
		if held > 2*textGeneration || held < textGeneration {
			t.Errorf("it holds %d bytes", held)
		}
		if _, ok := known.get("0"); ok {
			t.Error("the oldest is there")
		}
		if _, ok := known.get(fmt.Sprint(many - 1)); !ok {
			t.Error("the latest is not there")
		}
	})
	t.Run("small texts count for more than their length", func(t *testing.T) {
		var known texts
		for n := range 3 * textGeneration / textOverhead {
			known.put(fmt.Sprint(n), "")
		}
		if n := len(known.young) + len(known.old); n > 2*textGeneration/textOverhead {
			t.Errorf("it holds %d texts", n)
		}
	})
}

func TestObjects(t *testing.T) {
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(nil), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	sent := delivery.Event{Kind: delivery.MessageSent}
	marked := delivery.Event{Kind: delivery.StatusChanged}
	var want []object // once they are marked
	for n := range delivery.MaxBatch + 2 {
		m, err := tracker.Send(t.Context(), delivery.Draft{Conversation: conversation, Sender: "alice", Body: fmt.Sprint("text ", n), Audience: delivery.Audience{Open: true}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tracker.MarkDelivered(t.Context(), delivery.Actor{User: "bob"}, m.ID); err != nil {
			t.Fatal(err)
		}
		sent.Updates = append(sent.Updates, delivery.Update{Message: m.ID, Sender: "alice", Status: delivery.Sent})
		marked.Updates = append(marked.Updates, delivery.Update{Message: m.ID, Sender: "alice", Status: delivery.Delivered})
		want = append(want, object{m.ID, "alice", m.Body, "Delivered"})
	}
	expect := func(t *testing.T, s *server, event delivery.Event, want ...object) {
		t.Helper()
		if got, err := s.objects(t.Context(), event); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}

	s := &server{tracker: tracker}
	t.Run("what is not known is loaded, however much that is", func(t *testing.T) { expect(t, s, marked, want...) })
	t.Run("what is known is not loaded again", func(t *testing.T) {
		s.tracker = nil
		defer func() { s.tracker = tracker }()
		expect(t, s, marked, want...)
	})
	t.Run("a part of it may be known", func(t *testing.T) {
		s := &server{tracker: tracker}
		s.texts.put(want[1].ID, want[1].Message)
		expect(t, s, marked, want...)
	})
	t.Run("a message that two have marked is told of once", func(t *testing.T) {
		twice := marked
		twice.Updates = slices.Concat(marked.Updates, marked.Updates[:1])
		expect(t, s, twice, want...)
	})
	t.Run("a new message that was marked by now is told of as delivered", func(t *testing.T) { expect(t, s, sent, want...) })
	t.Run("a message that does not exist is not told of", func(t *testing.T) {
		expect(t, s, delivery.Event{Kind: delivery.StatusChanged, Updates: []delivery.Update{{Message: "nowhere"}}})
	})
}
