package pusheradapter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// runTracker runs a test in fake time, with a tracker whose relay publishes to the server.
func runTracker(t *testing.T, test func(t *testing.T, srv *pushertest.Server, tracker *delivery.Tracker)) {
	runTrackerWith(t, nil, test)
}

// runTrackerWith is runTracker with an Encode.
func runTrackerWith(t *testing.T, encode func(context.Context, delivery.Event) ([]pusheradapter.Trigger, error),
	test func(t *testing.T, srv *pushertest.Server, tracker *delivery.Tracker),
) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := pushertest.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: srv, Encode: encode})
		tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true, EventBodies: true, Logger: slog.New(slog.DiscardHandler)})
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
		test(t, srv, tracker)
	})
}

func TestACatchUpReachesTheAuthorInFewEvents(t *testing.T) {
	runTracker(t, func(t *testing.T, srv *pushertest.Server, tracker *delivery.Tracker) {
		var last delivery.Message
		for i := range 1000 {
			var err error
			last, err = tracker.Send(t.Context(), delivery.Draft{Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}, Body: fmt.Sprint("hello ", i)})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		alice, bob := srv.Dial(t).Subscribe("private-conv-c1"), srv.Dial(t).Subscribe("private-conv-c1")
		upTo, err := tracker.MarkUpTo(t.Context(), delivery.Actor{User: "bob", Socket: bob.SocketID()}, delivery.Read, delivery.MessageRef{Conversation: "c1", ID: last.ID})
		if err != nil || upTo.Changed != 1000 {
			t.Fatalf("%+v, %v", upTo, err)
		}
		synctest.Wait()
		heard := alice.Drain(t.Context())
		got := versions(t, heard)
		slices.Sort(got) // events of a conversation may overtake each other
		if len(got) != 1000 || got[0] != upTo.From || got[999] != upTo.To {
			t.Errorf("the author heard of %d changes", len(got))
		}
		if len(heard) > 10 {
			t.Errorf("in %d events", len(heard))
		}
		if echo := bob.Drain(t.Context()); len(echo) != 0 {
			t.Errorf("the reader's own socket heard %d events", len(echo))
		}
	})
}

func TestTheRelayKeepsThePauses(t *testing.T) {
	for name, test := range map[string]struct {
		fault    pushertest.Fault
		atLeast  time.Duration
		accepted int // by the faulty call
	}{
		"that the endpoint asks for": {pushertest.RetryAfter(http.StatusTooManyRequests, 7*time.Second), 7 * time.Second, 0},
		"after a 401":                {pushertest.Status(http.StatusUnauthorized, ""), 30 * time.Second, 0},
		"after a 401 in a 200":       {pushertest.ErrorInOK(http.StatusUnauthorized, ""), 30 * time.Second, 0},
		"after a 403":                {pushertest.Status(http.StatusForbidden, ""), time.Minute, 0},
		"after nothing known":        {pushertest.Accepted(pushertest.Hang), pusheradapter.DefaultTimeout, 1},
	} {
		t.Run(name, func(t *testing.T) {
			runTracker(t, func(t *testing.T, srv *pushertest.Server, tracker *delivery.Tracker) {
				srv.Script(test.fault)
				if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
					t.Fatal(err)
				}
				events, err := srv.WaitEvents(t.Context(), test.accepted+1)
				if err != nil {
					t.Fatal(err)
				}
				requests := srv.Requests()
				if pause := requests[1].Time.Sub(requests[0].Time); len(requests) != 2 || pause < test.atLeast || pause > test.atLeast+time.Minute {
					t.Errorf("%d calls, the second after %v", len(requests), pause)
				}
				if len(events) != test.accepted+1 {
					t.Errorf("%d events", len(events))
				}
			})
		})
	}
}

func TestAnEncodeThatFailsForAWhileCostsNoEvent(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		lasts time.Duration
		until time.Duration // when the event has arrived
		dead  int
	}{
		"as it is":                  {errors.New("the database restarts"), 15 * time.Second, 21 * time.Second, 0},
		"asking to come again soon": {delivery.RetryAfter(errors.New("busy"), 2*time.Second), time.Second, 3 * time.Second, 0},
		"for good":                  {delivery.Permanent(errors.New("no such user")), time.Second, 0, 1},
		"for long":                  {errors.New("the database is gone"), time.Hour, time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var began time.Time
			encode := func(ctx context.Context, e delivery.Event) ([]pusheradapter.Trigger, error) {
				if time.Since(began) < test.lasts {
					return nil, test.err
				}
				return pusheradapter.EncodePrivate(ctx, e)
			}
			runTrackerWith(t, encode, func(t *testing.T, srv *pushertest.Server, tracker *delivery.Tracker) {
				began = time.Now()
				if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(test.until)
				synctest.Wait()
				dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
				if err != nil || len(dead) != test.dead || len(srv.Events()) != 1-test.dead {
					t.Errorf("dead letters %v, %v; %d events", dead, err, len(srv.Events()))
				}
			})
		})
	}
}

func TestWhatPusherCannotTake(t *testing.T) {
	const unnameable = "////////////////////////////////////////////////////////////////" // 205 characters of a channel
	send := func(t *testing.T, tracker *delivery.Tracker) (errs []error) {
		t.Helper()
		for _, conversation := range []string{"c1", unnameable, "c2"} {
			_, err := tracker.Send(t.Context(), delivery.Draft{Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Open: true}})
			errs = append(errs, err)
		}
		time.Sleep(time.Second) // an event may wait for company
		synctest.Wait()
		return errs
	}
	deadLetters := func(t *testing.T, tracker *delivery.Tracker, want int) {
		t.Helper()
		dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		if err != nil || len(dead) != want || want > 0 && dead[0].Attempts != 1 {
			t.Errorf("dead letters: %v, %v", dead, err)
		}
	}
	t.Run("is refused when it is sent", func(t *testing.T) {
		runTracker(t, func(t *testing.T, srv *pushertest.Server, tracker *delivery.Tracker) {
			errs := send(t, tracker)
			var invalid *delivery.InvalidError
			if errs[0] != nil || errs[2] != nil || !errors.As(errs[1], &invalid) || invalid.Field != "conversation" {
				t.Errorf("sending: %v", errs)
			}
			deadLetters(t, tracker, 0)
			if len(srv.Events()) != 2 {
				t.Errorf("%d events", len(srv.Events()))
			}
		})
	})
	t.Run("becomes a dead letter if the app names the channels", func(t *testing.T) {
		runTrackerWith(t, pusheradapter.EncodePrivate, func(t *testing.T, srv *pushertest.Server, tracker *delivery.Tracker) {
			if err := errors.Join(send(t, tracker)...); err != nil {
				t.Fatal(err)
			}
			deadLetters(t, tracker, 1)
			if len(srv.Events()) != 2 {
				t.Errorf("%d events", len(srv.Events()))
			}
		})
	})
}
