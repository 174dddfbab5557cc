package pushertest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// Message is a message that a client received: an event, or a message of the protocol such as
// pusher_internal:member_added, pusher:cache_miss and pusher:error.
type Message struct {
	Name    string
	Channel string
	Data    string // the text, if it is a JSON string; otherwise the JSON as it came
	UserID  string // who sent a client event on a presence channel
}

// Authorization is the answer of an endpoint that authorizes subscriptions.
type Authorization struct {
	Auth        string `json:"auth"`
	ChannelData string `json:"channel_data,omitempty"`
}

// Client is a client in the same process, without a network in between. A method that fails ends
// the test with Fatalf, so call the methods from the test's goroutine. A method that waits gives up
// when the test's context ends, or the context that it was given, if it takes one.
type Client struct {
	// Authorize obtains the right to subscribe to a private or presence channel. It defaults to
	// signing with the server's secret.
	Authorize func(socketID, channel string) (Authorization, error)

	// UserID is the client's user id on presence channels, if Authorize is the default. It defaults
	// to the socket id.
	UserID string

	t        TB
	server   *Server
	socketID string
	frames   chan []byte // to the server
	hangUp   context.CancelFunc
	done     chan struct{} // closed when the server has let go of the connection

	mu      sync.Mutex
	inbox   []Message
	arrived chan struct{} // closed and replaced when a message arrives
	cause   *CloseError   // set before done is closed
}

// Dial connects a client, which is closed when the test ends.
func (s *Server) Dial(t TB) *Client {
	t.Helper()
	ctx, hangUp := context.WithCancel(context.Background())
	c := &Client{
		t: t, server: s, hangUp: hangUp,
		frames: make(chan []byte), done: make(chan struct{}), arrived: make(chan struct{}),
	}
	c.Authorize = c.sign
	go func() {
		defer close(c.done)
		c.cause = s.ServeConn(ctx, (*clientConn)(c), s.Key)
	}()
	t.Cleanup(c.Close)
	var hello struct {
		SocketID string `json:"socket_id"`
	}
	m := c.take(t.Context(), "the connection", func(m Message) bool { return m.Name == "pusher:connection_established" })
	if err := json.Unmarshal([]byte(m.Data), &hello); err != nil {
		t.Fatalf("pushertest: connecting: %v", err)
	}
	c.socketID = hello.SocketID
	return c
}

// Close drops the connection without a message, as a page does when it is closed. It returns when
// the server has noticed.
func (c *Client) Close() {
	c.hangUp()
	<-c.done
}

// SocketID returns the id of the connection, for publishing to everyone else.
func (c *Client) SocketID() string { return c.socketID }

// Subscribe subscribes to a channel and waits until that is done.
func (c *Client) Subscribe(channel string) *Client {
	c.t.Helper()
	if err := c.TrySubscribe(channel); err != nil {
		c.t.Fatalf("%v", err)
	}
	return c
}

// TrySubscribe is Subscribe for tests that expect a refusal, by Authorize or by the server.
func (c *Client) TrySubscribe(channel string) error {
	c.t.Helper()
	sub := map[string]string{"channel": channel}
	if needsAuth(channel) {
		a, err := c.Authorize(c.socketID, channel)
		if err != nil {
			return fmt.Errorf("pushertest: authorizing the subscription to %s: %w", channel, err)
		}
		sub["auth"] = a.Auth
		if a.ChannelData != "" {
			sub["channel_data"] = a.ChannelData
		}
	}
	c.send("pusher:subscribe", "", sub)
	m := c.take(c.t.Context(), "the subscription to "+channel, func(m Message) bool {
		return m.Channel == channel && (m.Name == "pusher_internal:subscription_succeeded" || m.Name == "pusher:subscription_error")
	})
	if m.Name != "pusher_internal:subscription_succeeded" {
		return fmt.Errorf("pushertest: subscribing to %s: %s", channel, m.Data)
	}
	return nil
}

func (c *Client) sign(socketID, channel string) (Authorization, error) {
	if !isPresence(channel) {
		return Authorization{Auth: c.server.socketAuth(socketID, channel)}, nil
	}
	id := c.UserID
	if id == "" {
		id = socketID
	}
	data := string(toJSON(presenceUser{ID: userID(id)}))
	return Authorization{c.server.socketAuth(socketID, channel, data), data}, nil
}

