package pushertest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Conn is a connection that carries whole text messages, such as a WebSocket. One goroutine reads
// and one writes at the same time.
type Conn interface {
	// Read returns the next message. It fails if the connection is gone or ctx has ended.
	Read(ctx context.Context) ([]byte, error)
	// Write sends one message. It fails if the connection is gone or ctx has ended.
	Write(ctx context.Context, message []byte) error
}

// CloseError says how the server ended a connection. Code is 1001, or a close code of the Pusher
// protocol, which tells clients whether and when to connect again.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("pushertest: connection closed with code %d: %s", e.Code, e.Reason)
}

const (
	closeGoingAway    = 1001
	closeUnknownKey   = 4001
	closeUnauthorized = 4009
	closeOverCapacity = 4100
	errClientRate     = 4301
)

const (
	activityTimeout = 120 * time.Second // of silence, after which clients ping
	writeTimeout    = 5 * time.Second   // for one message
	queueLength     = 1_024             // messages a client may lag behind
	maxClientEvents = 10                // per second and connection
)

// conn is a client's connection. All but reading from queue is under s.mu.
type conn struct {
	id       string
	queue    chan []byte // messages to the client; closed when the connection has ended
	ended    bool
	cause    *CloseError       // set before queue is closed; nil if the client is not to be told
	channels map[string]string // subscribed to, and as which presence user
	user     string            // signed in, or ""
	sent     [maxClientEvents]time.Time
	oldest   int // index in sent
}

// ServeConn speaks the protocol on a connection until the connection ends. The key is the app key
// in the address that the client connected to. ServeConn returns the close code that the caller has
// to send, or nil if there is none to send: the client is gone, or Disconnect(0, "") was called.
// The caller closes the connection in any case. A call of Read may still be blocked when ServeConn
// returns; closing the connection ends it.
func (s *Server) ServeConn(ctx context.Context, ws Conn, key string) *CloseError {
	if key != s.Key {
		return &CloseError{closeUnknownKey, "application does not exist"}
	}
	c, refusal := s.connect()
	if c == nil {
		return refusal
	}
	defer s.active.Done()
	go s.read(ctx, ws, c)
	for message := range c.queue {
		if write(ctx, ws, message) != nil {
			s.mu.Lock()
			s.end(c, nil)
			s.mu.Unlock()
			break
		}
	}
	return c.cause
}

func write(ctx context.Context, ws Conn, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return ws.Write(ctx, message)
}

// connect makes a connection, or says why it does not. It is one step, so that Close finds every
// connection it has to wait for.
func (s *Server) connect() (*conn, *CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &CloseError{closeGoingAway, "server closed"}
	}
	if len(s.conns) >= MaxConnections {
		return nil, &CloseError{closeOverCapacity, "too many connections"}
	}
	s.active.Add(1)
	s.lastConn++
	c := &conn{
		id:       fmt.Sprintf("%d.%d", s.idPrefix, s.lastConn),
		queue:    make(chan []byte, queueLength),
		channels: map[string]string{},
	}
	s.conns[c.id] = c
	s.send(c, frame{
		Event: "pusher:connection_established",
		Data:  toJSONString(map[string]any{"socket_id": c.id, "activity_timeout": int(activityTimeout / time.Second)}),
	}.encode())
	return c, nil
}

func (s *Server) read(ctx context.Context, ws Conn, c *conn) {
	for {
		message, err := ws.Read(ctx)
		s.mu.Lock()
		if err != nil {
			s.end(c, nil)
		} else if !c.ended {
			s.handle(c, message)
		}
		ended := c.ended
		s.mu.Unlock()
		if ended {
			return
		}
	}
}

// end takes a connection out of everything. The caller holds s.mu.
func (s *Server) end(c *conn, cause *CloseError) {
	if c.ended {
		return
	}
	c.ended, c.cause = true, cause
	delete(s.conns, c.id)
	for name := range c.channels {
		s.unsubscribe(c, name)
	}
	close(c.queue)
}

