// Custom-notifier tells browsers of changes through server-sent events, without Pusher. A notifier
// of your own is one method. Start the program, and then, in two terminals:
//
//	curl -N '127.0.0.1:8081/events?socket=tab1'
//	curl -d user=bob -d socket=tab2 127.0.0.1:8081/read
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// streams is a [delivery.Notifier] that writes every event to the browsers that listen.
type streams struct {
	mu   sync.Mutex
	open map[chan []byte]string // each with the socket id that its browser chose
}

// Notify passes the events to each stream except the one whose socket made the change. A stream
// that is too slow is closed. Its browser then reconnects and catches up with Tracker.Changes, as
// after any other loss.
func (s *streams) Notify(_ context.Context, events []delivery.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := map[int]error{}
	for i, event := range events {
		except := event.Except
		event.Except = "" // clients need not know whose socket it was
		data, err := json.Marshal(event)
		if err != nil {
			refused[i] = delivery.Permanent(err)
			continue
		}
		for stream, socket := range s.open {
			if except != "" && except == socket {
				continue
			}
			select {
			case stream <- data:
			default:
				s.close(stream)
			}
		}
	}
	return delivery.Refused(refused) // nil if there are none: all others were accepted
}

func (s *streams) close(stream chan []byte) {
	delete(s.open, stream)
	close(stream)
}

// ServeHTTP serves the stream of one browser. A real app finds out here who the user is, and sends
// the stream only what Tracker.Authorize lets that user view.
func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	stream := make(chan []byte, 64)
	s.mu.Lock()
	s.open[stream] = r.FormValue("socket")
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.open[stream]; ok {
			s.close(stream)
		}
	}()

	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	fmt.Fprint(w, ": hello\n\n")
	for flush.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case data, ok := <-stream:
			if !ok {
				return
			}
			_ = flush.SetWriteDeadline(time.Now().Add(writeTimeout)) // a stream has no end, so each event has a deadline
			fmt.Fprintf(w, "data: %s\n\n", data)
		}
	}
}

// writeTimeout is how long a client may take to read an answer, or an event of its stream.
const writeTimeout = 10 * time.Second

func routes(tracker *delivery.Tracker, s *streams, message string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /events", s)
	mux.HandleFunc("POST /read", func(w http.ResponseWriter, r *http.Request) {
		// A real app takes the user from its session, never from the form.
		actor := delivery.Actor{User: r.FormValue("user"), Socket: r.FormValue("socket")}
		receipt, err := tracker.MarkRead(r.Context(), actor, message)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		json.NewEncoder(w).Encode(receipt)
	})
	return mux
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	s := &streams{open: map[chan []byte]string{}}
	tracker, err := delivery.New(memstore.New(), s, &delivery.Options{OpenConversations: true})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := tracker.Send(ctx, delivery.Draft{Conversation: "news", Sender: "alice", Body: "It works", Audience: delivery.Audience{Open: true}})
	if err != nil {
		log.Fatal(err)
	}
	var relay sync.WaitGroup
	relay.Go(func() { tracker.Run(ctx) })

	server := &http.Server{Addr: *addr, Handler: routes(tracker, s, msg.ID), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: writeTimeout}
	context.AfterFunc(ctx, func() { server.Close() })
	fmt.Printf("listening on http://%s\n", *addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	relay.Wait()
}
