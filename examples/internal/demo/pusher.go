package demo

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// Pusher is the Pusher Channels that an example speaks to: hosted, self-hosted, or in this process.
type Pusher struct {
	Config pusheradapter.Config

	// Transport is what calls of the HTTP API have to go through: nil, or a way to the server in this
	// process that needs no network.
	Transport http.RoundTripper

	// Origin is where browsers connect to, such as "wss://ws-eu.pusher.com"; "" if that is the
	// example's own server, which then has [Pusher.ServeSocket] at GET /app/{key}.
	Origin string

	server *pushertest.Server
}

// OpenPusher returns the Pusher that a -pusher flag names, and for "" one in this process. Other
// processes don't hear what that one publishes. The caller closes it.
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

// ServeSocket serves a browser's connection to the server in this process.
func (p *Pusher) ServeSocket(w http.ResponseWriter, r *http.Request) {
	if p.server == nil {
		http.NotFound(w, r)
		return
	}
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
