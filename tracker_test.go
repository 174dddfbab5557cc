package delivery_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// desk is a tracker over memory with a notifier that keeps what it is told.
type desk struct {
	*delivery.Tracker
	store *memstore.Store

	mu     sync.Mutex
	events []delivery.Event
}

func newDesk(t *testing.T, opts *delivery.Options) *desk {
	t.Helper()
	d := &desk{store: memstore.New()}
	d.Tracker = newTracker(t, d.store, d, opts)
	return d
}

func newTracker(t *testing.T, store delivery.Store, notifier delivery.Notifier, opts *delivery.Options) *delivery.Tracker {
	t.Helper()
	if opts == nil {
		opts = new(delivery.Options)
	}
	opts.OpenConversations = opts.Authorize == nil
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	tracker, err := delivery.New(store, notifier, opts)
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

func (d *desk) Notify(_ context.Context, events []delivery.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, events...)
	return nil
}

// told publishes what is due and returns all that was published since it was last asked.
func (d *desk) told(t *testing.T) []delivery.Event {
	t.Helper()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	events := d.events
	d.events = nil
	return events
}

func (d *desk) send(t *testing.T, draft delivery.Draft) delivery.Message {
	t.Helper()
	m, err := d.Send(t.Context(), draft)
	if err != nil {
		t.Fatalf("sending: %v", err)
	}
	return m
}

// run runs the relay until the returned function is called, which waits for its end.
func run(t *testing.T, tracker *delivery.Tracker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tracker.Run(ctx) }()
	synctest.Wait()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

var (
	alice = delivery.Actor{User: "alice", Socket: "1.1"}
	bob   = delivery.Actor{User: "bob", Socket: "2.2"}
	carol = delivery.Actor{User: "carol"}
	mal   = delivery.Actor{User: "mallory"}
)

func TestNew(t *testing.T) {
	store, notifier := memstore.New(), delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })
	t.Run("a missing part or a bad option is an error that names it", func(t *testing.T) {
		for field, try := range map[string]func() (*delivery.Tracker, error){
			"store": func() (*delivery.Tracker, error) {
				return delivery.New(nil, notifier, &delivery.Options{OpenConversations: true})
			},
			"notifier": func() (*delivery.Tracker, error) {
				return delivery.New(store, nil, &delivery.Options{OpenConversations: true})
			},
			"lease": func() (*delivery.Tracker, error) {
				return delivery.New(store, notifier, &delivery.Options{OpenConversations: true, Lease: -1})
			},
			"writeTimeout": func() (*delivery.Tracker, error) {
				return delivery.New(store, notifier, &delivery.Options{OpenConversations: true, WriteTimeout: time.Millisecond})
			},
		} {
			_, err := try()
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: got %v", field, err)
			}
		}
	})

	t.Run("exactly one of a rule and OpenConversations must be set", func(t *testing.T) {
		rule := func(context.Context, string, delivery.Action, string) (bool, error) { return true, nil }
		for name, c := range map[string]struct {
			opts *delivery.Options
			fine bool
		}{
			"no options":  {nil, false},
			"neither":     {&delivery.Options{EventBodies: true}, false},
			"both":        {&delivery.Options{Authorize: rule, OpenConversations: true}, false},
			"a rule":      {&delivery.Options{Authorize: rule}, true},
			"open to all": {&delivery.Options{OpenConversations: true}, true},
		} {
			tracker, err := delivery.New(store, notifier, c.opts)
			var invalid *delivery.InvalidError
			if c.fine && (err != nil || tracker == nil) || !c.fine && (!errors.As(err, &invalid) || invalid.Field != "authorize" || tracker != nil) {
				t.Errorf("%s: got %v, %v", name, tracker, err)
			}
		}
	})

	t.Run("options are copied", func(t *testing.T) {
		opts := new(delivery.Options)
		tracker := newTracker(t, store, notifier, opts)
		opts.Authorize = func(context.Context, string, delivery.Action, string) (bool, error) { return false, nil }
		if err := tracker.Authorize(t.Context(), "bob", delivery.ToView, "c"); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestAuthorize(t *testing.T) {
	broken := errors.New("directory down")
	d := newDesk(t, &delivery.Options{Authorize: func(_ context.Context, user string, to delivery.Action, conversation string) (bool, error) {
		if user == "carol" {
			return false, broken
		}
		return user == "bob" && to == delivery.ToView && conversation == "c", nil
	}})
	for _, c := range []struct {
		name, user   string
		to           delivery.Action
		conversation string
		want         error
	}{
		{"what the rule allows is nil", "bob", delivery.ToView, "c", nil},
		{"what it refuses is ErrForbidden", "bob", delivery.ToSend, "c", delivery.ErrForbidden},
		{"its failure is a failure, not a refusal", "carol", delivery.ToView, "c", broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := d.Authorize(t.Context(), c.user, c.to, c.conversation); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
