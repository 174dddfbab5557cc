package sqlstore

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/msgdelivery/delivery"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)

func TestPayloadsKeepEvents(t *testing.T) {
	for name, want := range map[string]delivery.Event{
		"a new message": {
			ID: 7, Kind: delivery.MessageSent, Conversation: "c", From: 3, To: 3, Except: "1.2", Trace: []string{"\u2028", "é"},
			Updates: []delivery.Update{{
				Message: "<m>&\u2028 \"é\\\n😀", Sender: "alice", Version: 3, Status: delivery.Sent, Total: 2,
			}},
		},
		"steps of receipts": {
			ID: 8, Kind: delivery.StatusChanged, Conversation: "c", From: 4, To: 5,
			Updates: []delivery.Update{{
				Message: "m", Sender: "alice", Version: 4, Status: delivery.Sent, Delivered: 1, Total: 2,
				Receipt: &delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Delivered, Version: 4, DeliveredAt: noon},
			}, {
				Message: "m", Sender: "alice", Version: 5, Status: delivery.Delivered, Delivered: 2, Read: 1, Total: 2,
				Receipt: &delivery.Receipt{Message: "m", Recipient: "carol", Status: delivery.Read, Version: 5, DeliveredAt: noon, ReadAt: noon.Add(time.Microsecond)},
			}},
		},
		"a dead letter brought up to date": {
			ID: 9, Kind: delivery.StatusChanged, Conversation: "c", From: 4, To: 4,
			Updates: []delivery.Update{{
				Message: "m", Sender: "alice", Version: 12, Status: delivery.Read,
				Receipt: &delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Read, Version: 9, DeliveredAt: noon, ReadAt: noon},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := encodeEvent(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeEvent(want.ID, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\n came back as %+v,\n want %+v", text, got, want)
			}
		})
	}
}

// Rows of the outbox outlive the program that wrote them: this one must be understood for ever.
func TestPayloadsOfTheFirstVersionAreUnderstood(t *testing.T) {
	got, err := decodeEvent(1, []byte(`{"k":2,"c":"c","f":4,"t":4,"x":"1.2","u":[{"i":"m","s":"alice","v":4,"m":2,"d":1,"r":0,"n":2,
		"p":{"u":"bob","s":2,"d":1795348800123456,"r":null}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := delivery.Event{
		ID: 1, Kind: delivery.StatusChanged, Conversation: "c", From: 4, To: 4, Except: "1.2",
		Updates: []delivery.Update{{
			Message: "m", Sender: "alice", Version: 4, Status: delivery.Delivered, Delivered: 1, Total: 2, Readers: 2,
			Receipt: &delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Delivered, Version: 4, DeliveredAt: noon},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestABrokenPayloadIsAnErrorThatDoesNotQuoteIt(t *testing.T) {
	_, err := decodeEvent(5, []byte(`{"k":1,"u":[{"b":"secret body`))
	if err == nil || !strings.Contains(err.Error(), "event 5") || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}

// A payload has no body: that is the message's own.
func TestABodyIsNotInThePayload(t *testing.T) {
	e := delivery.Event{Kind: delivery.MessageSent, Conversation: "c", Updates: []delivery.Update{{Message: "m", Body: "secret"}}}
	text, err := encodeEvent(e)
	if err != nil || strings.Contains(text, "secret") {
		t.Errorf("%s, %v", text, err)
	}
	if got := readEvent(1, []byte(text), source{"secret", "c"}).Updates[0].Body; got != "secret" {
		t.Errorf("with its body it has %q", got)
	}
	if got := readEvent(1, []byte(text), source{"secret", "d"}).Updates[0].Body; got != "" {
		t.Errorf("with the body of a message of another conversation it has %q", got)
	}
	if got := readEvent(1, []byte("{"), source{"secret", "c"}); !reflect.DeepEqual(got, delivery.Event{ID: 1}) {
		t.Errorf("what cannot be read is %+v", got)
	}
}

func FuzzPayload(f *testing.F) {
	f.Add("c", "1.2", "m", "alice", "bob", int64(1), int64(1))
	f.Add("\u2028", "", "<&>", "\\u0000", "\"é😀\x7f", int64(-1), int64(1<<62))
	f.Fuzz(func(t *testing.T, conversation, except, message, sender, recipient string, version, at int64) {
		for _, text := range []string{conversation, except, message, sender, recipient} {
			if !utf8.ValidString(text) {
				t.Skip("callers validate")
			}
		}
		const years = 3000 * 365 * 24 * int64(time.Hour/time.Microsecond)
		when := time.UnixMicro(at % years).UTC()
		want := delivery.Event{
			ID: 1, Kind: delivery.StatusChanged, Conversation: conversation, From: version, To: version, Except: except,
			Updates: []delivery.Update{{
				Message: message, Sender: sender, Version: version, Status: delivery.Read, Delivered: 1, Read: 1, Total: 1,
				Receipt: &delivery.Receipt{Message: message, Recipient: recipient, Status: delivery.Read, Version: version, DeliveredAt: when, ReadAt: when},
			}},
		}
		text, err := encodeEvent(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeEvent(1, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n came back as %+v,\n want %+v", text, got, want)
		}
	})
}
