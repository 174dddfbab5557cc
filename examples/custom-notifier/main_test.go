package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestStreams(t *testing.T) {
	s := &streams{open: map[chan []byte]string{}}
	tracker, err := delivery.New(memstore.New(), s, &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "news", Sender: "alice", Audience: delivery.Audience{Open: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(routes(tracker, s, msg.ID))
	t.Cleanup(server.Close)
	listen := func(socket string) *bufio.Scanner {
		resp, err := http.Get(server.URL + "/events?socket=" + socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		lines := bufio.NewScanner(resp.Body)
		if lines.Scan(); lines.Text() != ": hello" {
			t.Fatalf("stream begins with %q", lines.Text())
		}
		return lines
	}
	told := "" // all that reached listeners
	next := func(lines *bufio.Scanner) (event delivery.Event) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				told += data + "\n"
				if err := json.Unmarshal([]byte(data), &event); err != nil {
					t.Fatal(err)
				}
				return event
			}
		}
		t.Fatal("the stream ended")
		return
	}
	mark := func(user, socket string) int {
		resp, err := http.PostForm(server.URL+"/read", url.Values{"user": {user}, "socket": {socket}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}

	mine, other := listen("tab1"), listen("tab2")
	if code := mark("bob", "tab1"); code != http.StatusOK {
		t.Fatalf("bob's mark: %d", code)
	}
	if code := mark("carol", "tab2"); code != http.StatusOK {
		t.Fatalf("carol's mark: %d", code)
	}

	t.Run("everyone is told of a mark but the socket that made it", func(t *testing.T) {
		if u := next(other).Updates[0]; u.Receipt.Recipient != "bob" || u.Status != delivery.Read {
			t.Errorf("the other tab was told %+v first", u.Receipt)
		}
		if u := next(mine).Updates[0]; u.Receipt.Recipient != "carol" {
			t.Errorf("the tab that marked was told of its own mark: %+v", u.Receipt)
		}
	})

	t.Run("no socket id reaches a listener", func(t *testing.T) {
		if !strings.Contains(told, "bob") || strings.Contains(told, "tab") {
			t.Errorf("listeners were told\n%s", told)
		}
	})

	t.Run("an event that cannot be told keeps back no other", func(t *testing.T) {
		update := []delivery.Update{{Status: delivery.Sent}}
		err := s.Notify(t.Context(), []delivery.Event{
			{Kind: 0, Updates: update},
			{Kind: delivery.MessageSent, Conversation: "later", Updates: update},
		})
		var refused *delivery.RefusedError
		if !errors.As(err, &refused) || len(refused.ByIndex) != 1 || refused.ByIndex[0] == nil {
			t.Errorf("got %v", err)
		}
		if event := next(other); event.Conversation != "later" {
			t.Errorf("the next event told is %+v", event)
		}
	})

	t.Run("the sender's own mark is refused", func(t *testing.T) {
		if code := mark("alice", ""); code != http.StatusForbidden {
			t.Errorf("got %d", code)
		}
	})
}
