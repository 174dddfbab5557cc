package redisadapter_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/internal/redisserver"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/redisadapter"
	"github.com/msgdelivery/delivery/sseadapter"
	"github.com/redis/go-redis/v9"
)

// channelBus is a Bus whose subscriber reads from go-redis' PubSub.Channel, as most programs do,
// and is slow.
type channelBus struct {
	*redisadapter.Bus
	client *redis.Client
	begun  chan struct{}
	sent   chan struct{} // closed when the subscriber is to read on from its first message

	mu       sync.Mutex
	versions []int64 // that it heard
}

func (b *channelBus) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	subscription := b.client.Subscribe(ctx, redisadapter.DefaultChannel)
	defer subscription.Close()
	if _, err := subscription.Receive(ctx); err != nil {
		return err
	}
	hear(delivery.Event{})
	close(b.begun)
	messages := subscription.Channel(redis.WithChannelSize(10), redis.WithChannelSendTimeout(time.Millisecond))
	for {
		select {
		case message := <-messages:
			var events []delivery.Event
			if err := json.Unmarshal([]byte(message.Payload), &events); err != nil {
				return err
			}
			for _, event := range events {
				b.mu.Lock()
				b.versions = append(b.versions, event.To)
				b.mu.Unlock()
				hear(event)
			}
		case <-ctx.Done():
			return nil
		}
		select {
		case <-b.sent:
		case <-ctx.Done():
		}
	}
}

// holes returns how many versions of the conversation are missing between those that were heard.
func (b *channelBus) holes() (missing, heard int, last int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, v := range b.versions {
		if i > 0 && v > b.versions[i-1]+1 {
			missing += int(v - b.versions[i-1] - 1)
		}
		last = v
	}
	return missing, len(b.versions), last
}

// TestClientsCatchUpWithWhatGoRedisLosesFromTheMiddle has a subscriber lose messages as go-redis
// does to slow readers: without a word, and with later ones delivered. The versions show the hole,
// and the clients of the streams have everything all the same.
func TestClientsCatchUpWithWhatGoRedisLosesFromTheMiddle(t *testing.T) {
	server := redisserver.Start(t)
	bus := &channelBus{Bus: redisadapter.NewBus(newClient(t, server), nil), client: newClient(t, server), begun: make(chan struct{}), sent: make(chan struct{})}
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(bus.Publish), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := sseadapter.New(tracker, bus, func(*http.Request) (string, error) { return "alice", nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		if err := streams.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	<-bus.begun
	web := httptest.NewServer(streams)
	defer web.Close()
	defer stop()
	response, err := http.Get(web.URL + "?conversation=c1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && lines.Text() != "event: hello" {
	}

	const messages = 300
	send := func(id string) {
		draft := delivery.Draft{ID: id, Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
		if _, err := tracker.Send(ctx, draft); err != nil {
			t.Error(err)
		}
		if err := tracker.Flush(ctx); err != nil { // each event is a message of its own
			t.Error(err)
		}
	}
	for i := range messages {
		send(fmt.Sprint("m", i))
	}
	// The next event that comes once the subscriber reads again shows that something is missing
	// before it.
	close(bus.sent)
	told := make(map[string]bool)
	all := make(chan struct{})
	var next sync.WaitGroup
	next.Go(func() {
		for i := 0; ; i++ {
			send(fmt.Sprint("next ", i))
			select {
			case <-all:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	defer next.Wait()
	defer close(all)
	defer time.AfterFunc(forever, func() { response.Body.Close() }).Stop()
	for len(told) < messages && lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var p deliverywire.Payload
		if err := json.Unmarshal([]byte(data), &p); err != nil {
			t.Fatal(err)
		}
		for _, u := range p.Expand() {
			if strings.HasPrefix(u.Message, "m") {
				told[u.Message] = true
			}
		}
	}
	if len(told) != messages {
		t.Errorf("the client heard of %d of %d messages", len(told), messages)
	}
	missing, heard, last := bus.holes()
	t.Logf("the subscriber heard %d events up to version %d; %d before it are missing", heard, last, missing)
	if missing == 0 {
		t.Error("go-redis lost nothing from the middle: the test shows nothing")
	}
}
