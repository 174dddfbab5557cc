package pusheradapter_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// accepts is a transport that accepts every call at once.
type accepts struct{}

func (accepts) RoundTrip(request *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: request}, nil
}

// catchUp is the event of bob's having read n messages at once.
func catchUp(n int, id func(int) string) delivery.Event {
	at := time.Date(2025, 3, 1, 12, 30, 0, 123456000, time.UTC)
	e := delivery.Event{ID: 7, Kind: delivery.StatusChanged, Conversation: "room:general", From: 100_001, To: 100_000 + int64(n), Except: "123.456"}
	for i := range n {
		u := delivery.Update{
			Message: id(i), Sender: "alice", Version: e.From + int64(i),
			Status: delivery.Read, Delivered: 2, Read: 2, Total: 2, Readers: 2,
		}
		u.Receipt = &delivery.Receipt{
			Message: u.Message, Recipient: "bob", Status: delivery.Read, Version: u.Version, DeliveredAt: at, ReadAt: at,
		}
		e.Updates = append(e.Updates, u)
	}
	return e
}

// BenchmarkNotify publishes receipts without a network: what is left is the adapter,
// pusher-http-go, and net/http up to the transport.
func BenchmarkNotify(b *testing.B) {
	newID := func(i int) string { return fmt.Sprintf("0195526f-0000-7000-8000-%012d", i) }
	singles := make([]delivery.Event, 10)
	for i := range singles {
		singles[i] = catchUp(1, newID)
		singles[i].Conversation = fmt.Sprint("conversation-", i)
	}
	for _, bench := range []struct {
		name   string
		events []delivery.Event
	}{
		{"10 events of a receipt each", singles},
		{"an event of 1,000 receipts", []delivery.Event{catchUp(1000, newID)}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			config := pusheradapter.Config{AppID: "1", Key: "key", Secret: "secret", Host: "pusher.invalid"}
			notifier, err := pusheradapter.New(config, &pusheradapter.Options{Transport: accepts{}})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := notifier.Notify(b.Context(), bench.events); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
