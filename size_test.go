package delivery_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// sized reports what a size says too much, and fails if it says too little.
func sized(t *testing.T, what any, size int) (slack int) {
	t.Helper()
	text, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	if slack = size - len(text); slack < 0 {
		t.Errorf("it says %d bytes and is %d: %.300s", size, len(text), text)
	}
	return slack
}

func FuzzSize(f *testing.F) {
	for _, text := range []string{"", "hi", "<&>\"\\/", "\n\r\t\b\f\x00\x1f\x7f", "é 世界 🙂", "\u2028\u2029\u202a", "\xff\xe2\x80", "\ufffd"} {
		f.Add(text, "id")
	}
	f.Fuzz(func(t *testing.T, body, id string) {
		r := delivery.Receipt{Message: id, Recipient: body, Status: delivery.Sent}
		m := delivery.Message{Header: delivery.Header{ID: id, Conversation: body, Sender: id}, Body: body, Tally: delivery.Tally{Status: delivery.Sent}}
		if slack := sized(t, r, r.Size()); slack > 256 {
			t.Errorf("it says %d bytes too much of a receipt", slack)
		}
		if slack := sized(t, m, m.Size()); slack > 512 {
			t.Errorf("it says %d bytes too much of a message", slack)
		}
		if m.Own = (*delivery.Own)(&r); sized(t, m, m.Size()) > 768 {
			t.Error("it says more than 768 bytes too much of a message with a receipt")
		}
	})
}

func TestSize(t *testing.T) {
	t.Run("the longest numbers and times are within it", func(t *testing.T) {
		at := time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.FixedZone("", -(23*60+59)*60))
		r := delivery.Receipt{Status: delivery.Delivered, Version: math.MinInt64, DeliveredAt: at, ReadAt: at, Failure: strings.Repeat("x", delivery.MaxCode), Reason: delivery.Untracked}
		m := delivery.Message{
			Header: delivery.Header{Seq: math.MinInt64, Total: math.MinInt64, Readers: math.MinInt64, Quorum: math.MinInt64, SentAt: at},
			Tally:  delivery.Tally{Version: math.MinInt64, Status: delivery.Delivered, Delivered: math.MinInt64, Read: math.MinInt64, Failed: math.MinInt64, DeliveredAt: at, ReadAt: at},
		}
		sized(t, r, r.Size())
		sized(t, m, m.Size())
	})
	t.Run("no page needs more for one message", func(t *testing.T) {
		r := delivery.Receipt{Message: strings.Repeat("<", delivery.MaxID), Recipient: strings.Repeat("<", delivery.MaxID)}
		m := delivery.Message{Header: delivery.Header{ID: r.Message, Conversation: r.Message, Sender: r.Message}, Body: strings.Repeat("<", delivery.MaxBody), Own: (*delivery.Own)(&r)}
		if m.Size() > delivery.MaxPage {
			t.Errorf("the largest message takes %d bytes", m.Size())
		}
	})
	t.Run("a page and a page of changes take no more than MaxPage as JSON, and lead to the next", func(t *testing.T) {
		tracker := newTracker(t, memstore.New(), new(endpoint), nil)
		const many = 40
		for range many {
			if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Body: strings.Repeat("<", delivery.MaxBody/4), Audience: delivery.Audience{Open: true}}); err != nil {
				t.Fatal(err)
			}
		}
		fits := func(page delivery.Page, err error) delivery.Page {
			t.Helper()
			if err != nil || len(page.Messages) == 0 || len(page.Messages) == many {
				t.Fatalf("%d messages, %v", len(page.Messages), err)
			}
			if text, _ := json.Marshal(page); len(text) > delivery.MaxPage+100 {
				t.Errorf("%d bytes", len(text))
			}
			return page
		}
		var seen int
		for page := (delivery.Page{More: true}); page.More; seen += len(page.Messages) {
			page = fits(tracker.Changes(t.Context(), "c", page.Cursor, delivery.MaxBatch))
		}
		if seen != many {
			t.Errorf("%d changes in all", seen)
		}
		seen = 0
		for query := (delivery.Query{Conversation: "c", Before: delivery.Latest, Limit: delivery.MaxBatch}); query.Before > 1; query.Before = many - int64(seen) + 1 {
			page := fits(tracker.Messages(t.Context(), query))
			seen += len(page.Messages)
		}
		if seen != many {
			t.Errorf("%d messages in all", seen)
		}
	})
}
