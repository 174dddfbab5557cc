package sseadapter_test

import (
	"bufio"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// listener is a client that reads a stream over the network.
type listener struct {
	response *http.Response
	mu       sync.Mutex
	events   []event
	grown    chan struct{} // closed at the next event, or at the end
	err      error         // why the stream ended
}

// listen opens a stream.
func listen(t *testing.T, client *http.Client, url string) *listener {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User", "bob")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{response: response, grown: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.read()
	}()
	t.Cleanup(func() {
		response.Body.Close()
		<-done
	})
	return l
}

func (l *listener) read() {
	lines := bufio.NewScanner(l.response.Body)
	lines.Buffer(nil, 1<<20)
	var e event
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			l.add(e, nil)
			e = event{}
		}
	}
	l.add(event{}, errors.Join(lines.Err(), errors.New("the stream ended")))
}

func (l *listener) add(e event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err = err; e.name != "" {
		l.events = append(l.events, e)
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

// until waits until found is true of the events so far, and fails after 10 s.
func (l *listener) until(t testing.TB, found func([]event) bool) []event {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		events, grown, err := l.events, l.grown, l.err
		l.mu.Unlock()
		if found(events) {
			return events
		}
		if err != nil {
			t.Errorf("after %d events: %v", len(events), err)
			return events
		}
		select {
		case <-grown:
		case <-limit:
			t.Errorf("only %d events came", len(events))
			return events
		}
	}
}

func atLeast(n int) func([]event) bool { return func(events []event) bool { return len(events) >= n } }
