package pusheradapter_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// newNotifier returns a Notifier for the server, which listens or is the transport.
func newNotifier(t testing.TB, srv *pushertest.Server, options *pusheradapter.Options) *pusheradapter.Notifier {
	t.Helper()
	config := pusheradapter.Config{AppID: srv.AppID, Key: srv.Key, Secret: srv.Secret, Host: srv.Host()}
	if config.Host == "" {
		config.Host = "pusher.invalid"
	}
	notifier, err := pusheradapter.New(config, options)
	if err != nil {
		t.Fatal(err)
	}
	return notifier
}

// newNotifierAt returns a Notifier for a server that checks no signature.
func newNotifierAt(t testing.TB, url string) *pusheradapter.Notifier {
	t.Helper()
	config := pusheradapter.Config{AppID: "1", Key: "k", Secret: "s", Host: strings.TrimPrefix(url, "http://")}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	return notifier
}

// newEvent returns the event of a new message, m-version, in a conversation.
func newEvent(conversation string, version int64) delivery.Event {
	update := delivery.Update{Message: fmt.Sprint("m", version), Sender: "alice", Version: version, Status: delivery.Sent, Total: 1, Readers: 1}
	return delivery.Event{
		ID: version, Kind: delivery.MessageSent, Conversation: conversation, From: version, To: version,
		Updates: []delivery.Update{update},
	}
}

// newEvents returns n events, each of a conversation of its own: c0, c1 and so on.
func newEvents(n int) []delivery.Event {
	events := make([]delivery.Event, n)
	for i := range events {
		events[i] = newEvent(fmt.Sprint("c", i), 1)
	}
	return events
}

// refusals returns the indexes and errors of a refusal, and fails for anything else.
func refusals(t *testing.T, err error) map[int]error {
	t.Helper()
	var refused *delivery.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return refused.ByIndex
}

// isPlain reports whether an error blames no event.
func isPlain(err error) bool {
	var refused *delivery.RefusedError
	return err != nil && !errors.As(err, &refused)
}

// isPermanent reports whether an error is marked with delivery.Permanent, whose type is the core's
// own.
func isPermanent(err error) bool { return wraps(err, delivery.Permanent(errors.New(""))) }

// asksForPause reports whether an error is marked with delivery.RetryAfter.
func asksForPause(err error) bool { return wraps(err, delivery.RetryAfter(errors.New(""), 1)) }

func wraps(err, example error) bool {
	if err == nil || reflect.TypeOf(err) == reflect.TypeOf(example) {
		return err != nil
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(several.Unwrap(), func(err error) bool { return wraps(err, example) })
	}
	return wraps(errors.Unwrap(err), example)
}

// leak returns an error in err's chain that prints one of the secrets.
func leak(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	for _, secret := range secrets {
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			return err
		}
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return leak(err.Unwrap(), secrets...)
	case interface{ Unwrap() []error }:
		for _, err := range err.Unwrap() {
			if found := leak(err, secrets...); found != nil {
				return found
			}
		}
	}
	return nil
}
