package pusheradapter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// tooMany is how each server says that it gets too many requests.
var tooMany = map[string]pushertest.Fault{
	"Pusher":  pushertest.Status(http.StatusTooManyRequests, ""),
	"Reverb":  pushertest.Status(http.StatusServiceUnavailable, ""), // of what stands in front of it
	"Sockudo": pushertest.RetryAfter(http.StatusTooManyRequests, time.Second),
	"soketi":  pushertest.ErrorInOK(http.StatusTooManyRequests, "Too many requests made."),
}

// TestAnOutageOfAnyServerLosesNothing has every server fail for 3 minutes, in each of the ways in
// which one does, while messages are sent and read.
func TestAnOutageOfAnyServerLosesNothing(t *testing.T) {
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, opts := newServer(t, profile)
				tracker, err := delivery.New(memstore.New(), newNotifier(t, srv, opts),
					&delivery.Options{OpenConversations: true, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- tracker.Run(ctx) }()
				defer func() {
					cancel()
					<-ended
				}()
				began := time.Now()
				ways := []pushertest.Fault{
					pushertest.Cut, pushertest.Hang, tooMany[name], pushertest.Status(http.StatusBadGateway, "<html>"),
					pushertest.Accepted(pushertest.Cut), pushertest.Status(http.StatusServiceUnavailable, ""),
				}
				srv.FaultFunc(func(r pushertest.Request) pushertest.Fault {
					if d := time.Since(began); 10*time.Second < d && d < 190*time.Second {
						return ways[r.Number%len(ways)]
					}
					return nil
				})
				const messages = 200
				for i := range messages {
					id := fmt.Sprint("m", i)
					draft := delivery.Draft{ID: id, Conversation: fmt.Sprint("c", i%7), Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
					if _, err := tracker.Send(t.Context(), draft); err != nil {
						t.Fatal(err)
					}
					if _, err := tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, id); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				if err := tracker.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				read := make(map[string]bool)
				for _, e := range srv.Events() {
					var told deliverywire.Payload
					if err := json.Unmarshal([]byte(e.Data), &told); err != nil {
						t.Fatal(err)
					}
					for _, u := range told.Expand() {
						if u.Status == delivery.Read {
							read[u.Message] = true
						}
					}
				}
				dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
				if len(read) != messages || len(dead) != 0 || err != nil {
					t.Errorf("%d of %d messages were told of as read; dead letters %v, %v", len(read), messages, dead, err)
				}
			})
		})
	}
}
