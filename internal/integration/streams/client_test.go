package streams

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// view is a message as a client shows it.
type view struct {
	Version         int64
	Status          delivery.Status
	Delivered, Read int
}

// client is a page without a browser: it shows some conversations, by a stream of whatever node
// answers. It does what the documentation of deliverywire and sseadapter tells a page, and lets the
// stream catch up.
type client struct {
	user          string
	conversations []string
	nodes         []string // addresses
	http          *http.Client

	opened  atomic.Int64
	counted counts

	mu        sync.Mutex
	hangUp    context.CancelFunc
	socket    string
	lastID    string                     // of the last event, which an EventSource sends when it connects again
	views     map[string]map[string]view // by conversation and message
	versions  map[string]int64           // by conversation: all up to there is known
	ahead     map[string][][2]int64      // by conversation: ranges that are known beyond that
	backwards []string
}

// counts are of what a client met.
type counts struct{ events, resets, refetches atomic.Int64 }

func newClient(user string, conversations, nodes []string) *client {
	c := &client{
		user: user, conversations: conversations, nodes: nodes, hangUp: func() {},
		http:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}},
		views: make(map[string]map[string]view), versions: make(map[string]int64), ahead: make(map[string][][2]int64),
	}
	for _, name := range conversations {
		c.views[name] = make(map[string]view)
	}
	return c
}

// node returns the address of a node.
func (c *client) node() string { return c.nodes[rand.IntN(len(c.nodes))] }

// run connects again and again until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.connection(ctx)
		select {
		case <-time.After(time.Duration(50+rand.IntN(150)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
	c.http.CloseIdleConnections()
}

// cut breaks the client's connection, and reports whether it had one.
func (c *client) cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := c.socket != ""
	c.hangUp()
	return had
}

// connection is the life of one stream.
func (c *client) connection(ctx context.Context) {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	c.mu.Lock()
	c.hangUp = hangUp
	lastID := c.lastID
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.socket = ""
	}()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+c.node()+"/events?"+url.Values{"conversation": c.conversations}.Encode(), nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("User", c.user)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	var name, id, data string
	for lines.Scan() {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data = value
		case "": // an event is whole
			if name != "" {
				c.apply(ctx, name, data)
				c.mu.Lock()
				c.lastID = id
				c.mu.Unlock()
			}
			name = ""
		}
	}
}

// apply takes in an event.
func (c *client) apply(ctx context.Context, name, data string) {
	c.counted.events.Add(1)
	switch name {
	case "hello":
		var hello struct {
			Socket   string
			Versions map[string]int64
		}
		must(json.Unmarshal([]byte(data), &hello))
		c.opened.Add(1)
		c.mu.Lock()
		c.socket = hello.Socket
		c.mu.Unlock()
		for conversation, version := range hello.Versions {
			if c.version(conversation) < version { // only before there is an id
				c.refetch(ctx, conversation)
			}
		}
	case "reset":
		var reset struct{ Conversation string }
		must(json.Unmarshal([]byte(data), &reset))
		c.counted.resets.Add(1)
	case "message", "status":
		var p deliverywire.Payload
		must(json.Unmarshal([]byte(data), &p))
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, u := range p.Expand() {
			c.show(p.Conversation, u.Message, view{u.Version, u.Status, u.Delivered, u.Read})
		}
		c.learn(p.Conversation, p.From, p.To)
	}
}

// learn takes down that a range of versions is known. Ranges come in any order.
func (c *client) learn(conversation string, from, to int64) {
	ahead := append(c.ahead[conversation], [2]int64{from, to})
	slices.SortFunc(ahead, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	for len(ahead) > 0 && ahead[0][0] <= c.versions[conversation]+1 {
		c.versions[conversation] = max(c.versions[conversation], ahead[0][1])
		ahead = ahead[1:]
	}
	c.ahead[conversation] = ahead
}

func (c *client) version(conversation string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.versions[conversation]
}

// show shows a message as it stands, unless the client knows better.
func (c *client) show(conversation, message string, now view) {
	had := c.views[conversation][message]
	if now.Version <= had.Version {
		return
	}
	if now.Status < had.Status || now.Delivered < had.Delivered || now.Read < had.Read {
		c.backwards = append(c.backwards, fmt.Sprintf("%s showed %s go from %+v to %+v", c.user, message, had, now))
	}
	c.views[conversation][message] = now
}

// refetch reads the changes of a conversation, as a page does that has no id yet or has marked.
func (c *client) refetch(ctx context.Context, conversation string) {
	c.counted.refetches.Add(1)
	c.mu.Lock()
	epoch, _, _ := strings.Cut(cmp.Or(c.lastID, "0"), ".")
	c.mu.Unlock()
	for more := true; more && ctx.Err() == nil; {
		since := c.version(conversation)
		var page struct {
			Messages []delivery.Message
			Version  int64
			Epoch    string
			More     bool
			Reset    bool
		}
		query := url.Values{"conversation": {conversation}, "since": {fmt.Sprint(since)}, "epoch": {epoch}, "limit": {"500"}}
		if c.call(ctx, "GET", "/api/changes?"+query.Encode(), nil, &page) != http.StatusOK || page.Reset {
			return // the next event shows the gap, and the stream closes it
		}
		c.mu.Lock()
		for _, m := range page.Messages {
			c.show(conversation, m.ID, view{m.Version, m.Status, m.Delivered, m.Read})
		}
		c.learn(conversation, 0, page.Version)
		c.mu.Unlock()
		epoch, more = page.Epoch, page.More
	}
}

// call makes a call of the API, and returns the status; 0 if none came.
func (c *client) call(ctx context.Context, method, path string, body, answer any) int {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		must(err)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.node()+path, bytes.NewReader(text))
	must(err)
	r.Header.Set("User", c.user)
	r.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(r)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	if answer != nil && response.StatusCode/100 == 2 && json.NewDecoder(response.Body).Decode(answer) != nil {
		return 0
	}
	return response.StatusCode
}

// live sends and marks at random until calm is over. It names its socket, so that it is not told of
// its own changes, and reads the changes instead.
func (c *client) live(ctx, calm context.Context, pause time.Duration) {
	for calm.Err() == nil {
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-calm.Done():
			return
		}
		conversation := c.conversations[rand.IntN(len(c.conversations))]
		c.mu.Lock()
		socket := c.socket
		var message string
		for id := range c.views[conversation] { // any
			message = id
			break
		}
		c.mu.Unlock()
		switch kind := rand.IntN(10); {
		case kind == 0 || message == "":
			c.call(ctx, "POST", "/api/messages", map[string]any{"conversation": conversation, "body": "hi", "socket": socket}, nil)
		case kind == 1:
			c.call(ctx, "POST", "/api/marks/up-to", map[string]any{"conversation": conversation, "message": message, "status": "read", "socket": socket}, nil)
		default:
			status := []delivery.Status{delivery.Delivered, delivery.Read}[rand.IntN(2)]
			c.call(ctx, "POST", "/api/marks", map[string]any{"message": message, "status": status, "socket": socket}, nil)
		}
		c.refetch(ctx, conversation)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
