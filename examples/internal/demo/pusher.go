package demo

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"

	"github.com/coder/websocket"

	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// Pusher is the Pusher Channels that an example speaks to: hosted, self-hosted, or in this process.
type Pusher struct {
	Config pusheradapter.Config

	// Transport makes the calls of the HTTP API. It is nil unless the server is in this process,
	// which needs no network.
	Transport http.RoundTripper

	// Origin is the server that browsers connect to, such as "wss://ws-eu.pusher.com". It is "" if
	// that is the example's own server, which then serves [Pusher.Sockets] at GET /app/{key}.
	Origin string

	server *pushertest.Server

	mu      sync.Mutex
	sockets map[string]int // open ones, by user
}

// maxSockets is how many connections a user may have to the server in this process.
const maxSockets = 50

// OpenPusher returns the Pusher that a -pusher flag names. If the flag is "", it is a server in
// this process, which browsers of other processes do not hear. The caller closes it.
func OpenPusher(rawURL string) (*Pusher, error) {
	if rawURL != "" {
		config, err := pusheradapter.ParseURL(rawURL)
		if err != nil {
			return nil, err
		}
		return &Pusher{Config: config, Origin: socketOrigin(config)}, nil
	}
	server, err := pushertest.New(&pushertest.Options{Secret: rand.Text()})
	if err != nil {
		return nil, err
	}
	config := pusheradapter.Config{AppID: server.AppID, Key: server.Key, Secret: server.Secret, Host: "127.0.0.1"}
	return &Pusher{Config: config, Transport: server, server: server}, nil
}

// socketOrigin returns where browsers find an app whose HTTP API is at the config's host.
func socketOrigin(config pusheradapter.Config) string {
	host := config.Host
	if cluster, ok := strings.CutPrefix(host, "api"); ok && strings.HasSuffix(host, ".com") && strings.Contains(host, ".pusher") {
		host = "ws" + cluster // Pusher's own: api-eu.pusher.com has ws-eu.pusher.com beside it
	}
	return "ws" + strings.TrimPrefix(config.Scheme, "http") + "://" + host
}

// Sockets returns the handler for the connections of browsers to the server in this process. Only
// users who are signed in can connect.
func (p *Pusher) Sockets(accounts *Accounts) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := accounts.Identify(r)
		switch {
		case err != nil:
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		case user == "":
			http.Error(w, "sign in first", http.StatusUnauthorized)
		case p.server == nil:
			http.NotFound(w, r)
		case p.count(user, 1) > maxSockets:
			p.count(user, -1)
			http.Error(w, "too many connections", http.StatusTooManyRequests)
		default:
			defer p.count(user, -1)
			p.serve(w, r)
		}
	})
}

// count adds to the number of a user's connections, and returns it.
func (p *Pusher) count(user string, more int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets == nil {
		p.sockets = make(map[string]int)
	}
	p.sockets[user] += more
	return p.sockets[user]
}

func (p *Pusher) serve(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil) // from pages of the same origin only
	if err != nil {
		return // it has answered
	}
	defer ws.CloseNow()
	if end := p.server.ServeConn(r.Context(), socket{ws}, r.PathValue("key")); end != nil {
		_ = ws.Close(websocket.StatusCode(end.Code), end.Reason)
	}
}

// Close ends the connections to the server in this process.
func (p *Pusher) Close() {
	if p.server != nil {
		p.server.Close()
	}
}

// socket is a WebSocket as pushertest wants it.
type socket struct{ *websocket.Conn }

func (s socket) Read(ctx context.Context) ([]byte, error) {
	_, message, err := s.Conn.Read(ctx)
	return message, err
}

func (s socket) Write(ctx context.Context, message []byte) error {
	return s.Conn.Write(ctx, websocket.MessageText, message)
}