// Unsubscribe leaves a channel and waits until that is done.
func (c *Client) Unsubscribe(channel string) {
	c.t.Helper()
	c.send("pusher:unsubscribe", "", map[string]string{"channel": channel})
	c.roundTrip(c.t.Context())
}

// Trigger sends a client event; its name begins with "client-", its data is encoded as JSON. If the
// server refuses it, a pusher:error arrives.
func (c *Client) Trigger(channel, name string, data any) {
	c.t.Helper()
	c.send(name, channel, data)
}

// SignIn signs the client in as a user. From then on it also gets what is sent to the user.
func (c *Client) SignIn(userID string) *Client {
	c.t.Helper()
	data := string(toJSON(map[string]string{"id": userID}))
	c.send("pusher:signin", "", map[string]string{
		"auth": c.server.socketAuth(c.socketID, "", "user", "", data), "user_data": data,
	})
	c.take(c.t.Context(), "the sign-in", func(m Message) bool { return m.Name == "pusher:signin_success" })
	return c.Subscribe(userChannelPrefix + userID)
}

// Send sends a message to the server as it is, even if the protocol does not allow it.
func (c *Client) Send(message string) {
	c.t.Helper()
	select {
	case c.frames <- []byte(message):
	case <-c.done:
		c.t.Fatalf("pushertest: sending: %v", c.closed())
	}
}

func (c *Client) send(name, channel string, data any) {
	c.t.Helper()
	c.Send(string(frame{Event: name, Channel: channel, Data: toJSON(data)}.encode()))
}

// Next waits for the next message.
func (c *Client) Next(ctx context.Context) Message {
	c.t.Helper()
	return c.take(ctx, "a message", func(Message) bool { return true })
}

// Drain makes a round trip to the server and returns, oldest first, all messages that arrived
// before its end and were not read yet. Everything that was published before the call is among
// them, so an empty list means that nothing was sent.
func (c *Client) Drain(ctx context.Context) []Message {
	c.t.Helper()
	c.roundTrip(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	messages := c.inbox
	c.inbox = nil
	return messages
}

// Closed waits until the connection has ended and returns the server's close code, or nil if there
// was none. Messages that came before can still be read.
func (c *Client) Closed(ctx context.Context) *CloseError {
	c.t.Helper()
	select {
	case <-c.done:
		return c.cause
	case <-ctx.Done():
		c.t.Fatalf("pushertest: waiting for the end of the connection: %v", context.Cause(ctx))
		return nil
	}
}

func (c *Client) roundTrip(ctx context.Context) {
	c.t.Helper()
	c.send("pusher:ping", "", struct{}{})
	c.take(ctx, "the pong", func(m Message) bool { return m.Name == "pusher:pong" })
}

// take waits for a message and takes it out of the inbox.
func (c *Client) take(ctx context.Context, what string, match func(Message) bool) Message {
	c.t.Helper()
	for last := false; ; {
		c.mu.Lock()
		i, arrived := slices.IndexFunc(c.inbox, match), c.arrived
		if i >= 0 {
			m := c.inbox[i]
			c.inbox = slices.Delete(c.inbox, i, i+1)
			c.mu.Unlock()
			return m
		}
		c.mu.Unlock()
		if last {
			c.t.Fatalf("pushertest: waiting for %s: %v", what, c.closed())
			return Message{}
		}
		select {
		case <-arrived:
		case <-c.done:
			last = true // to look once more
		case <-ctx.Done():
			c.t.Fatalf("pushertest: waiting for %s: %v", what, context.Cause(ctx))
			return Message{}
		}
	}
}

func (c *Client) closed() error {
	if c.cause != nil {
		return c.cause
	}
	return fmt.Errorf("connection closed")
}

// clientConn is the server's end of a Client.
type clientConn Client

func (c *clientConn) Read(ctx context.Context) ([]byte, error) {
	select {
	case message := <-c.frames:
		return message, nil
	case <-c.done:
		return nil, context.Canceled
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *clientConn) Write(_ context.Context, message []byte) error {
	var f frame
	if err := json.Unmarshal(message, &f); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox = append(c.inbox, Message{f.Event, f.Channel, f.text(), f.UserID})
	close(c.arrived)
	c.arrived = make(chan struct{})
	return nil
}
