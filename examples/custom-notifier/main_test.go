package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

func TestStreams(t *testing.T) {
	tracker, streams, err := app()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { streams.Run(ctx) })
	t.Cleanup(running.Wait)
	msg, err := tracker.Send(ctx, delivery.Draft{Conversation: "news", Sender: "alice", Audience: delivery.Audience{Open: true}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(routes(tracker, streams, msg.ID))
	t.Cleanup(server.Close)
	t.Cleanup(stop)

	// next returns the data of the next event with the name.
	next := func(lines *bufio.Scanner, name string, data any) {
		t.Helper()
		for found := false; lines.Scan(); {
			if text := lines.Text(); strings.HasPrefix(text, "event: ") {
				found = text == "event: "+name
			} else if text, ok := strings.CutPrefix(text, "data: "); ok && found {
				if err := json.Unmarshal([]byte(text), data); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		t.Fatal("the stream ended")
	}
	listen := func() (lines *bufio.Scanner, socket string) {
		for { // until Run has begun
			resp, err := http.Get(server.URL + "/events?conversation=news")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			lines := bufio.NewScanner(resp.Body)
			lines.Scan()
			if lines.Scan(); lines.Scan() && lines.Text() == "event: hello" {
				var hello struct{ Socket string }
				lines.Scan()
				lines.Scan()
				if err := json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "data: ")), &hello); err != nil {
					t.Fatal(err)
				}
				return lines, hello.Socket
			}
		}
	}
	mark := func(user, socket string) int {
		t.Helper()
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

	mine, socket := listen()
	other, _ := listen()
	if code := mark("bob", socket); code != http.StatusOK {
		t.Fatalf("bob's mark: %d", code)
	}
	if code := mark("carol", ""); code != http.StatusOK {
		t.Fatalf("carol's mark: %d", code)
	}
	t.Run("everyone is told of a mark but the socket that made it", func(t *testing.T) {
		var told deliverywire.Payload
		if next(other, "status", &told); told.Updates[0].Recipient != "bob" || told.Updates[0].Status != delivery.Read {
			t.Errorf("the other tab was told %+v first", told)
		}
		if next(mine, "status", &told); told.Updates[0].Recipient != "carol" {
			t.Errorf("the tab that marked was told of its own mark: %+v", told)
		}
	})
	t.Run("the sender's own mark is refused", func(t *testing.T) {
		if code := mark("alice", ""); code != http.StatusForbidden {
			t.Errorf("got %d", code)
		}
	})
}
