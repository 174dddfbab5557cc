package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// standIn starts a server that speaks Pusher's protocol, for local work, and returns its URL, which
// has the server's secret: a new one each time, so that no page can publish events here. It takes
// WebSockets of pages from this machine only.
func standIn(addr string) (pusherURL string, err error) {
	pusher, err := pushertest.New(&pushertest.Options{Secret: rand.Text()})
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/apps/", pusher) // calls of the app
	mux.HandleFunc("GET /app/{key}", func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: []string{"127.0.0.1:*", "localhost:*"}})
		if err != nil {
			return // it has answered
		}
		defer ws.CloseNow()
		if end := pusher.ServeConn(r.Context(), socket{ws}, r.PathValue("key")); end != nil {
			ws.Close(websocket.StatusCode(end.Code), end.Reason)
		}
	})
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: mux, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	go server.Serve(listener)
	return fmt.Sprintf("http://%s:%s@%s/apps/%s", pusher.Key, pusher.Secret, listener.Addr(), pusher.AppID), nil
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
