package pusheradapter_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

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
