package delivery_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// particular is a notifier that takes conversations with short names.
type particular struct{ *desk }

var errLong = errors.New("too long a name")

func (particular) CheckConversation(conversation string) error {
	if len(conversation) > 5 {
		return errLong
	}
	return nil
}

func TestASendAsksTheNotifierAboutTheConversation(t *testing.T) {
	store := memstore.New()
	tracker := newTracker(t, store, particular{new(desk)}, nil)
	draft := delivery.Draft{ID: "m", Conversation: "short", Sender: "alice", Body: "hello", Audience: delivery.Audience{Open: true}}
	if m, err := tracker.Send(t.Context(), draft); err != nil || m.ID != "m" || m.Conversation != "short" || m.Body != "hello" {
		t.Errorf("a send that can be published: %+v, %v", m, err)
	}
	draft.ID, draft.Conversation = "n", strings.Repeat("x", 6)
	if _, err := tracker.Send(t.Context(), draft); !errors.Is(err, errLong) {
		t.Errorf("a send that cannot: %v", err)
	}
	if there, err := store.Load(t.Context(), []string{"m", "n"}); err != nil || len(there) != 1 {
		t.Errorf("%d messages are there, %v", len(there), err)
	}
}

func TestNoRefusalIsNoError(t *testing.T) {
	for _, none := range []map[int]error{nil, {}} {
		if err := delivery.Refused(none); err != nil {
			t.Errorf("%#v: %v", none, err)
		}
	}
}

func TestARefusalSaysWhyIfItIsOne(t *testing.T) {
	one, two := errors.New("too large"), errors.New("too late")
	for want, refused := range map[string]map[int]error{
		"event refused: too large": {3: one},
		"2 events refused":         {3: one, 4: two},
	} {
		if err := delivery.Refused(refused); err.Error() != want || !errors.Is(err, refused[3]) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