// send queues a message. A client that doesn't read loses its connection rather than hold up the
// others. The caller holds s.mu.
func (s *Server) send(c *conn, message []byte) {
	if c.ended {
		return
	}
	select {
	case c.queue <- message:
	default:
		s.end(c, &CloseError{closeOverCapacity, "client too slow"})
	}
}

// sendError tells c what it did wrong. Most errors have no code, which is nil.
func (s *Server) sendError(c *conn, code any, message string) {
	data := toJSONString(map[string]any{"code": code, "message": message})
	s.send(c, frame{Event: "pusher:error", Data: data}.encode())
}

// handle does what a client's message asks for. The caller holds s.mu.
func (s *Server) handle(c *conn, message []byte) {
	var f frame
	var sub subscription
	if json.Unmarshal(message, &f) != nil {
		s.sendError(c, nil, "Invalid JSON")
		return
	}
	switch {
	case f.Event == "pusher:ping":
		s.send(c, frame{Event: "pusher:pong", Data: toJSONString(struct{}{})}.encode())
	case f.Event == "pusher:pong":
	case f.Event == "pusher:subscribe":
		if f.into(&sub) != nil {
			s.sendError(c, nil, "Invalid subscription")
			return
		}
		s.subscribe(c, sub)
	case f.Event == "pusher:unsubscribe":
		if f.into(&sub) == nil {
			s.unsubscribe(c, sub.Channel)
		}
	case f.Event == "pusher:signin":
		s.signIn(c, f)
	case strings.HasPrefix(f.Event, "client-"):
		s.clientEvent(c, f)
	default:
		s.sendError(c, nil, "Unknown event")
	}
}

func (s *Server) signIn(c *conn, f frame) {
	var in struct {
		Auth     string `json:"auth"`
		UserData string `json:"user_data"`
	}
	var user struct {
		ID string `json:"id"`
	}
	if f.into(&in) != nil || !equal(in.Auth, s.socketAuth(c.id, "", "user", "", in.UserData)) ||
		json.Unmarshal([]byte(in.UserData), &user) != nil || user.ID == "" {
		s.end(c, &CloseError{closeUnauthorized, "invalid sign-in"})
		return
	}
	c.user = user.ID
	s.send(c, frame{Event: "pusher:signin_success", Data: toJSONString(map[string]string{"user_data": in.UserData})}.encode())
}

// clientEvent passes an event on to the channel's other subscribers.
func (s *Server) clientEvent(c *conn, f frame) {
	id, subscribed := c.channels[f.Channel]
	now := time.Now()
	switch {
	case !subscribed || !takesClientEvents(f.Channel):
		s.sendError(c, nil, "Client event rejected: not subscribed, or not a private or presence channel")
	case len(f.Event) > MaxEventName || len(f.Data) > MaxEventData:
		s.sendError(c, nil, "Client event rejected: name or data too long")
	case now.Sub(c.sent[c.oldest]) < time.Second:
		s.sendError(c, errClientRate, "Client event rejected: more than 10 in a second")
	default:
		c.sent[c.oldest] = now
		c.oldest = (c.oldest + 1) % maxClientEvents
		s.deliver(f.Channel, frame{f.Event, f.Channel, f.Data, id}.encode(), c.id)
	}
}

// frame is a message of the protocol.
type frame struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	UserID  string          `json:"user_id,omitempty"`
}

func (f frame) encode() []byte { return toJSON(f) }

// into reads the data, which some clients encode twice.
func (f frame) into(v any) error { return json.Unmarshal([]byte(f.text()), v) }

// text is the data: a string's content, or else the JSON itself.
func (f frame) text() string {
	var text string
	if json.Unmarshal(f.Data, &text) == nil {
		return text
	}
	return string(f.Data)
}

// toJSONString encodes v twice, as the data of the server's own messages is.
func toJSONString(v any) json.RawMessage { return toJSON(string(toJSON(v))) }

func toJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values that can be marshaled come here
	}
	return b
}
