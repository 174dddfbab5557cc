// Package pushertest is a Pusher Channels server for tests and local work, in the manner of
// net/http/httptest. It is not for production: it keeps everything in memory, serves a single app,
// and is meant for loopback addresses only.
//
// In a test, [NewServer] listens on 127.0.0.1. It checks what a program publishes as hosted Pusher
// does (signature, clock, sizes, names), records it, and delivers it to clients in the same
// process:
//
//	srv := pushertest.NewServer(t)
//	publisher := pusher.Client{AppID: srv.AppID, Key: srv.Key, Secret: srv.Secret, Host: srv.Host()}
//	tab := srv.Dial(t).Subscribe("private-room")
//
//	publisher.Trigger("private-room", "greeting", map[string]string{"say": "hello"})
//
//	tab.Next(t.Context())       // waits for the greeting
//	tab.Drain(t.Context())      // returns all messages that are left (here none), without sleeping
//	srv.Events()                // returns what was published
//
// # Failures
//
// [Server.Script] makes the next calls of the HTTP API fail. Here the first call gets a 429, the
// connection of the second is cut after its events were accepted, and the third succeeds:
//
//	srv.Script(
//		pushertest.RetryAfter(http.StatusTooManyRequests, 2*time.Second),
//		pushertest.Accepted(pushertest.Cut),
//	)
//
// [Server.FaultFunc] chooses a fault by the request instead. A [Fault] is a function, so you can
// write your own. [Server.Disconnect] ends the clients' connections.
//
// # Other servers
//
// [Options.Profile] gives the server the limits and answers of another server that speaks the
// protocol: [Reverb], [Sockudo] or [Soketi] instead of [Pusher].
//
// # Fake time
//
// Inside a bubble of testing/synctest make the server with [New]. It does not listen; the program
// under test calls it through [Server.RoundTrip]:
//
//	srv, err := pushertest.New(nil)
//	client := &http.Client{Transport: srv}
//
// [Server.Dial] works as usual. Close the server before the bubble ends.
//
// # Browsers
//
// [New] and a WebSocket library make a server for pusher-js. With github.com/coder/websocket:
//
//	type socket struct{ *websocket.Conn }
//
//	func (s socket) Read(ctx context.Context) ([]byte, error) {
//		_, message, err := s.Conn.Read(ctx)
//		return message, err
//	}
//
//	func (s socket) Write(ctx context.Context, message []byte) error {
//		return s.Conn.Write(ctx, websocket.MessageText, message)
//	}
//
//	mux.Handle("/apps/", srv)
//	mux.HandleFunc("GET /app/{key}", func(w http.ResponseWriter, r *http.Request) {
//		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // from any origin
//		if err != nil {
//			return
//		}
//		defer ws.CloseNow()
//		if end := srv.ServeConn(r.Context(), socket{ws}, r.PathValue("key")); end != nil {
//			ws.Close(websocket.StatusCode(end.Code), end.Reason)
//		}
//	})
//
// The page connects to it by
//
//	new Pusher("pushertest-key", {cluster: "local", wsHost: "127.0.0.1", wsPort: 8080,
//		forceTLS: false, enabledTransports: ["ws"]})
//
// # What is missing
//
// The server has no webhooks and no watchlists. It sends no subscription_count events, and none of
// the pings by which hosted Pusher finds dead connections. It accepts a batch as a whole or not at
// all.
package pushertest
